"""From a web request to a plain function and back: the edge at which errors become an answer with a status."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from encoders.errors import BadRequest, SamplefitError

log = logging.getLogger(__name__)

STATUS = {"bad-request": 400, "refused": 403, "not-found": 404, "too-big": 413, "busy": 503}
"""HTTP status by failure code; the others are 422: understood, and nothing to answer."""


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        path: the variable parts of its path.
        query: what stands behind the question mark.
        body: the JSON object of a change; empty elsewhere.
    """

    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A string of the body. Raises BadRequest where it is none."""
        value = self.body.get(key)
        if not isinstance(value, str):
            raise BadRequest(key, found=repr(value)[:80], expected="a string")
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        """A number of the query, or None. Raises BadRequest where it is none, or out of range."""
        text = self.query.get(key)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise BadRequest(key, found=text[:40], expected=f"{low:g} to {high:g}")
        return value


Handler = Callable[[Ask], Any]
"""Gives a response, or what is to be told as JSON. Runs on a thread of its own."""


def route(path: str, handler: Handler, method: str = "GET") -> Route:
    """A path and the function that answers it."""

    async def endpoint(request: Request) -> Response:
        async def work() -> Any:
            body = await _object(request) if method == "POST" else {}
            return await run_in_threadpool(handler, Ask(request.path_params, request.query_params, body))

        return await answered(work)

    return Route(path, endpoint, methods=[method], name=f"{method} {path}")


async def answered(work: Callable[[], Any]) -> Response:
    """The response to some work, whether it succeeds or fails."""
    try:
        result = await work()
    except SamplefitError as error:
        return told({"code": error.code, "text": error.text}, STATUS.get(error.code, 422))
    except Exception as error:
        log.exception("the panel broke")
        return told({"code": "internal", "text": f"{type(error).__name__}: see the log"}, 500)
    return result if isinstance(result, Response) else told(result)


def told(value: Any, status: int = 200) -> Response:
    """JSON, ASCII alone: bytes of file names that are not UTF-8 stand as PEP 383 escapes."""
    return Response(json.dumps(value, separators=(",", ":")), status, media_type="application/json")


async def _object(request: Request) -> Mapping[str, Any]:
    try:
        value = json.loads(await request.body())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadRequest("body", found="something else", expected="a JSON object")
    return value
