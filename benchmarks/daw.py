"""How long does a producer wait: from the press in a real Ardour 7 to the hit on its track?

Ardour runs under Xvfb with the Dummy backend, the daemon beside it with a tiny model, so that what is timed is the
DAW's part: bounce, OSC, answer file, import. The model's own time is in press.json. After each press
one step to the next hit, too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import measure

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from daw.studio import N_STEMS, SONG_S, press, studio

N_PRESSES = 30


def main() -> None:
    about = measure.machine()
    with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as here:
        seconds: dict[str, list[float]] = {"suggest": [], "next": []}
        for _ in range(N_PRESSES):
            for what, taken in seconds.items():
                began = time.perf_counter()
                press(here, what)  # seen to 20 ms
                taken.append(time.perf_counter() - began)
    result = {
        "n_presses": N_PRESSES,
        "n_stems": N_STEMS,
        "bounce_s": SONG_S,
        "press_to_inserted_s": measure.spread(seconds["suggest"]),
        "next_to_inserted_s": measure.spread(seconds["next"]),
    }
    measure.write("daw", result, about)


if __name__ == "__main__":
    main()
