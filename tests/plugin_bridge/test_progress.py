import io

import pytest

from plugin_bridge.progress import Progress, describe, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(out, times):
    clock = iter([0.0, *times])
    progress = Progress("indexing", "files", out, lambda: next(clock))
    for done, _ in enumerate(times, 1):
        progress(done, 100)
    progress.close()
    return out.getvalue()


def test_short_work_is_silent():
    assert run(io.StringIO(), [0.1, 1.9]) == ""


def test_a_file_gets_a_line_every_ten_seconds():
    lines = run(io.StringIO(), [2.1, 5.0, 12.2]).splitlines()
    assert lines == [
        "indexing: 1 of 100 files, 0.5 files/s, 3 min 28 s left",
        "indexing: 3 of 100 files, 0.2 files/s, 6 min 34 s left",
    ]


def test_a_terminal_is_written_over_and_left_clean():
    text = run(Terminal(), [2.0, 2.1, 2.3])
    assert text.count("\r") == 3 and "\n" not in text and text.endswith("\r\033[K")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_rates():
    assert describe(1200, 5000, 5.0, "files") == "1,200 of 5,000 files, 240 files/s, 16 s left"
    assert describe(0, 0, 0.0, "files") == "0 of 0 files, 0.0 files/s"
