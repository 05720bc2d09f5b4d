"""EfficientNet against another's implementation: efficientnet_pytorch, where it is installed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.model import EfficientNet

oracle = pytest.importorskip("efficientnet_pytorch", reason="the oracle is not installed")

SIZE = (129, 161)
"""Odd at every halving (129, 65, 33, 17, 9, 5): there TensorFlow's padding, which the oracle has, is torchvision's."""


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b4"])
def test_the_outputs_are_those_of_efficientnet_pytorch(name):
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(4, 1, *SIZE, generator=rng) * torch.rand(4, 1, 1, SIZE[1], generator=rng)
    ours = _as_if_trained(EfficientNet(name), image, rng)
    theirs = oracle.EfficientNet.from_name(name.replace("_", "-"), image_size=SIZE).eval()
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = 1e-5  # torchvision's for B0 to B4
    names, state = list(theirs.state_dict()), ours.state_dict()
    theirs.load_state_dict(dict(zip(names, state.values(), strict=True)))  # both in the order of the layers
    with torch.inference_mode():
        found, expected = ours(image), theirs((image - ours.mean) / ours.std)
    assert expected.std(0).mean() > 0.03  # the picture counts, not the biases alone
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def _as_if_trained(net: EfficientNet, image: torch.Tensor, rng: torch.Generator) -> EfficientNet:
    """Batch norms with scales and shifts of their own and the statistics of what passes: none is as it was made."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = 1.0
        layer.weight.data.uniform_(0.5, 1.5, generator=rng)
        layer.bias.data.uniform_(-0.2, 0.2, generator=rng)
    with torch.no_grad():
        net.train()(image)
    return net.eval()
