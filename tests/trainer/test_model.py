"""The encoders: EfficientNet against torchvision's published form, the small net, and how weights are refused."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch

from encoders.errors import BadRequest, NotFound
from encoders.windows import WINDOW
from trainer import model as models
from trainer.losses import contrastive
from trainer.model import EfficientNet, Pair, build, load_imagenet
from trainer.settings import Model

SMALL = Model(backbone="residual", weights="", width=8, dim=32, level="peak", floor=1e-6)


@pytest.mark.parametrize(
    ("name", "n_parameters", "n_last"),
    [("efficientnet_b0", 5_288_548, 1280), ("efficientnet_b4", 19_341_616, 1792)],
)
def test_efficientnet_has_torchvisions_parameters(name, n_parameters, n_last):
    net = EfficientNet(name)
    assert sum(weight.numel() for weight in net.parameters()) == n_parameters  # as torchvision documents
    state = net.state_dict()
    assert state["features.8.0.weight"].shape[0] == state["classifier.1.weight"].shape[1] == n_last
    for key in (
        "features.0.1.running_var",
        "features.1.0.block.1.fc1.bias",
        "features.2.0.block.2.fc2.weight",
        "features.7.0.block.3.1.num_batches_tracked",
    ):
        assert key in state
    assert not {"mean", "std"} & set(state)


def test_weights_load_strictly_from_a_file_with_the_right_digest(tmp_path, monkeypatch):
    torch.manual_seed(0)
    source, path = EfficientNet("efficientnet_b0"), tmp_path / "weights.pth"
    torch.save(source.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    monkeypatch.setitem(models.WEIGHTS_FILE, "efficientnet_b0", f"efficientnet_b0-{digest}.pth")
    pair = build(Model(backbone="efficientnet_b0", weights=str(path), dim=8))
    for body in pair.bodies:
        assert torch.equal(body.backbone.features[8][0].weight, source.features[8][0].weight)


def test_weights_of_another_digest_are_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(BadRequest, match="expected 7f5810bc"):
        load_imagenet(torch.nn.Identity(), "efficientnet_b0", str(tmp_path / "weights.pth"))
    with pytest.raises(NotFound, match="train from scratch"):
        load_imagenet(torch.nn.Identity(), "efficientnet_b0", str(tmp_path / "none.pth"))


def test_offline_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_args, **_kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(NotFound, match=r"give the file's path .* loss.invariance"):
        build(Model(backbone="efficientnet_b0"))


@pytest.mark.parametrize("n_encoders", [1, 2])
def test_one_encoder_or_two(n_encoders):
    pair = Pair(Model(**{**SMALL.__dict__, "n_encoders": n_encoders}))
    assert (pair.query.body is pair.key.body) == (n_encoders == 1)
    assert len({name.split(".")[1] for name in pair.state_dict()}) == n_encoders


@pytest.mark.parametrize("level", ["log", "peak"])
def test_silence_and_a_click_have_embeddings(level):
    audio = torch.zeros(2, WINDOW)
    audio[1, 100] = 1
    z = Pair(Model(**{**SMALL.__dict__, "level": level})).eval().query(audio)
    assert z.shape == (2, 32) and torch.isfinite(z).all() and (z.norm(dim=1) > 1e-3).all()


def test_an_untrained_model_starts_at_chance():
    """ln(189) at a batch of 190: the paper's row that did not learn reads 5.235."""
    torch.manual_seed(0)
    pair = Pair(Model(**{**SMALL.__dict__, "dim": 256}))
    power = torch.rand(2, 190, 128, 65, generator=torch.Generator().manual_seed(0)) ** 8
    with torch.inference_mode():
        query, key = pair(power[0], power[1])
    assert contrastive(query, key, 0.2).item() == pytest.approx(math.log(189), abs=0.05)
