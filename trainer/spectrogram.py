"""Audio to mel spectrogram inside the model, by matrix products alone, so that it exports and runs anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.audio import SAMPLE_RATE
from encoders.windows import WINDOW

N_FFT, HOP, N_MELS, F_MAX_HZ = 2048, 512, 128, 22_050
"""Section 5 of the paper: window, hop, bins, and the whole range of frequencies."""

N_FRAMES = WINDOW // HOP + 1
"""Columns of a window's spectrogram, 345: the first frame is centred on the first sample."""

_COLUMNS = 64
_ROWS = N_FFT // _COLUMNS
_HALF = _ROWS // 2 + 1


class PowerMel(nn.Module):
    """Power mel spectrogram: Hann window, Slaney's mel scale and norm, reflected edges, as nnAudio and librosa.

    The discrete Fourier transform of 2048 points is done in two stages (Cooley and Tukey, 2048 = 32 rows of 64):
    with n = 64 a + b and k = c + 32 d,

        X[c + 32 d] = sum over b of e^(-2 pi i b d / 64) * ( sum over a of x[64 a + b] e^(-2 pi i (a c / 32 + b c / 2048)) )

    The inner sum, window and twiddle included, is a strided convolution with 64 groups, because a hop is a whole
    number of rows; the outer one is a 128 × 128 matrix. c runs to 16 only: the audio is real, so the power of the
    other bins is that of their mirror images, and the mel matrix is laid out in this order. A ninth of the direct
    transform's products, and nothing but products: it runs on a GPU and in ONNX Runtime as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        inner, outer, mel = _tables()
        for name, table in (("inner", inner), ("outer", outer), ("mel", mel)):
            self.register_buffer(name, torch.from_numpy(table.astype(np.float32)), persistent=False)

    @torch.autocast("cpu", enabled=False)
    @torch.autocast("cuda", enabled=False)
    def forward(self, audio: Tensor) -> Tensor:
        """(B, T) float32, nominally -1..1 → (B, 128, T // 512 + 1) float32 power, at least 0."""
        return self._power(_with_edges(audio.float()))

    def _power(self, padded: Tensor) -> Tensor:
        """(B, 512 * F + 1536) float32, edges included → (B, 128, F) float32."""
        rows = padded.unflatten(1, (-1, _COLUMNS)).transpose(1, 2)  # (B, 64, rows)
        partial = F.conv1d(rows, self.inner, stride=HOP // _COLUMNS, groups=_COLUMNS)  # (B, 64 * 17 * 2, F)
        partial = partial.unflatten(1, (_COLUMNS, _HALF, 2)).transpose(1, 2).flatten(2, 3)  # (B, 17, 128, F)
        bins = self.outer @ partial  # (B, 17, 128, F): 64 real parts, then 64 imaginary ones
        power = bins[:, :, :_COLUMNS].square() + bins[:, :, _COLUMNS:].square()  # (B, 17, 64, F)
        return self.mel @ power.flatten(1, 2)  # (B, 128, F)


class HitMel(PowerMel):
    """`PowerMel` of padded one-shots: the same, without the work for the silence behind the longest of them."""

    @torch.autocast("cpu", enabled=False)
    @torch.autocast("cuda", enabled=False)
    def forward(self, audio: Tensor) -> Tensor:
        """As `PowerMel.forward`."""
        padded = _with_edges(audio.float())
        peaks = padded.abs().unflatten(1, (-1, HOP)).amax((0, 2))  # (F + 3,): a frame is 4 hops
        n_all = len(peaks) - N_FFT // HOP + 1
        place = torch.arange(1, len(peaks) + 1, device=audio.device)
        last = (place * (peaks > 0)).amax(0)  # frames beyond it begin behind the last sound
        n_heard = last.clamp(1, n_all).item()
        torch._check(n_heard >= 1)  # what the exporter cannot know
        torch._check(n_heard <= n_all)
        power = self._power(padded[:, : (n_heard - 1) * HOP + N_FFT])
        return F.pad(power, (0, n_all - n_heard))


def _with_edges(audio: Tensor) -> Tensor:
    """(B, T) → (B, 512 * F + 1536): reflected edges, so that the first frame is centred on the first sample."""
    n_frames = audio.shape[1] // HOP + 1
    tail = (n_frames - 1) * HOP + N_FFT // 2 - audio.shape[1]
    return F.pad(audio, (N_FFT // 2, tail), mode="reflect")


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three constant factors: (64 * 34, 1, 32), (128, 128) and (128, 17 * 64), float64."""
    a, b, c, d = (np.arange(n) for n in (_ROWS, _COLUMNS, _HALF, _COLUMNS))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    turn = np.multiply.outer(c, a)[None] / _ROWS + np.multiply.outer(b, c)[:, :, None] / N_FFT  # (64, 17, 32)
    inner = hann.reshape(_ROWS, _COLUMNS).T[:, None] * np.exp(-2j * np.pi * turn)
    inner = np.stack([inner.real, inner.imag], axis=2).reshape(-1, 1, _ROWS)
    wave = np.exp(-2j * np.pi * np.multiply.outer(d, b) / _COLUMNS)  # (64, 64)
    real = np.stack(
        [wave.real, -wave.imag], axis=2
    )  # (64, 64, 2): what each b's two parts give to the real part
    imaginary = np.stack([wave.imag, wave.real], axis=2)
    outer = np.concatenate([real, imaginary]).reshape(2 * _COLUMNS, -1)
    k = c[:, None] + _ROWS * d  # (17, 64)
    mirrored = np.minimum(k, N_FFT - k)  # the bin of the same power within 0..1024
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmax=F_MAX_HZ)  # (128, 1025)
    share = 1 / np.bincount(mirrored.ravel(), minlength=N_FFT // 2 + 1)  # rows 0 and 16 hold their bins twice
    mel = (filters * share)[:, mirrored.ravel()]
    return inner, outer, mel


def log_level(power: Tensor, floor: float) -> Tensor:
    """The log-mel scaled by its maximum (papers' reading: log(x + 1e-8)), moved so that the floor is 0.

    Images have values in 0..1, and the ImageNet statistics that follow expect them.

    Args:
        power: (B, 128, F) float32, at least 0.
        floor: power that stands for silence, above 0.

    Returns:
        (B, 128, F) float32, 0..1; all 0 for silence.
    """
    # The clamp keeps ONNX Runtime, which may round x + floor to 0, from giving the logarithm of 0.
    log = torch.log((power + floor).clamp_min(floor)) - math.log(floor)
    return log / log.amax((1, 2), keepdim=True).clamp_min(1e-3)


def peak_level(power: Tensor, floor: float) -> Tensor:
    """The log-mel of the spectrogram scaled to a peak of 1: the same at every gain.

    A folder of normalised one-shots and a bounce at any fader position then look like those of the training set.

    Args and returns: as `log_level`, with `floor` relative to the peak.
    """
    peak = power.amax((1, 2), keepdim=True).clamp_min(1e-9)
    return torch.log((power / peak + floor).clamp_min(floor)) / -math.log(floor) + 1


LEVELS: dict[str, Callable[[Tensor, float], Tensor]] = {"log": log_level, "peak": peak_level}
"""`model.level` of a preset."""
