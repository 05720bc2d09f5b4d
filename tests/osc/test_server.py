"""The server over real sockets: UDP and TCP in both framings, every way in which a request is answered."""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Iterator

import pytest

from encoders.errors import BadRequest, Busy, Refused
from plugin_bridge.addresses import DONE, FAIL, HIT
from plugin_bridge.client import Client, Failed, ask
from plugin_bridge.clients import Limits
from plugin_bridge.framing import LENGTH, SLIP, Framing
from plugin_bridge.osc import Message, encode
from plugin_bridge.server import OscServer
from tests.osc.service import PATIENCE_S, Service, is_hung_up, tcp, udp

FRAMINGS = pytest.mark.parametrize("framing", [LENGTH, SLIP], ids=lambda framing: framing.name)


@FRAMINGS
def test_a_press_over_tcp(server: OscServer, framing: Framing) -> None:
    with Client(server.host, server.port, framing=framing) as client:
        *hits, done = client.ask("/samplefit/suggest", "k", 300, id=7)
    assert [hit.arguments[:3] for hit in hits] == [(7, rank, 300) for rank in range(1, 301)]
    assert {hit.arguments[5] for hit in hits} == {"/samples/ä\udce4.wav"}
    assert done.arguments[:3] == (7, "/samplefit/suggest", 300)


def test_a_press_over_udp(server: OscServer) -> None:
    with udp(server) as client:
        client.send("/samplefit/suggest", "song", "k", 2)
        replies = [client.receive() for _ in range(3)]
    assert [reply.address for reply in replies] == [HIT, HIT, DONE]
    assert {reply.arguments[0] for reply in replies} == {"song"}


def test_replies_go_to_the_port_that_a_request_names(server: OscServer) -> None:
    with udp(server) as asker, udp(server) as listener:
        asker.send("/samplefit/status", 1, "reply_port", listener.port)
        assert listener.receive().address == "/samplefit/status.reply"
        asker.send("/samplefit/nonsense", 1, "reply_port", float(listener.port))
        assert listener.receive().address == FAIL


def test_replies_that_come_back_are_not_answered(server: OscServer) -> None:
    with udp(server) as client:
        client.send("/samplefit/status", 1, "reply_port", server.port)
        client.ask("/samplefit/status", 1)  # in the same lane: the server has sent to itself by now,
        client.ask("/samplefit/status", 1)  # and has received it before this one
    assert server.counters.n_noise == 1


@pytest.mark.parametrize(
    ("address", "arguments", "code"),
    [
        ("/samplefit/suggest", (1, "kk", 3), "bad-request"),
        ("/samplefit/sugest", (1,), "bad-request"),
        ("/samplefit/status", (), "bad-request"),
        ("/samplefit/status", ("x" * 65,), "bad-request"),
        ("/samplefit/{status,sync}", (1,), "refused"),
        ("/*", (1,), "refused"),
        ("/samplefit/used", (1, "/none.wav"), "not-found"),
        ("/samplefit/suggest/file", (1, "none.wav"), "bad-request"),
        ("/samplefit/stem/file", (1, "bass", "/dev/zero"), "refused"),
        ("/samplefit/stem/data", (1, "bass", 0, b"ab"), "not-found"),
    ],
)
def test_what_is_refused_is_told(
    server: OscServer, address: str, arguments: tuple[object, ...], code: str
) -> None:
    with udp(server) as client:
        fail = client.ask(address, *arguments)
    given = arguments[0] if arguments else ""
    assert fail.address == FAIL
    assert fail.arguments[:3] == (given if given != "x" * 65 else "x" * 64, address, code)


