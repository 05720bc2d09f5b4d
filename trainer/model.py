"""The encoders: EfficientNet as the paper has it, and a small residual net, each from audio to an embedding."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.artefacts import sha256_of
from encoders.errors import BadRequest, NotFound
from trainer.settings import Model
from trainer.spectrogram import LEVELS, HitMel, PowerMel

# Expansion, kernel, stride, channels in, channels out, blocks (Tan and Le 2019, table 1).
STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
SCALES = {"efficientnet_b0": (1.0, 1.0), "efficientnet_b4": (1.4, 1.8)}
"""Width and depth against B0's."""

WEIGHTS_URL = "https://download.pytorch.org/models/"
WEIGHTS_FILE = {
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
    "efficientnet_b4": "efficientnet_b4_rwightman-23ab8bcd.pth",
}
"""torchvision's published ImageNet weights; each name ends in the first digits of the file's SHA-256."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EfficientNet(nn.Module):
    """EfficientNet with torchvision's parameter names, from a spectrogram to the 1000 outputs of ImageNet.

    Dropout and stochastic depth belong to the ImageNet training; the paper names neither, so there is none here.
    """

    n_out = 1000

    def __init__(self, name: str) -> None:
        super().__init__()
        width, depth = SCALES[name]
        layers: list[nn.Module] = [_unit(3, _round8(32 * width), 3, stride=2)]
        for expansion, kernel, stride, n_in, n_out, n_blocks in STAGES:
            n_in, n_out = _round8(n_in * width), _round8(n_out * width)
            blocks = [
                _Inverted(n_in if not i else n_out, n_out, expansion, kernel, stride if not i else 1)
                for i in range(math.ceil(n_blocks * depth))
            ]
            layers.append(nn.Sequential(*blocks))
        layers.append(_unit(n_out, 4 * n_out, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(4 * n_out, 1000))
        for name, statistic in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(statistic).view(1, 3, 1, 1), persistent=False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, 128, F), 0..1 → (B, 1000): the same picture in each of the three colours."""
        features = self.features((image - self.mean) / self.std)  # (B, C, 4, F / 32)
        return self.classifier(features.mean((2, 3)))


class _Inverted(nn.Module):
    """Inverted residual: expand, depthwise, squeeze and excite, project (torchvision's MBConv)."""

    def __init__(self, n_in: int, n_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        n_mid = n_in * expansion
        self.block = nn.Sequential(
            *([_unit(n_in, n_mid, 1)] if expansion > 1 else []),
            _unit(n_mid, n_mid, kernel, stride=stride, groups=n_mid),
            _Excite(n_mid, max(1, n_in // 4)),
            _unit(n_mid, n_out, 1, active=False),
        )
        self.residual = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.residual else self.block(x)


class _Excite(nn.Module):
    """Each channel scaled by what all channels' means say (squeeze and excitation)."""

    def __init__(self, n_channels: int, n_squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(n_channels, n_squeezed, 1)
        self.fc2 = nn.Conv2d(n_squeezed, n_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True))))) * x


def _unit(
    n_in: int, n_out: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), *([nn.SiLU()] if active else []))


