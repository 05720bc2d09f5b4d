import numpy as np

from trainer.starter.finish import POINTS_HZ, Finish, draw_finish, finish


def noise(seed, n=88_200):
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32) * 0.1


def spectrum_db(audio):
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    hz = np.fft.rfftfreq(len(audio), 1 / 44_100)
    return [10 * np.log10(power[(hz > at / 1.1) & (hz < at * 1.1)].mean()) for at in POINTS_HZ]


def test_every_stem_gets_the_same_tone_and_the_mix_keeps_its_peak():
    stems = {"a": noise(1), "b": noise(2) * 3}
    tone = draw_finish(np.random.default_rng(4))
    done = finish(stems, tone)
    moved = {name: np.subtract(spectrum_db(done[name]), spectrum_db(stems[name])) for name in stems}
    assert np.allclose(moved["a"], moved["b"], atol=1.0)
    assert np.ptp(moved["a"]) > 3, "a tone that is heard"
    before, after = (np.abs(sum(some.values())).max() for some in (stems, done))
    assert np.isclose(before, after, rtol=1e-4)


def test_the_tone_is_the_curve_and_its_ends():
    curve = (6.0, 0.0, -6.0, 0.0, 6.0, 0.0, -6.0, 0.0, 6.0)
    flat, shaped = (finish({"a": noise(1)}, Finish(c, None, None))["a"] for c in ((0.0,) * 9, curve))
    moved = np.subtract(spectrum_db(shaped), spectrum_db(flat))
    assert np.allclose(moved[1:] - moved[1:].mean(), np.array(curve[1:]) - np.mean(curve[1:]), atol=1.0)
    cut = finish({"a": noise(1)}, Finish((0.0,) * 9, 200.0, 4000.0))["a"]
    moved = np.subtract(spectrum_db(cut), spectrum_db(flat))
    assert moved[4] - moved[7] > 20 and moved[4] - moved[0] > 20


def test_nothing_moves_in_time():
    click = np.zeros(8192, np.float32)
    click[5000] = 1.0
    assert np.abs(finish({"a": click}, Finish((0.0,) * 9, None, None))["a"]).argmax() == 5000


def test_a_seed_is_a_tone():
    assert draw_finish(np.random.default_rng(1)) == draw_finish(np.random.default_rng(1))
    assert draw_finish(np.random.default_rng(1)) != draw_finish(np.random.default_rng(2))
