"""The picks folder: copies of the one-shots that the user chose, in a place that a DAW's browser can hold."""

from __future__ import annotations

import filecmp
import os
from pathlib import Path

from encoders.artefacts import replacing
from encoders.errors import NotFound, Refused


class Picks:
    """A folder of copies.

    Args:
        folder: made with the first pick.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, path: str, type_: str) -> Path:
        """Copies a one-shot as "TYPE NAME"; one that is there already stays. Returns where it lies.

        Raises:
            NotFound: no such file.
            Refused: it cannot be copied.
        """
        source = Path(path)
        if not source.is_file():
            raise NotFound(path, found="no such file", remedy="its drive may be away")
        self.folder.mkdir(parents=True, exist_ok=True)
        name, n = f"{type_} {source.stem}", 1
        while (target := self.folder / f"{name}{f' {n}' if n > 1 else ''}{source.suffix}").exists():
            if filecmp.cmp(source, target, shallow=False):
                return target
            n += 1
        try:
            with replacing(target) as new:
                new.write(source.read_bytes())
        except OSError as error:
            raise Refused(os.fspath(target), found=error.strerror or str(error), expected="a copy") from None
        return target

    def names(self) -> list[str]:
        """The files in it, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_file() and path.name[0] != ".")

    def remove(self, name: str) -> None:
        """Deletes a copy.

        Raises:
            NotFound: no such pick.
        """
        if name not in self.names():
            raise NotFound(f"pick {name[:100]!r}", found="not in the picks folder")
        (self.folder / name).unlink()
