"""Programs that others wrote, against the real server: liblo, Pd, SuperCollider, python-osc in our example."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pythonosc.udp_client import SimpleUDPClient

from plugin_bridge.addresses import STATUS, SUGGEST, SUGGEST_FILE, TABLE, parse
from plugin_bridge.osc import Message, decode
from plugin_bridge.server import DEFAULT_PORT, OscServer
from tests.osc.service import PATIENCE_S, Service

ROOT = Path(__file__).resolve().parents[2]


def needs(program: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program} here (Debian: {package})")


liblo = needs("oscsend", "liblo-tools")
pd = needs("pd", "puredata-core")


@contextmanager
def listener() -> Iterator[socket.socket]:
    """Where replies can be heard that go to a `reply_port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(PATIENCE_S)
        yield listening


def oscsend(url: str, *words: str) -> None:
    subprocess.run(["oscsend", url, *words], check=True, timeout=PATIENCE_S)


@liblo
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_oscsend_over_udp(server: OscServer, host: str) -> None:
    with listener() as heard:
        port = str(heard.getsockname()[1])
        oscsend(f"osc.udp://{host}:{server.port}", STATUS, "ssi", "song", "reply_port", port)
        assert decode(heard.recv(2000)).arguments[0] == "song"


@liblo
def test_oscsend_over_tcp(server: OscServer, service: Service) -> None:
    words = ("issi", "7", "/music/a mix.wav", "k", "2")
    oscsend(f"osc.tcp://127.0.0.1:{server.port}", SUGGEST_FILE, *words)
    assert service.heard.acquire(timeout=PATIENCE_S)
    (call,) = service.calls
    assert (call.id, dict(call.arguments), dict(call.options)) == (
        7,
        {"path": "/music/a mix.wav"},
        {"k": (2,)},
    )


@liblo
def test_oscdump_prints_the_replies(server: OscServer) -> None:
    with listener() as free:
        port = str(free.getsockname()[1])
    with subprocess.Popen(
        ["oscdump", "-L", port], stdout=subprocess.PIPE, text=True, errors="replace"
    ) as dump:
        try:
            lines: list[str] = []
            while not lines:  # until oscdump listens, nobody tells that it does
                oscsend(f"osc.udp://127.0.0.1:{server.port}", STATUS, "isi", "1", "reply_port", port)
                lines += _lines_now(dump)
            oscsend(f"osc.udp://127.0.0.1:{server.port}", SUGGEST, "isisi", "9", "k", "2", "reply_port", port)
            while not any("/samplefit/done" in line for line in lines):
                lines.append(dump.stdout.readline())
        finally:
            dump.kill()
    text = "\n".join(lines)
    assert re.search(r"/samplefit/status\.reply isssiiii 1 ", text)
    assert len(re.findall(r"/samplefit/hit iiisfssf 9 ", text)) == 2
    assert re.search(r'/samplefit/done isif 9 "/samplefit/suggest" 2 ', text)


def _lines_now(process: subprocess.Popen[str]) -> list[str]:
    """What a program has printed within a moment."""
    ready, _, _ = select.select([process.stdout], [], [], 0.2)
    return [process.stdout.readline()] if ready else []


PATCH = r"""#N canvas 0 0 450 300 12;
#X obj 10 10 loadbang;
#X msg 10 40 connect 127.0.0.1 {port};
#X obj 10 200 netsend -u -b;
#X obj 150 10 del 200;
#X msg 150 40 list 1 k 2 type kick;
#X obj 150 70 oscformat /samplefit/suggest;
#X obj 150 100 list prepend send;
#X obj 150 130 list trim;
#X obj 10 230 oscparse;
#X obj 10 260 print heard;
#X obj 150 200 route samplefit;
#X obj 150 220 route done fail;
#X msg 150 240 \; pd quit;
#X obj 150 180 list trim;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 0 0 3 0;
#X connect 3 0 4 0;
#X connect 4 0 5 0;
#X connect 5 0 6 0;
#X connect 6 0 7 0;
#X connect 7 0 2 0;
#X connect 2 1 8 0;
#X connect 8 0 9 0;
#X connect 8 0 13 0;
#X connect 13 0 10 0;
#X connect 10 0 11 0;
#X connect 11 0 12 0;
#X connect 11 1 12 0;
"""


@pd
def test_pd_asks_and_hears(server: OscServer, tmp_path: Path) -> None:
    """A vanilla patch that knows floats alone, with its reply on the same socket."""
    patch = tmp_path / "press.pd"
    patch.write_text(PATCH.format(port=server.port))
    ran = subprocess.run(
        ["pd", "-nogui", "-noaudio", "-nomidi", "-stderr", os.fspath(patch)],
        capture_output=True,
        timeout=PATIENCE_S,
    )
    heard = ran.stderr.decode(errors="replace")
    assert len(re.findall(r"heard: list samplefit hit 1 [12] 2 kick 0\.5 ", heard)) == 2
    assert "heard: list samplefit done 1 /samplefit/suggest 2 " in heard


def examples(program: str) -> dict[str, str]:
    """What docs/osc.md gives for each request in one program's language, by address."""
    sections = re.split(r"^### ", (ROOT / "docs/osc.md").read_text("utf-8"), flags=re.M)[1:]
    found = {section.split()[0]: re.search(rf"^{program} +(.*)$", section, re.M) for section in sections}
    return {address: example[1] for address, example in found.items() if example}


def heard_of(service: Service, n_calls: int) -> set[tuple[str, object, str]]:
    """The first calls, once they are here, in a form that can be compared."""
    for _ in range(n_calls):
        assert service.heard.acquire(timeout=PATIENCE_S), service.calls
    return {(call.address, call.id, str((call.arguments, call.options))) for call in service.calls}


def expected(addresses: Iterable[str]) -> set[tuple[str, object, str]]:
    calls = [parse(Message(row.address, row.example)) for row in TABLE if row.address in addresses]
    return {(call.address, call.id, str((call.arguments, call.options))) for call in calls}


@liblo
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_every_oscsend_example_arrives(server: OscServer, service: Service, kind: str) -> None:
    service.may_sync.set()
    lines = examples("oscsend")
    for line in lines.values():
        _, _, _, *words = shlex.split(line)
        oscsend(f"osc.{kind}://127.0.0.1:{server.port}", *words)
    assert len(lines) == len(TABLE) - 1
    assert heard_of(service, len(lines)) == expected(lines)


@needs("sclang", "supercollider-language")
def test_every_supercollider_example_arrives(server: OscServer, service: Service, tmp_path: Path) -> None:
    service.may_sync.set()
    lines = examples("SuperCollider")
    script = tmp_path / "examples.scd"
    script.write_text("\n".join(lines.values()).replace(str(DEFAULT_PORT), str(server.port)) + "\n0.exit;\n")
    environment = {
        "HOME": os.fspath(tmp_path),
        "QT_QPA_PLATFORM": "offscreen",
        "QTWEBENGINE_DISABLE_SANDBOX": "1",
    }
    subprocess.run(
        ["sclang", os.fspath(script)],
        env=os.environ | environment,
        capture_output=True,
        timeout=3 * PATIENCE_S,
    )
    assert len(lines) == len(TABLE)
    assert heard_of(service, len(lines)) == expected(lines)


@pd
def test_every_pd_example_arrives(server: OscServer, service: Service, tmp_path: Path) -> None:
    service.may_sync.set()
    lines = examples("Pd")
    texts = ["obj 0 0 loadbang", f"msg 0 0 connect 127.0.0.1 {server.port}", "obj 0 0 netsend -u -b"]
    texts += ["obj 0 0 del 200", "obj 0 0 del 500", r"msg 0 0 \; pd quit"]
    wires = ["0 0 1 0", "1 0 2 0", "0 0 3 0", "0 0 4 0", "4 0 5 0"]
    for line in lines.values():
        message, *boxes, _ = line.split(" → ")
        first = len(texts)
        texts += [f"msg 0 0 {message[1:-1]}", *(f"obj 0 0 {box[1:-1]}" for box in boxes)]
        wires += [
            f"3 0 {first} 0",
            *(f"{n} 0 {n + 1} 0" for n in range(first, first + 3)),
            f"{first + 3} 0 2 0",
        ]
    patch = [
        "#N canvas 0 0 450 300 12",
        *(f"#X {text}" for text in texts),
        *(f"#X connect {w}" for w in wires),
    ]
    (tmp_path / "examples.pd").write_text("".join(f"{line};\n" for line in patch))
    command = ["pd", "-nogui", "-noaudio", "-nomidi", os.fspath(tmp_path / "examples.pd")]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    assert len(lines) == len(TABLE) - 2
    assert heard_of(service, len(lines)) == expected(lines)


def test_every_python_osc_example_arrives(server: OscServer, service: Service) -> None:
    service.may_sync.set()
    lines = examples("python-osc")
    with SimpleUDPClient(server.host, server.port) as client:
        for line in lines.values():
            exec(line, {"client": client})
    assert len(lines) == len(TABLE)
    assert heard_of(service, len(lines)) == expected(lines)


def press_py(server: OscServer, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "docs/examples/press.py", *words, "--port", str(server.port)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_the_example_client_prints_the_hits(server: OscServer, service: Service) -> None:
    service.path = "/samples/kick.wav"  # python-osc cannot read a path that is not UTF-8
    ran = press_py(server, "/music/bounce.wav", "kick", "snare")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"kick         {n}  0.500  /samples/kick.wav" for n in (1, 2, 3)]
    assert dict(service.calls[0].options) == {"k": (3,), "type": ("kick", "snare")}


def test_the_example_client_says_what_is_wrong(server: OscServer, service: Service) -> None:
    service.path = "/" + "x" * 900
    ran = press_py(server, "/music/bounce.wav")
    assert ran.returncode == 1
    assert "901 bytes" in ran.stderr
