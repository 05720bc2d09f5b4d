"""Which songs train, which choose the checkpoint and which test; never the same tune, kit or sample on two sides."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

SHARES = {"train": 0.85, "eval": 0.05, "test": 0.10}
"""Source: Lattner 2022, section 4."""


def group_songs(ties: Sequence[Iterable[Hashable]]) -> tuple[int, ...]:
    """Songs that share a tie, directly or through others, get one group number (union-find).

    Args:
        ties: for each song what binds it: its tune, its kit, the contents of its one-shots.

    Returns:
        For each song its group, numbered from 0 in the order in which groups first appear.
    """
    parent = list(range(len(ties)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_with: dict[Hashable, int] = {}
    for row, bonds in enumerate(ties):
        for bond in bonds:
            parent[root(row)] = root(first_with.setdefault(bond, row))
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(root(row), len(numbers)) for row in range(len(ties)))


def split_groups(
    groups: Sequence[int], sides: Sequence[str | None], held_out: Sequence[bool], seed: int
) -> tuple[str, ...]:
    """The split of each song, whole groups at a time.

    A group with a held-out song is held out; else one with a song of the test side is for the test, else one with
    a song of the eval side is for eval; and then no other group is: who names a side has drawn it. The remaining
    groups are dealt out, large ones first, of equal size in seeded order, each to the split that lacks the largest
    part of its share and has room for it; the last ones go to splits that have none yet.

    Args:
        groups: for each song its group.
        sides: for each song "train", "eval", "test" or None where nobody said; a group of the train side is never tested on.
        held_out: for each song whether its source is held out.

    Returns:
        For each song one of "train", "eval", "test", "held-out".
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    fixed = {group: _fixed(rows, sides, held_out) for group, rows in members.items()}
    sizes = {group: len(rows) for group, rows in members.items()}
    drawn = set(fixed.values())
    shares = {name: share for name, share in SHARES.items() if name not in drawn}
    free = [group for group in members if fixed[group] is None]
    n_songs = sum(sizes[group] for group in free)
    targets = {name: max(1.0, share / sum(shares.values()) * n_songs) for name, share in shares.items()}
    missing = dict(targets)
    order = np.random.default_rng(seed).permutation(len(free))
    for place, group in enumerate(sorted((free[row] for row in order), key=lambda group: -sizes[group])):
        trains = any(sides[row] == "train" for row in members[group])
        allowed = [name for name in targets if not (trains and name == "test")]
        empty = [name for name in allowed if missing[name] == targets[name]]
        room = [name for name in allowed if missing[name] >= sizes[group]]
        among = empty if len(free) - place <= len(empty) else room or ["train"]
        fixed[group] = max(among, key=lambda name: missing[name] / targets[name])
        missing[fixed[group]] -= sizes[group]
    return tuple(fixed[group] for group in groups)


def _fixed(rows: list[int], sides: Sequence[str | None], held_out: Sequence[bool]) -> str | None:
    if any(held_out[row] for row in rows):
        return "held-out"
    named = {sides[row] for row in rows}
    return next((name for name in ("test", "eval") if name in named), None)