def _round8(n_channels: float) -> int:
    """The nearest multiple of 8, never more than a tenth below."""
    rounded = max(8, int(n_channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * n_channels else rounded


class Residual(nn.Module):
    """A small residual net for a CPU: a strided stem, four blocks that each halve the picture.

    The time axis is summed up by mean and maximum; the four bands of frequency stay apart, since where a sound
    stands in the spectrum is half of what fits.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, (2, 4), 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )  # (B, width, 64, 87)
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        self.blocks = nn.Sequential(*(_Block(n_in, n_out) for n_in, n_out in pairwise(widths)))
        self.n_out = 2 * 4 * widths[-1]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 1, 128, F), 0..1 → (B, 64 * width)."""
        features = self.blocks(self.stem(image))  # (B, 8 * width, 4, 6)
        return torch.cat([features.mean(3), features.amax(3)], 1).flatten(1)


class _Block(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut; both halve the picture."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(n_in, n_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Body(nn.Module):
    """From a power mel spectrogram to an embedding; what the mel pipeline trains."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.level, self.floor = LEVELS[model.level], model.floor
        self.backbone = (
            Residual(model.width) if model.backbone == "residual" else EfficientNet(model.backbone)
        )
        self.head = nn.Linear(self.backbone.n_out, model.dim)

    def forward(self, power: Tensor) -> Tensor:
        """(B, 128, F) float32 power → (B, D), not normalised."""
        return self.head(self.backbone(self.level(power, self.floor)[:, None]))


class Members(nn.Module):
    """Bodies side by side: the cosine of two embeddings is the mean of their members' cosines."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        one = replace(model, dim=model.dim // model.members, members=1)
        self.members = nn.ModuleList(Body(one) for _ in range(model.members))

    def forward(self, power: Tensor) -> Tensor:
        """(B, 128, F) float32 power → (B, D), each member's D / M floats of unit length."""
        return torch.cat([F.normalize(member(power), dim=1) for member in self.members], 1)


class Encoder(nn.Module):
    """From audio to an embedding: what is evaluated and exported, and what the waveform pipeline trains."""

    def __init__(self, body: Body | Members, mel: PowerMel | None = None) -> None:
        super().__init__()
        self.mel, self.body = mel or PowerMel(), body

    def forward(self, audio: Tensor) -> Tensor:
        """(B, 176400) float32 → (B, D), not normalised."""
        return self.body(self.mel(audio))


class Pair(nn.Module):
    """The bodies of both encoders, or the one that serves as both ("- 2Enc" of Table 1).

    Attributes:
        bodies: one or two; the first encodes queries, the last one keys.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        body = Body if model.members == 1 else Members
        self.bodies = nn.ModuleList(body(model) for _ in range(model.n_encoders))

    @property
    def query(self) -> Encoder:
        """The query encoder, on the parameters of this pair."""
        return Encoder(self.bodies[0])

    @property
    def key(self) -> Encoder:
        """The key encoder, on the parameters of this pair."""
        return Encoder(self.bodies[-1], HitMel())

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Power mels of queries and of keys, each (B, 128, F) → embeddings, each (B, D), not normalised."""
        return self.bodies[0](query), self.bodies[-1](key)


def build(model: Model) -> Pair:
    """The untrained pair of a preset, its backbones pre-trained where the preset says so.

    Raises:
        NotFound: the ImageNet weights cannot be fetched or read.
        BadRequest: they are not the published file, or do not fit the backbone.
    """
    pair = Pair(model)
    if model.weights and model.backbone != "residual":
        for body in pair.bodies:
            for member in body.members if isinstance(body, Members) else [body]:
                load_imagenet(member.backbone, model.backbone, model.weights)
    return pair


def load_imagenet(backbone: nn.Module, name: str, weights: str = "imagenet") -> None:
    """Loads torchvision's published weights strictly: every tensor, and no other.

    Args:
        weights: "imagenet" fetches the file once into torch's cache, anything else is its path.

    Raises: as `build`.
    """
    path = Path(weights) if weights != "imagenet" else _fetch(name)
    digest = WEIGHTS_FILE[name].rpartition("-")[2].removesuffix(".pth")
    try:
        found = sha256_of(path)
    except OSError as error:
        raise NotFound(
            str(path), found=error.strerror or str(error), expected=WEIGHTS_FILE[name], remedy=_OFFLINE
        ) from None
    if not found.startswith(digest):
        raise BadRequest(
            str(path), found=f"sha256 {found[:8]}…", expected=f"{digest}…", remedy="fetch it again"
        )
    backbone.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)


_OFFLINE = 'give the file\'s path as model.weights, or train from scratch with weights = "" and loss.invariance = 1.0'


def _fetch(name: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE[name]
    if not path.exists():
        url = WEIGHTS_URL + WEIGHTS_FILE[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=True)
        except (OSError, RuntimeError) as error:
            raise NotFound(url, found=str(error), expected="the ImageNet weights", remedy=_OFFLINE) from None
    return path
