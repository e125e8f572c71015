"""Depth Pro: how far each pixel is, in metres, and the focal length, through transformers.

The network tells inverse depth for a camera of one focal length; the true one, known or estimated
from the picture, makes metres of it.

Source: Bochkovskii et al., Depth Pro: Sharp Monocular Metric Depth in Less Than a Second, 2024,
section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.camera import DepthNoise, Frame
from groundplane.core.depth_models import (
    DepthExpert,
    DepthSettings,
    Predicted,
    check_depth_options,
)
from groundplane.core.depth_pictures import (
    DepthPictureRule,
    normalised,
    resized_values,
    shares_of,
)
from groundplane.core.depth_weights import DepthFamily, load_depth
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.geometry import GeometryCapabilities
from groundplane.core.image import Image
from groundplane.core.weights import need_library

__all__ = ["DepthProGeometry", "DepthProOptions"]

_WHO = "geometry 'depth-pro'"
_NOTE = "depth in metres is estimated from the picture by depth-pro"
_FAMILY = DepthFamily(
    who=_WHO,
    defaults={
        "size": {"height": 1536, "width": 1536},
        "resample": 2,
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
    },
)
# The authors' limits of inverse depth, 1 / metres. What is at the lower one is beyond what the
# network can tell.
_LEAST, _MOST = 1e-4, 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthProOptions:
    """Options of `DepthProGeometry`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        fov: Horizontal field of view of pictures whose intrinsics are not known, degrees; 0: it
            is estimated.
        noise: By what share of it the depth of a pixel may be off by itself. The default is an
            assumption, not a measurement.
        common: By what share all of a frame may be off together; an assumption as well.
        batch: Most pictures of one size that are looked at together.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    fov: float = 0.0
    noise: float = 0.05
    common: float = 0.1
    batch: int = 2

    def __post_init__(self) -> None:
        check_depth_options(
            who=_WHO, noise=self.noise, common=self.common, batch=self.batch, fov=self.fov
        )


class DepthProGeometry:
    """Metric depth of each picture by itself, and its focal length where that is not known.

    A focal length that is known makes the depth better and stays as it is. Safe to use from
    several threads.

    Args:
        options: See `DepthProOptions`.
        device: Where the network runs and the depth is put.
        dtype: Number type of the network; None: float32 on a CPU, bfloat16 on CUDA. The depth is
            float32.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = DepthProOptions
    # Of 37 patches of 384 by 384 pixels: two operations for each of 304 million weights and 577
    # places, the decoder not counted.
    capabilities = GeometryCapabilities(
        gives=frozenset({"depth", "intrinsics"}), cost=13_000.0, licence="apple-amlr"
    )

    def __init__(
        self, options: DepthProOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="depth-pro")
        loaded = load_depth(
            library.DepthProForDepthEstimation, _FAMILY, options=options, device=device, dtype=dtype
        )
        model, rule, number = loaded.model, loaded.rule, loaded.dtype
        _check_rule(rule, model.config)
        if model.fov_model is None and not options.fov:
            self.capabilities = replace(
                type(self).capabilities,
                gives=frozenset({"depth"}),
                needs=frozenset({"intrinsics"}),
            )
        settings = DepthSettings(
            scale="metric",
            noise=DepthNoise(linear=options.noise, common=options.common),
            notes=(_NOTE,),
            batch=options.batch,
            fov=options.fov,
        )
        self._expert = DepthExpert(
            _Network(model, rule=rule, device=device, dtype=number), settings
        )

    def begin(self) -> None:
        """Nothing is carried over from frame to frame."""

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in the depth, and intrinsics where there are none.

        Raises:
            InputError: If the checkpoint has no part that estimates the field of view, and a
                frame has no intrinsics.
        """
        lacking = [frame.index for frame in frames if frame.camera is None]
        if lacking and self.capabilities.needs:
            raise InputError(
                f"{_WHO}: this checkpoint does not estimate the field of view: expected intrinsics "
                f"of every frame, got none of frame {lacking[0]}. Try: --option fov=DEGREES"
            )
        return self._expert.estimate(frames)


class _Network:
    def __init__(
        self, model: Any, *, rule: DepthPictureRule, device: str, dtype: torch.dtype
    ) -> None:
        self._model, self._rule, self._device, self._dtype = model, rule, device, dtype

    def fault(self, size: tuple[int, int]) -> str:
        return self._rule.fault(size)

    def predict(self, images: Sequence[Image], focals: Sequence[float | None]) -> Predicted:
        width = images[0].size[0]
        out = self._model(pixel_values=self._pixels(images))
        told = self._focals(out.field_of_view, focals, width=width)
        inverse = out.predicted_depth.float() * (width / told)[:, None, None]
        return Predicted(
            depth=_depth_of(resized_values(inverse, images[0].size, mode="bilinear")), focals=told
        )

    def _pixels(self, images: Sequence[Image]) -> Float[Tensor, "b 3 h w"]:
        """As the authors do it: normalised first, then resized without a wider filter."""
        shares = shares_of(images, device=self._device)
        resized = torch.nn.functional.interpolate(
            normalised(shares, self._rule),
            size=(self._rule.height, self._rule.width),
            mode=self._rule.filter,
            align_corners=False,
        )
        return resized.to(self._dtype)

    def _focals(
        self, fov: Float[Tensor, " b"] | None, known: Sequence[float | None], *, width: int
    ) -> Float[Tensor, " b"]:
        """Focal lengths, pixels: the known ones, else of the estimated angle; NaN for none."""
        stated = torch.tensor(
            [math.nan if focal is None else focal for focal in known],
            dtype=torch.float32,
            device=self._device,
        )
        if fov is None:
            return stated
        angle = torch.deg2rad(fov.float())
        guessed = 0.5 * width / torch.tan(0.5 * angle)
        guessed = torch.where((angle > 0) & (angle < math.pi), guessed, torch.nan)
        return torch.where(stated.isfinite(), stated, guessed)


def _depth_of(inverse: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Metres; 0 where things are too far to tell, NaN where there is no number."""
    depth = torch.where(inverse > _LEAST, 1 / inverse.clamp(_LEAST, _MOST), 0.0)
    return torch.where(inverse.isfinite(), depth, torch.nan)


def _check_rule(rule: DepthPictureRule, config: Any) -> None:
    """The smallest of the scaled pictures must hold a patch; a bad size fails deep inside."""
    patch, least = int(config.patch_size), min(config.scaled_images_ratios)
    if rule.padded or rule.keep_aspect or min(rule.width, rule.height) * least < patch:
        raise WeightsError(
            f"{_WHO}: expected pictures resized to at least {math.ceil(patch / least)} pixels a "
            f"side without padding, got {rule.width} by {rule.height}"
        )
