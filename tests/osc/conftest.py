"""A running server on a free port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plugin_bridge.server import OscServer
from tests.osc.service import Service


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(service: Service) -> Iterator[OscServer]:
    with OscServer(service, port=0) as server:
        yield server
        service.may_sync.set()
