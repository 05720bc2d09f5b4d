"""Stems: put together from pieces in any order, whole or told what is missing, within their limits."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.audio import SAMPLE_RATE, read_audio
from encoders.errors import BadRequest, NoSignal, NotFound, Refused, TooBig, TooLong
from plugin_bridge import addresses, replies, stems
from plugin_bridge.addresses import Call
from plugin_bridge.incoming import BYTES_PER_SAMPLE, MAX_GAPS, decode
from plugin_bridge.osc import Message
from plugin_bridge.stems import IDLE_S, STEM_BYTES, StemStore
from tests.conftest import tone


def crc32(data: bytes) -> int:
    """Signed, as it travels."""
    unsigned = zlib.crc32(data)
    return unsigned - (unsigned >> 31 << 32)


def noise(n_frames: int, n_channels: int) -> np.ndarray:
    """(n_frames, n_channels) int16."""
    return np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (n_frames, n_channels), np.int16)


def encoded(frames: np.ndarray, format: str) -> bytes:
    """(T, C) int16 in another format, the same values."""
    if format == "s16le":
        return frames.astype("<i2").tobytes()
    if format == "f32le":
        return (frames / np.float32(1 << 15)).astype("<f4").tobytes()
    wide = np.ascontiguousarray(frames.astype("<i4") << 16).reshape(-1, 1)
    return wide.view(np.uint8)[:, 1:].tobytes()


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Song:
    """A store and a clock of the test's own."""

    clock: Clock = field(default_factory=Clock)
    max_bytes: int = 1 << 24

    def __post_init__(self) -> None:
        self.store = StemStore(self.max_bytes, self.clock)

    def send(self, data: bytes, stem: str = "bass", rate: int = 44100, n: int = 1, format: str = "s16le"):
        """A whole stem in one piece."""
        self.store.begin("song", stem, rate, n, len(data) // (n * BYTES_PER_SAMPLE[format]), format)
        self.store.data("song", stem, 0, data)
        return self.store.end("song", stem, crc32(data))


def heard(song: Song, id: int | str = "song", exclude: Collection[str] = ()) -> list[np.ndarray]:
    """(T,) float32 of each stem that a press would mix."""
    return [stem.read() for stem in song.store.take(id, exclude)]


@pytest.fixture
def song() -> Song:
    return Song()


@pytest.mark.parametrize("format", sorted(BYTES_PER_SAMPLE))
@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_every_format_gives_the_same_samples(song: Song, format: str, n_channels: int) -> None:
    frames = noise(70_000, n_channels)
    assert song.send(encoded(frames, format), n=n_channels, format=format) == (70_000, [])
    (samples,) = heard(song)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, frames.mean(axis=1) / (1 << 15), atol=1e-6)


def test_24_bits_reach_both_ends() -> None:
    data = np.frombuffer(b"\xff\xff\x7f\x00\x00\x80\x01\x00\x00\xff\xff\xff", np.uint8)
    assert decode(data, "s24le").tolist() == [1 - 2**-23, -1.0, 2**-23, -(2**-23)]


def test_a_buffer_sounds_like_the_file(song: Song, write: Callable[..., Path]) -> None:
    frames = np.stack([tone(1.5, 220, sample_rate=48_000), tone(1.5, 330, sample_rate=48_000)], 1)
    path = write("bass.wav", frames, 48_000, subtype="FLOAT")
    song.send(frames.astype("<f4").tobytes(), rate=48_000, n=2, format="f32le")
    assert song.store.file("song", "from file", os.fspath(path)) == len(read_audio(path))
    buffered, from_file = heard(song)
    np.testing.assert_array_equal(buffered, from_file)


