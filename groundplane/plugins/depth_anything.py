"""Depth Anything, of either version: how far each pixel is, through the class of transformers.

A checkpoint is relative or metric, as its settings say. A relative one gives disparity, which
grows with 1 / depth, up to a scale and a shift that nobody knows; `spatial.mapping.scaling` finds
them from something whose size or distance is known.

Sources: Yang et al., Depth Anything, 2024; Yang et al., Depth Anything V2, 2024.
"""

from __future__ import annotations

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
)
from groundplane.core.depth_weights import DepthFamily, load_depth
from groundplane.core.errors import WeightsError
from groundplane.core.geometry import UNKNOWN_SHIFT, GeometryCapabilities
from groundplane.core.image import Image
from groundplane.core.weights import need_library

__all__ = ["DepthAnythingGeometry", "DepthAnythingOptions"]

_WHO = "geometry 'depth-anything'"
# What the checkpoints of the authors state; a file may say otherwise.
_FAMILY = DepthFamily(
    who=_WHO,
    defaults={
        "size": {"height": 518, "width": 518},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
        "resample": 3,
        "image_mean": (0.485, 0.456, 0.406),
        "image_std": (0.229, 0.224, 0.225),
    },
)
# Widths of the backbone; the small ones are free, the larger ones of version 2 are not.
_LICENCES = {384: "Apache-2.0"}
_OTHER_LICENCE = "CC-BY-NC-4.0"
# A pixel of no disparity is told as this many times farther than the nearest one.
_FARTHEST = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthAnythingOptions:
    """Options of `DepthAnythingGeometry`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        fov: Horizontal field of view of pictures whose intrinsics nobody knows, degrees; 0: they
            stay without.
        noise: By what share of it the depth of a pixel may be off by itself. The default is an
            assumption, not a measurement: networks differ from room to room.
        common: By what share all of a frame may be off together, where it is metric; an
            assumption as well.
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
    batch: int = 8

    def __post_init__(self) -> None:
        check_depth_options(
            who=_WHO, noise=self.noise, common=self.common, batch=self.batch, fov=self.fov
        )


class DepthAnythingGeometry:
    """Depth of each picture by itself, metric or relative as the checkpoint is.

    Safe to use from several threads.

    Args:
        options: See `DepthAnythingOptions`.
        device: Where the network runs and the depth is put.
        dtype: Number type of the network; None: float32 on a CPU, bfloat16 on CUDA. The depth is
            float32.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = DepthAnythingOptions
    # Before the weights are read; a metric checkpoint says so of itself then. Of the large model
    # at 518 by 518 pixels: two operations for each of 335 million weights and 1,370 places, the
    # decoder not counted.
    capabilities = GeometryCapabilities(
        gives=frozenset({"depth"}), scale="relative", cost=920.0, licence=_OTHER_LICENCE
    )

    def __init__(
        self,
        options: DepthAnythingOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="depth-anything")
        loaded = load_depth(
            library.DepthAnythingForDepthEstimation,
            _FAMILY,
            options=options,
            device=device,
            dtype=dtype,
        )
        model, rule, number = loaded.model, loaded.rule, loaded.dtype
        _check_rule(rule, model.config)
        metric = model.config.depth_estimation_type == "metric"
        width = getattr(model.config.backbone_config, "hidden_size", 0)
        self.capabilities = replace(
            type(self).capabilities,
            gives=frozenset({"depth", "intrinsics"} if options.fov else {"depth"}),
            scale="metric" if metric else "relative",
            licence=_LICENCES.get(width, _OTHER_LICENCE),
        )
        settings = DepthSettings(
            scale="metric" if metric else "relative",
            noise=DepthNoise(linear=options.noise, common=options.common if metric else 0.0),
            notes=_METRIC if metric else _RELATIVE,
            batch=options.batch,
            fov=options.fov,
        )
        network = _Network(model, rule=rule, metric=metric, device=device, dtype=number)
        self._expert = DepthExpert(network, settings)

    def begin(self) -> None:
        """Nothing is carried over from frame to frame."""

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in the depth of each frame; see `GeometryExpert.estimate`."""
        return self._expert.estimate(frames)


_METRIC = ("depth in metres is estimated from the picture by depth-anything",)
_RELATIVE = ("depth is estimated from the picture by depth-anything", UNKNOWN_SHIFT)


class _Network:
    def __init__(
        self,
        model: Any,
        *,
        rule: DepthPictureRule,
        metric: bool,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self._model, self._rule, self._metric = model, rule, metric
        self._device, self._dtype = device, dtype

    def fault(self, size: tuple[int, int]) -> str:
        return self._rule.fault(size)

    def predict(self, images: Sequence[Image], focals: Sequence[float | None]) -> Predicted:
        shares = self._rule.resized(images, device=self._device)
        pixels = normalised(shares, self._rule).to(self._dtype)
        raw = self._model(pixel_values=pixels).predicted_depth
        values = resized_values(raw, images[0].size, mode="bicubic")
        return Predicted(depth=values if self._metric else _depth_of(values))


def _depth_of(disparity: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """1 / disparity; where there is next to none, far away but not without end.

    A disparity that is not finite stays so, and is told as unknown. The farthest places of a
    picture have a disparity near 0 or, between pixels, below it; cut off there, a shift that is
    found later still brings them to their place.
    """
    usable = torch.where(disparity.isfinite(), disparity, 0.0)
    most = usable.amax(dim=(1, 2), keepdim=True)
    depth = 1 / torch.maximum(usable, most / _FARTHEST)
    return torch.where(disparity.isfinite() & (most > 0), depth, torch.nan)


def _check_rule(rule: DepthPictureRule, config: Any) -> None:
    """The network cuts a picture into whole patches."""
    patch = config.patch_size
    sides = patch if isinstance(patch, list | tuple) else (patch, patch)
    whole = rule.multiple if rule.keep_aspect else 1
    fits = all(
        whole % side == 0 or (not rule.keep_aspect and rule.width % side == 0) for side in sides
    )
    if not fits or rule.padded:
        raise WeightsError(
            f"{_WHO}: expected pictures in whole patches of {sides} pixels without padding; the "
            f"checkpoint's processor makes multiples of {rule.multiple}"
        )
