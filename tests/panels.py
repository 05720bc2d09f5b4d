"""A real panel for tests: model, library, daemon and web server in this process, asked over real sockets."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from encoders.package import open_package
from encoders.session import open_encoder
from index.library import Library
from plugin_bridge.daemon import Daemon
from plugin_bridge.panel.access import read_key
from plugin_bridge.panel.guard import cookie_name
from plugin_bridge.panel.panel import Panel, Watcher, open_panel
from plugin_bridge.panel.server import PanelServer
from plugin_bridge.press import Press, Stem
from plugin_bridge.settings import load_preset, wanted


@dataclass
class Answered:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A panel that is being served, and a browser's part of it."""

    panel: Panel
    server: PanelServer
    state: Path
    cookie: str = ""
    permit: str = ""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def send(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"") -> Answered:
        """A request with these headers and no other."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            try:
                text = response.read()
            except (
                ConnectionResetError
            ):  # refused before the body was read: the rest of the answer may be lost
                text = b""
            return Answered(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        finally:
            connection.close()

    def headers(
        self, method: str = "GET", kind: str = "application/json", n: int = 2
    ) -> list[tuple[str, str]]:
        """Those of the panel's own page."""
        own = [("Host", self.host), ("Cookie", f"{cookie_name(self.server.port)}={self.cookie}")]
        if method == "GET":
            return own
        return [
            *own, ("Origin", f"http://{self.host}"), ("X-Samplefit", self.permit), ("Content-Type", kind),
            ("Content-Length", str(n)),
        ]  # fmt: skip

    def get(self, path: str) -> Answered:
        return self.send("GET", path, self.headers())

    def post(self, path: str, /, **body: Any) -> Answered:
        data = json.dumps(body).encode()
        return self.send("POST", path, self.headers("POST", n=len(data)), data)

    def press(self, samples: np.ndarray, replaced: np.ndarray | None = None, **options: Any) -> int:
        """Presses as a DAW would, and returns the press's number."""
        want = wanted(load_preset(self.state, "plain"), **options)
        track = None if replaced is None else Stem(samples=replaced)
        self.panel.press(Press("daw", (Stem(samples=samples),), want, replaced=track))
        return self.panel.presses.all()[0].number


def open_browser(served: Served) -> None:
    """Follows the printed address once, as a browser does."""
    token = parse_qs(urlsplit(served.server.invitation()).query)["token"][0]
    reply = served.send("GET", f"/?token={token}", [("Host", served.host)])
    assert reply.status == 303, reply
    served.cookie = reply.headers["set-cookie"].partition("=")[2].partition(";")[0]
    served.permit = served.get("/api/session").json["permit"]


@contextmanager
def serving_panel(state: Path, model: Path, *folders: Path, host: str = "127.0.0.1") -> Iterator[Served]:
    """A panel on a free port, its browser let in."""
    encoder = open_encoder(open_package(model), device="cpu", n_threads=1)
    with Library(state, encoder) as library:
        for folder in folders:
            library.add(str(folder))
        watcher = Watcher(read_key(state))
        daemon = Daemon(state, library, "0", on_press=watcher)
        panel = open_panel(state, "0", library, daemon.press, watcher)
        with PanelServer(panel, host, 0) as server:
            served = Served(panel, server, state)
            open_browser(served)
            yield served
