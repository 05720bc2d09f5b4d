"""A server that can be left open: hostile packets, streams and clients cost it nothing that lasts."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest

from encoders.errors import Busy, SamplefitError
from plugin_bridge import replies
from plugin_bridge.addresses import FAIL, PATTERN_CHARACTERS, id_of, is_for_us, parse
from plugin_bridge.client import Client, Failed
from plugin_bridge.clients import Limits
from plugin_bridge.framing import LENGTH, SLIP
from plugin_bridge.osc import Message, NotOsc, encode, unpack
from plugin_bridge.server import OscServer
from tests.osc.packets import hostile_packets, hostile_streams
from tests.osc.service import PATIENCE_S, Service, is_hung_up, tcp, udp

STATUS = encode(Message("/samplefit/status", (1,)))
MAX_GROWTH_BYTES = 50 << 20


def resident_bytes() -> int:
    """Memory of this process, where the system tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@pytest.fixture
def open_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service in which nothing waits and nothing is broken, so that whatever is logged is the server's fault."""
    service.may_sync.set()
    monkeypatch.setattr("plugin_bridge.addresses.LIKE", None)
    return service


def test_packets_are_understood_refused_or_noise() -> None:
    n_calls = n_refused = n_noise = 0
    for packet in islice(hostile_packets(1), 50_000):
        try:
            messages = unpack(packet)
        except NotOsc:
            n_noise += 1
            continue
        for message in filter(is_for_us, messages):
            try:
                parse(message)
                n_calls += 1
            except SamplefitError as error:
                n_refused += 1
                assert len(encode(replies.failure(id_of(message), message.address, error))) < 1000
    assert min(n_calls, n_refused, n_noise) > 1_000  # else the packets are no test


def test_datagrams_leave_no_trace(
    open_service: Service, server: OscServer, caplog: pytest.LogCaptureFixture
) -> None:
    packets = list(islice(hostile_packets(2), 5_000))
    before, n_threads = resident_bytes(), threading.active_count()
    with udp(server) as attacker:
        for n, packet in enumerate(packets):
            attacker.send_bytes(packet[:60_000])
            if n % 100 == 0:  # in step, so that the packets arrive
                with udp(server) as client:
                    assert client.ask("/samplefit/status", "alive").arguments[0] == "alive"
    assert server.counters.n_noise > 500
    assert threading.active_count() <= n_threads + Limits.n_threads
    assert resident_bytes() - before < MAX_GROWTH_BYTES
    assert caplog.text == ""


def test_streams_leave_no_trace(
    open_service: Service, server: OscServer, caplog: pytest.LogCaptureFixture
) -> None:
    before = resident_bytes()
    left_open: list[socket.socket] = []
    try:
        for n, stream in enumerate(islice(hostile_streams(3), 500)):
            with tcp(server) as attacker:
                attacker.settimeout(0.0)  # never waits: an attacker does not care
                try:
                    attacker.send(stream)
                except OSError:
                    continue
                if n % 4 == 0:
                    left_open.append(attacker.dup())
        with Client(server.host, server.port) as client:
            assert client.ask("/samplefit/status")
    finally:
        for attacker in left_open:
            attacker.close()
    assert resident_bytes() - before < MAX_GROWTH_BYTES
    assert caplog.text == ""


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(struct.pack(">i", 2**31 - 1), id="length 2^31-1"),
        pytest.param(b"\0\xff\xff\xff", id="length 2^24-1"),
        pytest.param(LENGTH.wrap(STATUS) + b"\xff\xff\xff\xfc", id="length -4"),
        pytest.param(b"\xc0abc\xdbx\xc0", id="bad escape"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
    ],
)
def test_a_stream_that_is_none_is_ended(server: OscServer, stream: bytes) -> None:
    with tcp(server, stream) as attacker:
        assert is_hung_up(attacker)


@pytest.mark.parametrize("packet", [b"/abc", b"\1\2\3\4", b"#bundle\0" + bytes(8) + struct.pack(">i", -4)])
def test_a_bad_packet_costs_not_the_connection(server: OscServer, packet: bytes) -> None:
    with tcp(server, LENGTH.wrap(packet) + LENGTH.wrap(STATUS)) as connection:
        assert connection.recv(1000)[4:].startswith(b"/samplefit/status.reply")
    assert server.counters.n_noise == 1


