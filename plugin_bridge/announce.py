"""Tells programs nearby where the daemon listens: services `_osc._udp` and `_osc._tcp`, by multicast DNS (zeroconf)."""

from __future__ import annotations

import logging
import platform
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

from encoders.errors import NotFound
from plugin_bridge.extras import how_to_add, missing

log = logging.getLogger(__name__)

TYPES = ("_osc._udp.local.", "_osc._tcp.local.")


def check_installed() -> None:
    """Raises NotFound where the extra is missing."""
    if absent := missing("announce"):
        raise NotFound("--announce", found=f"no {absent}", remedy=how_to_add("announce"))


@contextmanager
def announced(host: str, port: int) -> Iterator[None]:
    """Announces a server while the block runs, where it listens and nowhere else.

    It takes some seconds, because the names have to be found free. A network that cannot be told is a line in the
    log: who knows the port is answered all the same.

    Args:
        host, port: as the server was given them, and the port that it got.
    """
    from zeroconf import Error, IPVersion, ServiceInfo, Zeroconf

    with ExitStack() as undo:
        try:
            addresses = addresses_of(host)
            if not addresses:
                raise OSError("this machine is in no network")
            version = IPVersion.V6Only if ":" in addresses[0] else IPVersion.V4Only
            network = Zeroconf(interfaces=addresses, ip_version=version)
            undo.callback(network.close)  # withdraws what is registered
            for type in TYPES:
                name = f"samplefit on {platform.node()[:40]}:{port}.{type}"
                service = ServiceInfo(type, name, port, parsed_addresses=addresses)
                network.register_service(service, allow_name_change=True)
        except (OSError, Error) as error:
            log.warning("port %d of %s is not announced: %r", port, host, error)
        yield


def addresses_of(host: str) -> list[str]:
    """The addresses at which a server on `host` can be reached: its own, or those of the machine where it takes all."""
    import ifaddr

    given = ip_address(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    if not given.is_unspecified:
        return [str(given)]
    ips = [ip.ip if ip.is_IPv4 else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return [
        str(address)
        for address in map(ip_address, ips)
        if address.version == given.version
        and not address.is_loopback
        and not (address.version == 6 and address.is_link_local)  # of no use without the name of our own card
    ]
