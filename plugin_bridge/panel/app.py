"""The panel as an application: the page, its events, and every route behind the door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from encoders.drum_types import TYPES
from encoders.errors import SamplefitError
from encoders.package import read_card
from encoders.tables import read_toml
from plugin_bridge.panel.access import COOKIE_S
from plugin_bridge.panel.endpoint import Ask, route, told
from plugin_bridge.panel.guard import Guard, cookie_name, cookie_of
from plugin_bridge.panel.library_routes import library_routes
from plugin_bridge.panel.panel import Panel
from plugin_bridge.panel.press_routes import press_routes, vocabulary
from plugin_bridge.settings import find_model, load_preset, models, preset_files, use_model

STATIC = Path(__file__).resolve().parent / "static"


def make_app(panel: Panel, port: int) -> Starlette:
    """The application of a panel that is served on a port."""
    routes: list[BaseRoute] = [
        *_page_routes(panel, port),
        *press_routes(panel),
        *library_routes(panel),
        *_model_routes(panel),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, access=panel.access, port=port)])


def _page_routes(panel: Panel, port: int) -> list[BaseRoute]:
    async def page(request: Request) -> Response:
        cookie = panel.access.admit(request.query_params.get("token", ""))
        if cookie is None:
            return FileResponse(STATIC / "index.html")
        response = RedirectResponse("/", 303)
        response.set_cookie(
            cookie_name(port), cookie, max_age=COOKIE_S, path="/", httponly=True, samesite="strict"
        )
        return response

    async def session(request: Request) -> Response:
        return told(
            {
                "permit": panel.access.permit(cookie_of(request.headers, port)),
                "run": panel.run,
                "version": panel.version,
                "types": TYPES,
                **vocabulary(),
            }
        )

    async def events(request: Request) -> Response:
        stream = panel.feed.follow(("hello", {"run": panel.run}))
        return StreamingResponse(stream, media_type="text/event-stream")

    return [
        Route("/", page, name="GET /"),
        Route("/api/session", session, name="GET /api/session"),
        Route("/api/events", events, name="GET /api/events"),
    ]


def _model_routes(panel: Panel) -> list[BaseRoute]:
    def model_list(ask: Ask) -> Any:
        serving = panel.library.encoder.card
        cards = [(model.name, str(model.path), model.card) for model in models(panel.state)]
        if serving.digest not in {
            card.digest for _, _, card in cards
        }:  # given to `serve --model` by its folder
            cards.insert(0, (serving.name, None, serving))
        return {
            "device": panel.library.encoder.device,
            "models": [
                {
                    "name": name,
                    "path": path,
                    "digest": card.digest,
                    "dim": card.dim,
                    "licence": card.licence,
                    "training": card.training,
                    "calibrated": card.calibration is not None,
                    "serving": card.digest == serving.digest,
                }
                for name, path, card in cards
            ],
        }

    def use(ask: Ask) -> Any:
        folder = find_model(panel.state, ask.text("name"))
        use_model(panel.state, folder)
        return {"name": read_card(folder).name}

    def presets(ask: Ask) -> Any:
        return [shown(name, path) for name, path in preset_files(panel.state, "suggest").items()]

    def shown(name: str, path: Path) -> dict[str, Any]:
        try:
            return {"name": name, "text": load_preset(panel.state, name).text, "settings": read_toml(path)}
        except SamplefitError as error:  # one that is broken hides no other
            return {"name": name, "text": error.text, "settings": {}}

    return [
        route("/api/models", model_list),
        route("/api/models/use", use, "POST"),
        route("/api/presets", presets),
    ]
