"""Which songs a model may be judged on, and the keys that it gives their one-shots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from encoders.audio import FloatArray
from encoders.package import Card
from trainer.corpus import Corpus, OneShot

N_ENCODED = 16
"""One-shots that are encoded at once."""


def split_to_judge(corpus: Corpus, card: Card) -> str:
    """ "test" for a model trained on this very corpus; "all" for any other: it has heard none of its songs."""
    return "test" if card.training.get("corpus") == corpus.digest else "all"


def of_split(corpus: Corpus, split: str) -> tuple[Corpus, str]:
    """The corpus and the split to ask for in it; "all" makes every song one of the test split."""
    if split != "all":
        return corpus, split
    return replace(corpus, songs=tuple(replace(song, split="test") for song in corpus.songs)), "test"


def keys_of(
    encode: Callable[[FloatArray], FloatArray],
    hits: Sequence[OneShot],
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """The keys of one-shots.

    Args:
        encode: (B, 176400) → (B, D), as `encoders.session.Encoder.keys`.
        progress: is told (one-shots encoded, one-shots in all).

    Returns:
        (N, D) float32, unit rows.
    """
    parts = []
    for first in range(0, len(hits), N_ENCODED):
        windows = np.stack([hit.read() for hit in hits[first : first + N_ENCODED]])  # (b, 176400)
        parts.append(encode(windows))
        if progress:
            progress(min(first + N_ENCODED, len(hits)), len(hits))
    return np.concatenate(parts)
