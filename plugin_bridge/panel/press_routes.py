"""Routes about presses: what was pressed, pressing from the page, and hearing hits in the mix."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from encoders.audio import SAMPLE_RATE, FloatArray, mix_frames, read_frames
from encoders.errors import BadRequest, NotFound, SamplefitError
from plugin_bridge.answers import write_answer
from plugin_bridge.panel.endpoint import Ask, answered, route
from plugin_bridge.panel.features import MEASURES
from plugin_bridge.panel.kit import choose_kit
from plugin_bridge.panel.panel import Panel
from plugin_bridge.panel.presses import Heard
from plugin_bridge.panel.preview import matched, wav
from plugin_bridge.panel.rhythm import (
    FASTEST_BPM,
    PATTERNS,
    SLOWEST_BPM,
    USUAL_PATTERN,
    Loop,
    grid,
)
from plugin_bridge.panel.sounds import from_attack, outline, read_hit
from plugin_bridge.panel.why import leanings, measured, traits, yardstick
from plugin_bridge.press import Press, Stem
from plugin_bridge.settings import load_preset, wanted

HIT_PEAKS = 64
MAX_STEMS = 32


def press_routes(panel: Panel) -> list[BaseRoute]:
    """The routes of a panel's presses."""

    def presses(ask: Ask) -> Any:
        return [heard.shown(panel.ids) for heard in panel.presses.all()]

    def hits(ask: Ask) -> Any:
        return describe_hits(panel, panel.presses.get(ask.path["press"]))

    def why(ask: Ask) -> Any:
        return explain_hits(panel, panel.presses.get(ask.path["press"]))

    def loop(ask: Ask) -> Any:
        heard = panel.presses.get(ask.path["press"])
        chosen = _loop(heard, ask)
        return {
            "start_s": chosen.start / SAMPLE_RATE,
            "length_s": chosen.length / SAMPLE_RATE,
            "bpm": chosen.bpm,
            "n_bars": chosen.n_bars,
            "has_original": heard.original is not None,
        }

    def music(ask: Ask) -> Response:
        heard = panel.presses.get(ask.path["press"])
        return _sound(heard.loops(_loop(heard, ask))[0])

    def original(ask: Ask) -> Response:
        heard = panel.presses.get(ask.path["press"])
        chosen = _loop(heard, ask)
        track = heard.loops(chosen)[1]
        return _sound(np.zeros((chosen.length, 1), np.float32) if track is None else track)

    def hit(ask: Ask) -> Response:
        heard = panel.presses.get(ask.path["press"])
        path = panel.ids.path_of(ask.path["one_shot"])
        return _sound(hit_track(heard, _loop(heard, ask), path, ask.query.get("pattern", "")))

    def again(ask: Ask) -> Any:
        heard = panel.presses.get(ask.path["press"])
        locked = ask.body.get("locked", [])
        types = ask.body.get("types", [])
        if not isinstance(locked, list) or not isinstance(types, list):
            raise BadRequest("press", expected="locked and types as lists")
        tracks = [
            hit_track(heard, _whole(heard), panel.ids.path_of(str(one.get("id"))), str(one.get("pattern")))
            for one in locked
            if isinstance(one, dict)
        ]
        stems = (Stem(samples=mix_frames([heard.music, *tracks])),)
        press = heard.press
        known = {"replaced": press.replaced, "answer_name": press.answer_name, "tempo_bpm": press.tempo_bpm}
        return _press(panel, press.id, stems, [str(t) for t in types], ask.body, **known)

    def kit(ask: Ask) -> Any:
        return kit_of(panel, panel.presses.get(ask.path["press"]))

    def send(ask: Ask) -> Any:
        heard = panel.presses.get(ask.path["press"])
        return {"name": send_to_host(panel, heard, panel.ids.path_of(ask.text("id")))}

    async def dropped(request: Request) -> Response:
        async def work() -> Any:
            try:
                async with request.form(max_files=MAX_STEMS, max_fields=16) as form:
                    files = [part for part in form.getlist("stem") if isinstance(part, UploadFile)]
                    options = {"preset": form.get("preset", "default")}
                    types = [str(part) for part in form.getlist("type")]
                    with tempfile.TemporaryDirectory(prefix="samplefit-") as folder:
                        stems = [await run_in_threadpool(_keep, file, Path(folder)) for file in files]
                        return await run_in_threadpool(_press_dropped, panel, stems, types, options)
            except HTTPException as error:  # the form cannot be read, or holds too many files
                raise BadRequest("upload", found=error.detail, expected=f"up to {MAX_STEMS} files") from None

        return await answered(work)

    here = "/api/presses/{press:int}"
    return [
        route("/api/presses", presses),
        Route("/api/presses", dropped, methods=["POST"], name="POST /api/presses"),
        route(f"{here}/hits", hits),
        route(f"{here}/why", why),
        route(f"{here}/loop", loop),
        route(f"{here}/music", music),
        route(f"{here}/original", original),
        route(f"{here}/hits/{{one_shot}}", hit),
        route(f"{here}/again", again, "POST"),
        route(f"{here}/kit", kit),
        route(f"{here}/send", send, "POST"),
    ]


def hit_track(heard: Heard, loop: Loop, path: str, pattern: str) -> FloatArray:
    """(loop.length, C) float32: a hit in the loop, where its pattern strikes, as loud as it should be.

    Args:
        pattern: a key of `PATTERNS`; "onsets" for those of the track that is being replaced.

    Raises:
        BadRequest: no such pattern, or onsets where no track is being replaced.
        What `read_audio` raises.
    """
    hit = from_attack(read_hit(path))
    _, original, lufs = heard.loops(loop)
    if pattern == "onsets":
        if original is None:
            raise BadRequest("pattern", found="onsets", expected="a press that replaces a track")
        at = heard.onsets(loop)
    elif pattern in PATTERNS:
        at = grid(loop, pattern)
    else:
        raise BadRequest("pattern", found=pattern[:40], expected=", ".join((*PATTERNS, "onsets")))
    return matched(hit, at, loop.length, lufs)


