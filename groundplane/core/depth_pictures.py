"""Pictures as depth networks of transformers take them, on the device, without its processors.

What a checkpoint says beside its weights (`preprocessor_config.json`) is read as data: size,
colours and filter. So the pictures of a batch are resized where the network runs, and neither
torchvision nor Pillow stands between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundplane.core.checkpoints import read_settings
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.image import Image
from groundplane.core.pixels import resize_pixels

__all__ = ["DepthPictureRule", "normalised", "read_depth_rule", "resized_values", "shares_of"]

_FILTERS: dict[object, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
# A strip that keeps its shape would ask for any number of pixels: this many times as many as the
# checkpoint's own size are taken.
_MOST_TIMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthPictureRule:
    """How a depth network wants its pictures.

    Attributes:
        width: Pixels, of what the network is given.
        height: Pixels.
        keep_aspect: Let one side differ, so that the picture keeps its shape; of the two ways the
            one that resizes least is taken.
        multiple: Both sides are brought to a multiple of this, pixels.
        mean: Taken from each channel, in shares of full brightness, red, green, blue.
        std: Each channel is then divided by this.
        filter: How colours between pixels are found.
        padded: Whether the checkpoint wants a margin that is cut off again.

    Raises:
        InputError: If a number is out of range.
    """

    width: int
    height: int
    keep_aspect: bool = False
    multiple: int = 1
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    padded: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "height", "multiple"):
            if not 1 <= getattr(self, name) <= 8192:
                raise InputError(f"{name}: expected 1 to 8192 pixels, got {getattr(self, name)}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise InputError(
                f"expected three numbers as image_mean, and three above 0 as image_std, got "
                f"{self.mean} and {self.std}"
            )

    def target(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height to which a picture of a size is resized, pixels.

        Source: the rule of the processors of DPT and ZoeDepth in transformers, its rounding
        included; a side that it would round to nothing gets one multiple here.

        Examples:
            >>> rule = DepthPictureRule(width=518, height=518, keep_aspect=True, multiple=14)
            >>> rule.target((640, 480)), rule.target((1, 1))
            ((686, 518), (518, 518))
        """
        across, down = self.width / size[0], self.height / size[1]
        if self.keep_aspect:
            across = down = across if abs(1 - across) < abs(1 - down) else down
        step = self.multiple
        width, height = (
            max(step, round(scale * side / step) * step)
            for scale, side in zip((across, down), size, strict=True)
        )
        return width, height

    def fault(self, size: tuple[int, int]) -> str:
        """Why a picture of a size cannot be looked at, or nothing.

        Examples:
            >>> rule = DepthPictureRule(width=518, height=518, keep_aspect=True, multiple=14)
            >>> rule.fault((640, 480)), rule.fault((0, 9))
            ('', 'a picture of 0 by 9 pixels shows nothing')
        """
        if min(size) < 1:
            return f"a picture of {size[0]} by {size[1]} pixels shows nothing"
        width, height = self.target(size)
        if width * height > _MOST_TIMES * self.width * self.height:
            return (
                f"a picture of {size[0]} by {size[1]} pixels is too long and narrow for the "
                "network; cut it into parts"
            )
        return ""

    def resized(
        self, images: Sequence[Image], *, device: torch.device | str
    ) -> Float[Tensor, "b 3 h w"]:
        """Pictures of one size, resized in bytes as the processors do, in shares of brightness."""
        size = self.target(images[0].size)
        planes = [
            resize_pixels(image.pixels, size, filter=self.filter, device=device) for image in images
        ]
        return torch.stack(planes).float() / 255


def shares_of(images: Sequence[Image], *, device: torch.device | str) -> Float[Tensor, "b 3 h w"]:
    """Pictures of one size, as they are, in shares of brightness."""
    planes = [
        torch.from_numpy(np.require(image.pixels, requirements=["C", "W"])).to(device)
        for image in images
    ]
    return torch.stack(planes).permute(0, 3, 1, 2).float() / 255


def normalised(
    shares: Float[Tensor, "b 3 h w"], rule: DepthPictureRule
) -> Float[Tensor, "b 3 h w"]:
    """`(x - mean) / std`, channel by channel; numbers need no copy to the device."""
    channels = zip(shares.unbind(1), rule.mean, rule.std, strict=True)
    return torch.stack([(plane - mean) / std for plane, mean, std in channels], dim=1)


def read_depth_rule(folder: Path, *, who: str, defaults: Mapping[str, Any]) -> DepthPictureRule:
    """How a checkpoint wants its pictures.

    Args:
        folder: Holds `preprocessor_config.json` or `processor_config.json`.
        who: Whose weights they are, for messages.
        defaults: What the family's processor does where the file says nothing, under the file's
            own names.

    Raises:
        WeightsError: If there is no such file, or it asks for something else than resizing,
            scaling and normalising.
    """
    names = ("preprocessor_config.json", "processor_config.json")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise WeightsError(
            f"{who}: {folder} does not say how pictures are prepared: expected {names[0]}. "
            "Try: copy it from where the weights come from"
        )
    settings = read_settings(path, who=who)
    stated = settings.get("image_processor")
    if isinstance(stated, dict):
        settings = stated
    settings = {**defaults, **{k: v for k, v in settings.items() if v is not None}}
    try:
        return _rule(settings)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise WeightsError(f"{who}: {path}: {said}") from error


def _rule(settings: Mapping[str, Any]) -> DepthPictureRule:
    for name in ("do_resize", "do_rescale", "do_normalize"):
        if settings.get(name, True) is not True:
            raise InputError(f"expected {name} to be true, got {settings[name]!r}")
    if settings.get("do_center_crop") or settings.get("size_divisor"):
        raise InputError("expected no do_center_crop and no size_divisor")
    if abs(float(settings.get("rescale_factor", 1 / 255)) * 255 - 1) > 1e-3:
        raise InputError(f"expected rescale_factor 1/255, got {settings['rescale_factor']}")
    resample, size = settings["resample"], settings["size"]
    if resample not in _FILTERS:
        raise InputError(f"expected resample 2 or 3, got {resample!r}")
    sides = (size["width"], size["height"]) if isinstance(size, dict) else (size, size)
    # Newer files of ZoeDepth may hold the processor's own default, 1/32, which is no multiple.
    multiple = float(settings.get("ensure_multiple_of", 1))
    return DepthPictureRule(
        width=int(sides[0]),
        height=int(sides[1]),
        keep_aspect=bool(settings.get("keep_aspect_ratio", False)),
        multiple=int(multiple) if multiple >= 1 else round(1 / multiple),
        mean=tuple(map(float, settings["image_mean"])),
        std=tuple(map(float, settings["image_std"])),
        filter=_FILTERS[resample],
        padded=bool(settings.get("do_pad", False)),
    )


def resized_values(
    values: Shaped[Tensor, "b h w"], size: tuple[int, int], *, mode: str
) -> Float[Tensor, "b y x"]:
    """Maps brought to a picture's width and height, in float32, as the processors do."""
    if min(size) < 1:
        raise InputError(f"expected a size of at least one pixel, got {size}")
    wide = torch.nn.functional.interpolate(
        values.float()[:, None], size=(size[1], size[0]), mode=mode, align_corners=False
    )
    return wide[:, 0]
