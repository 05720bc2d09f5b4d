"""Where the server listens: a TCP and a UDP socket on one number."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from contextlib import ExitStack

from encoders.errors import BadRequest, Busy

log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket bound to the same number.

    Raises:
        Busy: it is taken.
        BadRequest: the host or the number is none of this machine's.
    """
    for _ in range(20 if port == 0 else 1):  # a free TCP number may be taken on UDP
        try:
            if not 0 <= port <= 65_535:
                raise OSError(f"port {port}")
            return _bind_pair(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise BadRequest(
                    f"listening on {host}:{port}",
                    found=error.strerror or str(error),
                    expected="an address of this machine and a port from 0 to 65535",
                ) from None
    raise Busy(
        f"port {port} of {host}",
        found="another program, or another samplefit, listening there",
        remedy="end that one, or choose another with --osc HOST:PORT",
    )


def _bind_pair(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with ExitStack() as undo:
        tcp = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if os.name == "posix":  # else a restart would wait for the last connection's farewell
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(address)
        tcp.listen(128)
        udp = undo.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        udp.bind(tcp.getsockname())
        tcp.setblocking(False)
        udp.setblocking(False)
        undo.pop_all()
    return tcp, udp


def ask_for_buffer(udp: socket.socket, n_bytes: int) -> None:
    """Asks the system for a larger receive buffer, in which datagrams wait while the server is at work."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, n_bytes)
    except OSError:  # some systems refuse where others give less; either way we take what there is
        log.debug("no larger receive buffer than the system's own")