def describe_hits(panel: Panel, heard: Heard) -> dict[str, Any]:
    """Outline of every hit, by id; what cannot be read any more is left out."""
    described = {}
    for hit in heard.answer.hits:
        with suppress(SamplefitError):  # moved or removed since: the page shows the name alone
            described[panel.ids.of(hit.path)] = {"peaks": outline(read_hit(hit.path), HIT_PEAKS)}
    return described


def explain_hits(panel: Panel, heard: Heard) -> dict[str, Any]:
    """What the mix favours of each type, and what sets each hit apart, beside others of the library."""
    shelf = panel.shelf
    query = heard.answer.query if shelf.model == heard.document["model"]["digest"] else None
    types, hits = {}, {}
    for type_ in dict.fromkeys(hit.type for hit in heard.answer.hits):
        against = yardstick(shelf, type_, query)
        favours = leanings(against)
        types[type_] = {
            "n": len(against.values),
            "of": against.n_all,
            "favours": [{"measure": one.measure, "r": round(one.r, 3)} for one in favours],
        }
        for hit in heard.answer.hits:
            if hit.type == type_ and (values := measured(hit.path)) is not None:
                hits[panel.ids.of(hit.path)] = [asdict(one) for one in traits(values, against, favours)]
    return {"types": types, "hits": hits}


def kit_of(panel: Panel, heard: Heard) -> dict[str, Any]:
    """The hits that fit the mix and one another, by type, and how they compare with the first of each."""
    shelf = panel.shelf
    known = [hit for hit in heard.answer.hits if hit.path in shelf.numbers]
    if not known:
        raise NotFound("a kit", found="no hit that is still in the library", remedy="press again")
    by_type = {t: [hit for hit in known if hit.type == t] for t in dict.fromkeys(hit.type for hit in known)}
    choice = choose_kit(
        {t: np.array([hit.score for hit in hits], np.float32) for t, hits in by_type.items()},
        {t: shelf.vectors[[shelf.numbers[hit.path] for hit in hits]] for t, hits in by_type.items()},
    )
    return {
        "hits": {t: panel.ids.of(by_type[t][place].path) for t, place in choice.kit.places.items()},
        "n_kits": choice.n_kits,
        "score": round(choice.kit.score - choice.first.score, 2),
        "likeness": round(choice.kit.likeness - choice.first.likeness, 2),
    }


def send_to_host(panel: Panel, heard: Heard, path: str) -> str:
    """Puts a hit first in the answer file of the host that pressed: there, the first suggestion is now this one.

    Returns:
        The name of the answer file.

    Raises:
        BadRequest: the host reads no answer file, or the hit is none of this press.
    """
    name = heard.press.answer_name
    if name is None:
        raise BadRequest(
            "the host of this press",
            found="no answer file",
            expected="Ardour, say",
            remedy="copy the path instead",
        )
    hits = heard.document["hits"]
    chosen = [{**hit, "rank": 1} for hit in hits if hit["path"] == path]
    if not chosen:
        raise BadRequest("hit", found="not of this press", expected="one of its hits")
    others = [hit for hit in hits if hit["path"] != path]
    write_answer(panel.state, name, {**heard.document, "hits": [*chosen, *others]})
    return name


def vocabulary() -> dict[str, Any]:
    """Where hits can be put and where each type usually is; what is measured of a hit, in words."""
    return {
        "patterns": list(PATTERNS),
        "usual": USUAL_PATTERN,
        "measures": [asdict(measure) for measure in MEASURES],
    }


def _loop(heard: Heard, ask: Ask) -> Loop:
    return heard.loop(
        ask.number("bpm", SLOWEST_BPM / 2, FASTEST_BPM * 1.5), int(ask.number("shift", 0, 3) or 0)
    )


def _whole(heard: Heard) -> Loop:
    """The bounce from end to end, as one loop."""
    return Loop(0, len(heard.music), heard.beat.bpm, 0)


def _press(
    panel: Panel,
    id: int | str,
    stems: tuple[Stem, ...],
    types: Sequence[str],
    options: Any,
    **known: Any,
) -> dict[str, Any]:
    preset = load_preset(panel.state, str(options.get("preset", "default")))
    want = wanted(preset, types=tuple(types))
    panel.press(Press(id, stems, want, preset.n_windows, **known))
    return {"pressed": True}


def _press_dropped(panel: Panel, stems: Sequence[Path], types: Sequence[str], options: Any) -> dict[str, Any]:
    if not stems:
        raise BadRequest("press", found="no file", expected="a bounce, or its stems")
    names = ", ".join(path.stem for path in stems)[:60]
    read = tuple(
        Stem(str(path), read_frames(path)) for path in stems
    )  # the files go as soon as they are answered
    return _press(panel, names, read, types, options)


def _keep(file: UploadFile, folder: Path) -> Path:
    """Writes what was dropped into a folder under its own last name; a second of that name gets a number."""
    name = Path((file.filename or "").replace("\\", "/")).name or "bounce"
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    with (place / name[-100:]).open("wb") as kept:
        while block := file.file.read(1 << 20):
            kept.write(block)
    return place / name[-100:]


def _sound(samples: FloatArray) -> Response:
    return Response(wav(samples), media_type="audio/wav")
