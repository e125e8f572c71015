"""ZoeDepth: how far each pixel is, in metres, through the class of transformers.

Source: Bhat et al., ZoeDepth: Zero-shot Transfer by Combining Relative and Metric Depth, 2023;
the margin around pictures and the mirrored second look are those of the authors' code, as
transformers has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, pad

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
from groundplane.core.errors import WeightsError
from groundplane.core.geometry import GeometryCapabilities
from groundplane.core.image import Image
from groundplane.core.weights import need_library

__all__ = ["ZoeDepthGeometry", "ZoeDepthOptions"]

_WHO = "geometry 'zoedepth'"
_NOTE = "depth in metres is estimated from the picture by zoedepth"
_FAMILY = DepthFamily(
    who=_WHO,
    defaults={
        "size": {"height": 384, "width": 512},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 32,
        "resample": 2,
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
        "do_pad": True,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoeDepthOptions:
    """Options of `ZoeDepthGeometry`.

    Attributes:
        weights: A folder with `config.json` and `model.safetensors`, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        flip: Look at the mirrored picture too and take the mean; twice the work.
        fov: Horizontal field of view of pictures whose intrinsics nobody knows, degrees; 0: they
            stay without.
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
    flip: bool = False
    fov: float = 0.0
    noise: float = 0.05
    common: float = 0.1
    batch: int = 4

    def __post_init__(self) -> None:
        check_depth_options(
            who=_WHO, noise=self.noise, common=self.common, batch=self.batch, fov=self.fov
        )


class ZoeDepthGeometry:
    """Metric depth of each picture by itself.

    Safe to use from several threads.

    Args:
        options: See `ZoeDepthOptions`.
        device: Where the network runs and the depth is put.
        dtype: Number type of the network; None: float32. The bins of depth are sums of many
            small numbers, which bfloat16 does not hold.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = ZoeDepthOptions
    # At 384 by 512 pixels: two operations for each of 304 million weights and 769 places, the
    # decoder not counted.
    capabilities = GeometryCapabilities(gives=frozenset({"depth"}), cost=470.0, licence="MIT")

    def __init__(
        self, options: ZoeDepthOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        dtype = torch.float32 if dtype is None else dtype
        library = need_library("transformers", who=_WHO, extra="zoedepth")
        loaded = load_depth(
            library.ZoeDepthForDepthEstimation, _FAMILY, options=options, device=device, dtype=dtype
        )
        model, rule, number = loaded.model, loaded.rule, loaded.dtype
        _check_rule(rule, model.config)
        if options.fov:
            self.capabilities = replace(
                type(self).capabilities, gives=frozenset({"depth", "intrinsics"})
            )
        settings = DepthSettings(
            scale="metric",
            noise=DepthNoise(linear=options.noise, common=options.common),
            notes=(_NOTE,),
            batch=options.batch,
            fov=options.fov,
        )
        network = _Network(model, rule=rule, flip=options.flip, device=device, dtype=number)
        self._expert = DepthExpert(network, settings)

    def begin(self) -> None:
        """Nothing is carried over from frame to frame."""

    def estimate(self, frames: Sequence[Frame]) -> list[Frame]:
        """Fill in the depth of each frame; see `GeometryExpert.estimate`."""
        return self._expert.estimate(frames)


class _Network:
    def __init__(
        self, model: Any, *, rule: DepthPictureRule, flip: bool, device: str, dtype: torch.dtype
    ) -> None:
        self._model, self._rule, self._flip = model, rule, flip
        self._device, self._dtype = device, dtype
        # With several heads one is chosen for all pictures of a call, by their sum of votes.
        self._alone = len(model.config.bin_configurations) > 1

    def fault(self, size: tuple[int, int]) -> str:
        return self._rule.fault(self._padded(size) if min(size) else size)

    def predict(self, images: Sequence[Image], focals: Sequence[float | None]) -> Predicted:
        size = images[0].size
        pixels = self._pixels(images)
        raw = self._looked(pixels)
        if self._flip:
            raw = (raw + self._looked(pixels.flip(-1)).flip(-1)) / 2
        across, down = self._margins(size)
        whole = resized_values(raw, self._padded(size), mode="bicubic")
        return Predicted(depth=whole[:, down : down + size[1], across : across + size[0]])

    def _looked(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b y x"]:
        parts = [one[None] for one in pixels] if self._alone else [pixels]
        return torch.cat([self._model(pixel_values=part).predicted_depth.float() for part in parts])

    def _pixels(self, images: Sequence[Image]) -> Float[Tensor, "b 3 h w"]:
        """Mirrored beyond the border, then resized, corners on corners."""
        shares = shares_of(images, device=self._device)
        size = images[0].size
        across, down = self._margins(size)
        # A margin as wide as the picture cannot be mirrored from it: its edge is repeated.
        mirrored = across < size[0] and down < size[1]
        margins = (across, across, down, down)
        wide = pad(shares, margins, mode="reflect" if mirrored else "replicate")
        width, height = self._rule.target(self._padded(size))
        resized = interpolate(wide, (height, width), mode=self._rule.filter, align_corners=True)
        return normalised(resized, self._rule).to(self._dtype)

    def _margins(self, size: tuple[int, int]) -> tuple[int, int]:
        """Pixels that are added at the sides, and above and below."""
        if not self._rule.padded:
            return 0, 0
        return int(math.sqrt(size[0] / 2) * 3), int(math.sqrt(size[1] / 2) * 3)

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        across, down = self._margins(size)
        return size[0] + 2 * across, size[1] + 2 * down


def _check_rule(rule: DepthPictureRule, config: Any) -> None:
    """The network cuts a picture into whole patches."""
    patch = config.backbone_config.patch_size
    steps = (rule.multiple, rule.multiple) if rule.keep_aspect else (rule.width, rule.height)
    if any(step % patch for step in steps):
        raise WeightsError(
            f"{_WHO}: expected pictures in whole patches of {patch} pixels; the checkpoint's "
            f"processor makes multiples of {rule.multiple}"
        )
