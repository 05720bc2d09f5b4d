"""Who floods the server waits for itself: everyone else is answered meanwhile, and right after."""

from __future__ import annotations

import pytest

from plugin_bridge.addresses import DONE, FAIL, HIT, SUGGEST, SYNC, SYNCED
from plugin_bridge.client import Client
from plugin_bridge.clients import Limits
from plugin_bridge.server import OscServer
from tests.osc.flooder import flooding
from tests.osc.service import PATIENCE_S, Service, udp


def test_a_flooder_finds_its_own_share_used_up_and_others_find_theirs(service: Service) -> None:
    """Every request of the flooder waits until the test says so: nobody is served because somebody is quick."""
    limits = Limits(n_threads=4, max_jobs=100)  # 50 for datagrams, 25 of them for one sender
    with OscServer(service, port=0, limits=limits) as server, udp(server) as flooder, udp(server) as other:
        for n in range(40):
            flooder.send(SYNC, f"flood {n}")
        refused = [flooder.receive().arguments for _ in range(15)]
        assert {(id, code) for id, _, code, _ in refused} == {(f"flood {n}", "busy") for n in range(25, 40)}
        other.send(SUGGEST, "other", "k", 1)
        assert [other.receive().address for _ in range(2)] == [HIT, DONE]
        with Client(server.host, server.port) as connected:
            assert connected.ask(SUGGEST, "k", 1)[-1].address == DONE
        for _ in range(4):
            assert service.heard.acquire(timeout=PATIENCE_S)
        assert len(service.calls) == 4, "two threads for the flooder, one for each of the others in turn"
        service.may_sync.set()
        assert {flooder.receive().address for _ in range(25)} == {SYNCED}


def test_many_ports_leave_half_of_everything_to_connections(service: Service) -> None:
    limits = Limits(n_threads=4, max_jobs=40)
    with OscServer(service, port=0, limits=limits) as server:
        flooders = [udp(server) for _ in range(25)]
        entered = [flooder.__enter__() for flooder in flooders]
        try:
            for n, flooder in enumerate(entered):
                flooder.send(SYNC, n)
            assert entered[-1].receive().address == FAIL
            with Client(server.host, server.port) as connected:
                assert connected.ask(SUGGEST, "k", 1)[-1].address == DONE
            service.may_sync.set()
        finally:
            for flooder in flooders:
                flooder.__exit__(None, None, None)


@pytest.mark.parametrize("n_sockets", [1, 200])
def test_presses_are_answered_during_a_flood_and_after_it(service: Service, n_sockets: int) -> None:
    with OscServer(service, port=0) as server:
        with flooding(server.port, n_sockets) as flooder:
            for _ in range(5):
                with Client(server.host, server.port, timeout_s=PATIENCE_S) as client:
                    assert client.ask(SUGGEST, "k", 2)[-1].address == DONE
            with udp(server) as client:
                client.socket.settimeout(0.5)
                while True:  # the system drops datagrams, whoever sent them: a client asks again
                    client.send(SUGGEST, "udp", "k", 1)
                    try:
                        assert client.receive().address == HIT
                        break
                    except TimeoutError:
                        assert flooder.poll() is None
        with Client(server.host, server.port) as client:
            assert client.ask(SUGGEST, "k", 2)[-1].address == DONE
        assert server.counters.n_requests > 100
        assert server.counters.n_cut_off == server.counters.n_bugs == 0
