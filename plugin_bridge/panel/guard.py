"""The door: a request reaches a handler only if it came from our own page, or only asks for that page.

Why each check: another site's script can send requests to loopback, and by a rebound host name even read the
answers. So the host must be loopback by name (rebinding), the origin ours (cross-site requests), the cookie one that
we gave (other users, other programs), and a change must carry what only our page could read (forged requests).
"""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugin_bridge.panel.access import Access

PERMIT = "x-samplefit"
"""The header that allows a change."""

UPLOADS = frozenset({"/api/presses"})
"""Paths that take files; everywhere else a body is JSON."""

MAX_JSON_BYTES = 64 << 10
MAX_UPLOAD_BYTES = 512 << 20
"""Invented: 15 minutes of stereo at 96 kHz and 24 bit."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Refusal:
    """Why a request goes no further."""

    status: int
    text: str


def cookie_name(port: int) -> str:
    """Cookies are shared among the ports of a host; each daemon has its own by name."""
    return f"samplefit-{port}"


def own_hosts(port: int) -> frozenset[str]:
    """What a browser on this machine puts into Host when it means us."""
    names = ("127.0.0.1", "[::1]", "localhost")
    return frozenset({f"{name}:{port}" for name in names} | (set(names) if port == 80 else set()))


def refusal(method: str, path: str, headers: Headers, access: Access, port: int) -> Refusal | None:
    """Why a request is refused, or None where it may pass."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or hosts[0].lower() not in own_hosts(port):
        return Refusal(421, f"This is not {', '.join(hosts)[:100] or 'a host'}; ask for 127.0.0.1:{port}.")
    changes = method not in ("GET", "HEAD")
    if origins != [f"http://{hosts[0].lower()}"] and (origins or changes):
        return Refusal(403, "Only the panel's own page may ask for this.")
    is_page = path == "/" or path.startswith("/static/")
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and (path != "/" or changes):
        return Refusal(403, "Only the panel's own page may ask for this.")
    if is_page and not changes:
        return None
    cookie = cookie_of(headers, port)
    if not access.knows(cookie):
        return Refusal(401, "Not opened yet: run `samplefit panel`.")
    return _refused_change(path, headers, access, cookie) if changes else None


def _refused_change(path: str, headers: Headers, access: Access, cookie: str) -> Refusal | None:
    if not access.allows(cookie, headers.get(PERMIT, "")):
        return Refusal(403, "Only the panel's own page may change something.")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    expected = "multipart/form-data" if path in UPLOADS else "application/json"
    if kind != expected:
        return Refusal(415, f"Expected {expected}.")
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal()):
        return Refusal(411, "Expected a content length.")
    if int(length) > (MAX_UPLOAD_BYTES if path in UPLOADS else MAX_JSON_BYTES):
        return Refusal(413, "Too large.")
    return None


def cookie_of(headers: Headers, port: int) -> str:
    """The value of our cookie, or ""."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(port))
    except CookieError:  # another program's on this host
        return ""
    return found.value if found else ""


class Guard:
    """The middleware around everything."""

    def __init__(self, app: ASGIApp, access: Access, port: int) -> None:
        self._app, self._access, self._port = app, access, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no websocket and no lifespan is ours
            return
        why = refusal(scope["method"], scope["path"], Headers(scope=scope), self._access, self._port)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app: Any = PlainTextResponse(why.text, why.status) if why else self._app
        await app(scope, receive, send_guarded)