def test_a_bug_is_told_each_time_and_logged_once(server: OscServer, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with pytest.raises(Failed, match="ZeroDivisionError") as failed:
            ask(server.host, server.port, "/samplefit/like", "/kick.wav")
        assert failed.value.code == "internal"
    assert caplog.text.count("/samplefit/like broke") == 1
    assert server.counters.n_bugs == 3


def test_every_message_of_a_bundle_is_answered(server: OscServer) -> None:
    elements = [encode(Message("/samplefit/status", (n,))) for n in range(5)]
    packet = b"#bundle\0" + bytes(8) + b"".join(struct.pack(">i", len(e)) + e for e in elements)
    with udp(server) as client:
        client.send_bytes(packet)
        assert {client.receive().arguments[0] for _ in range(5)} == set(range(5))


def blocks(n_frames: int, n_each: int) -> Iterator[tuple[int, bytes]]:
    for first in range(0, n_frames, n_each):
        yield first, bytes((first + n) % 251 for n in range(2 * min(n_each, n_frames - first)))


def signed_crc32(data: bytes) -> int:
    return struct.unpack(">i", struct.pack(">I", zlib.crc32(data)))[0]


@FRAMINGS
def test_a_stem_and_a_press_may_come_without_waiting(server: OscServer, framing: Framing) -> None:
    pieces = list(blocks(200_000, 997))
    with Client(server.host, server.port, framing=framing) as client:
        client.send("/samplefit/stem/begin", "song", "bass", 44_100, 1, 200_000, "s16le")
        for first, piece in pieces:
            client.send("/samplefit/stem/data", "song", "bass", first, piece)
        crc = signed_crc32(b"".join(piece for _, piece in pieces))
        client.send("/samplefit/stem/end", "song", "bass", crc)
        client.send("/samplefit/suggest", "song", "k", 1)
        received = [client.receive() for _ in range(4)]
    assert [message.address for message in received] == [DONE, "/samplefit/stem/ready", HIT, DONE]


def test_lost_datagrams_are_sent_again(server: OscServer) -> None:
    pieces = dict(blocks(10_000, 500))
    crc = signed_crc32(b"".join(pieces.values()))
    with udp(server) as client:
        client.ask("/samplefit/stem/begin", 1, "bass", 44_100, 1, 10_000, "s16le")
        for first in [first for first in pieces if first not in (0, 4000, 4500)]:
            client.send("/samplefit/stem/data", 1, "bass", first, pieces[first])
        client.send("/samplefit/stem/end", 1, "bass", crc)
        gaps = [client.receive().arguments for _ in range(2)]
        assert gaps == [(1, "bass", 0, 500), (1, "bass", 4000, 1000)]
        for first in (0, 4000, 4500):
            client.send("/samplefit/stem/data", 1, "bass", first, pieces[first])
        assert client.ask("/samplefit/stem/end", 1, "bass", crc).arguments == (1, "bass", 10_000)


def test_a_long_request_holds_nobody_else_up(server: OscServer, service: Service) -> None:
    with Client(server.host, server.port) as slow, Client(server.host, server.port) as quick:
        slow.send("/samplefit/sync", "slow")
        assert service.heard.acquire(timeout=PATIENCE_S)
        assert quick.ask("/samplefit/status")[0].address == "/samplefit/status.reply"
        service.may_sync.set()
        assert slow.receive().address == "/samplefit/synced"


def test_more_than_can_wait_is_busy(service: Service) -> None:
    limits = Limits(n_threads=1, max_jobs=16)  # of 8 for all datagrams, four leave four
    with OscServer(service, port=0, limits=limits) as server, udp(server) as client:
        for n in range(6):
            client.send("/samplefit/sync", n)
        assert [client.receive().arguments[::2] for _ in range(2)] == [(4, "busy"), (5, "busy")]
        service.may_sync.set()
        assert {client.receive().arguments[0] for _ in range(4)} == {0, 1, 2, 3}


def test_thirty_two_clients_at_once(server: OscServer) -> None:
    answers: dict[int, set[object]] = {}

    def client(n: int) -> None:
        with Client(server.host, server.port, framing=(SLIP, LENGTH)[n % 2]) as connection:
            found = [connection.ask("/samplefit/suggest", "k", 20, id=n) for _ in range(10)]
        answers[n] = {(len(replies), reply.arguments[0]) for replies in found for reply in replies}

    threads = [threading.Thread(target=client, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert answers == {n: {(21, n)} for n in range(32)}


def test_who_sends_no_more_still_gets_the_answer(server: OscServer, service: Service) -> None:
    with tcp(server, LENGTH.wrap(encode(Message("/samplefit/sync", (1,))))) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert service.heard.acquire(timeout=PATIENCE_S)
        service.may_sync.set()
        with connection.makefile("rb") as stream:
            received = stream.read()
    assert received == LENGTH.wrap(encode(Message("/samplefit/synced", (1, 7))))


def test_closing_lets_running_requests_end(service: Service) -> None:
    with OscServer(service, port=0) as server:
        client = Client(server.host, server.port)
        client.send("/samplefit/suggest", 1, "k", 50)
        assert client.receive().address == HIT
    with client:
        assert [client.receive().address for _ in range(50)][-1] == DONE
        with pytest.raises(ConnectionError):
            client.receive()


def test_a_port_in_use_is_told(server: OscServer, service: Service) -> None:
    with pytest.raises(Busy, match=f"port {server.port}"):
        OscServer(service, port=server.port).__enter__()


def test_a_udp_port_in_use_is_told(service: Service) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Busy):
            OscServer(service, port=taken.getsockname()[1]).__enter__()


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
def test_an_address_that_is_none_is_told(service: Service, host: str, port: int) -> None:
    with pytest.raises(BadRequest, match="listening on"):
        OscServer(service, host, port, token="t").__enter__()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", ""])
def test_other_machines_need_a_token(service: Service, host: str) -> None:
    with pytest.raises(Refused, match="token"):
        OscServer(service, host)


def test_a_token_is_asked_of_every_request(service: Service) -> None:
    with OscServer(service, port=0, token="sésame") as server, udp(server) as client:
        client.send("/samplefit/status", 1)  # a refusal would be longer
        client.send("/samplefit/status", 2, "token", "sesame")
        answered = client.ask("/samplefit/status", 3, "token", "sésame")
        refused = client.ask("/samplefit/stem/data", 4, "bass", 0, bytes(200))
    assert answered.arguments[0] == 3
    assert refused.arguments[:3] == (4, "/samplefit/stem/data", "refused")
    assert server.counters.n_tokenless == 3
    assert [call.id for call in service.calls] == [3]


def test_over_tcp_a_refusal_is_always_sent(service: Service) -> None:
    """Its sender's address is not forged, and a shell has to tell a daemon that refuses it from one that hangs."""
    with OscServer(service, port=0, token="t") as server, Client("127.0.0.1", server.port) as client:
        client.send("/samplefit/status", 1)
        assert client.receive().arguments[:3] == (1, "/samplefit/status", "refused")


def test_a_bundle_without_token_gains_nothing(service: Service) -> None:
    element = encode(Message("/samplefit/status", ("x" * 40,)))
    packet = b"#bundle\0" + bytes(8) + (struct.pack(">i", len(element)) + element) * 50
    with OscServer(service, port=0, token="t") as server, udp(server) as client:
        client.send_bytes(packet)
        assert client.ask("/samplefit/status", 1, "token", "t").arguments[0] == 1
        assert server.counters.n_tokenless == 50


def test_ipv6_works_where_it_exists(service: Service) -> None:
    try:
        with OscServer(service, "::1", 0) as server:
            assert ask("::1", server.port, "/samplefit/status")
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
                client.settimeout(PATIENCE_S)
                client.sendto(encode(Message("/samplefit/status", (1,))), ("::1", server.port))
                assert client.recv(1000).startswith(b"/samplefit/status.reply")
    except BadRequest:
        pytest.skip("this machine has no IPv6 loopback")


def test_http_is_hung_up_on(server: OscServer) -> None:
    with tcp(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        assert is_hung_up(connection)
    assert server.counters.n_noise == 1
