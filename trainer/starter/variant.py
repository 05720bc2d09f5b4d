"""One variant of a song: what is drawn for it, played, produced and written."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from encoders.audio import SAMPLE_RATE, SILENCE_DBFS, FloatArray
from encoders.drum_types import SIX
from trainer.starter import arrange
from trainer.starter.drums import play_kit
from trainer.starter.finish import draw_finish, finish
from trainer.starter.grooves import read_groove
from trainer.starter.kits import (
    HELD_OUT_SOUNDFONT,
    HELD_OUT_SOURCES,
    Kit,
    cell_of_song,
    choose,
    side,
)
from trainer.starter.lmms import read_lmms
from trainer.starter.lmms_take import take_project
from trainer.starter.midi import read_midi
from trainer.starter.modules import take_module
from trainer.starter.plan import (
    MODULE_LICENCES,
    Song,
    collection_of,
    folder_name,
    licence_of,
    played_by_lmms,
)
from trainer.starter.production import draw_production, produce
from trainer.starter.score import Excerpt, Score, Unusable, excerpt
from trainer.starter.synth import DRUM_BANK, Channel, play

FORMAT = 2


@dataclass(frozen=True, eq=False)
class Take:
    """A variant before it is written.

    Attributes:
        stems: name → (T,) float32 mono at 44.1 kHz.
        kinds: name → type, for the drums.
        origin: "electronic" or "acoustic".
        kits: names of the kits that played, the song's own first.
        licence: of song and kits.
        detail: what else render.json keeps.
    """

    stems: dict[str, FloatArray]
    kinds: dict[str, str]
    origin: str
    kits: tuple[str, ...]
    licence: str
    detail: dict[str, object]


def render_variant(
    out: Path, song: Song, variant: int, soundfonts: tuple[Path, ...], kits: tuple[Kit, ...], seed: int
) -> Path:
    """Renders one variant of a song to its folder, which appears when it is whole.

    Raises:
        Unusable: too few stems sound.
    """
    rng = generator(seed, song.source, song.name, variant)
    cell = cell_of_song(song.source, song.family)
    take = (
        _finished_take(song, cell, soundfonts, kits, rng)
        if song.source in MODULE_LICENCES or played_by_lmms(song)
        else _score_take(song, variant, cell, soundfonts, kits, seed, rng)
    )
    facts = {
        "origin": take.origin,
        "source": song.source,
        "song": f"{collection_of(song)}/{song.name if song.source == 'mma' else song.family}",
        "kit": take.kits[0],
        "variant": str(variant),
        "side": side(cell),
        "held_out_source": cell == "held-out",
        "licence": take.licence,
    }
    detail = {
        "format": FORMAT,
        "seed": seed,
        "file": Path(song.path).name,
        "cell": cell,
        "kits": take.kits,
        **take.detail,
    }
    return _write(out / folder_name(song, variant), take, facts, detail)


def digest(*parts: object) -> bytes:
    """SHA-256 of some words: order and chance that hang on nothing else."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).digest()


def generator(*parts: object) -> np.random.Generator:
    """A random generator for some words."""
    return np.random.default_rng(int.from_bytes(digest(*parts)[:16], "big"))


def _finished_take(
    song: Song, cell: str, soundfonts: tuple[Path, ...], kits: tuple[Kit, ...], rng: np.random.Generator
) -> Take:
    """A song as its composer left it: it has a kit and a production of its own already."""
    if song.source in MODULE_LICENCES:
        take = take_module(Path(song.path), rng)
    else:
        lenders = tuple(kit for kit in kits if (kit.cell, kit.origin) == (cell, "electronic") and kit.sounds)
        take = take_project(Path(song.path), rng, lenders, _soundfont(soundfonts, song, cell, rng))
    _check(take.stems, take.kinds)
    peak = float(np.abs(sum(take.stems.values())).max())
    stems = {name: audio * np.float32(min(1.0, 0.97 / peak)) for name, audio in take.stems.items()}
    lent = ", ".join(dict.fromkeys(kit.licence for kit in kits if kit.name in take.kits))
    detail = {
        "start_s": take.start_s,
        "length_s": take.length_s,
        "soundfont": None,
        "production": None,
        "finish": None,
    }
    licences = [
        licence_of(song),
        played_by_lmms(song) and "LMMS's samples GPL-2.0-or-later",
        lent and f"kit {lent}",
    ]
    licence = "; ".join(one for one in licences if one)
    return Take(stems, take.kinds, "electronic", (song.name, *take.kits), licence, detail)


