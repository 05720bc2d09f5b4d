import os
import struct
import threading
import tracemalloc

import numpy as np
import pytest
import soundfile
from conftest import tone

from encoders import errors
from encoders.audio import KEY_S, SAMPLE_RATE, mix, read_audio, read_one_shot


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("sample_rate", [22_050, 44_100, 48_000])
def test_every_format_and_rate_comes_out_as_the_same_tone(write, name, sample_rate):
    path = write(name, tone(1.0, 441.0, sample_rate=sample_rate), sample_rate)
    samples = read_audio(path)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - SAMPLE_RATE) < 0.06 * SAMPLE_RATE  # mp3 pads
    middle = samples[SAMPLE_RATE // 4 : SAMPLE_RATE // 4 + 4410]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 44
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8", "ULAW", "MS_ADPCM"]
)
def test_every_wav_encoding(write, subtype):
    path = write("a.wav", tone(0.5), subtype=subtype)
    assert np.abs(read_audio(path)[: SAMPLE_RATE // 2] - tone(0.5)).max() < 0.05


def test_channels_are_averaged(write):
    path = write("a.wav", np.stack([tone(0.1), -tone(0.1), tone(0.1, level=0.3)], axis=1), subtype="FLOAT")
    assert np.allclose(read_audio(path), tone(0.1, level=0.1), atol=1e-6)


def test_eight_channels_at_192_khz(write):
    path = write("a.wav", np.repeat(tone(0.5, sample_rate=192_000)[:, None], 8, axis=1), 192_000)
    assert len(read_audio(path)) == SAMPLE_RATE // 2


def test_reading_stops_where_it_is_told_to(write):
    path = write("a.wav", tone(2.0, 333.0), subtype="FLOAT")
    assert np.array_equal(read_audio(path, until_s=0.75, max_s=1.5), tone(0.75, 333.0))


def test_samples_cannot_be_written_to(write):
    with pytest.raises(ValueError, match="read-only"):
        read_audio(write("a.wav", tone(0.1)))[0] = 1


def test_a_bounce_beyond_the_limit_is_too_long(write):
    with pytest.raises(errors.TooLong, match=r"more than 1 s; expected at most 1 s"):
        read_audio(write("a.wav", tone(1.1)), max_s=1.0)


def test_three_hours_are_refused_without_being_held_in_memory(write):
    path = write("a.flac", np.zeros(3 * 3600 * 4000, np.int16), 4000)
    tracemalloc.start()
    try:
        with pytest.raises(errors.TooLong):
            read_audio(path)
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()


def test_a_header_that_lies_costs_nothing(write):
    path = write("a.flac", tone(0.5))
    data = bytearray(path.read_bytes())
    # STREAMINFO: the 36-bit count of samples ends at byte 26; claim 2**36 - 1 of them
    data[21] |= 0x0F
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with soundfile.SoundFile(path) as sound:
        assert sound.frames > 10**10
    tracemalloc.start()
    try:
        assert len(read_audio(path)) == SAMPLE_RATE // 2
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n_bad", [1, 44_100])
def test_a_one_shot_of_nan_is_called_so(tmp_path, n_bad):
    samples = np.full(44_100, 0.1, np.float32)
    samples[:n_bad] = np.nan
    soundfile.write(tmp_path / "snare.wav", samples, 44_100, subtype="FLOAT")
    with pytest.raises(errors.NoSignal, match="NaN, infinite"):
        read_one_shot(tmp_path / "snare.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e7, -1e30])
def test_what_is_not_a_number_is_no_signal(write, bad):
    samples = tone(0.1)
    samples[100] = bad
    with pytest.raises(errors.NoSignal, match="NaN, infinite"):
        read_audio(write("a.wav", samples, subtype="FLOAT"))


def test_no_samples(write):
    with pytest.raises(errors.NoSignal, match="no samples"):
        read_audio(write("a.wav", np.zeros(0, np.float32)))
    with pytest.raises(errors.NoSignal, match="no samples"):
        read_one_shot(write("b.wav", np.zeros(0, np.float32)))


def test_one_sample(write):
    assert len(read_audio(write("a.wav", np.float32([0.5])))) == 1


def test_text_named_wav(tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("not audio at all\n" * 100)
    with pytest.raises(errors.UnreadableAudio, match=r"notes\.wav: found .*; expected wav, aiff"):
        read_audio(path)


def test_no_such_file(tmp_path):
    with pytest.raises(errors.NotFound, match="no such file"):
        read_audio(tmp_path / "gone.wav")


def test_a_folder(tmp_path):
    with pytest.raises(errors.Refused, match="a folder"):
        read_audio(tmp_path)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "{file}/inside.wav"])
def test_paths_that_cannot_be(write, path):
    with pytest.raises(errors.NotFound):
        read_audio(path.format(file=write("a.wav", tone(0.1))))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    done = threading.Event()

    def read():
        with pytest.raises(errors.Refused, match="not a regular file"):
            read_audio(tmp_path / "pipe.wav")
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(10)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no devices here")
def test_a_device_is_refused():
    with pytest.raises(errors.Refused):
        read_audio("/dev/zero")


def test_an_unheard_of_rate_is_unreadable(write):
    with pytest.raises(errors.UnreadableAudio, match="1000 Hz; expected 2000 to"):
        read_audio(write("a.wav", tone(0.5), 1000))


def test_a_wav_cut_short_gives_what_is_there(write):
    path = write("a.wav", tone(1.0))
    path.write_bytes(path.read_bytes()[: 44 + 2 * 1000])
    assert len(read_audio(path)) == 1000


def test_a_one_shot_keeps_four_seconds_and_knows_its_length(write):
    shot = read_one_shot(write("a.wav", tone(6.5)))
    assert len(shot.samples) == KEY_S * SAMPLE_RATE
    assert shot.duration_s == 6.5


@pytest.mark.parametrize(
    "samples", [np.zeros(4410, np.float32), np.full(4410, 0.3, np.float32)], ids=["silence", "dc"]
)
def test_a_silent_one_shot_is_no_signal(write, samples):
    with pytest.raises(errors.NoSignal, match="nothing above -60 dBFS"):
        read_one_shot(write("a.wav", samples))


def test_a_loop_of_a_minute_is_no_one_shot(write):
    with pytest.raises(errors.TooLong):
        read_one_shot(write("a.flac", tone(60.0, sample_rate=8000), 8000))


def test_a_name_that_is_not_utf8_round_trips(tmp_path, write):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    os.rename(write("a.wav", tone(0.1)), path)
    assert len(read_audio(os.fsdecode(path))) == 4410
    with pytest.raises(errors.NotFound, match=r"gone\\udce9"):
        read_audio(os.fsdecode(path.replace(b"caf", b"gone")))


def test_mix_sums_and_lets_the_longest_decide():
    stems = [np.float32(stem) for stem in ([10], [1, 2, 3], [1, 1], [5, 5, 5, 5])]
    assert mix(iter(stems)).tolist() == [17, 8, 8, 5]
    assert [stem.tolist() for stem in stems] == [[10], [1, 2, 3], [1, 1], [5, 5, 5, 5]], "left as they were"
    assert mix(stems[:1]).tolist() == [10]


def test_random_damage_is_an_error_of_ours_or_finite_audio(write):
    rng = np.random.default_rng(7)
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"):
        whole = write(name, tone(0.3)).read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(rng.integers(1, 12)):
                data[rng.integers(0, len(data))] = rng.integers(0, 256)
            path = write(name, tone(0.01))
            path.write_bytes(data[: rng.integers(1, len(data) + 1)])
            try:
                assert np.isfinite(read_audio(path)).all()
            except errors.SamplefitError as error:
                assert error.code in {"unreadable-audio", "no-signal", "too-long"} and "\n" not in error.text


def test_wav_header_that_declares_hours(tmp_path):
    data = tone(0.1).astype("<f4").tobytes()
    header = (
        b"RIFF"
        + struct.pack("<I", 0x7FFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 3, 1, 44100, 176400, 4, 32)
    )
    path = tmp_path / "a.wav"
    path.write_bytes(header + b"data" + struct.pack("<I", 0x7FFFFF00) + data)
    assert len(read_audio(path)) == 4410
