"""The panel's web server: uvicorn on a thread with its own loop, from the daemon's start to its end."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import threading
from contextlib import closing
from errno import EACCES, EADDRINUSE

import uvicorn

from encoders.errors import BadRequest, Busy, Refused
from plugin_bridge.panel.access import PRINTED_S, make_token, read_key
from plugin_bridge.panel.app import make_app
from plugin_bridge.panel.panel import Panel

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 7041


class PanelServer:
    """Serves a panel from `__enter__` to `__exit__`.

    Args:
        host: loopback; any other is refused.
        port: 0 takes a free one; None takes `DEFAULT_PORT`, or a free one where that is taken.

    Attributes:
        host, port: in use, once entered.
        app: what it serves, once entered.

    Raises:
        Refused: a host beyond loopback.
    """

    def __init__(self, panel: Panel, host: str = DEFAULT_HOST, port: int | None = None) -> None:
        if not _is_loopback(host):
            raise Refused(
                f"the panel on {host}",
                found="an address that other machines may reach",
                expected="loopback",
                remedy="use 127.0.0.1; to reach it from elsewhere, use an SSH tunnel",
            )
        self.host, self.port = host, 0
        self._panel, self._wanted = panel, port

    def __enter__(self) -> PanelServer:
        """Raises Busy where the port is taken, BadRequest where the host or port is none of this machine's."""
        self._socket = _bind(self.host, self._wanted)
        self.port = self._socket.getsockname()[1]
        self.app = make_app(self._panel, self.port)
        config = uvicorn.Config(
            self.app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,  # addresses carry the token
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config, self._panel)
        self._thread = threading.Thread(target=self._serve, name="panel", daemon=True)
        self._thread.start()
        self._server.is_up.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._panel.close()
        self._server.should_exit = True
        self._thread.join()

    def invitation(self) -> str:
        """The address that opens the panel, once."""
        return address(self.host, self.port, make_token(read_key(self._panel.state), PRINTED_S))

    def _serve(self) -> None:
        with closing(self._socket):
            asyncio.run(self._server.serve(sockets=[self._socket]))


class _Server(uvicorn.Server):
    """Says when it is up, and sends the pages' streams home before it waits for the last response."""

    def __init__(self, config: uvicorn.Config, panel: Panel) -> None:
        super().__init__(config)
        self._panel = panel
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._panel.feed.open()
        self.is_up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._panel.feed.close()
        await super().shutdown(sockets)


def address(host: str, port: int, token: str) -> str:
    """The address of a panel with a token that opens it."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={token}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for choice in (DEFAULT_PORT, 0) if port is None else (port,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # else a restart would wait for the last connection's farewell
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, choice))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            if error.errno not in (EADDRINUSE, EACCES):
                raise BadRequest(
                    f"the panel on {host}:{choice}",
                    found=error.strerror or str(error),
                    expected="an address of this machine",
                ) from None
    raise Busy(
        f"port {port} of {host}",
        found="another program listening there",
        remedy="end that one, or choose another with --web HOST:PORT",
    )
