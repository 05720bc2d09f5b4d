"""Routes about the library: its folders, what was left out, search, likeness, the map; and what the user chose."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from starlette.responses import Response
from starlette.routing import BaseRoute

from encoders.drum_types import TYPES
from encoders.errors import BadRequest, NotFound, Refused
from plugin_bridge.panel.endpoint import Ask, route
from plugin_bridge.panel.panel import Panel
from plugin_bridge.panel.preview import wav
from plugin_bridge.panel.sounds import outline, read_hit

SKIPPED_MAX = 500
COPIES_MAX = 200
PEAKS = 240


def library_routes(panel: Panel) -> list[BaseRoute]:
    """The routes of a panel's library."""

    def status(ask: Ask) -> Any:
        return asdict(panel.library.status())

    def skipped(ask: Ask) -> Any:
        rows = panel.library.skipped()
        return {"n": len(rows), "files": [asdict(row) for row in rows[:SKIPPED_MAX]]}

    def copies(ask: Ask) -> Any:
        shelf = panel.shelf
        groups = shelf.copies
        return {
            "n": sum(len(group) - 1 for group in groups),
            "groups": [[shelf.shown(panel.ids, number) for number in group] for group in groups[:COPIES_MAX]],
        }

    def search(ask: Ask) -> Any:
        shelf = panel.shelf
        type_ = ask.query.get("type")
        if type_ is not None and type_ not in TYPES:
            raise BadRequest("type", found=type_[:40], expected=", ".join(TYPES))
        longest_s = ask.number("longest_s", 0, 1e6)
        found = shelf.find(ask.query.get("q", "")[:200], type_, longest_s, ask.query.get("folder"))
        return [shelf.shown(panel.ids, number) for number in found]

    def add_folder(ask: Ask) -> Any:
        path = Path(os.path.expanduser(ask.text("path")))  # the method raises where the user is unknown
        if not path.is_absolute() or not path.is_dir():
            raise NotFound(str(path)[:300], found="no such folder", expected="the whole path of one")
        panel.send(f"Indexing {path.name or path}", lambda progress: panel.library.add(str(path), progress))
        return {"begun": True}

    def remove_folder(ask: Ask) -> Any:
        path = ask.text("path")
        if path not in {folder.path for folder in panel.library.folders()}:
            raise NotFound(path[:300], found="not a folder of this library", remedy="reload the page")
        panel.library.remove(path)  # not after the errand that may be indexing it
        panel.feed.publish("errand", {"what": f"Removing {Path(path).name}", "ended": True, "failure": None})
        return {"begun": True}

    def sync(ask: Ask) -> Any:
        panel.send("Looking for changes", lambda progress: panel.library.sync(progress))
        return {"begun": True}

    def map_(ask: Ask) -> Response:
        return Response(packed_map(panel), media_type="application/octet-stream")

    def on_map(ask: Ask) -> Any:
        shelf, number = panel.shelf, ask.path["number"]
        if shelf.revision != ask.path["revision"] or number >= len(shelf):
            raise NotFound("the map", found="an older one", remedy="load it anew")
        return shelf.shown(panel.ids, number)

    def lit(ask: Ask) -> Any:
        numbers = panel.shelf.numbers
        hits = panel.presses.get(ask.path["press"]).answer.hits
        return [numbers[hit.path] for hit in hits if hit.rank == 1 and hit.path in numbers]

    def sound(ask: Ask) -> Response:
        return Response(wav(read_hit(_path(panel, ask))), media_type="audio/wav")

    def picture(ask: Ask) -> Any:
        return {"peaks": outline(read_hit(_path(panel, ask)), PEAKS)}

    def similar(ask: Ask) -> Any:
        shelf, path = panel.shelf, _path(panel, ask)
        if path not in shelf.numbers:
            raise NotFound(os.path.basename(path), found="no longer in the library")
        return [shelf.shown(panel.ids, number) for number in shelf.like(shelf.numbers[path])]

    def reveal_(ask: Ask) -> Any:
        reveal(_path(panel, ask))
        return {"revealed": True}

    def marks(ask: Ask) -> Any:
        return panel.marks()

    def mark(ask: Ask) -> Any:
        panel.library.mark(panel.ids.path_of(ask.text("id")), ask.text("what"))
        return panel.show_marks()

    def unmark(ask: Ask) -> Any:
        number = ask.body.get("mark")
        if not isinstance(number, int) or not 0 <= number < 1 << 63:
            raise BadRequest("mark", found=repr(number)[:40], expected="the number of a mark")
        panel.library.unmark(number)
        return panel.show_marks()

    def learned(ask: Ask) -> Any:
        return panel.learned()

    def unlearn(ask: Ask) -> Any:
        panel.library.marks.unlearn()
        panel.show_marks()
        return panel.learned()

    def picks(ask: Ask) -> Any:
        return {"folder": os.fspath(panel.picks.folder), "names": panel.picks.names()}

    def pick(ask: Ask) -> Any:
        panel.picks.add(panel.ids.path_of(ask.text("id")), _type(ask))
        return picks(ask)

    def unpick(ask: Ask) -> Any:
        panel.picks.remove(ask.text("name"))
        return picks(ask)

    return [
        route("/api/library", status),
        route("/api/library/skipped", skipped),
        route("/api/library/copies", copies),
        route("/api/library/search", search),
        route("/api/library/folders/add", add_folder, "POST"),
        route("/api/library/folders/remove", remove_folder, "POST"),
        route("/api/library/sync", sync, "POST"),
        route("/api/map", map_),
        route("/api/map/{revision:int}/{number:int}", on_map),
        route("/api/presses/{press:int}/lit", lit),
        route("/api/one-shots/{one_shot}/sound", sound),
        route("/api/one-shots/{one_shot}/outline", picture),
        route("/api/one-shots/{one_shot}/similar", similar),
        route("/api/one-shots/{one_shot}/reveal", reveal_, "POST"),
        route("/api/marks", marks),
        route("/api/marks/add", mark, "POST"),
        route("/api/marks/remove", unmark, "POST"),
        route("/api/learned", learned),
        route("/api/learned/forget", unlearn, "POST"),
        route("/api/picks", picks),
        route("/api/picks/add", pick, "POST"),
        route("/api/picks/remove", unpick, "POST"),
    ]


