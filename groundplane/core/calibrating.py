"""Experimental: a linear map from one encoder's tokens to what a language model reads, by ridge.

A mixture of features needs trained adapters. Without them a map can be fitted, in closed form and
from pictures without labels, from the second encoder's tokens to the tokens that the language
model already gets of the first one. What the second encoder sees beyond the first is lost where
it is not linear in its features; whether anything is gained must be measured, model by model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError, ShapeError

__all__ = ["Calibration", "LinearMap", "TokenSums", "calibrate", "explained", "fit_ridge"]

# Penalties that are tried, as multiples of the mean variance of a feature times the tokens.
_PENALTIES = tuple(10.0**power for power in range(-8, 3))
# A variance of less than this part of the mean square is what float64 leaves of none.
_NOTHING = 1e-24
# Of five pictures in a row three are fitted, one chooses the penalty, one measures.
_CYCLE = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearMap:
    """`y = W x + b`.

    Attributes:
        weight: W, float64.
        bias: b.
    """

    weight: Float[Tensor, "e d"]
    bias: Float[Tensor, " e"]

    def module(self) -> nn.Linear:
        """The same as a layer in float32, which is not trained."""
        out, width = self.weight.shape
        layer = nn.Linear(width, out, device=self.weight.device)
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)
        return layer.requires_grad_(False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """A fitted map and how good it is.

    Attributes:
        map: From the source's tokens to the target's.
        penalty: The penalty that was taken; see `fit_ridge`.
        explained: R^2 of the tokens that took no part in fitting or choosing: the share of the
            target's variance that the map explains, at most 1; it can be below 0.
        num_tokens: How many tokens were fitted.
    """

    map: LinearMap
    penalty: float
    explained: float
    num_tokens: int


class TokenSums:
    """What a least-squares fit needs of any number of tokens: counts, means and products.

    Tokens are added batch by batch and not kept; sums are in float64, about the mean of the first
    batch, so that large means take no digits from small variances.

    Args:
        width: Numbers a token of the source.
        target: Numbers a token of the target.
        device: Where the sums are.

    Raises:
        ShapeError: If a width is below 1.
    """

    def __init__(self, width: int, target: int, *, device: str | torch.device = "cpu") -> None:
        if min(width, target) < 1:
            raise ShapeError(f"token sums: expected widths of 1 or more, got {width} and {target}")
        self.count = 0
        self.width, self.target = width, target

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self._middle: Tensor | None = None
        self._sum = zeros(width + target)
        self._products = zeros(width, width + target)
        self._squares = zeros(target)

    def add(self, source: Float[Tensor, "k d"], target: Float[Tensor, "k e"]) -> None:
        """Add tokens of both sides, row by row the same cell.

        Raises:
            ShapeError: If the rows are not as many, or of another width.
            InputError: If a number is not finite; nothing is added then.
        """
        if source.shape != (len(target), self.width) or target.shape[1] != self.target:
            raise ShapeError(
                f"token sums: expected rows of {self.width} and of {self.target} numbers, as many "
                f"of each, got {tuple(source.shape)} and {tuple(target.shape)}"
            )
        if not len(source):
            return
        rows = torch.cat([source.detach().double(), target.detach().double()], dim=1)
        rows = rows.to(self._sum.device)
        if not bool(rows.isfinite().all()):
            raise InputError(
                "token sums: a token holds NaN or an infinite number. Try: float32 features"
            )
        if self._middle is None:
            self._middle = rows.mean(0)
        rows = rows - self._middle
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._products += rows[:, : self.width].T @ rows
        self._squares += rows[:, self.width :].square().sum(0)

    def about(
        self, center: Float[Tensor, " w"]
    ) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d e"], Float[Tensor, ""]]:
        """Sums of products about a point: x x^T, x y^T and |y|^2."""
        off = self._about() - center.to(self._sum.device)
        x = slice(None, self.width)
        # sum (r + o)(r + o)^T = sum r r^T + s o^T + o s^T + n o o^T.
        moved = (
            self._products
            + torch.outer(self._sum[x], off)
            + torch.outer(off[x], self._sum)
            + self.count * torch.outer(off[x], off)
        )
        y = slice(self.width, None)
        squares = self._squares + 2 * off[y] * self._sum[y] + self.count * off[y].square()
        return moved[:, x], moved[:, y], squares.sum()

    def mean(self) -> Float[Tensor, " w"]:
        """The mean of source and target, one after the other."""
        return self._about() + self._sum / max(self.count, 1)

    def _about(self) -> Tensor:
        return torch.zeros_like(self._sum) if self._middle is None else self._middle


def fit_ridge(
    sums: TokenSums, held_out: TokenSums | None = None, *, penalties: Sequence[float] = _PENALTIES
) -> tuple[LinearMap, float]:
    """The map of least squared error plus a penalty on its size; the bias is free.

    Args:
        sums: Of the tokens to fit.
        held_out: Of others, best of other pictures: the penalty that is best on them is taken.
            None: by generalised cross-validation, which takes the tokens of a picture for
            independent of each other and so errs towards small penalties.
        penalties: What is tried, as multiples of the mean variance of a feature times the
            number of tokens; above 0.

    Returns:
        The map, and the penalty that was taken.

    Raises:
        InputError: If there are fewer than two tokens, none held out, or a penalty is not above 0.

    Source: generalised cross-validation: Golub, Heath and Wahba, Technometrics 21(2), 1979.
    """
    if sums.count < 2 or (held_out is not None and held_out.count < 1):
        chosen = "" if held_out is None else f" and {held_out.count}"
        raise InputError(
            f"ridge: expected tokens to fit and to choose by, got {sums.count}{chosen}"
        )
    if not penalties or not all(0 < p < float("inf") for p in penalties):
        raise InputError(f"ridge: expected penalties above 0, got {tuple(penalties)}")
    mean = sums.mean()
    inner, cross, squares = sums.about(mean)
    values, axes = torch.linalg.eigh((inner + inner.T) / 2)
    values = values.clamp(min=0)
    turned = axes.T @ cross
    # Where the source never changes there is nothing to explain by, whatever the penalty.
    unit = max(float(values.mean()), torch.finfo(torch.float64).tiny)

    def fitted(penalty: float) -> LinearMap:
        weight = axes @ (turned / (values + penalty * unit)[:, None])
        bias = mean[sums.width :] - mean[: sums.width] @ weight
        return LinearMap(weight=weight.T.contiguous(), bias=bias)

    def loss(penalty: float) -> float:
        if held_out is not None:
            return 1 - explained(fitted(penalty), held_out)
        power = turned.square().sum(1)
        return _cross_validated(values, power, squares, sums.count, penalty * unit)

    best = min(penalties, key=loss)
    return fitted(best), best


def explained(fitted: LinearMap, sums: TokenSums) -> float:
    """R^2 of a map on tokens: 1 - squared error / variance; 0 where the target never changes.

    Raises:
        ShapeError: If the widths are others.
    """
    if fitted.weight.shape != (sums.target, sums.width):
        raise ShapeError(
            f"explained: expected a map of {sums.width} to {sums.target} numbers, got "
            f"{tuple(fitted.weight.shape[::-1])}"
        )
    weight = fitted.weight.double().T.to(sums.mean().device)
    mean = sums.mean()
    inner, cross, squares = sums.about(mean)
    if float(squares) <= _NOTHING * sums.count * float(mean[sums.width :].square().sum()):
        return 0.0
    off = mean[sums.width :] - mean[: sums.width] @ weight - fitted.bias.to(weight)
    error = squares - 2 * (weight * cross).sum() + (weight * (inner @ weight)).sum()
    return 1 - float((error + sums.count * off.square().sum()) / squares)


def calibrate(
    pictures: Iterable[tuple[Float[Tensor, "n d"], Float[Tensor, "n e"]]],
    *,
    penalties: Sequence[float] = _PENALTIES,
    device: str | torch.device = "cpu",
) -> Calibration:
    """Fit a map over pictures, one at a time, and measure it on pictures it never saw.

    Of five pictures in a row three are fitted, one chooses the penalty, and one measures.

    Args:
        pictures: For each the source's tokens and the target's, row by row the same cell: such as
            DINOv2's tokens, resampled to CLIP's grid, and CLIP's tokens behind the language
            model's own projector.
        penalties: See `fit_ridge`.
        device: Where the sums are.

    Raises:
        InputError: If there are fewer than five pictures, or a token is not finite.
        ShapeError: If a picture's tokens do not match, or are of another width.

    Examples:
        >>> made = torch.Generator().manual_seed(0)
        >>> tokens = [torch.randn(50, 3, generator=made) for _ in range(10)]
        >>> found = calibrate((x, 2 * x[:, :2] + 1) for x in tokens)
        >>> round(found.explained, 6), found.map.bias.round(decimals=4).tolist()
        (1.0, [1.0, 1.0])
    """
    parts: list[TokenSums] = []
    number = 0
    for number, (source, target) in enumerate(pictures, start=1):
        if not parts:
            sizes = source.shape[-1], target.shape[-1]
            parts = [TokenSums(*sizes, device=device) for _ in range(3)]
        place = (number - 1) % _CYCLE
        parts[max(0, place - (_CYCLE - 3))].add(source, target)
    if number < _CYCLE:
        raise InputError(f"calibration: expected {_CYCLE} pictures or more, got {number}")
    if not parts[2].count:
        raise InputError("calibration: every fifth picture, which measures, is without tokens")
    fitted, penalty = fit_ridge(parts[0], parts[1], penalties=penalties)
    return Calibration(
        map=fitted,
        penalty=penalty,
        explained=explained(fitted, parts[2]),
        num_tokens=parts[0].count,
    )


def _cross_validated(
    values: Float[Tensor, " d"], power: Float[Tensor, " d"], squares: Float[Tensor, ""],
    count: int, penalty: float,
) -> float:  # fmt: skip
    """The criterion of Golub, Heath and Wahba, up to a factor that no penalty changes."""
    shrunk = values + penalty
    error = squares - (power * (shrunk + penalty) / shrunk.square()).sum()
    free = count - 1 - float((values / shrunk).sum())
    return float(error.clamp(min=0)) / free**2 if free > 0 else float("inf")
