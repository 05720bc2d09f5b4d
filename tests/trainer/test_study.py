"""The listening test: what is placed where, and the page as a listener uses it, in a real browser."""

from __future__ import annotations

import csv
import shutil
from collections import Counter

import numpy as np
import pytest
from packages import make_package

from encoders.audio import SAMPLE_RATE
from encoders.errors import BadRequest, NoSamples
from encoders.package import open_package
from encoders.session import open_encoder
from encoders.windows import cut
from trainer.corpus import Corpus
from trainer.prepare import prepare
from trainer.sones import lufs
from trainer.study import Rating, build_session, compare, places, read_ratings, replaced, report, write_page
from trainer.unseen import keys_of, of_split


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return open_encoder(open_package(make_package(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture(scope="module")
def corpus(small_corpus):
    return of_split(small_corpus, "all")[0]


@pytest.fixture(scope="module")
def keys(corpus, encoder):
    return keys_of(encoder.keys, corpus.one_shots)


@pytest.fixture(scope="module")
def session(corpus, keys, encoder):
    return build_session(corpus, "test", keys, encoder, seed=0)


def test_a_session_is_twelve_comparisons_of_the_types_at_hand(session):
    assert Counter(c.type for c in session) == {"kick": 4, "snare": 4, "hihat": 4}
    assert len({(c.song, c.type) for c in session}) == 12
    for comparison in session:
        assert comparison.song not in comparison.best_name and comparison.song not in comparison.random_name
        assert comparison.best_name.endswith(comparison.type) and comparison.random_name.endswith(
            comparison.type
        )
        assert comparison.best_name != comparison.random_name
        assert comparison.best.shape == comparison.random.shape
        assert max(np.abs(comparison.best).max(), np.abs(comparison.random).max()) == pytest.approx(
            0.9, abs=1e-3
        )


def test_the_best_is_nearer_to_the_mix_than_most(session, corpus, keys, encoder):
    place = places(corpus, "test")[0]
    made = [compare(corpus, place, keys, encoder, np.random.default_rng(seed)) for seed in range(12)]
    song = corpus.songs[place.song]
    rest = sum(stem.read(0, song.n_samples) for row, stem in enumerate(song.stems) if row != place.stem)
    scores = keys @ encoder.query(cut(rest))
    score_of = {
        f"{corpus.songs[hit.song].name}/{corpus.songs[hit.song].stems[hit.stem].name}": scores[row]
        for row, hit in enumerate(corpus.one_shots)
    }
    best, random = (
        np.mean([score_of[getattr(c, name)] for c in made]) for name in ("best_name", "random_name")
    )
    assert best > random


def test_the_same_seed_makes_the_same_session(corpus, keys, encoder, session):
    again = build_session(corpus, "test", keys, encoder, seed=0)
    assert [(c.song, c.best_name, c.random_name) for c in again] == [
        (c.song, c.best_name, c.random_name) for c in session
    ]
    assert all(np.array_equal(a.best, b.best) for a, b in zip(again, session, strict=True))


def test_a_stem_is_played_anew_at_its_onsets_with_its_accents_and_level(songs):
    sound = songs.hit("snare", np.random.default_rng(1))
    other = songs.hit("snare", np.random.default_rng(2))
    at = np.array([4410, 30000, 60000])
    stem = sum(
        songs.place(sound * gain, (start,), 88200) for gain, start in zip((1, 0.5, 1), at, strict=True)
    )
    new = replaced(stem, at, np.pad(other, (0, SAMPLE_RATE)))
    assert lufs(new) == pytest.approx(lufs(stem), abs=0.1)
    peaks = [np.abs(new[start : start + 8000]).max() for start in at]
    assert peaks[1] / peaks[0] == pytest.approx(0.5, abs=0.01) and peaks[2] == pytest.approx(
        peaks[0], rel=0.01
    )
    assert not new[:4410].any()
    first = new[4410 : 4410 + len(other)]
    assert np.corrcoef(first, other)[0, 1] > 0.999


def test_songs_without_a_drum_to_replace_are_refused(songs, encoder, tmp_path):
    songs.make_song(tmp_path / "stems" / "one", stems=("kick", "bass"))
    prepare(tmp_path / "stems", tmp_path / "corpus")
    lone, split = of_split(Corpus.open(tmp_path / "corpus"), "all")
    with pytest.raises(NoSamples, match="none of 1 in which a drum can be replaced"):
        build_session(lone, split, keys_of(encoder.keys, lone.one_shots), encoder, 0)


@pytest.fixture(scope="module")
def page(session, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "session-01.html"
    write_page(path, "test-0000", session, seed=0)
    return path


def test_the_page_needs_nothing_beside_it_and_tells_nothing(page, session):
    text = page.read_text()
    assert "http" not in text and "src=" not in text
    assert not any(c.best_name in text for c in session)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def answer(tab, choice):
    """Hears both sides and chooses by keyboard."""
    tab.wait_for_selector("#a:enabled")
    assert tab.locator("#choose-a").is_disabled()
    tab.keyboard.press("a")
    assert tab.locator("#choose-a").is_disabled(), "one side was not heard yet"
    tab.keyboard.press("b")
    assert tab.get_attribute("#b", "aria-pressed") == "true"
    tab.keyboard.press(choice)


def test_a_listener_answers_by_keyboard_and_saves_a_file(browser, page, session, tmp_path):
    tab = browser.new_page()
    faults = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.goto(page.as_uri())
    assert tab.inner_text("#count") == "12"
    tab.fill("#listener", 'Ann, "B"')
    tab.click("#start")
    tab.wait_for_selector("#a:enabled")
    tab.keyboard.press("s")
    tab.wait_for_function("document.getElementById('number').textContent === '2 of 12'")
    tab.keyboard.press("Backspace")
    tab.wait_for_function("document.getElementById('number').textContent === '1 of 12'")
    keys = ["ArrowLeft", "ArrowRight", "ArrowDown"] * 4
    for number, key in enumerate(keys, 1):
        tab.wait_for_function(f"document.getElementById('number').textContent === '{number} of 12'")
        assert tab.inner_text("#drum") == session[number - 1].type
        answer(tab, key)
    tab.wait_for_selector("#end:not([hidden])")
    with tab.expect_download() as download:
        tab.click("#save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    tab.close()
    assert not faults and path.name == "test-0000-Ann_B_.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["song"] for row in rows] == [c.song for c in session]
    for row, key, comparison in zip(rows, keys, session, strict=True):
        side = {"ArrowLeft": "A", "ArrowRight": "B"}.get(key)
        assert row["choice"] == (
            "equal" if side is None else "best" if side == row["best_side"] else "random"
        )
        assert (row["best"], row["random"]) == (comparison.best_name, comparison.random_name)
        assert row["listener"] == 'Ann, "B"'
    assert {row["best_side"] for row in rows} == {"A", "B"}
    found = report(read_ratings([path]))
    assert found["n_ratings"] == 12 and found["all"]["equal"]["share"] == pytest.approx(4 / 12)


def ratings(best, random, equal, skip, listener="x", kind="snare"):
    choices = ["best"] * best + ["random"] * random + ["equal"] * equal + ["skip"] * skip
    return [Rating(listener, kind, "song", choice) for choice in choices]


def test_shares_leave_skipped_ones_out():
    found = report([*ratings(6, 3, 1, 5), *ratings(0, 2, 0, 0, kind="tom")])
    snare = found["by_type"]["snare"]
    assert (snare["n"], snare["best"]["share"], snare["random"]["share"]) == (10, 0.6, 0.3)
    assert list(found["by_type"]) == ["snare", "tom"] and found["n_skipped"] == 5 and found["all"]["n"] == 12
    # Wilson's interval of 6 in 10, from its formula.
    assert snare["best"]["interval"] == pytest.approx([0.3127, 0.8318], abs=1e-3)


def test_listeners_who_differ_widen_the_interval():
    alike = [r for name in "abcdef" for r in ratings(6, 6, 0, 0, name)]
    split = [
        r
        for name, n in zip("abcdef", (12, 12, 12, 0, 0, 0), strict=True)
        for r in ratings(n, 12 - n, 0, 0, name)
    ]
    width = [np.diff(report(r)["all"]["best"]["interval"])[0] for r in (alike, split)]
    assert width[1] > 2 * width[0]


def test_no_decided_rating_gives_no_probability():
    found = report(ratings(0, 0, 0, 3))["all"]
    assert found["best"]["share"] is None and found["p"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("a,b\n1,2\n", "expected the columns"),
        ("study,listener,number,type,song,choice\ns,l,1,tom,x,maybe\n", "found maybe"),
    ],
)
def test_a_file_that_is_no_answer_is_refused(tmp_path, text, says):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(BadRequest, match=says):
        read_ratings([tmp_path / "a.csv"])


def test_the_same_answers_twice_are_refused(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("study,listener,number,type,song,choice\ns,l,1,tom,x,best\n")
    with pytest.raises(BadRequest, match=r"the same answers as in .*a\.csv"):
        read_ratings([tmp_path / "a.csv", tmp_path / "b.csv"])
