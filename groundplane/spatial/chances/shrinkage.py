"""Differences that are known up to noise, where many differences are alike.

A scene holds things of a kind: six chairs are all but equally tall, and then an observed difference
is mostly noise. How the true differences are spread is learned from all that are observed, as a
mixture of normal distributions about 0 (adaptive shrinkage: Stephens, False discovery rates: a new
deal, Biostatistics 2017); the chance that a difference lies within bounds follows from it.

Differences may have several coordinates, such as the three sides of two boxes. They share the
spread of the mixture: two chairs of a set are alike in all three, so the sides that stand out of
the noise tell of those that do not.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["LEAST_PAIRS", "positive_chance", "window_chance"]

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
    column = lead[:, None]
    bounds = torch.zeros_like(column), torch.full_like(column, torch.inf)
    return window_chance(column, variance[:, None], bounds)


def window_chance(
    lead: Float[Tensor, "n k"], variance: Float[Tensor, "n k"],
    bounds: tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]], *, least_spread: float | None = None,
    prior: float = 0.0, fewest: int = LEAST_PAIRS,
) -> Float[Tensor, " n"]:  # fmt: skip
    """The chance that each true difference lies within its bounds, in all coordinates.

    Args:
        lead: Differences as observed.
        variance: Of each coordinate, positive; errors of coordinates are taken as independent.
        bounds: The lower and the upper ends; they may be infinite.
        least_spread: Standard deviation of the narrowest part of the mixture; a tenth of the
            least noise if None.
        prior: As how many differences, spread evenly over the mixture, it starts.
        fewest: From fewer differences no spread is learned.

    Examples:
        >>> lead, noise = torch.full((40, 1), 0.1), torch.full((40, 1), 0.01)
        >>> bounds = torch.full((40, 1), -0.1), torch.full((40, 1), 0.1)
        >>> alone = window_chance(lead[:1], noise[:1], (bounds[0][:1], bounds[1][:1]))
        >>> round(float(alone), 2)
        0.48
        >>> bool(window_chance(lead, noise, bounds)[0] > alone)
        True
        >>> none = lead[:0]
        >>> window_chance(none, none, (none, none)).shape
        torch.Size([0])
    """
    low, high = bounds
    if len(lead) < fewest or not len(lead):
        return _between(lead, variance.sqrt(), low, high)
    spread = _spreads(lead, variance, least_spread)
    # Some thousands of pairs tell the spread; all of them get their chance from it, by parts.
    some = slice(None, None, -(-len(lead) // _LEARNED))
    weight = _weights(lead[some], variance[some], spread, prior)
    parts = [slice(at, at + _PART) for at in range(0, len(lead), _PART)]
    return torch.cat(
        [_chance(lead[p], variance[p], (low[p], high[p]), spread, weight) for p in parts]
    )


def _between(
    middle: Float[Tensor, "n k *s"], sigma: Float[Tensor, "n k *s"],
    low: Float[Tensor, "n k *#s"], high: Float[Tensor, "n k *#s"],
) -> Float[Tensor, "n *s"]:  # fmt: skip
    """The chance of independent normal variables to lie between their bounds, all of them."""
    above, below = torch.special.ndtr((high - middle) / sigma), torch.special.ndtr(
        (low - middle) / sigma
    )  # fmt: skip
    found: Float[Tensor, "n *s"] = (above - below).prod(dim=1)
    return found


def _shares(
    lead: Float[Tensor, "n k"], variance: Float[Tensor, "n k"], spread: Float[Tensor, " s"],
    weight: Float[Tensor, " s"],
) -> Float[Tensor, "n s"]:  # fmt: skip
    """How probable it is that each difference comes from each part of the mixture."""
    total = variance[:, :, None] + spread
    log_density = -0.5 * (lead[:, :, None].square() / total + total.log()).sum(dim=1)
    return torch.softmax(log_density + weight.log(), dim=1)


def _weights(
    lead: Float[Tensor, "n k"], variance: Float[Tensor, "n k"], spread: Float[Tensor, " s"],
    prior: float,
) -> Float[Tensor, " s"]:  # fmt: skip
    """The mixture under which the differences are most probable, by expectation maximisation."""
    weight = torch.full_like(spread, 1 / len(spread))
    for _ in range(_ROUNDS):
        total = _shares(lead, variance, spread, weight).sum(dim=0) + prior / len(spread)
        weight = (total / (len(lead) + prior)).clamp(min=1e-12)
    return weight


def _chance(
    lead: Float[Tensor, "n k"], variance: Float[Tensor, "n k"],
    bounds: tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]], spread: Float[Tensor, " s"],
    weight: Float[Tensor, " s"],
) -> Float[Tensor, " n"]:  # fmt: skip
    share = _shares(lead, variance, spread, weight)
    kept = spread / (variance[:, :, None] + spread)
    low, high = (bound[:, :, None] for bound in bounds)
    sigma = (kept * variance[:, :, None]).sqrt()
    return (share * _between(kept * lead[:, :, None], sigma, low, high)).sum(dim=1)


def _spreads(
    lead: Float[Tensor, "n k"], variance: Float[Tensor, "n k"], least: float | None
) -> Float[Tensor, " s"]:
    """Variances of the mixture: from far below the noise to far beyond what was observed."""
    low = variance.amin() / 100 if least is None else variance.new_tensor(least**2)
    high = 4 * torch.maximum(torch.maximum(lead.square().amax(), variance.amax()), low)
    steps = torch.linspace(0, 1, _MOST_SCALES, dtype=lead.dtype, device=lead.device)
    return torch.exp(low.log() + (high.log() - low.log()) * steps)
