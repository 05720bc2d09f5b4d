"""From what lies on the disk to what is believed of it: folders are looked at, and the catalogue learns what changed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping

from index.catalogue import Catalogue
from index.drives import is_network
from index.files import Folder, folder_rows, known_files, n_files, write_delta
from index.folders import EMPTY_GRACE_S, judge, keep_cleaned
from index.portable import Model
from index.porter import Porter
from index.scan import compare
from index.sight import Glance, Lookout, Sight
from index.watch import Parts

log = logging.getLogger(__name__)


class Scanner:
    """Brings the catalogue's folders and files up to the disk. Two scans never run at once.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, truth: Catalogue, porter: Porter, clock: Callable[[], float]) -> None:
        self.lookout = Lookout()
        self._truth, self._porter, self._clock = truth, porter, clock

    def scan(self, model: Model, parts: Mapping[bytes, Parts] | None = None) -> tuple[bytes, ...]:
        """Looks at the folders, or at parts of some, and writes down what is to be done about them.

        Args:
            model: whose keys are taken from drives that carry them.
            parts: followed folder → paths below it, or None for all of it; None looks at everything.

        Returns:
            The folders whose look goes on: network drives, where the look is not at everything.
        """
        with self._truth.reading() as db:
            rows = [folder for folder in folder_rows(db) if parts is None or folder.path in parts]
        sights = self.lookout.look([self._glance(row, model, parts) for row in rows])
        seen = [row for row in rows if row.number in sights]
        doubted = [row for row in seen if not self._believe(row, sights[row.number], model)]
        sights |= self.lookout.look([Glance(row.number, row.path, row.volume) for row in doubted])
        for folder in doubted:
            self._believe(folder, sights[folder.number], model)
        return tuple(row.path for row in rows if row.number not in sights)

    def take_in(self, model: Model) -> None:
        """Takes the keys of a model that is not in use yet from the drives that carry them."""
        with self._truth.reading() as db:
            rows = [row for row in folder_rows(db) if row.portable and row.state == "online"]
        glances = [Glance(row.number, row.path, row.volume, carries=model) for row in rows]
        sights = Lookout().look(glances)
        with self._truth.change() as db:
            for row in rows:
                carried = sights[row.number].carried
                if carried is not None:
                    self._porter.take_in(db, row.path, model, carried)

    def _glance(self, folder: Folder, model: Model, parts: Mapping[bytes, Parts] | None) -> Glance:
        below = parts[folder.path] if parts and folder.state == "online" else None
        return Glance(
            folder.number,
            folder.path,
            folder.volume,
            below,
            at_leisure=parts is not None and is_network(folder.path),
            carries=self._porter.wants(folder, model) if below is None else None,
        )

    def _believe(self, folder: Folder, sight: Sight, model: Model) -> bool:
        """Writes down a sight of a folder; False where it is a part of one and only the whole can be judged."""
        with self._truth.change() as db:
            if not db.execute("SELECT 1 FROM folders WHERE id = ?", (folder.number,)).fetchone():
                return True  # removed meanwhile
            if sight.seen is not None and sight.parts is not None:
                delta = compare(known_files(db, folder.number, sight.parts), sight.seen)
                if not sight.seen.files and len(delta.gone) == n_files(db, folder.number) > 0:
                    return False  # all are gone at once: it may be the drive
                write_delta(db, folder, sight.seen, delta)
                return True
            known = known_files(db, folder.number)
            presence = judge(known, folder.volume, sight.seen, sight.volume)
            now = self._clock()
            emptied_at = min(folder.emptied_at or now, now) if presence.emptied else None
            is_over = emptied_at is not None and now - emptied_at >= EMPTY_GRACE_S
            state = "online" if is_over else presence.state
            volume = sight.volume if presence.believed else folder.volume
            if (state, volume, emptied_at) != (folder.state, folder.volume, folder.emptied_at):
                db.execute(
                    "UPDATE folders SET state = ?, volume = ?, emptied_at = ? WHERE id = ?",
                    (state, volume, emptied_at, folder.number),
                )
            if is_over:
                keep_cleaned(db, folder.number)
                log.info("%s was emptied and is cleaned now", os.fsdecode(folder.path))
            if state == "offline":
                self._porter.forget(folder.path)
            elif sight.carried is not None:
                self._porter.take_in(db, folder.path, model, sight.carried)
            if sight.seen is not None and (presence.believed or is_over):
                write_delta(db, folder, sight.seen, compare(known, sight.seen))
            return True