@pytest.fixture
def impatient(service: Service) -> Iterator[OscServer]:
    with OscServer(service, port=0, limits=Limits(patience_s=0.05)) as server:
        yield server
        service.may_sync.set()


@pytest.mark.parametrize("half", [LENGTH.wrap(STATUS)[:-1], LENGTH.wrap(STATUS)[:2], SLIP.wrap(STATUS)[:-1]])
def test_half_a_message_is_waited_for_a_while(impatient: OscServer, half: bytes) -> None:
    with Client(impatient.host, impatient.port) as idle:
        idle.ask("/samplefit/status")
        with tcp(impatient, half) as slow:
            assert is_hung_up(slow)
        assert idle.ask("/samplefit/status")  # silent for longer, but between messages
    assert impatient.counters.n_cut_off == 1


def test_a_sender_of_single_bytes_runs_out_of_time(impatient: OscServer) -> None:
    with tcp(impatient, b"\0\x0f\xff\xff") as slow, pytest.raises(OSError):
        while True:
            slow.sendall(b"a")


def test_the_longest_silent_gives_way(service: Service) -> None:
    with OscServer(service, port=0, limits=Limits(max_connections=4)) as server:
        clients = [Client(server.host, server.port) for _ in range(4)]
        for client in clients:
            client.ask("/samplefit/status")
        clients[0].ask("/samplefit/status")
        with Client(server.host, server.port) as fifth:
            assert fifth.ask("/samplefit/status")
            with clients[1], pytest.raises(Busy, match="it ended before it answered"):
                clients[1].ask("/samplefit/status")
            for client in (clients[0], clients[2], clients[3]):
                with client:
                    assert client.ask("/samplefit/status")


def test_unfinished_packets_are_bounded_together(service: Service) -> None:
    with OscServer(service, port=0, limits=Limits(max_held_bytes=100_000)) as server:
        half = struct.pack(">i", 90_000) + bytes(60_000)
        with tcp(server, half) as first, Client(server.host, server.port) as other:
            other.ask("/samplefit/status")
            with tcp(server, half) as second:
                assert is_hung_up(second)
            first.sendall(bytes(30_000))
            assert other.ask("/samplefit/status")
        assert server.counters.n_cut_off == 1


def test_a_client_that_never_reads_is_cut_off(service: Service) -> None:
    limits = Limits(max_unsent_bytes=100_000)
    service.check_k = lambda k: None
    with (
        OscServer(service, port=0, limits=limits) as server,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as deaf,
        udp(server) as client,
    ):
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((server.host, server.port))
        deaf.sendall(LENGTH.wrap(encode(Message("/samplefit/suggest", ("deaf", "k", 45_000)))))
        assert service.heard.acquire(timeout=PATIENCE_S)
        client.ask("/samplefit/status", "deaf")  # in the same lane: all hits were sent or dropped by then
        assert server.counters.n_cut_off == 1
        assert is_hung_up(deaf)


@pytest.mark.parametrize(("n_blocks", "n_bytes"), [(300, 60_000), (5_000, 64)])
def test_a_fast_sender_is_slowed_not_refused(service: Service, n_blocks: int, n_bytes: int) -> None:
    limits = Limits(max_jobs=100, max_job_bytes=1 << 20, n_threads=2)
    block, n_frames = bytes(n_bytes), n_bytes // 2
    with (
        OscServer(service, port=0, limits=limits) as server,
        Client(server.host, server.port) as client,
    ):
        client.send("/samplefit/stem/begin", 1, "bass", 44_100, 1, n_blocks * n_frames, "s16le")
        for n in range(n_blocks):
            client.send("/samplefit/stem/data", 1, "bass", n * n_frames, block)
        client.send("/samplefit/stem/drop", 1, "bass")
        assert [client.receive().address for _ in range(2)] == ["/samplefit/done"] * 2
    assert server.counters.n_requests == n_blocks + 2


def bundle(packet: bytes, size: int | None = None, timetag: bytes = bytes(8)) -> bytes:
    return b"#bundle\0" + timetag + struct.pack(">i", len(packet) if size is None else size) + packet


