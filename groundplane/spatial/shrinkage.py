"""Signs of differences that are known up to noise, where many differences are alike.

A scene holds things of a kind: six chairs are all but equally tall, and then an observed difference
is mostly noise. How the true differences are spread is learned from all that are observed, as a
mixture of normal distributions about 0 (adaptive shrinkage: Stephens, False discovery rates: a new
deal, Biostatistics 2017); the chance that a difference is positive follows from it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["LEAST_PAIRS", "positive_chance"]

# From fewer differences no spread is learned: each is taken by itself.
LEAST_PAIRS = 30
_ROUNDS = 60
_MOST_SCALES = 24
_LEARNED, _PART = 20_000, 65_536


def positive_chance(
    lead: Float[Tensor, " n"], variance: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The chance that each true difference is positive.

    Args:
        lead: Differences as observed.
        variance: Of each, positive.

    Examples:
        >>> alike = torch.tensor([0.1, -0.1] * 20)
        >>> round(float(positive_chance(alike, torch.full((40,), 0.01))[0]), 1)
        0.6
        >>> positive_chance(torch.zeros(0), torch.zeros(0)).shape
        torch.Size([0])
    """
    if len(lead) < LEAST_PAIRS:
        return _normal(lead / variance.sqrt())
    spread = _spreads(lead, variance)
    # Some thousands of pairs tell the spread; all of them get their chance from it, by parts.
    some = slice(None, None, -(-len(lead) // _LEARNED))
    weight = _weights(lead[some], variance[some], spread)
    parts = [slice(at, at + _PART) for at in range(0, len(lead), _PART)]
    return torch.cat([_chance(lead[part], variance[part], spread, weight) for part in parts])


def _normal(scores: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    found: Float[Tensor, "*shape"] = torch.special.ndtr(scores)
    return found


def _shares(
    lead: Float[Tensor, " n"], variance: Float[Tensor, " n"], spread: Float[Tensor, " k"],
    weight: Float[Tensor, " k"],
) -> Float[Tensor, "n k"]:  # fmt: skip
    """How probable it is that each difference comes from each part of the mixture."""
    total = variance[:, None] + spread
    log_density = -0.5 * (lead[:, None].square() / total + total.log()) + weight.log()
    return torch.softmax(log_density, dim=1)


def _weights(
    lead: Float[Tensor, " n"], variance: Float[Tensor, " n"], spread: Float[Tensor, " k"]
) -> Float[Tensor, " k"]:
    """The mixture under which the differences are most probable, by expectation maximisation."""
    weight = torch.full_like(spread, 1 / len(spread))
    for _ in range(_ROUNDS):
        weight = _shares(lead, variance, spread, weight).mean(dim=0).clamp(min=1e-12)
    return weight


def _chance(
    lead: Float[Tensor, " n"], variance: Float[Tensor, " n"], spread: Float[Tensor, " k"],
    weight: Float[Tensor, " k"],
) -> Float[Tensor, " n"]:  # fmt: skip
    share = _shares(lead, variance, spread, weight)
    kept = (spread / (variance[:, None] + spread)).sqrt()
    return (share * _normal(kept * (lead / variance.sqrt())[:, None])).sum(dim=1)


def _spreads(lead: Float[Tensor, " n"], variance: Float[Tensor, " n"]) -> Float[Tensor, " k"]:
    """Variances of the mixture: from a hundredth of the noise to far beyond what was observed."""
    low = (variance.amin() / 100).log()
    high = (4 * torch.maximum(lead.square().amax(), variance.amax())).log()
    steps = torch.linspace(0, 1, _MOST_SCALES, dtype=lead.dtype, device=lead.device)
    return torch.exp(low + (high - low) * steps)
