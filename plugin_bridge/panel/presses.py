"""The presses of this daemon's life, the newest of them, with what is needed to hear their hits in the mix."""

from __future__ import annotations

import itertools
import re
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.audio import SAMPLE_RATE, FloatArray, mix_frames, to_mono
from encoders.errors import NotFound, SamplefitError
from plugin_bridge.panel.one_shots import Ids, shown
from plugin_bridge.panel.preview import cut_loop, target_lufs
from plugin_bridge.panel.rhythm import Beat, Loop, choose_loop, find_beat, find_onsets
from plugin_bridge.panel.sounds import outline
from plugin_bridge.press import Answer, Press, Stem

MAX_PRESSES = 24
MAX_BYTES = 512 << 20
"""Bounces that are kept, each counted as if it were held in stereo beside its mono; the oldest goes first, the newest
never."""

N_PEAKS = 480


@dataclass(frozen=True, eq=False)
class Heard:
    """A press that was answered.

    Attributes:
        number: the panel's own.
        answer: with the bounce.
        document: the answer as the contract's JSON.
    """

    number: int
    press: Press
    answer: Answer
    document: dict[str, Any]
    at: datetime

    @cached_property
    def music(self) -> FloatArray:
        """(T, C) float32: the bounce with its channels; mono where the host has cleared its files away."""
        mono = self.answer.bounce
        frames = self._frames(self.press.stems)
        return frames if frames is not None and len(frames) == len(mono) else mono[:, None]

    @cached_property
    def original(self) -> FloatArray | None:
        """(T, C) float32: the track that is being replaced, or None."""
        return None if self.press.replaced is None else self._frames((self.press.replaced,))

    def _frames(self, stems: Sequence[Stem]) -> FloatArray | None:
        """(T, C) float32: the sum of stems over the part asked for; None where they cannot be read, or end before."""
        start_s, length_s = self.press.start_s, self.press.length_s
        until_s = None if length_s is None else start_s + length_s
        try:
            whole = mix_frames(stem.frames(until_s) for stem in stems)
        except SamplefitError:
            return None
        part = whole[round(start_s * SAMPLE_RATE) : None if until_s is None else round(until_s * SAMPLE_RATE)]
        return part if len(part) else None

    @cached_property
    def beat(self) -> Beat:
        """Its pulse: the host's tempo, else as estimated."""
        return find_beat(self.answer.bounce, self.press.tempo_bpm)

    def loop(self, bpm: float | None = None, shift: int = 0) -> Loop:
        """The part that is played round and round.

        Args:
            bpm: the tempo, where the user knows it better.
            shift: beats by which the first of the bar lies later than estimated.
        """
        beat = self.beat if bpm is None else Beat(bpm, self.beat.first)
        return choose_loop(self.answer.bounce, Beat(beat.bpm, beat.first + round(shift * beat.period)))

    @lru_cache(maxsize=2)  # noqa: B019  the newest presses, which `Presses` holds anyway
    def loops(self, loop: Loop) -> tuple[FloatArray, FloatArray | None, float]:
        """The loop of the music, that of the track being replaced, and the loudness (LUFS) that its hits take."""
        music = cut_loop(self.music, loop)
        original = None if self.original is None else cut_loop(self.original, loop)
        return music, original, target_lufs(music, original)

    @lru_cache(maxsize=2)  # noqa: B019
    def onsets(self, loop: Loop) -> NDArray[np.int64]:
        """(N,) samples of a loop at which the track being replaced sets in; none where there is none."""
        original = self.loops(loop)[1]
        return np.zeros(0, np.int64) if original is None else find_onsets(to_mono(original))

    def _title(self) -> str:
        """What the user may know it by: its file, or its id without the number that sets it apart."""
        first = self.press.stems[0]
        if len(self.press.stems) == 1 and first.path:
            return Path(first.path).name
        return re.sub(r"-[0-9a-f]{6,}$", "", str(self.press.id))

    def shown(self, ids: Ids) -> dict[str, Any]:
        """As JSON for the page."""
        return {
            "press": self.number,
            "at": self.at.isoformat(),
            "title": self._title(),
            "replaces": self.press.replaced is not None,
            "host_reads": self.press.answer_name,
            "seconds": round(len(self.answer.bounce) / SAMPLE_RATE, 3),
            "peaks": outline(self.answer.bounce[:, None], N_PEAKS),
            "model": self.document["model"]["name"],
            "library": self.document["library"],
            "query": self.document["query"],
            "timings_ms": self.document["timings_ms"],
            "learned": self.document["learned"],
            "hits": [
                {
                    **shown(ids, hit["path"], hit["type"], hit["duration_s"], hit["guessed"]),
                    "rank": hit["rank"],
                    "score": hit["score"],
                    "fit": hit["fit"],
                }
                for hit in self.document["hits"]
            ],
        }


class Presses:
    """The newest presses. From any thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._numbers = itertools.count(1)
        self._heard: deque[Heard] = deque(maxlen=MAX_PRESSES)

    def add(self, press: Press, answer: Answer, document: dict[str, Any]) -> Heard:
        """Keeps a press."""
        with self._turn:
            heard = Heard(next(self._numbers), press, answer, document, datetime.now(UTC))
            self._heard.append(heard)
            while (
                len(self._heard) > 1 and 3 * sum(one.answer.bounce.nbytes for one in self._heard) > MAX_BYTES
            ):
                self._heard.popleft()
            return heard

    def all(self) -> list[Heard]:
        """Newest first."""
        with self._turn:
            return list(reversed(self._heard))

    def get(self, number: int) -> Heard:
        """Raises NotFound for one that is gone."""
        for heard in self.all():
            if heard.number == number:
                return heard
        raise NotFound(f"press {number}", found="gone, or never there", remedy="press again")
