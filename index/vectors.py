"""Nearest neighbours by Annoy: built aside, believed only when it answers as exact search does."""

from __future__ import annotations

import numpy as np


def annoy_works() -> bool:
    """Whether this machine's Annoy finds what exact search finds.

    Its compiler flags may not suit the machine it runs on; then it has been seen to answer wrongly without a word.
    """
    from annoy import AnnoyIndex

    rng = np.random.default_rng(0)
    keys = rng.standard_normal((200, 32)).astype(np.float32)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    forest = AnnoyIndex(32, "angular")
    forest.set_seed(1)
    for row, key in enumerate(keys):
        forest.add_item(row, key.tolist())
    forest.build(10, 1)
    for query in keys[:5]:
        rows = forest.get_nns_by_vector(query.tolist(), 5, search_k=100_000)
        if rows != np.argsort(-(keys @ query))[:5].tolist():
            return False
    return True