def _score_take(
    song: Song,
    variant: int,
    cell: str,
    soundfonts: tuple[Path, ...],
    kits: tuple[Kit, ...],
    seed: int,
    rng: np.random.Generator,
) -> Take:
    """Notes, played on instruments, a kit and a production that are drawn for this variant."""
    score = _read(song, seed)
    chosen = excerpt(score, rng)
    origin = _origin(score.origin, variant, rng)
    soundfont = _soundfont(soundfonts, song, cell, rng)
    kit = choose(_playable(kits, soundfont), cell, origin, rng)
    played = arrange.arrange(chosen, origin, variant, rng)
    stems, names = _sound(played, kit, soundfont, rng)
    kinds = {kind: kind for kind in played.score.drums if kind in stems}
    _check(stems, kinds)
    production = draw_production(rng, origin)
    done = produce(stems, {name: kinds.get(name) for name in stems}, production, rng)
    tone = draw_finish(generator(seed, song.source, song.name, variant, "finish"))
    done = finish(done, tone)
    done = {name: audio for name, audio in done.items() if np.abs(audio).max() > 10 ** (SILENCE_DBFS / 20)}
    _check(done, kinds)
    licences = ", ".join(dict.fromkeys(one.licence for one in kit if one.name in names))
    detail = {
        "start_s": chosen.start_s,
        "length_s": played.length_s,
        "soundfont": soundfont.name,
        "production": asdict(production),
        "finish": asdict(tone),
    }
    return Take(done, kinds, origin, names, f"{licence_of(song)}; kit {licences}", detail)


def _read(song: Song, seed: int) -> Score:
    if song.source == "mma":
        return read_groove(song.path, song.grooves, generator(seed, song.source, song.name))
    return read_lmms(Path(song.path)) if song.path.endswith(".mmpz") else read_midi(Path(song.path))


def _origin(own: str, variant: int, rng: np.random.Generator) -> str:
    """A song first as it was written, then the other way, then either."""
    if variant <= 2:
        return own if variant == 1 else arrange.other(own)
    return str(rng.choice(arrange.ORIGINS))


def _soundfont(soundfonts: tuple[Path, ...], song: Song, cell: str, rng: np.random.Generator) -> Path:
    """The held-out soundfont for held-out songs of sources that are not, else any other."""
    alone = cell == "held-out" and song.source not in HELD_OUT_SOURCES
    fitting = [path for path in soundfonts if (path.stem == HELD_OUT_SOUNDFONT) == alone]
    return (fitting or list(soundfonts))[int(rng.integers(len(fitting or soundfonts)))]


def _playable(kits: tuple[Kit, ...], soundfont: Path) -> tuple[Kit, ...]:
    """A soundfont's kits go with its own programs; the held-out one has no other, calculated kits aside."""
    if soundfont.stem == HELD_OUT_SOUNDFONT:
        return tuple(kit for kit in kits if kit.soundfont == soundfont)
    return tuple(kit for kit in kits if kit.soundfont in (None, soundfont))


def _sound(
    played: Excerpt, kits: tuple[Kit, ...], soundfont: Path, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """Every stem as its instrument gives it, and the names of the kits that played."""
    n_samples = round(played.length_s * SAMPLE_RATE)
    channels = {
        f"part-{number:02d}": Channel(0, part.program, part.notes, part.controls)
        for number, part in enumerate(played.score.parts, 1)
    }
    if kits[0].soundfont:
        for kind, notes in played.score.drums.items():
            tuning = float(np.clip(rng.normal(0, 1.0), -3, 3))
            channels[kind] = Channel(DRUM_BANK, kits[0].program, notes, tuning=tuning)
    rendered = play(soundfont, list(channels.values()), n_samples)
    stems = dict(zip(channels, rendered, strict=True))
    names = (kits[0].name,)
    if not kits[0].soundfont:
        drums, names = play_kit(kits, played.score.drums, n_samples, rng)
        stems |= drums
    return {name: audio for name, audio in stems.items() if np.abs(audio).max() > 1e-3}, names


def _check(stems: dict[str, FloatArray], kinds: dict[str, str]) -> None:
    n_drums = sum(kinds.get(name) in SIX for name in stems)
    n_parts = sum(name not in kinds for name in stems)
    if n_drums < 1 or n_parts < 2:
        raise Unusable(f"only {n_drums} drums and {n_parts} parts can be heard")


def _write(target: Path, take: Take, facts: dict[str, object], detail: dict[str, object]) -> Path:
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    part.mkdir()
    for name, audio in take.stems.items():
        soundfile.write(part / f"{name}.flac", audio, SAMPLE_RATE, subtype="PCM_16", compression_level=0.3)
    lines = [f"{key} = {json.dumps(value)}" for key, value in facts.items()]
    lines += [
        "",
        "[stems]",
        *(f'"{name}.flac" = "{take.kinds[name]}"' for name in take.stems if name in take.kinds),
    ]
    (part / "song.toml").write_text("\n".join(lines) + "\n", "utf-8")
    (part / "render.json").write_text(json.dumps(detail, indent=1, default=float) + "\n", "utf-8")
    part.rename(target)
    return target