@given(st.data())
def test_pieces_come_in_any_order_and_more_than_once(data: st.DataObject) -> None:
    n_frames = data.draw(st.integers(1, 300))
    raw = encoded(noise(n_frames, 2), "s16le")
    cuts = sorted(data.draw(st.sets(st.integers(0, n_frames), max_size=12)) | {0, n_frames})
    pieces = list(itertools.pairwise(cuts))
    lost = data.draw(st.sets(st.sampled_from(pieces)))
    song = Song()
    song.store.begin(1, "bass", SAMPLE_RATE, 2, n_frames, "s16le")
    for first, last in data.draw(st.permutations([piece for piece in pieces if piece not in lost])):
        song.store.data(1, "bass", first, raw[4 * first : 4 * last])

    found, gaps = song.store.end(1, "bass", crc32(raw))
    assert found == n_frames
    absent = {frame for first, last in lost for frame in range(first, last)}
    assert {frame for first, n in gaps for frame in range(first, first + n)} == absent
    assert all(b[0] > a[0] + a[1] for a, b in itertools.pairwise(gaps))

    for first, n in gaps:
        song.store.data(1, "bass", first, raw[4 * first : 4 * (first + n)])
    if gaps:
        assert song.store.end(1, "bass", crc32(raw)) == (n_frames, [])
    (samples,) = heard(song, 1)
    np.testing.assert_allclose(samples, noise(n_frames, 2).mean(axis=1) / (1 << 15), atol=1e-6)


def test_many_gaps_are_told_a_hundred_at_a_time(song: Song) -> None:
    song.store.begin("song", "bass", SAMPLE_RATE, 1, 1000, "s16le")
    for frame in range(0, 1000, 2):
        song.store.data("song", "bass", frame, b"ab")
    _, gaps = song.store.end("song", "bass", 0)
    assert gaps == [(frame, 1) for frame in range(1, 2 * MAX_GAPS, 2)]


def test_another_checksum_is_told_and_can_be_mended(song: Song) -> None:
    raw = encoded(noise(100, 1), "s16le")
    song.store.begin("song", "bass", SAMPLE_RATE, 1, 100, "s16le")
    song.store.data("song", "bass", 0, b"\0" + raw[1:])
    with pytest.raises(BadRequest, match=rf"expected {crc32(raw)}"):
        song.store.end("song", "bass", crc32(raw))
    song.store.data("song", "bass", 0, raw[:2])
    assert song.store.end("song", "bass", crc32(raw)) == (100, [])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"format": "f64le"}, BadRequest),
        ({"n_channels": 0}, BadRequest),
        ({"n_channels": 257}, BadRequest),
        ({"sample_rate": 0}, BadRequest),
        ({"sample_rate": 1_000_000}, BadRequest),
        ({"n_frames": 0}, NoSignal),
        ({"n_frames": -1}, NoSignal),
        ({"n_frames": 3 * 3600 * 44_100}, TooLong),
        ({"n_frames": 9_000_000}, TooBig),
    ],
)
def test_a_stem_that_cannot_be_is_refused_at_once(
    song: Song, changed: dict[str, object], error: type[Exception]
) -> None:
    good = {"sample_rate": SAMPLE_RATE, "n_channels": 1, "n_frames": 100, "format": "s16le"}
    with pytest.raises(error):
        song.store.begin("song", "bass", **(good | changed))
    assert song.store.n_bytes == 0


@pytest.mark.parametrize(
    ("first_frame", "n_bytes"), [(-1, 4), (100, 4), (99, 8), (0, 404), (0, 3), (2**31 - 1, 4)]
)
def test_pieces_beyond_the_stem_are_refused(song: Song, first_frame: int, n_bytes: int) -> None:
    song.store.begin("song", "bass", SAMPLE_RATE, 2, 100, "s16le")
    with pytest.raises(BadRequest):
        song.store.data("song", "bass", first_frame, bytes(n_bytes))