def test_bundles_that_others_choke_on(server: OscServer) -> None:
    nested = STATUS
    for _ in range(400):
        nested = bundle(nested)
    with udp(server) as client:
        client.send_bytes(nested)
        client.send_bytes(bundle(STATUS, size=-4))
        client.send_bytes(bundle(encode(Message("/samplefit/status", ("next year",))), timetag=b"\xff" * 8))
        assert client.receive().arguments[0] == "next year"
    assert server.counters.n_noise == 2


class Overheard:
    """Who sends packets to a server that is not even listening, and counts what would come back."""

    n_running = 0

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def answering(self, message: Message, address: object) -> Callable[[bytes], None]:
        return self.heard.append


def test_without_the_token_nobody_gets_more_bytes_than_they_send(service: Service) -> None:
    """Else a forged sender's address would turn the daemon on somebody."""
    server, attacker = OscServer(service, "0.0.0.0", token="sesame"), Overheard()
    n_answered = 0
    for packet in islice(hostile_packets(5), 5_000):
        attacker.heard.clear()
        server.received(packet, attacker)
        assert sum(map(len, attacker.heard)) <= len(packet)
        n_answered += len(attacker.heard)
    assert n_answered > 100 and server.counters.n_tokenless > 1_000
    assert service.calls == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_replies_reach_the_senders_host_alone(server: OscServer) -> None:
    with udp(server) as bystander, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as named:
        named.bind(("127.0.0.2", bystander.port))
        named.settimeout(PATIENCE_S)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind(("127.0.0.2", 0))
            request = Message("/samplefit/status", ("elsewhere", "reply_port", bystander.port))
            asker.sendto(encode(request), (server.host, server.port))
            assert b"elsewhere" in named.recv(1000)
        assert bystander.ask("/samplefit/status", "mine").arguments[0] == "mine", "and nothing before it"


@pytest.mark.parametrize("character", sorted(PATTERN_CHARACTERS))
def test_patterns_cost_nothing(server: OscServer, character: str) -> None:
    """python-osc makes a regular expression of these; one packet froze it for half a minute."""
    with udp(server) as client:
        fail = client.ask("/" + f"{character}a" * 10_000, 1)
    assert fail.address == FAIL
    assert fail.arguments[2] == "refused"


def test_no_more_bytes_are_held_than_said(server: OscServer, service: Service) -> None:
    with Client(server.host, server.port) as client:
        with pytest.raises(Failed) as failed:
            for n in range(100):
                client.ask("/samplefit/stem/begin", f"stem {n}", 192_000, 8, 10_000_000, "f32le", id="song")
        assert failed.value.code == "too-big"
        assert service.store.n_bytes <= 512 << 20
        assert client.ask("/samplefit/status")


_opened: list[Any] = []
_is_listening = threading.Event()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _is_listening.is_set():
        _opened.append(arguments[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_paths_open_nothing_but_files(server: OscServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "to pipe.wav").symlink_to("pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "to zero.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "nowhere.wav").symlink_to("no such file")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "socket.wav"))
        devices = ["zero", "random", "full", "tty", "stdin", "fd/0", "null", "ptmx", ""]
        targets = [
            *map(os.fspath, tmp_path.iterdir()),
            *(f"/dev/{name}" for name in devices),
            "/proc/self/fd",
            "/proc/self/ns/net/x",
            "/samples/" + "long/" * 400,
            "/samples/" + "x" * 300,
        ]
        forms = [
            "{}",
            "{}/",
            "{}/.",
            "{}/..",
            "/../..{}",
            "/.{}",
            "/tmp/../{}",
            "{}/x.wav",
            "{}\n",
            "{}\udcff",
        ]
        attacks = [form.format(target) for form, target in product(forms, targets)]
        assert len(attacks) >= 200
        sys.addaudithook(_hear)
        with Client(server.host, server.port) as client:
            client.ask("/samplefit/status")
            _is_listening.set()
            try:
                for path in attacks:
                    with pytest.raises(Failed) as failed:
                        client.ask("/samplefit/stem/file", "bass", path)
                    assert failed.value.code in ("refused", "not-found", "unreadable-audio"), path
            finally:
                _is_listening.clear()
    assert _opened == []
