"""Faults in files: what a decoder does to itself costs one file, with a reason."""

from __future__ import annotations

import hashlib
import os
import random

import numpy as np
import pytest
import soundfile

from encoders.audio import SAMPLE_RATE
from index.decoding import Decoders, Examined
from tests.index.conftest import hit, write_hit

EVIL = """
import os, time
from index import worker
read = worker.read_one_shot
def read_one_shot(path):
    name = os.path.basename(path)
    if "crash" in name:
        os.abort()
    if "hang" in name:
        time.sleep(1000)
    if "hog" in name:
        return bytearray(1 << 40)
    return read(path)
worker.read_one_shot = read_one_shot
worker.main()
"""


def examined(decoders: Decoders, paths: list[bytes]) -> dict[bytes, Examined]:
    """What became of each file."""
    try:
        return {one.path: one for one in decoders.examine(paths, lambda content: False)}
    finally:
        decoders.close()


def test_a_crash_a_hang_and_a_hog_cost_one_file_each(tmp_path):
    names = ["a", "crash", "b", "hang", "c", "hog", "d"]
    for seed, name in enumerate(names):
        write_hit(tmp_path / f"{name}.wav", seed)
    paths = {name: os.fsencode(tmp_path / f"{name}.wav") for name in names}
    found = examined(Decoders(2, limit_s=20.0, program=EVIL), list(paths.values()))
    for name in "abcd":
        assert found[paths[name]].code is None and len(found[paths[name]].samples) == len(hit(0))
    codes = {name: found[paths[name]].code for name in ("crash", "hang", "hog")}
    assert codes == {"crash": "unreadable-audio", "hang": "unreadable-audio", "hog": "too-big"}
    assert "longer than 20 s" in found[paths["hang"]].text
    assert (
        found[paths["crash"]].content
        == hashlib.blake2b((tmp_path / "crash.wav").read_bytes(), digest_size=16).digest()
    )


def test_mutated_files_cost_nobody_else(tmp_path):
    draw = random.Random(0)
    originals = []
    for ending in ("wav", "flac", "ogg", "aiff", "mp3"):
        path = tmp_path / f"original.{ending}"
        soundfile.write(path, np.tile(hit(1), 4), SAMPLE_RATE)
        originals.append(path)
    paths = []
    for number in range(2000):
        original = draw.choice(originals)
        data = bytearray(original.read_bytes())
        for _ in range(draw.choice((1, 4, 16))):
            data[draw.randrange(min(len(data), 200) if draw.random() < 0.7 else len(data))] = draw.randrange(
                256
            )
        path = tmp_path / f"m{number}{original.suffix}"
        path.write_bytes(data[: draw.randrange(1, len(data))] if draw.random() < 0.3 else data)
        paths.append(os.fsencode(path))
    found = examined(Decoders(2), paths)
    assert found.keys() == set(paths)
    for one in found.values():
        assert (one.samples is None) != (one.code is None)
        assert one.samples is None or np.isfinite(one.samples).all()


def test_a_file_that_changes_while_it_is_read_is_not_believed(tmp_path):
    path = tmp_path / "a.wav"
    write_hit(path, 1)

    def is_known(content: bytes) -> bool:
        write_hit(path, 2, seconds=0.1)  # between the digest and the decoding
        return False

    decoders = Decoders(1)
    (one,) = decoders.examine([os.fsencode(path)], is_known)
    decoders.close()
    assert one.stamp is None


def test_a_file_that_is_gone_says_so(tmp_path):
    path = os.fsencode(tmp_path / "none.wav")
    one = examined(Decoders(1), [path])[path]
    assert one.code == "unreadable-audio" and "No such file" in one.text


def test_a_question_that_fails_leaves_the_worker_fit_for_the_next_file(tmp_path):
    write_hit(tmp_path / "a.wav", 1)
    paths = [os.fsencode(tmp_path / "a.wav")]

    def is_known(content: bytes) -> bool:
        raise ZeroDivisionError

    decoders = Decoders(1)
    with pytest.raises(ZeroDivisionError):
        list(decoders.examine(paths, is_known))
    (one,) = decoders.examine(paths, lambda content: False)
    decoders.close()
    assert one.samples is not None
