"""The loss of the paper, term by term (Lattner 2022, section 3). Pure functions of embeddings before normalisation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive(query: Tensor, key: Tensor, temperature: float, exclude: Tensor | None = None) -> Tensor:
    """Decoupled NT-Xent from queries to keys: the positive stands in no sum of negatives.

        mean over i of  -s(i, i) / tau + log(sum over l != i of exp(s(i, l) / tau)),  s the cosine

    Args:
        query: (B, D) float; row i fits row i of `key`.
        key: (B, D) float.
        temperature: tau.
        exclude: (B, B) bool; True where a key is no fair negative of a query (the same sample, say). None keeps
            all. The diagonal is left out anyway.

    Returns:
        () float. A query whose negatives are all excluded counts as 0.

    Source: equation 1 and the decoupling of Yeh 2021, one way as in the nearest published code of the same lab.
    """
    scores = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature  # (B, B)
    unfair = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    if exclude is not None:
        unfair = unfair | exclude
    lonely = unfair.all(1)
    negatives = scores.masked_fill(unfair & ~lonely[:, None], -torch.inf).logsumexp(1)  # (B,)
    return (negatives - scores.diagonal()).masked_fill(lonely, 0.0).mean()


def variance(z: Tensor) -> Tensor:
    """How far the standard deviations of the features fall short of 1: (B, D) → ().

    Source: equations 2 and 3, with VICReg's epsilon inside the root so that its slope stays finite at 0.
    """
    return F.relu(1 - (z.var(0) + 1e-8).sqrt()).mean()


def covariance(z: Tensor) -> Tensor:
    """Squared covariances of unlike features, summed and divided by D: (B, D) → ().

    Source: equations 4 and 5. The 1/(d - 1) of equation 5 is a slip for 1/(n - 1): VICReg, which it cites, divides
    by the batch.
    """
    centred = z - z.mean(0)
    table = centred.T @ centred / (len(z) - 1)  # (D, D)
    return (table.square().sum() - table.diagonal().square().sum()) / z.shape[1]


def norm_hinge(z: Tensor, c: float = 4.0) -> Tensor:
    """Mean excess of the embeddings' lengths over `c`: (B, D) → (). Source: equation 6."""
    return F.relu(z.norm(dim=1) - c).mean()
