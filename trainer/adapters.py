"""Which songs a folder holds, whichever collection it is."""

from __future__ import annotations

from pathlib import Path

from encoders.errors import NotFound
from trainer.stems import SongFiles, read_song


def find_songs(stems: Path) -> tuple[SongFiles, ...]:
    """The songs under a folder, in the order of their names.

    Raises:
        NotFound: no such folder, or no song in it.
    """
    if not stems.is_dir():
        raise NotFound(str(stems), found="no such folder", remedy="check the path")
    songs = tuple(
        read_song(folder)
        for folder in sorted(stems.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    )
    if not songs:
        raise NotFound(str(stems), found="no folders", expected="one folder a song, with its stems in it")
    return songs
