"""Where samplefit keeps things, which model is in use, and the presets of a press."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from encoders.artefacts import write_bytes
from encoders.drum_types import SIX, TYPES
from encoders.errors import BadRequest, NoModel, NotFound, Refused
from encoders.package import STARTER, Card, read_card
from encoders.tables import build, nearest, read_toml
from index.search import Want

FORMAT = 1
MAX_HITS = 1_000
"""Most hits of a type that a press may ask for: invented; a list longer than that is a library."""

PRESETS = Path(__file__).resolve().parent.parent / "presets"


def state_folder(given: str | None = None) -> Path:
    """The folder of catalogue, models and answers: `given`, else SAMPLEFIT_STATE, else the platform's data folder.

    Raises:
        BadRequest: it cannot be made or is a file.
    """
    chosen = (
        given or os.environ.get("SAMPLEFIT_STATE") or platformdirs.user_data_dir("samplefit", appauthor=False)
    )
    folder = Path(chosen).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(
            f"state folder {folder}",
            found=error.strerror or str(error),
            expected="a folder that can be written to",
            remedy="choose another with --state",
        ) from None
    return folder


@dataclass(frozen=True)
class Preset:
    """Named settings of a press (presets/suggest/NAME.toml).

    Attributes:
        text: what it is for, one sentence.
        k: hits of each type.
        types: what is ranked, or ("any",) for all together.
        n_windows: excerpts of the bounce that make its query, at most.
        diversity: 0 is the pure order of the score; towards 1, hits like the ones above them give way.
        shortest_s, longest_s: durations of the one-shots taken, in seconds; None sets no bound.
        folders: only one-shots below these; empty takes the whole library.
        learned: whether the order leans towards what the user's marks tell.
    """

    text: str
    k: int = 10
    types: tuple[str, ...] = SIX
    n_windows: int = 10
    diversity: float = 0.0
    shortest_s: float | None = None
    longest_s: float | None = None
    folders: tuple[str, ...] = ()
    learned: bool = False

    def __post_init__(self) -> None:
        check_k(self.k)
        check_types(self.types)
        if not 1 <= self.n_windows <= 100:
            raise BadRequest("n_windows", found=str(self.n_windows), expected="1 to 100")
        if not 0 <= self.diversity <= 1:
            raise BadRequest("diversity", found=str(self.diversity), expected="0 to 1")


def check_k(k: int) -> None:
    """Raises BadRequest for a number of hits that no press may ask for."""
    if not 1 <= k <= MAX_HITS:
        raise BadRequest("k", found=str(k), expected=f"1 to {MAX_HITS}")


def check_types(names: tuple[str, ...]) -> None:
    """Raises BadRequest for an unknown type, or "any" beside others."""
    for name in names:
        if name not in (*TYPES, "any"):
            raise BadRequest("type", found=repr(name), expected=nearest(name, (*TYPES, "any")))
    if "any" in names and len(set(names)) > 1:
        raise BadRequest("type", found=", ".join(names), expected="any alone, or types without any")


def preset_files(state: Path, kind: str) -> dict[str, Path]:
    """Names and files of the "suggest" or "train" presets: ours, and over them the user's in the state folder."""
    folders = (PRESETS / kind, state / "presets" / kind)
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def load_preset(state: Path, name: str) -> Preset:
    """A press preset by name.

    Raises:
        NotFound: no such preset.
        BadRequest: the file holds an unknown key or a wrong value; names file and key.
    """
    files = preset_files(state, "suggest")
    if name not in files:
        raise NotFound(f"preset {name!r}", found="no such preset", expected=nearest(name, files))
    try:
        return build(Preset, read_toml(files[name]), str(files[name]))
    except BadRequest as error:
        where = str(files[name])
        raise error if where in error.text else BadRequest(f"{where}: {error.text}") from None


def wanted(
    preset: Preset, k: int | None = None, types: tuple[str, ...] = (), folder: str | None = None
) -> Want:
    """What a press is after: its preset, and over it what it says itself.

    Raises:
        BadRequest: k out of range, an unknown type, "any" beside others.
    """
    check_k(preset.k if k is None else k)
    check_types(types)
    folders = (folder,) if folder else preset.folders
    return Want(
        types=types or preset.types,
        k=preset.k if k is None else k,
        diversity=preset.diversity,
        shortest_s=preset.shortest_s,
        longest_s=preset.longest_s,
        folders=tuple(os.fsencode(Path(path).expanduser()) for path in folders),
        learned=preset.learned,
    )


@dataclass(frozen=True)
class Model:
    """A package that can be used: the starter, one in the state folder's models/, or the one in use."""

    name: str
    path: Path
    card: Card


def models(state: Path) -> tuple[Model, ...]:
    """Every package at hand whose card can be read, the starter first."""
    found = {STARTER: "starter"}
    found |= {path.parent: path.parent.name for path in sorted((state / "models").glob("*/model.json"))}
    chosen = model_in_use(state)
    found.setdefault(chosen, chosen.name)
    cards = []
    for path, name in found.items():
        try:
            cards.append(Model(name, path, read_card(path)))
        except (
            NoModel
        ):  # a damaged package must not hide the others; `model use` and `doctor` say what is wrong with it
            continue
    return tuple(cards)


def find_model(state: Path, name_or_folder: str) -> Path:
    """The folder of a package given by name or by path.

    Raises:
        NoModel: neither; the packages at hand are named.
    """
    for model in models(state):
        if name_or_folder == model.name:
            return model.path
    folder = Path(name_or_folder).expanduser()
    if (folder / "model.json").is_file():
        return folder.resolve()
    raise NoModel(
        name_or_folder,
        found="no such model",
        expected="a folder with model.json, or " + ", ".join(model.name for model in models(state)),
    )


def use_model(state: Path, folder: Path) -> None:
    """Remembers the package as the one in use; the starter by name, because it moves with the installation.

    Raises:
        Refused: the state folder cannot be written.
    """
    chosen = "starter" if folder == STARTER else os.fspath(folder)
    try:
        write_bytes(_settings_file(state), json.dumps({"format": FORMAT, "model": chosen}).encode())
    except OSError as error:
        raise Refused(
            str(state), found=error.strerror or str(error), expected="a folder that can be written"
        ) from None


def model_in_use(state: Path) -> Path:
    """The folder of the package that `samplefit model use` chose; the starter where nothing was chosen.

    Raises:
        BadRequest: the settings file cannot be understood.
    """
    path = _settings_file(state)
    try:
        settings = json.loads(path.read_text("utf-8"))
        chosen = settings["model"] if settings["format"] == FORMAT else None
    except FileNotFoundError:
        return STARTER
    except (OSError, ValueError, TypeError, KeyError):
        chosen = None
    if not isinstance(chosen, str):
        raise BadRequest(
            str(path),
            found="something else",
            expected=f"format {FORMAT} and a model",
            remedy="delete the file",
        )
    return STARTER if chosen == "starter" else Path(chosen)


def _settings_file(state: Path) -> Path:
    return state / "settings.json"
