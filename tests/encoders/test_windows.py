import numpy as np
import pytest
from conftest import tone
from hypothesis import given
from hypothesis import strategies as st

from encoders.errors import NoSignal
from encoders.windows import MAX_WINDOWS, WINDOW, cut, pad, starts


@given(st.integers(1, MAX_WINDOWS * WINDOW))
def test_windows_cover_a_bounce_of_up_to_40_s_without_a_gap(n_samples):
    first = starts(n_samples)
    assert first[0] == 0
    assert np.all(np.diff(first) > 0) and np.all(np.diff(first) <= WINDOW)
    assert first[-1] + WINDOW >= n_samples
    assert first[-1] + WINDOW <= max(n_samples, WINDOW)


@given(st.integers(1, 200 * WINDOW), st.integers(1, 12))
def test_never_more_windows_than_asked_for_and_they_end_with_the_bounce(n_samples, n_windows):
    first = starts(n_samples, n_windows)
    assert 1 <= len(first) <= n_windows
    assert first[-1] == 0 if len(first) == 1 else first[-1] == n_samples - WINDOW


def test_sixteen_seconds_are_four_windows():
    assert starts(4 * WINDOW).tolist() == [0, WINDOW, 2 * WINDOW, 3 * WINDOW]


def test_a_short_bounce_is_one_window_padded_at_its_end():
    windows = cut(tone(1.5))
    assert windows.shape == (1, WINDOW)
    assert np.array_equal(windows[0, :66150], tone(1.5)) and not windows[0, 66150:].any()


def test_silent_windows_are_left_out():
    windows = cut(np.concatenate([tone(4.0), np.zeros(WINDOW, np.float32), tone(4.0, 330)]))
    assert len(windows) == 2
    assert np.array_equal(windows[1], tone(4.0, 330))


@pytest.mark.parametrize(
    "samples", [np.zeros(10), np.full(WINDOW * 3, 0.5), tone(8.0, level=0.0005), np.ones(1)]
)
def test_silence_dc_a_whisper_and_a_single_sample_are_no_signal(samples):
    with pytest.raises(NoSignal, match="nothing above -60 dBFS"):
        cut(samples.astype(np.float32))


def test_a_key_is_the_first_four_seconds():
    assert np.array_equal(pad(tone(5.0)), tone(5.0)[:WINDOW])
    assert not pad(tone(1.0))[44100:].any()