def test_a_stem_must_be_begun_and_ended(song: Song) -> None:
    with pytest.raises(NotFound, match="nothing begun"):
        song.store.data("song", "bass", 0, b"ab")
    with pytest.raises(NotFound, match="no stems"):
        song.store.take("song")
    song.send(b"abcd")
    with pytest.raises(NotFound, match="has ended"):
        song.store.data("song", "bass", 0, b"ab")
    song.store.begin("song", "bass", SAMPLE_RATE, 1, 2, "s16le")
    with pytest.raises(BadRequest, match="has ended"):
        song.store.take("song")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused_and_dropped(song: Song, value: float) -> None:
    with pytest.raises(NoSignal):
        song.send(np.array([0.5, value], "<f4").tobytes(), format="f32le")
    assert song.store.n_bytes == 0


def test_one_stem_is_left_out_by_name(song: Song) -> None:
    for level, name in enumerate(("bass", "drums", "keys"), 1):
        song.send(np.full(4, level, "<f4").tobytes(), name, format="f32le")
    assert [stem[0] for stem in heard(song)] == [1, 2, 3]
    assert [stem[0] for stem in heard(song, "song", ["drums"])] == [1, 3]
    with pytest.raises(NotFound, match="expected drums"):
        song.store.take("song", ["drum"])
    with pytest.raises(NoSignal):
        song.store.take("song", ["bass", "drums", "keys"])


def test_a_changed_stem_replaces_the_old_one(song: Song) -> None:
    song.send(np.full(4, 0.25, "<f4").tobytes(), format="f32le")
    song.send(np.full(2, 0.5, "<f4").tobytes(), format="f32le")
    assert heard(song)[0].tolist() == [0.5, 0.5]
    assert song.store.n_bytes == STEM_BYTES + 8


def test_bytes_are_counted_and_given_back() -> None:
    song = Song(max_bytes=2 * STEM_BYTES + 1000)
    song.store.begin("song", "a", SAMPLE_RATE, 1, 100, "s24le")
    assert song.store.n_bytes == STEM_BYTES + 400
    with pytest.raises(TooBig, match="drop stems"):
        song.store.begin("song", "b", SAMPLE_RATE, 1, 151, "s16le")
    song.store.begin("song", "b", SAMPLE_RATE, 1, 150, "s16le")
    with pytest.raises(TooBig):
        song.store.begin("song", "c", SAMPLE_RATE, 1, 1, "s16le")
    song.store.begin("song", "b", SAMPLE_RATE, 1, 149, "s16le")  # its own room counts as free
    assert song.store.drop("song", "a") == 1
    assert song.store.drop("song", "a") == 0
    assert song.store.drop("song", "b") == 1
    assert song.store.n_bytes == 0


def test_a_stem_counts_what_it_becomes() -> None:
    """A low rate grows: 2 kHz as s16le takes 3 bytes a frame while it arrives, and 88 once it is converted."""
    song = Song(max_bytes=STEM_BYTES + 88_200)
    with pytest.raises(TooBig, match="give this one as a file"):
        song.store.begin("song", "bass", 2000, 1, 1001, "s16le")
    song.send(bytes(2000), rate=2000)
    assert STEM_BYTES + 88_000 < song.store.n_bytes <= song.max_bytes


def test_files_beyond_the_room_are_read_again_at_the_press(write: Callable[..., Path]) -> None:
    song = Song(max_bytes=3 * STEM_BYTES + 4 * 44_100)
    paths = [write(f"{n}.wav", tone(1.0, 200 + n)) for n in range(3)]
    for path in paths:
        assert song.store.file("song", path.name, os.fspath(path), 0.5) == 44_100
    assert song.store.n_bytes == song.max_bytes, "one decoded, two by their paths"
    for samples, path in zip(heard(song), paths, strict=True):
        np.testing.assert_array_equal(samples, read_audio(path) * np.float32(0.5))

    paths[0].unlink()
    assert len(heard(song)) == 3, "it was decoded when it came"
    paths[1].unlink()
    for change in (lambda: None, lambda: write("1.wav", tone(0.5))):
        change()
        with pytest.raises(NotFound, match="another file than was given as a stem, or none"):
            heard(song)
    assert song.store.file("song", "1.wav", os.fspath(paths[1])) == 22_050
    assert [len(samples) for samples in heard(song)] == [44_100, 22_050, 44_100]


