"""Sound files and buffers as mono float32 at 44.1 kHz, trusting what was read and never what a header claims."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from encoders.errors import NoSignal, NotFound, Refused, SamplefitError, TooLong, UnreadableAudio

FloatArray = NDArray[np.float32]

SAMPLE_RATE = 44_100
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 2_000, 768_000
MAX_CHANNELS = 256
BLOCK_VALUES = 1 << 18
"""Values (frames times channels) decoded at once: 1 MiB of float32, whatever a header claims."""

BOUNCE_MAX_S = 900.0
"""Longest bounce that a press takes, 15 minutes: invented; a press is about a passage, not about an album."""

EXTENSIONS = frozenset(
    [
        ".wav",
        ".wave",
        ".w64",
        ".caf",
        ".au",
        ".aif",
        ".aiff",
        ".aifc",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
    ]
)
"""File name endings that are decoded, lower case."""

ONE_SHOT_MAX_S = 30.0
"""Longest file that counts as a one-shot: invented; a long crash rings for 15 s, a loop or a song is no hit."""

KEY_S = 4.0
"""The part of a one-shot that its key is made from, in seconds (Lattner 2022, section 5)."""

SILENCE_DBFS = -60.0
"""Below this a sound counts as silence (the paper leaves it open; an invented figure)."""


LOUDEST = 1e6
"""Largest sample, 120 dB above full scale: invented; what is louder is a broken plug-in, and would overflow the sum of
its powers."""


@dataclass(frozen=True, eq=False)
class OneShot:
    """A single drum hit.

    Attributes:
        samples: (T,) float32, mono at `SAMPLE_RATE`, the first `KEY_S` seconds at most; read-only.
        duration_s: length of the whole file, as decoded.
    """

    samples: FloatArray
    duration_s: float


def read_audio(
    path: str | os.PathLike[str], *, max_s: float = BOUNCE_MAX_S, until_s: float | None = None
) -> FloatArray:
    """Decodes a sound file to mono at 44.1 kHz: wav, aiff, flac, ogg, mp3, any rate, any number of channels.

    Channels are averaged. Decoding goes block by block and counts what came out, so a header that lies costs
    nothing.

    Args:
        max_s: longest source that is taken, in seconds.
        until_s: stop here, in seconds from the start of the file; None reads to its end.

    Returns:
        (T,) float32, finite, nominally -1..1, read-only, T >= 1.

    Raises:
        NotFound: no such file.
        Refused: not a regular file (a folder, device or pipe).
        UnreadableAudio: no decoder understands it, or its rate or channel count is out of range.
        TooLong: more than `max_s` seconds came out of the decoder.
        NoSignal: no samples, or NaN or infinity among them.
    """
    return _read(path, max_s, until_s, to_mono)


def read_frames(
    path: str | os.PathLike[str], *, max_s: float = BOUNCE_MAX_S, until_s: float | None = None
) -> FloatArray:
    """The same with its channels, for ears; what has more than two becomes mono.

    Returns:
        (T, 1) or (T, 2) float32, finite, read-only, T >= 1; its mean over channels is what `read_audio` gives.

    Raises:
        What `read_audio` raises.
    """
    return _read(
        path, max_s, until_s, lambda block: block if block.shape[1] <= 2 else to_mono(block)[:, None]
    )


def _read(
    path: str | os.PathLike[str],
    max_s: float,
    until_s: float | None,
    keep: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """A whole file at 44.1 kHz, each (n, C) block of it as `keep` makes it."""
    name = str(path)
    with _decoder(path) as sound:
        rate = sound.samplerate
        kept = [keep(block) for block in _blocks(sound, name, max_s, until_s)]
    if not kept:
        raise NoSignal(name, found="no samples", expected="some sound")
    return prepare(np.concatenate(kept), rate, name)


def read_one_shot(path: str | os.PathLike[str]) -> OneShot:
    """Decodes a drum hit: its first `KEY_S` seconds, and its length.

    Raises:
        The errors of `read_audio`, with TooLong beyond `ONE_SHOT_MAX_S`; NoSignal also when the whole file stays
        below `SILENCE_DBFS` once its mean is taken off (silence, DC).
    """
    name = str(path)
    low, high, n_read = np.inf, -np.inf, 0
    kept: list[FloatArray] = []
    with _decoder(path) as sound:
        rate = sound.samplerate
        for block in _blocks(sound, name, ONE_SHOT_MAX_S):
            mono = to_mono(block)
            if n_read < KEY_S * rate:
                kept.append(mono[: round(KEY_S * rate) - n_read])
            n_read += len(mono)
            low, high = min(low, mono.min()), max(high, mono.max())
    if not n_read:
        raise NoSignal(name, found="no samples", expected="some sound")
    samples = prepare(np.concatenate(kept), rate, name)  # first: of NaN there is no range
    if (high - low) / 2 < 10 ** (SILENCE_DBFS / 20):
        raise NoSignal(name, found=f"nothing above {SILENCE_DBFS:g} dBFS", expected="an audible hit")
    return OneShot(samples[: round(KEY_S * SAMPLE_RATE)], n_read / rate)


def prepare(samples: FloatArray, sample_rate: int, name: str = "the buffer") -> FloatArray:
    """Brings samples to 44.1 kHz and refuses what is not a number.

    Args:
        samples: (T,) or (T, C) float32 at `sample_rate` Hz.
        name: what an error should call them.

    Returns:
        (T',) or (T', C) float32, read-only, T' = round(T * 44100 / sample_rate) to within one.

    Raises:
        NoSignal: NaN, infinity or more than `LOUDEST` among the samples.
    """
    if len(samples) and not max(samples.max(), -samples.min()) <= LOUDEST:  # NaN is not, either
        raise NoSignal(
            name,
            found="NaN, infinite or absurdly large samples",
            expected=f"finite audio, at most {LOUDEST:g} times full scale",
            remedy="bounce it again; a plug-in may have broken down",
        )
    if sample_rate != SAMPLE_RATE:
        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE, quality="HQ")
    samples = np.ascontiguousarray(samples, np.float32)
    samples.flags.writeable = False
    return samples


def to_mono(frames: FloatArray) -> FloatArray:
    """(T, C) float32 → (T,) float32: the mean of the channels."""
    return frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32)


def mix(stems: Iterable[FloatArray]) -> FloatArray:
    """The sum of mono stems: (T_i,) float32 → (max T_i,) float32, as `mix_frames`."""
    return mix_frames(stem[:, None] for stem in stems)[:, 0]


def mix_frames(stems: Iterable[FloatArray]) -> FloatArray:
    """The sum of stems that begin together; shorter ones end in silence.

    Args:
        stems: each (T_i, C_i) float32 at one rate, C_i 1 or one number; at least one. They are asked for one after
            another, so that those read on the way need not be in memory together.

    Returns:
        (max T_i, max C_i) float32; of a single stem, itself. Not normalised: the encoders see levels as the mixer does.
    """
    rest = iter(stems)
    total, is_ours = next(rest), False
    for stem in rest:
        shape = max(len(total), len(stem)), max(total.shape[1], stem.shape[1])
        if not is_ours or total.shape != shape:
            grown = np.zeros(shape, np.float32)
            grown[: len(total)] = total
            total, is_ours = grown, True
        total[: len(stem)] += stem
    return total


class _Decoder(soundfile.SoundFile):
    """A decoder that only reads on: soundfile otherwise seeks after each block, which fails where a header lies."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _decoder(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """The opened decoder of a regular file; decoding errors inside the block become `UnreadableAudio`."""
    name = str(path)
    try:
        with _open_regular(path) as file, _Decoder(file) as sound:
            if not MIN_SAMPLE_RATE <= sound.samplerate <= MAX_SAMPLE_RATE:
                raise UnreadableAudio(
                    name,
                    found=f"{sound.samplerate} Hz",
                    expected=f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz",
                )
            if not 1 <= sound.channels <= MAX_CHANNELS:
                raise UnreadableAudio(
                    name, found=f"{sound.channels} channels", expected=f"1 to {MAX_CHANNELS}"
                )
            yield sound
    except soundfile.SoundFileError as error:
        raise UnreadableAudio(
            name,
            found=str(error).rpartition(": ")[2] or "no audio",
            expected="wav, aiff, flac, ogg or mp3",
            remedy="open it in an editor and export it anew",
        ) from None


def _open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file for reading; never opens a device and never blocks on a pipe."""
    name = str(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _irregular(name)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise NotFound(name, found="no such file", remedy="check the path") from None
    except (OSError, ValueError) as error:
        raise _unopened(name, error) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # swapped between the look and the opening
        os.close(handle)
        raise _irregular(name)
    return os.fdopen(handle, "rb")


def _irregular(name: str) -> Refused:
    kind = "a folder" if Path(name).is_dir() else "not a regular file"
    return Refused(name, found=kind, expected="an audio file", remedy="give the path of a sound file")


def _unopened(name: str, error: OSError | ValueError) -> SamplefitError:
    if isinstance(error, ValueError) or error.errno in _NO_SUCH_NAME:
        return NotFound(name[:200], found=str(error).partition(":")[0], remedy="check the path")
    return UnreadableAudio(name, found=error.strerror or str(error), remedy="check its permissions")


_NO_SUCH_NAME = frozenset({errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})


def _blocks(
    sound: soundfile.SoundFile, name: str, max_s: float, until_s: float | None = None
) -> Iterator[FloatArray]:
    """(n, C) float32 blocks until `until_s` or until the decoder gives no more.

    Raises:
        TooLong: more than `max_s` seconds came out.
    """
    rate = sound.samplerate
    n_left = sys.maxsize if until_s is None else round(until_s * rate)
    n_allowed = max_s * rate
    while len(
        block := sound.read(min(n_left, max(1, BLOCK_VALUES // sound.channels)), "float32", always_2d=True)
    ):
        n_left -= len(block)
        n_allowed -= len(block)
        if n_allowed < 0:
            raise TooLong(
                name,
                found=f"more than {max_s:g} s",
                expected=f"at most {max_s:g} s",
                remedy="give a shorter part of it",
            )
        yield block
