"""Random days in the life of a sample folder, held against an independent walk of the disk."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from index.library import Library
from tests.index.conftest import StandIn, paths_of, write_hit

N_SOUNDS = 40


@dataclass
class Life:
    """One seeded run.

    Attributes:
        events: paths below the root that a watcher would have heard of since the last sync.
        likes: marks made so far; none may ever be lost.
        unheard: something changed that no watcher is told of (the other names of a hard-linked file).
    """

    place: Path
    seed: int
    events: set[bytes] = field(default_factory=set)
    likes: int = 0
    unheard: bool = False
    clock: float = 1e9

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.encoder = StandIn()
        self.root = self.place / "drums"
        self.away = self.place / "away"
        self.root.mkdir(parents=True)
        self.sounds = []
        for seed in range(N_SOUNDS):
            write_hit(self.place / "sound.wav", seed)
            self.sounds.append((self.place / "sound.wav").read_bytes())
        (self.place / "sound.wav").unlink()
        self.library = self.open()
        self.library.add(str(self.root))

    def open(self) -> Library:
        """The library on this life's state folder."""
        return Library(self.place / "state", self.encoder, clock=lambda: self.clock)

    def run(self, n_operations: int, sync_every: int = 10) -> None:
        """Does random things, and compares after every few."""
        operations = [getattr(self, name) for name in dir(self) if name.startswith("do_")]
        for number in range(1, n_operations + 1):
            self.random.choice(operations)()
            if number % sync_every == 0 or number == n_operations:
                self.sync()
                self.compare()
        self.library.close()

    def sync(self) -> None:
        """By what a watcher heard, some of the time; else by a look at everything (events may have been lost)."""
        if self.root.exists() and self.events and not self.unheard and self.random.random() < 0.5:
            self.library.sync_parts(
                {os.fsencode(folder): self.heard_in(folder) for folder in self.followed()}, 0.0
            )
        else:
            self.library.sync()
        self.events.clear()
        self.unheard = False

    def followed(self) -> list[Path]:
        """The root, and perhaps a folder inside that is followed by itself."""
        return [Path(row.path) for row in self.library.folders()]

    def heard_in(self, folder: Path) -> tuple[bytes, ...] | None:
        """What a watcher of a folder would have heard; None where the folder itself, or one around it, changed."""
        inside = os.fsencode(folder) + b"/"
        paths = [os.path.join(os.fsencode(self.root), event) for event in sorted(self.events)]
        if any(inside.startswith(path + b"/") for path in paths):
            return None
        return tuple(path[len(inside) :] for path in paths if path.startswith(inside))

    def compare(self) -> None:
        """The snapshot against the disk, and every key against its sound."""
        expected = {os.fsencode(path): path.read_bytes() for path in self.files()}
        found = paths_of(self.library)
        assert found == expected.keys(), (self.seed, found ^ expected.keys())
        for table in self.library.snapshot.tables:
            for row in range(len(table.rows)):
                if table.live is None or table.live[row]:
                    data = expected[table.rows.path(row)]
                    assert table.rows.content(row) == hashlib.blake2b(data, digest_size=16).digest()
                    assert np.array_equal(table.rows.vectors[row], self.key(self.sounds.index(data)))
        with sqlite3.connect(self.place / "state" / "catalogue.sqlite3") as db:
            assert db.execute("SELECT count(*) FROM marks").fetchone()[0] == self.likes
        db.close()
        assert self.encoder.n_encoded <= N_SOUNDS

    def key(self, sound: int) -> np.ndarray:
        """(D,) float32: the key of a sound, through the whole path, once."""
        if not hasattr(self, "_keys"):
            self._keys: dict[int, np.ndarray] = {}
        if sound not in self._keys:
            from encoders.audio import read_one_shot
            from encoders.windows import pad

            path = self.place / "key.wav"
            path.write_bytes(self.sounds[sound])
            n_encoded = self.encoder.n_encoded
            self._keys[sound] = self.encoder.keys(pad(read_one_shot(path).samples)[None])[0]
            self.encoder.n_encoded = n_encoded
        return self._keys[sound]

    def files(self) -> list[Path]:
        """Every sound file on the disk now, in order."""
        return sorted(Path(top) / name for top, _, names in os.walk(self.root) for name in names)

    def folders(self) -> list[Path]:
        """Every folder on the disk now; none while the root is away."""
        return sorted(Path(top) for top, _, _ in os.walk(self.root))

    def new_name(self) -> Path | None:
        """A place for a file, perhaps one that is taken."""
        folders = self.folders()
        if not folders:
            return None
        return (
            self.random.choice(folders) / f"x{self.random.randrange(30)}.{self.random.choice(('wav', 'WAV'))}"
        )

    def heard(self, *paths: Path) -> None:
        """What a watcher would be told."""
        self.events |= {os.fsencode(path)[len(os.fsencode(self.root)) + 1 :] for path in paths}

    def do_write(self) -> None:
        path = self.new_name()
        if path:
            self.unheard |= path.exists() and path.stat().st_nlink > 1
            path.write_bytes(self.random.choice(self.sounds))
            self.heard(path)

    do_write_again = do_write_more = do_write_on = do_write

    def do_overwrite_in_disguise(self) -> None:
        files = self.files()
        if files:
            path = self.random.choice(files)
            about = path.stat()
            self.unheard |= about.st_nlink > 1
            path.write_bytes(self.random.choice(self.sounds))  # all sounds have one size
            os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
            self.heard(path)

    def do_delete(self) -> None:
        files = self.files()
        if len(files) > 1:  # the last one's going may be a drive's
            path = self.random.choice(files)
            path.unlink()
            self.heard(path)

    def do_rename(self) -> None:
        files, path = self.files(), self.new_name()
        if files and path:
            old = self.random.choice(files)
            old.rename(path)
            self.heard(old, path)

    def do_copy(self) -> None:
        files, path = self.files(), self.new_name()
        if files and path and path not in files:
            shutil.copy2(self.random.choice(files), path)
            self.heard(path)

    def do_link(self) -> None:
        files, path = self.files(), self.new_name()
        if files and path and not path.exists():
            os.link(old := self.random.choice(files), path)
            self.heard(path, old)

    def do_make_folder(self) -> None:
        folders = self.folders()
        if folders and len(folders) < 12:
            path = self.random.choice(folders) / f"d{self.random.randrange(100)}"
            path.mkdir(exist_ok=True)
            self.heard(path)

    def do_move_folder(self) -> None:
        folders = self.folders()
        if len(folders) > 2:
            old, parent = self.random.sample(folders[1:], 2)
            new = parent / f"m{self.random.randrange(100)}"
            if old not in (parent, *parent.parents) and not new.exists():
                old.rename(new)
                self.heard(old, new)

    def do_mount_or_unmount(self) -> None:
        if self.random.random() < 0.5:
            if self.root.exists():
                self.root.rename(self.away)
            else:
                self.away.rename(self.root)

    def do_follow_inside(self) -> None:
        """A folder inside the root is followed by itself as well, or no longer."""
        inside = [folder for folder in self.followed() if folder != self.root]
        folders = self.folders()[1:]
        if inside:
            self.library.remove(str(inside[0]))
        elif folders:
            self.library.add(str(self.random.choice(folders)))

    def do_like(self) -> None:
        paths = sorted(paths_of(self.library))
        if paths:
            self.library.mark(self.random.choice(paths), "like")
            self.likes += 1

    def do_clock_jump(self) -> None:
        self.clock += self.random.choice((-3.2e7, 3.2e7, 3600))

    def do_restart(self) -> None:
        if self.random.random() < 0.2:
            self.library.close()
            self.library = self.open()