def packed_map(panel: Panel) -> bytes:
    """The map, for the page to read without parsing: little-endian, each part after the one before.

    revision and N (uint32); places (N, 2) float32 in -1..1; durations (N,) float32 in seconds; types (N,) uint8;
    folders (N,) uint8, place among the folders followed, 255 beyond.
    """
    shelf = panel.shelf
    folders = np.full(len(shelf), 255, np.uint8)
    for place, folder in enumerate(panel.library.folders()[:255]):
        folders[shelf.below(folder.path)] = place
    head = np.array([shelf.revision, len(shelf)], "<u4")
    parts = (head, shelf.places.astype("<f4"), shelf.durations_s.astype("<f4"), shelf.types, folders)
    return b"".join(part.tobytes() for part in parts)


def reveal(path: str) -> None:
    """Shows a file in the system's file manager.

    Raises:
        Refused: there is none to be started.
    """
    if sys.platform == "darwin":
        command = ["open", "-R", path]
    elif sys.platform == "win32":
        command = ["explorer", f"/select,{path}"]
    else:
        command = ["xdg-open", os.path.dirname(path)]
    try:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        raise Refused(
            command[0], found="no such program", expected="a file manager", remedy="copy the path instead"
        ) from None


def _path(panel: Panel, ask: Ask) -> str:
    return panel.ids.path_of(ask.path["one_shot"])


def _type(ask: Ask) -> str:
    if (type_ := ask.text("type")) not in TYPES:
        raise BadRequest("type", found=type_[:40], expected=", ".join(TYPES))
    return type_
