"""Captures what other programs really send: python tests/golden/make_osc.py writes tests/golden/osc.json.

Needs liblo-tools (oscsend), puredata-core (pd) and python-osc. Captured once; run again only to add a packet.
"""

import json
import socket
import subprocess
import tempfile
from pathlib import Path

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import build_msg
from pythonosc.tcp_client import SimpleTCPClient
from pythonosc.udp_client import SimpleUDPClient

PD_PATCH = """\
#N canvas 0 0 450 300 12;
#X obj 10 10 loadbang;
#X msg 10 40 connect 127.0.0.1 {port};
#X obj 10 200 netsend -u -b;
#X obj 150 10 del 200;
#X msg 150 40 list 1 /music/bounce.wav k 5;
#X obj 150 70 oscformat /samplefit/suggest/file;
#X obj 150 100 list prepend send;
#X obj 150 130 list trim;
#X obj 300 10 del 600;
#X msg 300 40 \\; pd quit;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 0 0 3 0;
#X connect 3 0 4 0;
#X connect 4 0 5 0;
#X connect 5 0 6 0;
#X connect 6 0 7 0;
#X connect 7 0 2 0;
#X connect 0 0 8 0;
#X connect 8 0 9 0;
"""


def main() -> None:
    bounce = "/music/bounce 1.wav"
    every_type = ["1", "2", "3.5", "4.5", "five", "six", "A", "00112233"]
    packets = {
        "oscsend": _datagram(
            _oscsend("osc.udp://127.0.0.1:{port}", "/samplefit/suggest/file", "issi", "1", bounce, "k", "5")
        ),
        "oscsend of every type": _datagram(
            _oscsend("osc.udp://127.0.0.1:{port}", "/samplefit/x", "ihfdsScmTFNI", *every_type)
        ),
        "oscsend not UTF-8": _datagram(
            _oscsend("osc.udp://127.0.0.1:{port}", "/samplefit/used", "is", "1", "/k\udce4.wav")
        ),
        "pd": _datagram(_pd),
        "python-osc": _datagram(
            lambda port: SimpleUDPClient("127.0.0.1", port).send_message(
                "/samplefit/status", ["ä", 0.5, b"12345"]
            )
        ),
        "python-osc without arguments": _datagram(
            lambda port: SimpleUDPClient("127.0.0.1", port).send_message("/samplefit/status", [])
        ),
        "python-osc bundle": _datagram(lambda port: SimpleUDPClient("127.0.0.1", port).send(_bundle())),
    }
    streams = {
        "oscsend": _stream(_oscsend("osc.tcp://127.0.0.1:{port}", "/samplefit/status", "i", "219")),
        "python-osc 1.0": _stream(lambda port: _python_osc_tcp(port, "1.0")),
        "python-osc 1.1": _stream(lambda port: _python_osc_tcp(port, "1.1")),
    }
    captured = {
        kind: {name: data.hex() for name, data in group.items()}
        for kind, group in (("packets", packets), ("streams", streams))
    }
    Path(__file__).with_name("osc.json").write_text(json.dumps(captured, indent=1) + "\n")


def _bundle():
    inner = OscBundleBuilder(IMMEDIATELY)
    inner.add_content(build_msg("/samplefit/status", [2]))
    outer = OscBundleBuilder(IMMEDIATELY)
    outer.add_content(build_msg("/samplefit/status", [1]))
    outer.add_content(inner.build())
    return outer.build()


def _python_osc_tcp(port: int, mode: str) -> None:
    with SimpleTCPClient("127.0.0.1", port, mode=mode) as client:
        client.send_message("/samplefit/status", [219])
        client.send_message("/samplefit/stem/data", ["song", "bass", 0, b"\xc0\xdb\xdc\xdd"])


def _oscsend(url: str, *words: str):
    return lambda port: subprocess.run(["oscsend", url.format(port=port), *words], check=True)


def _pd(port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        patch = Path(folder) / "send.pd"
        patch.write_text(PD_PATCH.format(port=port))
        subprocess.run(["pd", "-nogui", "-noaudio", "-nomidi", str(patch)], check=True, timeout=20)


def _datagram(send) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        send(listener.getsockname()[1])
        return listener.recv(65536)


def _stream(send) -> bytes:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        send(listener.getsockname()[1])
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            return stream.read()


if __name__ == "__main__":
    main()