def test_a_stem_that_comes_again_takes_the_place_it_had(write: Callable[..., Path]) -> None:
    song = Song(max_bytes=STEM_BYTES + 4 * 44_100)
    path = write("bass.wav", tone(1.0))
    for _ in range(2):
        song.store.file("song", "bass", os.fspath(path))
        assert song.store.n_bytes == song.max_bytes, "decoded both times"
    song.store.file("song", "bass", os.fspath(write("bass.wav", tone(1.1))))
    assert song.store.n_bytes == STEM_BYTES
    with pytest.raises(TooBig, match="drop stems"):
        song.store.begin("song", "keys", SAMPLE_RATE, 1, 44_100, "s16le")


def test_stems_expire_when_nothing_is_heard_of_their_id(song: Song) -> None:
    song.send(b"abcd", "bass")
    song.store.begin("other", "bass", SAMPLE_RATE, 1, 2, "s16le")
    song.clock.now = IDLE_S - 1
    song.store.take("song")
    song.clock.now = IDLE_S
    with pytest.raises(NotFound):
        song.store.data("other", "bass", 0, b"ab")
    assert len(song.store.take("song")) == 1
    song.clock.now = 2 * IDLE_S
    assert song.store.expire() == 0


def test_only_sound_files_become_stems(song: Song, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        song.store.file("song", "bass", os.fspath(tmp_path / "none.wav"))
    with pytest.raises(Refused):
        song.store.file("song", "bass", os.fspath(tmp_path))
    assert song.store.n_bytes == 0


def test_calls_are_answered(song: Song, write: Callable[..., Path]) -> None:
    said: list[Message] = []

    def call(address: str, **arguments: object) -> int | None:
        said.clear()
        asked = Call(address, "song", {"stem": "bass", **arguments}, {})
        return stems.answer(song.store, asked, said.append)

    begin = {"sample_rate": SAMPLE_RATE, "n_channels": 1, "n_frames": 4, "format": "s16le"}
    asked = Call(addresses.STEM_END, "song", {}, {})
    assert call(addresses.STEM_BEGIN, **begin) == 1
    assert call(addresses.STEM_DATA, first_frame=1, samples=b"abcd") is None
    assert said == []
    assert call(addresses.STEM_END, crc32=0) is None
    assert said == [replies.missing(asked, "bass", 0, 1), replies.missing(asked, "bass", 3, 1)]
    call(addresses.STEM_DATA, first_frame=0, samples=b"abababab")
    assert call(addresses.STEM_END, crc32=crc32(b"abababab")) is None
    assert said == [replies.ready(asked, "bass", 4)]
    assert call(addresses.STEM_FILE, path=os.fspath(write("bass.wav", tone(0.1)))) is None
    assert said == [replies.ready(asked, "bass", 4410)]
    assert call(addresses.STEM_DROP) == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told in /proc")
def test_stems_that_never_come_cost_no_memory() -> None:
    """Also in room that others have used before, which a heap would hand out again at once."""

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    store = StemStore()
    before = resident_bytes()
    for id in range(100):
        store.begin(id, "bass", SAMPLE_RATE, 2, 200_000, "s16le")
        store.data(id, "bass", 0, bytes(800_000))
    assert resident_bytes() - before > 80_000_000, "what did come is held"
    for id in range(100):
        store.drop(id, "bass")
    for id in range(400):
        store.begin(id, "bass", SAMPLE_RATE, 2, 200_000, "s16le")
    assert store.n_bytes > 400_000_000
    assert resident_bytes() - before < 50_000_000
