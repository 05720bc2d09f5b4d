"""Table 1 of the paper, ours beside it, and what may be said of the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.evaluate import MODES
from trainer.ranks import FloatArray64, bootstrap

N_DRAWS = 5000
LEVEL = 0.95
LEAST_SONGS = 6
"""Songs below which a bootstrap interval is too narrow to claim anything: invented."""


@dataclass(frozen=True)
class Row:
    """A row of the paper's Table 1.

    Attributes:
        preset: the file that makes it.
        paper: mean and median normalised rank of full mixes, then of sparse ones.
    """

    preset: str
    name: str
    paper: tuple[float, float, float, float]


TABLE = (
    Row("samplematch", "2Enc+PTrain+Aug+VCReg+SMix", (0.105, 0.032, 0.124, 0.043)),
    Row("qsinv", "2Enc+PTrain+Aug+VCReg+SMix+QSInv", (0.120, 0.037, 0.136, 0.047)),
    Row("no-sparse-mix", "2Enc+PTrain+Aug+VCReg", (0.124, 0.061, 0.183, 0.100)),
    Row("no-augmentation", "2Enc+PTrain+VCReg+SMix", (0.128, 0.037, 0.137, 0.042)),
    Row("no-vcreg", "2Enc+PTrain+Aug+SMix", (0.116, 0.032, 0.135, 0.043)),
    Row("no-pretraining", "2Enc+Aug+VCReg+SMix", (0.458, 0.432, 0.470, 0.451)),
    Row("no-pretraining-qsinv", "2Enc+Aug+VCReg+SMix+QSInv", (0.164, 0.079, 0.181, 0.091)),
    Row("one-encoder", "PTrain+Aug+VCReg+SMix", (0.121, 0.047, 0.137, 0.058)),
    Row("plain", "2Enc+PTrain", (0.140, 0.053, 0.205, 0.089)),
)


@dataclass(frozen=True)
class Claim:
    """An ordering of the paper's: in each pair of presets the first has the smaller mean rank.

    Attributes:
        modes: the mixes of which it is said.
    """

    text: str
    pairs: tuple[tuple[str, str], ...]
    modes: tuple[str, ...]


@dataclass(frozen=True)
class Unlearned:
    """A claim that a variant does not learn: its mean rank stays near chance."""

    text: str
    preset: str


NEAR_CHANCE = 0.4
"""An interval above this counts as "nothing is learned": invented; the paper's row reads .458 and .470."""

CLAIMS: tuple[Claim | Unlearned, ...] = (
    Claim(
        "The full recipe is best", tuple(("samplematch", row.preset) for row in TABLE[1:]), ("full", "sparse")
    ),
    Claim(
        "Of single differences, missing sparse mixing costs most on sparse mixes",
        tuple((name, "no-sparse-mix") for name in ("no-augmentation", "no-vcreg", "one-encoder", "qsinv")),
        ("sparse",),
    ),
    Unlearned("Without pre-training nothing is learned", "no-pretraining"),
    Claim(
        "Without pre-training, QSInv makes it learn",
        (("no-pretraining-qsinv", "no-pretraining"),),
        ("full", "sparse"),
    ),
)
"""The orderings that a reproduction should show on any corpus."""


@dataclass(frozen=True, eq=False)
class Result:
    """A trained row on the test songs.

    Attributes:
        ranks: by mode ("full", "sparse"): (Q,) normalised ranks, in the trial's order.
        groups: (Q,) the group of each rank's song.
        figures: by mode: loss, query_likelihood, key_likelihood.
        steps: how many were taken.
    """

    ranks: dict[str, FloatArray64]
    groups: np.ndarray
    figures: dict[str, dict[str, float | None]]
    steps: int


def table(results: dict[str, Result], same: dict[str, str], facts: dict[str, Any]) -> str:
    """The Markdown: our figures beside the paper's, then each ordering with its verdict."""
    lines = [
        f"# Table 1 at {facts['budget']} a row",
        "",
        f"Backbone {facts['backbone']}, batch {facts['batch']}, {facts['n_songs']} test songs (songs that share a tune, "
        f"a kit or a sample count as one), corpus {facts['corpus'][:16]}. Mean/median normalised rank, chance .5; in "
        "brackets the 95 % bootstrap interval of the mean over songs. The paper's figures come from its own songs and "
        "600 epochs: their order can be compared, their size cannot.",
        "",
        "| variant | steps | full, ours | full, paper | sparse, ours | sparse, paper | loss | Lq | Lk |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in TABLE:
        if row.preset not in results:
            continue
        result = results[row.preset]
        cells = [f"{row.name} ({row.preset})", f"{result.steps:,}"]
        for mode, (mean, median) in zip(MODES, (row.paper[:2], row.paper[2:]), strict=True):
            cells += [_cell(result, mode), f"{mean:.3f} / {median:.3f}"]
        sparse = result.figures["sparse"]
        cells += [
            f"{sparse['loss']:.3f}",
            _known(sparse["query_likelihood"]),
            _known(sparse["key_likelihood"]),
        ]
        if same[row.preset] != row.preset:
            cells[1] = f"as {same[row.preset]}"
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "loss, Lq and Lk are those of sparse mixes.", "", "## Which orderings held", ""]
    lines += [f"- {line}" for line in verdicts(results, same)]
    return "\n".join(lines) + "\n"


