"""Stems held for a press: read from files, or put together from buffers that come in pieces, in any order.

They are held under the request's id alone, whoever sent it: a UDP client may change its port between two packets.
So a client picks an id that no other will, and two that share one share their stems.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Collection

from encoders.audio import BOUNCE_MAX_S, MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE
from encoders.errors import BadRequest, NoSignal, NotFound, TooBig, TooLong
from encoders.tables import nearest
from plugin_bridge import addresses, replies
from plugin_bridge.addresses import Call, Id
from plugin_bridge.incoming import BYTES_PER_SAMPLE, Incoming, room_for
from plugin_bridge.osc import Message
from plugin_bridge.press import Stem, stamp_of

ADDRESSES = (
    addresses.STEM_FILE,
    addresses.STEM_BEGIN,
    addresses.STEM_DATA,
    addresses.STEM_END,
    addresses.STEM_DROP,
)
"""The requests that `answer` answers."""

MAX_HELD_BYTES = 512 << 20
"""Memory for all stems together: invented; eight stereo tracks of a minute take 185 MB while they arrive as float32
and 85 MB from then on. Files beyond it are read again at each press."""

STEM_BYTES = 4096
"""What a stem counts beside its audio, so that many tiny ones have their limit too."""

IDLE_S = 600.0
"""Stems of an id that was not heard of for so long are dropped (the contract's 10 minutes)."""

MAX_GAIN = 16.0
"""24 dB: invented."""


class StemStore:
    """Stems by id and name. Safe on many threads; requests under one id are to come one after another.

    Args:
        max_bytes: for all of them together.
        clock: seconds that only grow.

    Attributes:
        n_bytes: held now.
    """

    def __init__(self, max_bytes: int = MAX_HELD_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._clock = max_bytes, clock
        self._lock = threading.Lock()
        self._stems: dict[Id, dict[str, Incoming | Stem]] = {}
        self._heard_s: dict[Id, float] = {}
        self.n_bytes = 0

    def begin(self, id: Id, stem: str, sample_rate: int, n_channels: int, n_frames: int, format: str) -> None:
        """Makes room for a stem that comes in pieces, in place of one of that name.

        Raises:
            BadRequest: format, channels or rate out of range.
            NoSignal: no frames.
            TooLong: more than `BOUNCE_MAX_S`.
            TooBig: more bytes than are left.
        """
        if format not in BYTES_PER_SAMPLE:
            raise BadRequest(f"format {format[:32]!r}", expected=", ".join(BYTES_PER_SAMPLE))
        _check_range("n_channels", n_channels, 1, MAX_CHANNELS)
        _check_range("sample_rate", sample_rate, MIN_SAMPLE_RATE, MAX_SAMPLE_RATE)
        if n_frames < 1:
            raise NoSignal(f"stem {stem}", found=f"{n_frames} frames", expected="at least one")
        if n_frames > BOUNCE_MAX_S * sample_rate:
            raise TooLong(
                f"stem {stem}",
                found=f"{n_frames / sample_rate:.0f} s",
                expected=f"at most {BOUNCE_MAX_S:g} s",
                remedy="send a shorter part of it",
            )
        with self._lock:
            self._expire()
            self._check_room(id, stem, room_for(sample_rate, n_channels, n_frames, format))
            self._put(id, stem, Incoming.empty(sample_rate, n_channels, n_frames, format))

    def data(self, id: Id, stem: str, first_frame: int, samples: bytes) -> None:
        """Takes a piece of a stem that was begun.

        Raises:
            NotFound: it was not begun, or has ended or expired.
            BadRequest: frames that it does not have.
        """
        with self._lock:
            self._incoming(id, stem).put(first_frame, samples)

    def end(self, id: Id, stem: str, crc32: int) -> tuple[int, list[tuple[int, int]]]:
        """Says that the whole stem was sent. A whole one is converted here, once, and held from then on.

        Args:
            crc32: of all its bytes, signed 32-bit.

        Returns:
            Its frames as sent, and its gaps (first_frame, n_frames): held only where there are none.

        Raises:
            NotFound: it was not begun, or has ended or expired.
            BadRequest: another checksum; the stem stays as it is, to be sent again.
            NoSignal: NaN or infinity; the stem is dropped.
        """
        with self._lock:
            incoming = self._incoming(id, stem)
        n_frames = len(incoming.data)
        if gaps := incoming.gaps():
            return n_frames, gaps
        if (found := zlib.crc32(incoming.data)) != crc32 % (1 << 32):
            raise BadRequest(
                f"stem {stem}",
                found=f"bytes of crc32 {found - (found >> 31 << 32)}",
                expected=str(crc32),
                remedy="send its pieces again, then end again",
            )
        try:
            samples = incoming.samples(stem)
        except NoSignal:
            self.drop(id, stem)
            raise
        with self._lock:
            self._put(id, stem, Stem(samples=samples))
        return n_frames, []

    def file(self, id: Id, stem: str, path: str, gain: float = 1.0) -> int:
        """Holds a sound file as a stem, its samples times a gain: decoded while there is room, else by its path.

        Returns:
            Its frames at 44.1 kHz.

        Raises:
            What `read_audio` raises; TooBig: more stems than can be held.
        """
        if not 0 < gain <= MAX_GAIN:
            raise BadRequest("gain", found=f"{gain:g}", expected=f"above 0, up to {MAX_GAIN:g}")
        by_path = Stem(path, gain=gain, stamp=stamp_of(path))
        samples = by_path.read()
        with self._lock:
            self._expire()
            if samples.nbytes > self._room(id, stem):
                self._check_room(id, stem, 0)
                self._put(id, stem, by_path)
            else:
                self._put(id, stem, Stem(samples=samples))
        return len(samples)

    def drop(self, id: Id, stem: str) -> int:
        """Forgets a stem. Returns how many were there by that name: 0 or 1."""
        with self._lock:
            self._expire()
            return self._remove(id, stem)

    def take(self, id: Id, exclude: Collection[str] = ()) -> list[Stem]:
        """The stems held under an id, without those named in `exclude`. They stay there.

        Returns:
            In the order in which they came; at least one.

        Raises:
            NotFound: none held, or none of a name to be left out.
            BadRequest: one was begun and has not ended.
            NoSignal: all are left out.
        """
        with self._lock:
            self._expire()
            stems = dict(self._stems.get(id, {}))
            if stems:
                self._heard_s[id] = self._clock()
        if not stems:
            raise NotFound(f"id {id}", found="no stems", expected="at least one", remedy="send a stem first")
        for name in exclude:
            if name not in stems:
                raise NotFound(
                    f"exclude {name[:64]}", found="no such stem", expected=nearest(name[:64], stems)[:200]
                )
        wanted = [(name, stem) for name, stem in stems.items() if name not in exclude]
        if not wanted:
            raise NoSignal(f"id {id}", found="every stem left out", expected="at least one to hear")
        whole = []
        for name, stem in wanted:
            if isinstance(stem, Incoming):
                raise BadRequest(
                    f"stem {name}",
                    found="pieces only",
                    expected="a stem that has ended",
                    remedy="end or drop it",
                )
            whole.append(stem)
        return whole

    def left_out(self, id: Id, names: Collection[str]) -> list[Stem]:
        """The stems of these names, where they are whole: what `take` leaves out."""
        with self._lock:
            stems = self._stems.get(id, {})
            return [stem for name in names if isinstance(stem := stems.get(name), Stem)]

    def expire(self) -> int:
        """Drops what was idle for `IDLE_S`; requests do so too. Returns the bytes still held."""
        with self._lock:
            self._expire()
            return self.n_bytes

    # Under the lock, from here on.

    def _expire(self) -> None:
        now = self._clock()
        for id in [id for id, heard_s in self._heard_s.items() if now - heard_s >= IDLE_S]:
            for stem in tuple(self._stems[id]):
                self._remove(id, stem)

    def _incoming(self, id: Id, stem: str) -> Incoming:
        self._expire()
        found = self._stems.get(id, {}).get(stem)
        if not isinstance(found, Incoming):
            raise NotFound(
                f"stem {stem}",
                found="nothing begun" if found is None else "a stem that has ended",
                remedy=f"send {addresses.STEM_BEGIN} first",
            )
        self._heard_s[id] = self._clock()
        return found

    def _room(self, id: Id, stem: str) -> int:
        """Bytes left for a stem, in place of the one of that name."""
        old = self._stems.get(id, {}).get(stem)
        return self._max_bytes - self.n_bytes - STEM_BYTES + (0 if old is None else _n_bytes(old))

    def _check_room(self, id: Id, stem: str, n_bytes: int) -> None:
        """Raises TooBig."""
        if n_bytes > (room := self._room(id, stem)):
            raise TooBig(
                f"stem {stem}",
                found=f"{n_bytes} bytes",
                expected=f"at most {max(0, room)}, the rest of {self._max_bytes} for all stems together",
                remedy="drop stems that are pressed with no more, or give this one as a file",
            )

    def _put(self, id: Id, stem: str, value: Incoming | Stem) -> None:
        stems = self._stems.setdefault(id, {})
        if (old := stems.get(stem)) is not None:
            self.n_bytes -= _n_bytes(old)
        stems[stem] = value
        self.n_bytes += _n_bytes(value)
        self._heard_s[id] = self._clock()

    def _remove(self, id: Id, stem: str) -> int:
        stems = self._stems.get(id, {})
        if stem not in stems:
            return 0
        self.n_bytes -= _n_bytes(stems.pop(stem))
        if not stems:
            del self._stems[id], self._heard_s[id]
        return 1


def answer(store: StemStore, call: Call, reply: Callable[[Message], None]) -> int | None:
    """Answers a call of `ADDRESSES`; see `server.Handler`."""
    arguments = dict(call.arguments)
    match call.address:
        case addresses.STEM_FILE:
            (gain,) = call.options.get("gain", (1.0,))
            reply(replies.ready(call, arguments["stem"], store.file(call.id, **arguments, gain=float(gain))))
        case addresses.STEM_BEGIN:
            store.begin(call.id, **arguments)
            return 1
        case addresses.STEM_DATA:
            store.data(call.id, **arguments)
        case addresses.STEM_END:
            n_frames, gaps = store.end(call.id, **arguments)
            for gap in gaps:
                reply(replies.missing(call, arguments["stem"], *gap))
            if not gaps:
                reply(replies.ready(call, arguments["stem"], n_frames))
        case addresses.STEM_DROP:
            return store.drop(call.id, **arguments)
    return None


def _n_bytes(stem: Incoming | Stem) -> int:
    if isinstance(stem, Incoming):
        return STEM_BYTES + stem.n_bytes
    return STEM_BYTES + (0 if stem.samples is None else stem.samples.nbytes)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise BadRequest(name, found=str(value), expected=f"{low} to {high}")
