"""The large table as a file: numbered generations beside the catalogue, believed only when size and digest fit.

The catalogue is the truth. A generation spares reading it whole at start, and its pages are the operating system's
to drop. Whatever is wrong with one, the one before it serves, else the catalogue.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from encoders.artefacts import replacing, sha256_of, write_bytes
from index.rows import Rows
from index.vectors import Forest, ForestFile, load_forest

FOLDER = "cache"
"""In the state folder; it holds a folder for each model."""

FORMAT = 2
N_KEPT = 2
"""Generations that stay: the newest, and the one before in case it is damaged."""

_ALIGN = 64


@dataclass(frozen=True)
class Generation:
    """A table as it was written.

    Attributes:
        revision: of the catalogue that it was read from.
        catalogue: the identity of that catalogue; revisions of another mean nothing.
        size, sha256: of the file.
        forests: what was built of it since.
    """

    name: str
    revision: int
    catalogue: str
    size: int
    sha256: str
    forests: tuple[ForestFile, ...] = ()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A generation, mapped.

    Attributes:
        forests: by type; those that are whole.
    """

    rows: Rows
    revision: int
    name: str
    forests: Mapping[str, Forest]


class Cache:
    """The generations of one model.

    Args:
        folder: of this model alone; made when the first generation is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def generations(self) -> list[Generation]:
        """Those that the manifest names, newest first; none where it cannot be read."""
        try:
            manifest = json.loads((self.folder / "manifest.json").read_text("utf-8"))
            if manifest["format"] != FORMAT:
                return []
            return [
                Generation(**{**row, "forests": tuple(ForestFile(**forest) for forest in row["forests"])})
                for row in manifest["generations"]
            ]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    def load(self, catalogue: str, dim: int, since: int, until: int) -> Loaded | None:
        """The newest generation that is whole; None where there is none.

        Args:
            since, until: revisions that the catalogue can bring up to date, both allowed themselves.
        """
        for generation in self.generations():
            if generation.catalogue == catalogue and since <= generation.revision <= until:
                rows = map_rows(self.folder / generation.name, generation)
                if rows is not None and rows.vectors.shape[1] == dim:
                    return Loaded(rows, generation.revision, generation.name, self._forests(generation, dim))
        return None

    def save(self, rows: Rows, revision: int, catalogue: str) -> Loaded:
        """Writes a generation and returns it mapped; older ones beyond `N_KEPT` go.

        Raises:
            OSError: no room, or the folder cannot be written; the generations before stay as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.generations()
        number = 1 + max((int(row.name.partition("-")[2].partition(".")[0]) for row in before), default=0)
        path = self.folder / f"rows-{number:06}.bin"
        with replacing(path) as file:
            for part in _parts(rows):
                file.write(part)
        written = Generation(path.name, revision, catalogue, path.stat().st_size, sha256_of(path))
        self._write_manifest([written, *before][:N_KEPT])
        return Loaded(map_rows(path, written) or rows, revision, path.name, {})

    def add_forests(self, name: str, forests: Sequence[ForestFile], dim: int) -> Mapping[str, Forest]:
        """Notes the forests of a generation, and maps them; none where the generation is gone."""
        generations = [
            replace(row, forests=tuple(forests)) if row.name == name else row for row in self.generations()
        ]
        self._write_manifest(generations)
        return next((self._forests(row, dim) for row in generations if row.name == name), {})

    def _forests(self, generation: Generation, dim: int) -> Mapping[str, Forest]:
        loaded = {file.type: load_forest(self.folder, file, dim) for file in generation.forests}
        return {type_: forest for type_, forest in loaded.items() if forest is not None}

    def _write_manifest(self, generations: Sequence[Generation]) -> None:
        """Names what is to be believed, then removes everything else."""
        manifest = {"format": FORMAT, "generations": [asdict(row) for row in generations]}
        write_bytes(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        kept = {row.name for row in generations} | {file.name for row in generations for file in row.forests}
        for path in (*self.folder.glob("rows-*.bin"), *self.folder.glob("forest-*.ann")):
            if path.name not in kept and path.name.split("-")[1][:6] not in _numbers(generations):
                path.unlink(missing_ok=True)


def oldest_revision(folder: Path) -> int:
    """The earliest revision of any model's generations: what was touched since then is still needed."""
    return min((row.revision for model in folder.iterdir() for row in Cache(model).generations()), default=0)


def _numbers(generations: Sequence[Generation]) -> set[str]:
    """The generations' numbers: a forest of one of them may be under construction."""
    return {row.name.split("-")[1][:6] for row in generations}


def _parts(rows: Rows) -> Iterator[bytes | memoryview]:
    """The file: a head that tells each column's type, shape and place, then the columns, each aligned."""
    columns = {column.name: np.ascontiguousarray(getattr(rows, column.name)) for column in fields(rows)}
    head: dict[str, Any] = {}
    place = 0
    for name, column in columns.items():
        head[name] = {"dtype": column.dtype.str, "shape": column.shape, "at": place}
        place += -(-column.nbytes // _ALIGN) * _ALIGN
    text = json.dumps(head).encode()
    text += b" " * (-(len(text) + 8) % _ALIGN)
    yield len(text).to_bytes(8, "little") + text
    for column in columns.values():
        yield column.reshape(-1).view(np.uint8).data
        yield bytes(-column.nbytes % _ALIGN)


def map_rows(path: Path, generation: Generation) -> Rows | None:
    """The columns of a file, mapped read-only; None where it is not the one that was written."""
    try:
        if path.stat().st_size != generation.size or sha256_of(path) != generation.sha256:
            return None
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        return None
    start = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:start])
    columns = {
        name: np.frombuffer(
            data, about["dtype"], int(np.prod(about["shape"], dtype=np.int64)), start + about["at"]
        ).reshape(about["shape"])
        for name, about in head.items()
    }
    return Rows(**columns)