def _cell(result: Result, mode: str) -> str:
    ranks = result.ranks[mode]
    low, high = interval(ranks, result.groups, LEVEL)
    return f"{ranks.mean():.3f} [{low:.3f}, {high:.3f}] / {np.median(ranks):.3f}"


def _known(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def verdicts(results: dict[str, Result], same: dict[str, str]) -> Iterator[str]:
    """What may be said of each claim that these rows speak to.

    It held, or was reversed, only where intervals that hold for all its comparisons together say so
    (Bonferroni).
    """
    untrained = same.get("no-pretraining") == "samplematch"  # a base without pre-trained weights
    for claim in CLAIMS:
        if isinstance(claim, Unlearned):
            if claim.preset in results:
                verdict, details = ("not tested", "") if untrained else _unlearned(results[claim.preset])
                yield f"{claim.text}: **{verdict}**{details or ', since no row of this base was pre-trained'}"
            continue
        pairs = [pair for pair in claim.pairs if {*pair} <= results.keys() and same[pair[0]] != same[pair[1]]]
        if untrained and any("no-pretraining" in pair for pair in claim.pairs[:1]):
            yield f"{claim.text}: **not tested**, since no row of this base was pre-trained"
        elif pairs:
            verdict, details = _ordering(pairs, claim.modes, results)
            yield f"{claim.text}: **{verdict}**{details}"


def _ordering(
    pairs: Sequence[tuple[str, str]], modes: Sequence[str], results: dict[str, Result]
) -> tuple[str, str]:
    """The verdict on an ordering, and each difference of mean ranks with its interval."""
    level = 1 - (1 - LEVEL) / (len(pairs) * len(modes))
    groups = results[pairs[0][0]].groups
    lines, lows, reversals = [], [], []
    for better, worse in pairs:
        for mode in modes:
            gain = results[worse].ranks[mode] - results[better].ranks[mode]  # (Q,) paired by question
            low, high = interval(gain, groups, level)
            lines.append(f"\n  - {worse} less {better}, {mode}: {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
            lows.append(low)
            reversals += [f"{better} and {worse}"] if high < 0 else []
    verdict = (
        "held"
        if min(lows) > 0
        else f"reversed for {', '.join(dict.fromkeys(reversals))}"
        if reversals
        else "not decided"
    )
    return _with_songs(verdict, groups), "".join(lines)


def _unlearned(result: Result) -> tuple[str, str]:
    spans = {mode: interval(result.ranks[mode], result.groups, LEVEL) for mode in MODES}
    near = all(low > NEAR_CHANCE for low, _ in spans.values())
    learned = any(high < NEAR_CHANCE for _, high in spans.values())
    verdict = "held" if near else "reversed: it learns" if learned else "not decided"
    lines = [
        f"\n  - {mode}: [{low:.3f}, {high:.3f}], near chance above {NEAR_CHANCE}"
        for mode, (low, high) in spans.items()
    ]
    return _with_songs(verdict, result.groups), "".join(lines)


def _with_songs(verdict: str, groups: np.ndarray) -> str:
    n_songs = len(np.unique(groups))
    return (
        verdict if n_songs >= LEAST_SONGS else f"not decided ({n_songs} test songs, {LEAST_SONGS} are needed)"
    )


def interval(values: FloatArray64, groups: np.ndarray, level: float) -> tuple[float, float]:
    """Bootstrap interval of the mean of (Q,) values over songs; two rows' differences are paired by rank."""
    return bootstrap(values, groups, seed=0, n_draws=N_DRAWS, level=level)


def numbers(results: dict[str, Result]) -> list[dict[str, Any]]:
    """The rows for table.json."""
    return [
        {
            "preset": name,
            "steps": result.steps,
            **{
                mode: {
                    "mean_normalised_rank": float(result.ranks[mode].mean()),
                    "median_normalised_rank": float(np.median(result.ranks[mode])),
                    "interval": list(interval(result.ranks[mode], result.groups, LEVEL)),
                    **result.figures[mode],
                }
                for mode in MODES
            },
        }
        for name, result in results.items()
    ]
