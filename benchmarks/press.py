"""A press against 63,000 keys: ours over UDP, from the request to the last hit, against the authors' way.

The authors' way, in one process of its own: torch eager, the spectrogram as a convolution with Fourier kernels (as
nnAudio has it), and numpy over every key. Same weights, same bounce, same keys, in turn. Twice: with the starter,
and with an EfficientNet-B4 pair of random weights, which answers nothing sensible and takes the paper's time.

Run: python benchmarks/press.py [--n-keys 63000] [--rounds 20]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

import librosa
import numpy as np
import safetensors.torch
import soundfile
import torch
from daemon import serving, udp
from filled import fill
from measure import machine, resident_mb, spread, write
from torch import nn
from torch.nn import functional as F

from encoders.audio import SAMPLE_RATE, mix, read_audio
from encoders.drum_types import SIX
from encoders.package import STARTER, read_card
from encoders.windows import WINDOW, WINDOW_S, cut
from index.catalogue import read_only
from plugin_bridge.demo_sounds import write_stems
from plugin_bridge.osc import Message
from trainer.export import Unit, to_onnx
from trainer.model import Body, Pair
from trainer.settings import Model, load
from trainer.spectrogram import F_MAX_HZ, HOP, N_FFT, N_MELS

BOUNCE_S = 16.0


class ConvolutionMel(nn.Module):
    """The spectrogram as nnAudio computes it: a convolution with 2 × 1025 windowed Fourier kernels."""

    def __init__(self) -> None:
        super().__init__()
        n, k = np.arange(N_FFT), np.arange(N_FFT // 2 + 1)
        wave = np.exp(-2j * np.pi * np.outer(k, n) / N_FFT) * (0.5 - 0.5 * np.cos(2 * np.pi * n / N_FFT))
        self.kernels = torch.from_numpy(np.concatenate([wave.real, wave.imag]).astype(np.float32))[:, None]
        mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmax=F_MAX_HZ)
        self.mel = torch.from_numpy(mel.astype(np.float32))

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """(B, T) → (B, 128, T // 512 + 1)."""
        padded = F.pad(audio, (N_FFT // 2, N_FFT // 2), mode="reflect")
        real, imaginary = F.conv1d(padded[:, None], self.kernels, stride=HOP).chunk(2, 1)
        return self.mel @ (real.square() + imaginary.square())


class AuthorsWay:
    """The query encoder eagerly, and every key in one matrix."""

    def __init__(self, body: Body, state: Path) -> None:
        self.mel, self.body = ConvolutionMel(), body.eval()
        with read_only(state) as db:
            rows = db.execute("SELECT type, vector FROM files JOIN vectors USING (content)").fetchall()
        self.types = np.array([drum_type for drum_type, _ in rows])
        self.keys = np.frombuffer(b"".join(vector for _, vector in rows), "<f4").reshape(len(rows), -1)

    def query(self, windows: np.ndarray) -> np.ndarray:
        """(W, 176400) → (D,)."""
        with torch.inference_mode():
            mean = F.normalize(self.body(self.mel(torch.from_numpy(windows))), dim=1).mean(0)
        return F.normalize(mean, dim=0).numpy()

    def press(self, path: Path, k: int = 10) -> dict[str, np.ndarray]:
        scores = self.keys @ self.query(cut(read_audio(path)))
        best = {}
        for drum_type in SIX:
            rows = np.flatnonzero(self.types == drum_type)
            best[drum_type] = rows[np.argsort(-scores[rows])[:k]]
        return best


def b4_package(folder: Path) -> tuple[Path, Body]:
    """An EfficientNet-B4 pair of random weights, exported as any model."""
    torch.manual_seed(0)
    pair = Pair(Model(backbone="efficientnet_b4", weights=""))
    folder.mkdir(parents=True)
    for name, encoder in (("query", pair.query), ("key", pair.key)):
        (folder / f"{name}.onnx").write_bytes(to_onnx(Unit(encoder.eval())))
    digests = {
        f"{name}.onnx": hashlib.sha256((folder / f"{name}.onnx").read_bytes()).hexdigest()
        for name in ("query", "key")
    }
    card = {"format": 1, "name": "b4-random", "sample_rate": SAMPLE_RATE, "window_s": WINDOW_S, "dim": 256}
    card |= {"sha256": digests, "training": {"preset": "none: random weights"}, "licence": "CC0-1.0"}
    (folder / "model.json").write_text(json.dumps(card))
    return folder, pair.bodies[0]


def starter() -> tuple[Path, Body]:
    """The starter and its query encoder in torch."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as preset:
        preset.write(read_card(STARTER).training["settings"])
        preset.flush()
        pair = Pair(load(preset.name).model)
    weights = safetensors.torch.load_file(STARTER / "weights.safetensors")
    pair.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in weights.items()},
        strict=False,
    )
    return STARTER, pair.bodies[0]


def contest(name: str, package: Path, body: Body, folder: Path, n_keys: int, rounds: int) -> dict:
    """Both ways in turn; and what the daemon costs in memory and in time to its ready line."""
    card, state = read_card(package), folder / name
    fill(state, folder / "samples" / name, n_keys, card.digest, card.dim)
    bounce = write_bounce(folder)
    with serving(state, "--model", package) as daemon:
        daemon.ask("/samplefit/sync")  # makes the cache that a second start finds
    began = time.perf_counter()
    with serving(state, "--model", package) as daemon:
        ready_s = time.perf_counter() - began
        theirs = AuthorsWay(body, state)
        request = Message("/samplefit/suggest/file", (1, str(bounce), "preset", "plain"))
        times: dict[str, list[float]] = {"ours": [], "authors": []}
        for turn in range(rounds + 2):
            for way, press in (
                ("ours", lambda: udp(daemon, request)),
                ("authors", lambda: theirs.press(bounce)),
            ):
                began = time.perf_counter()
                answer = press()
                if turn >= 2:
                    times[way].append(1000 * (time.perf_counter() - began))
                if way == "ours":
                    assert len(answer) == 61, answer[-1]
        ratios = [b / a for a, b in zip(times["ours"], times["authors"], strict=True)]
        return {
            "model": card.name,
            "n_windows": len(cut(read_audio(bounce))),
            "ours_ms": spread(times["ours"]),
            "authors_ms": spread(times["authors"]),
            "authors_to_ours": spread(ratios),
            "daemon_resident_mb": resident_mb(daemon.process.pid),
            "daemon_ready_s": round(ready_s, 2),
        }


def write_bounce(folder: Path) -> Path:
    """16 s of the demo's stems, as one file."""
    path = folder / "bounce.wav"
    stems = [read_audio(stem) for stem in write_stems(folder / "stems")]
    whole = np.tile(mix(stems), 2)[: round(BOUNCE_S * SAMPLE_RATE)]
    assert len(whole) == 4 * WINDOW
    soundfile.write(path, whole, SAMPLE_RATE)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-keys", type=int, default=63_000)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    about = machine()
    torch.set_num_threads(about["n_cores"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            contest("starter", *starter(), folder, given.n_keys, given.rounds),
            contest("b4", *b4_package(folder / "package"), folder, given.n_keys, given.rounds),
        ]
    write(
        "press", {"n_keys": given.n_keys, "bounce_s": BOUNCE_S, "rounds": given.rounds, "rows": rows}, about
    )


if __name__ == "__main__":
    main()
