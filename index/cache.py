"""The large table as a file: numbered generations beside the catalogue, believed only when size and digest fit.

The catalogue is the truth. A generation spares reading it whole at start, and its pages are the operating system's
to drop. Whatever is wrong with one, the one before it serves, else the catalogue.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from encoders.artefacts import replacing, sha256_of, write_bytes
from index.rows import Rows

FORMAT = 1
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
    """

    name: str
    revision: int
    catalogue: str
    size: int
    sha256: str


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
            return [Generation(**row) for row in manifest["generations"]]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    def load(self, catalogue: str, dim: int, since: int, until: int) -> tuple[Rows, int] | None:
        """The newest generation that is whole, mapped, with its revision; None where there is none.

        Args:
            since, until: revisions that the catalogue can bring up to date, both allowed themselves.
        """
        for generation in self.generations():
            if generation.catalogue == catalogue and since <= generation.revision <= until:
                rows = _map(self.folder / generation.name, generation)
                if rows is not None and rows.vectors.shape[1] == dim:
                    return rows, generation.revision
        return None

    def save(self, rows: Rows, revision: int, catalogue: str) -> Rows:
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
        kept = [written, *before][:N_KEPT]
        manifest = {"format": FORMAT, "generations": [vars(row) for row in kept]}
        write_bytes(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        for stale in set(self.folder.glob("rows-*.bin")) - {self.folder / row.name for row in kept}:
            stale.unlink(missing_ok=True)
        return _map(path, written) or rows


def oldest_revision(folder: Path) -> int:
    """The earliest revision of any model's generations: what was touched since then is still needed."""
    return min((row.revision for model in folder.iterdir() for row in Cache(model).generations()), default=0)


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


def _map(path: Path, generation: Generation) -> Rows | None:
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
