"""Asks a running samplefit which of your drum one-shots fit a bounce: python press.py BOUNCE [TYPE]... [--port N]

Needs python-osc alone (pip install python-osc), and `samplefit serve` running.
"""

import argparse
import sys
import uuid
from pathlib import Path

from pythonosc.udp_client import SimpleUDPClient


def press(port, bounce, types):
    """Prints the hits, best first. Returns None, or why there are none."""
    request_id = str(uuid.uuid4())
    options = [word for drum_type in types for word in ("type", drum_type)]
    with SimpleUDPClient("127.0.0.1", port) as client:
        client.send_message("/samplefit/suggest/file", [request_id, str(bounce), "k", 3, *options])
        for reply in client.get_messages(timeout=30):
            reply_id, *values = reply.params
            if reply_id != request_id:
                continue
            if reply.address == "/samplefit/hit":
                rank, _, drum_type, score, path, _, _ = values
                print(f"{drum_type:10} {rank:3} {score:6.3f}  {path}")
            elif reply.address == "/samplefit/done":
                return None
            elif reply.address == "/samplefit/fail":
                return values[-1]
    return "no answer: is `samplefit serve` running?"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bounce", type=Path)
    parser.add_argument("types", nargs="*", help="kick, snare, hihat, ride, crash, tom or any")
    parser.add_argument("--port", type=int, default=7040)
    given = parser.parse_args()
    sys.exit(press(given.port, given.bounce.absolute(), given.types))
