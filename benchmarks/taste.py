"""Does learning from marks help a user with a known taste, and does it leave all others alone?

    python benchmarks/taste.py --one-shots DIR --corpus DIR [--n-users 8] [--keys FILE.npz]

Simulated users press 200 times with songs that the model was not trained on, each song without one of its drums, and
mark what they take from the ten hits of that drum: by their taste (as they feel it, with noise), by fit, or at random.
Then each presses with songs that he has not pressed with, with what was learned and without. The library holds real
one-shots and, so that fit can be told, those that the songs were made of. The search and the learning are the
program's own; only the users are invented, by the constants below.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.measure import machine, write
from encoders.audio import SAMPLE_RATE, FloatArray, read_one_shot
from encoders.drum_types import SIX, guess_type
from encoders.errors import SamplefitError
from encoders.package import STARTER, open_package
from encoders.session import Encoder, open_encoder
from encoders.windows import cut, pad
from index.rows import Row, build_rows
from index.search import Want, search
from index.snapshot import Snapshot, Table
from index.taste import Choice, Taste, indifferent, learn
from trainer.corpus import Corpus

N_PRESSES = 200
MARKS_A_PRESS = 0.6
"""Share of presses of which the user marks a hit."""
ALSO_DISLIKES = 0.3
"""Share of those in which he dislikes another."""
CARELESS = 0.2
"""Share of marks that are made at random."""
TASTE, FIT, LAZINESS = 1.5, 0.5, 0.15
"""What a deviation of taste and of fit are worth beside Gumbel noise, and what each further place costs."""

N_ASKED = 60
"""Presses by which a user is measured."""

N_CANDIDATES = 100
"""What `search` orders anew where ten hits are wanted."""

WANT = Want(k=10, diversity=0.3)  # presets/suggest/default.toml

TASTES = ("bright", "dark", "short", "long", "hydrogen", "sampled")
USERS = (*TASTES, "dark kicks", "changes", "contradicts", "random", "first", "fit")


@dataclass(frozen=True, eq=False)
class Question:
    """A press: a song without one of its drums.

    Attributes:
        query: (D,) float32.
        truths: places in the library of the one-shots that the drum was made of.
        group: songs of one group share a tune or a kit.
    """

    query: FloatArray
    type: str
    truths: tuple[int, ...]
    group: int


@dataclass(frozen=True, eq=False)
class World:
    """The library and the presses.

    Attributes:
        keys: (N, D) float32.
        likings: taste → (N,) how much it is to that taste, in deviations within the type.
    """

    keys: FloatArray
    types: np.ndarray
    likings: dict[str, np.ndarray]
    questions: tuple[Question, ...]

    def snapshot(self) -> Snapshot:
        contents = [number.to_bytes(16, "big") for number in range(len(self.keys))]
        rows = [
            Row(f"/{number}".encode(), str(type_), contents[number], 1.0, False)
            for number, type_ in enumerate(self.types)
        ]
        table = build_rows(
            rows, zip(contents, (key.tobytes() for key in self.keys), strict=True), self.keys.shape[1]
        )
        return Snapshot((Table(table),), 0, 0, "model")


def encode(one_shots: Path, corpus: Corpus, encoder: Encoder) -> dict[str, np.ndarray]:
    """Keys of the one-shots of both, queries of the songs that are not for training, and what is needed of each."""
    keys, types, sources, brightness, durations_s = [], [], [], [], []

    def add(samples: FloatArray, type_: str, source: str, duration_s: float) -> int:
        keys.append(encoder.keys(pad(samples)[None])[0])
        types.append(type_)
        sources.append(source)
        power = np.abs(np.fft.rfft(samples)) ** 2
        octaves = np.log2(np.maximum(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE), 20))
        brightness.append((power * octaves).sum() / power.sum())
        durations_s.append(duration_s)
        return len(keys) - 1

    for path in sorted(path for path in one_shots.rglob("*") if path.is_file()):
        named = guess_type(path.relative_to(one_shots))
        type_ = path.parent.name if path.parent.name in SIX else named and named.type
        if type_ in SIX:
            try:
                sound = read_one_shot(path)
            except SamplefitError:  # one of them is no audio file
                continue
            add(sound.samples, type_, path.relative_to(one_shots).parts[0], sound.duration_s)
    hits = corpus.one_shots
    stems: dict[tuple[int, int], list[int]] = {}
    for row, hit in enumerate(hits):
        song = corpus.songs[hit.song]
        if hit.type in SIX and song.split != "train" and len(song.stems) >= 3:
            stems.setdefault((hit.song, hit.stem), []).append(row)
    place: dict[int, int] = {}
    queries, wanted, truths, groups = [], [], [], []
    for (number, stem), rows in stems.items():
        song = corpus.songs[number]
        for row in rows[:4]:
            hit = hits[row]
            if hit.content not in place:
                samples = hit.read()[: hit.n_samples]
                place[hit.content] = add(samples, hit.type, "songs", hit.n_samples / SAMPLE_RATE)
        own = {place[hits[row].content] for row in rows if hits[row].content in place}
        mix = sum(other.read(0, song.n_samples) for at, other in enumerate(song.stems) if at != stem)
        type_ = hits[rows[0]].type
        queries.append(encoder.query(cut(mix)))
        wanted.append(type_)
        truths.append(" ".join(str(each) for each in sorted(own) if types[each] == type_))
        groups.append(song.group)
    return {
        "keys": np.stack(keys),
        "types": np.array(types),
        "sources": np.array(sources),
        "brightness": np.array(brightness),
        "durations_s": np.array(durations_s),
        "queries": np.stack(queries),
        "wanted": np.array(wanted),
        "truths": np.array(truths),
        "groups": np.array(groups),
    }


def world(found: dict[str, np.ndarray]) -> World:
    """What `encode` found, with tastes."""
    n, types = len(found["keys"]), found["types"]
    likings = {name: np.zeros(n) for name in TASTES}
    for type_ in SIX:
        rows = np.flatnonzero(types == type_)
        for name, column in (("bright", "brightness"), ("long", "durations_s")):
            likings[name][rows] = _deviations(found[column][rows].argsort().argsort())
        for name in ("hydrogen", "sampled"):
            likings[name][rows] = _deviations(found["sources"][rows] == name)
    likings["dark"], likings["short"] = -likings["bright"], -likings["long"]
    questions = tuple(
        Question(query, str(type_), tuple(map(int, truths.split())), int(group))
        for query, type_, truths, group in zip(
            found["queries"], found["wanted"], found["truths"], found["groups"], strict=True
        )
        if truths
    )
    return World(found["keys"], types, likings, questions)


def _deviations(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(values.std(), 1e-9)


def taste_at(user: str, n_pressed: int, type_: str) -> str | None:
    """What a user goes by at a press: a taste, "fit", "first" or "random"; None where he marks nothing."""
    if user == "dark kicks":
        return "dark" if type_ == "kick" else None
    if user == "changes":
        return "bright" if n_pressed < N_PRESSES // 2 else "dark"
    if user == "contradicts":
        return "dark" if n_pressed % 2 else "bright"
    return user


def press(snapshot: Snapshot, question: Question, taste: Taste | None) -> np.ndarray:
    """(10,) places in the library, best first."""
    want = replace(WANT, types=(question.type,))
    return np.array([int(hit.path[1:]) for hit in search(snapshot, question.query, want, taste)])


def live(shown: World, snapshot: Snapshot, user: str, rng: np.random.Generator) -> tuple[Taste, set[int]]:
    """A user's 200 presses: what was learned in the end, and the groups of songs that he pressed with."""
    groups = rng.permutation(np.unique([question.group for question in shown.questions]))
    own = set(groups[: len(groups) // 2].tolist())
    questions = [question for question in shown.questions if question.group in own]
    choices: dict[int, Choice] = {}
    taste = indifferent("model")
    for n_pressed in range(N_PRESSES):
        question = questions[rng.integers(len(questions))]
        goes_by = taste_at(user, n_pressed, question.type)
        top = press(snapshot, question, taste if taste.n_marks else None)
        if goes_by is None or rng.random() > MARKS_A_PRESS:
            continue
        fit = _fit(shown, question)[top]
        if goes_by in shown.likings:
            worth = TASTE * shown.likings[goes_by][top] + FIT * fit
        else:
            worth = {"fit": 2 * fit, "first": -5.0 * np.arange(len(top))}.get(goes_by, np.zeros(len(top)))
        if rng.random() < CARELESS:
            worth = np.zeros(len(top))
        felt = worth - LAZINESS * np.arange(len(top)) + rng.gumbel(size=len(top))
        marks = [(int(felt.argmax()), True)]
        if rng.random() < ALSO_DISLIKES:
            marks.append((int((worth + rng.gumbel(size=len(top))).argmin()), False))
        for at, is_liked in marks:
            choices.pop(top[at], None)
            keys = np.concatenate([shown.keys[top[at]][None], shown.keys[np.delete(top, at)]])
            choices[top[at]] = Choice(keys, is_liked)
        taste = learn(list(choices.values()), "model")
    return taste, own


def _fit(shown: World, question: Question) -> np.ndarray:
    """(N,) score in deviations within the type."""
    rows = np.flatnonzero(shown.types == question.type)
    out = np.zeros(len(shown.keys))
    out[rows] = _deviations(shown.keys[rows] @ question.query)
    return out


def ask(
    shown: World, snapshot: Snapshot, user: str, taste: Taste, own: set[int], rng: np.random.Generator
) -> dict[str, list[float]]:
    """Figures of presses with songs that the user does not know: without what was learned, and with it."""
    likes = taste_at(user, N_PRESSES, "kick")
    liking = shown.likings.get(likes or "")
    unknown = [question for question in shown.questions if question.group not in own]
    figures: dict[str, list[float]] = {}
    for at in rng.choice(len(unknown), min(N_ASKED, len(unknown)), replace=False):
        question = unknown[at]
        rows = np.flatnonzero(shown.types == question.type)
        fit = _fit(shown, question)
        ranked = rows[np.argsort(-fit[rows], kind="stable")]
        pool = ranked[:N_CANDIDATES]
        told: list[dict[str, float]] = []
        for learned in (None, taste if taste.n_marks else None):
            top = press(snapshot, question, learned)
            places = list(range(len(pool)))
            if learned:
                places = learned.order(shown.keys[pool].astype(np.float64) @ question.query, shown.keys[pool])
            order = np.concatenate([pool[places], ranked[N_CANDIDATES:]])
            one = {"rank": float(np.flatnonzero(np.isin(order, question.truths)).mean() + 1) / len(order)}
            one["fit"] = float(fit[top].mean())
            if liking is not None:
                one["taste"] = float(liking[top].mean())
                favourites = pool[np.argsort(-(TASTE * liking[pool] + FIT * fit[pool]))[: len(top)]]
                one["favourites"] = float(np.isin(favourites, top).mean())
            told.append({"top": top, **one})
        before, after = told
        kind = "kick " if question.type == "kick" else "other "
        changed = float(len(set(after.pop("top")) - set(before.pop("top"))))
        for part in ("", kind) if user == "dark kicks" else ("",):
            figures.setdefault(f"{part}changed", []).append(changed)
            for name in before:
                figures.setdefault(f"{part}{name} before", []).append(before[name])
                figures.setdefault(f"{part}{name} after", []).append(after[name])
    return figures


def interval(values: list[float], rng: np.random.Generator) -> list[float]:
    """95 % bootstrap interval of the mean over users."""
    draws = rng.choice(values, (2000, len(values))).mean(axis=1)
    return [round(float(edge), 4) for edge in np.percentile(draws, (2.5, 97.5))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--one-shots", type=Path, required=True, help="SOURCE/TYPE/*.flac and the like")
    parser.add_argument("--corpus", type=Path, required=True, help="a prepared corpus")
    parser.add_argument("--keys", type=Path, help="where what was encoded is kept for the next run")
    parser.add_argument("--n-users", type=int, default=8, help="of each kind")
    arguments = parser.parse_args()
    about = machine()
    package = open_package(STARTER)
    if arguments.keys and arguments.keys.exists():
        found = dict(np.load(arguments.keys))
    else:
        encoder = open_encoder(package, "cpu", 1)
        found = encode(arguments.one_shots, Corpus.open(arguments.corpus), encoder)
        if arguments.keys:
            np.savez(arguments.keys, **found)
    shown = world(found)
    snapshot = shown.snapshot()
    users = {}
    for user in USERS:
        each: dict[str, list[float]] = {}
        for number in range(arguments.n_users):
            rng = np.random.default_rng([USERS.index(user), number])
            taste, own = live(shown, snapshot, user, rng)
            figures = ask(shown, snapshot, user, taste, own, rng)
            means = {name: float(np.mean(values)) for name, values in figures.items()}
            means |= {"trust": taste.trust, "marks": float(taste.n_marks)}
            for name in [name for name in means if name.endswith(" before")]:
                bare = name.removesuffix(" before")
                means[f"{bare} change"] = means[f"{bare} after"] - means[name]
            for name, value in means.items():
                each.setdefault(name, []).append(value)
        rng = np.random.default_rng(0)
        users[user] = {name: round(float(np.mean(values)), 4) for name, values in each.items()}
        users[user] |= {
            f"{name} interval": interval(values, rng)
            for name, values in each.items()
            if name.endswith("change")
        }
        print(user, users[user], flush=True)
    write(
        "taste",
        {
            "model": {"name": package.card.name, "digest": package.card.digest},
            "one_shots": len(shown.keys),
            "presses": len(shown.questions),
            "song_groups": len({question.group for question in shown.questions}),
            "users_of_each_kind": arguments.n_users,
            "users": users,
        },
        about,
    )


if __name__ == "__main__":
    main()
