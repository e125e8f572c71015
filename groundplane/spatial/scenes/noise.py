"""The error bars of a scene file: what an object's `sigma` or `covariance` says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.spatial.scenes.fields import Field, Rows, array, number, vectors

__all__ = ["NOISE_KEYS", "covariances", "isotropic", "noise_record"]

NOISE_KEYS = frozenset({"sigma", "covariance"})
# A covariance written with rounded numbers may be this far from symmetric, or from having no
# negative variance, as a share of its largest entry.
_ROUNDING = 1e-6


def isotropic(sigma: float, count: int) -> Float[Tensor, "n 6 6"]:
    """The covariance of boxes whose centres and sides are all off by `sigma` metres.

    Examples:
        >>> isotropic(0.5, 2)[1].diagonal()
        tensor([0.2500, 0.2500, 0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
        >>> isotropic(0.5, 0).shape
        torch.Size([0, 6, 6])
    """
    return (sigma**2 * torch.eye(6, dtype=torch.float64)).expand(count, 6, 6).clone()


def covariances(items: Sequence[Mapping[str, object]], at: Rows) -> Float[Tensor, "n 6 6"] | None:
    """The covariance that each object states; None where none of them states any.

    Raises:
        SceneError: If a value is malformed, or no covariance.
    """
    given = [i for i, item in enumerate(items) if NOISE_KEYS & item.keys()]
    if not given:
        return None
    table = np.zeros((len(items), 6, 6))
    for i in given:
        item, place = items[i], at(i)
        if item.keys() >= NOISE_KEYS:
            raise place["sigma"].error("either 'sigma' or 'covariance'", "both")
        if "sigma" in item:
            table[i] = np.diag(np.square(_sigmas(item["sigma"], place["sigma"])))
        else:
            table[i] = _covariance(item["covariance"], place["covariance"])
    return torch.from_numpy(table)


def noise_record(covariance: Float[Tensor, "6 6"]) -> dict[str, object]:
    """A covariance as an object of a scene file holds it: the shortest form that loses nothing.

    Examples:
        >>> noise_record(isotropic(0.5, 1)[0]), noise_record(isotropic(0.0, 1)[0])
        ({'sigma': 0.5}, {})
    """
    rows = covariance.tolist()
    if not any(map(any, rows)):
        return {}
    sigmas = [math.sqrt(rows[i][i]) for i in range(6)]
    if np.array_equal(np.diag(np.square(sigmas)), np.array(rows)):
        return {"sigma": sigmas[0] if len(set(sigmas)) == 1 else sigmas}
    return {"covariance": rows}


def _sigmas(value: object, at: Field) -> Float[np.ndarray, " 6"]:
    """One number for all six, or six: of the centre's x, y and z, and of the three sides."""
    sigmas: Float[np.ndarray, " 6"] = (
        vectors([value], lambda _: at, 6)[0]
        if isinstance(value, list | tuple)
        else np.full(6, number(value, at))
    )
    if (sigmas < 0).any():
        raise at.error("a number of at least 0, or six of them", value)
    return sigmas


def _covariance(value: object, at: Field) -> Float[np.ndarray, "6 6"]:
    rows = vectors(array(value, at, 6), lambda i: at[i], 6)
    least = _ROUNDING * np.abs(rows).max()
    if (np.abs(rows - rows.T) > least).any():
        raise at.error("a symmetric matrix", value)
    if np.linalg.eigvalsh(rows).min() < -least:
        raise at.error("a covariance, which has no negative variance in any direction", value)
    return rows
