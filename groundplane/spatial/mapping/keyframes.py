"""Which frames of a capture are looked at: those that show something new, and are not blurred."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from groundplane.core.camera import Frame, Scale
from groundplane.core.errors import InputError

__all__ = ["KeyframeChooser", "KeyframeOptions", "sharpness"]

# Sharpness is taken of every so many pixels' rows and columns, and followed with this weight.
_STRIDE = 4
_FOLLOW = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyframeOptions:
    """When a frame is worth looking at.

    Attributes:
        least_move: How far the camera must have moved since the last keyframe, metres.
        least_turn: Or how far it must have turned, radians.
        least_seconds: Where a pose is not known, or the scale of poses is not: how much time must
            have passed.
        most_seconds: After so much time a frame is looked at even if the camera stands still.
        blur: A frame this much less sharp than those before it waits for a sharper one, as a
            share; 0 looks at all.
        patience: Frames that may be put off for blur in a row.

    Raises:
        InputError: If a number is out of range.
    """

    least_move: float = 0.2
    least_turn: float = math.radians(12)
    least_seconds: float = 0.5
    most_seconds: float = 5.0
    blur: float = 0.5
    patience: int = 10

    def __post_init__(self) -> None:
        for name in ("least_move", "least_turn", "least_seconds", "most_seconds", "patience"):
            if not getattr(self, name) >= 0:
                raise InputError(f"keyframes: {name} must be at least 0, got {getattr(self, name)}")
        if not 0 <= self.blur < 1:
            raise InputError(f"keyframes: blur must be in [0, 1), got {self.blur}")


class KeyframeChooser:
    """Chooses keyframes one after another; the same frames give the same choice.

    Args:
        options: When a frame is worth looking at.

    Examples:
        >>> from groundplane.core.media import read_image
        >>> grey = read_image(np.full((8, 8, 3), 128, dtype=np.uint8))
        >>> chooser = KeyframeChooser(KeyframeOptions(least_seconds=1.0))
        >>> [chooser.wants(Frame(image=grey, index=i, time=i / 2)) for i in range(4)]
        [True, False, True, False]
    """

    def __init__(self, options: KeyframeOptions | None = None) -> None:
        self._options = options or KeyframeOptions()
        self._last: tuple[float, Float[np.ndarray, "4 4"] | None] | None = None
        self._sharpness: float | None = None
        self._waited = 0

    def wants(self, frame: Frame) -> bool:
        """Whether to look at a frame; if so, the next ones are measured against it."""
        pose = None if frame.camera is None else frame.camera.T_world_cam
        if not self.may_want(frame.time, pose, frame.scale):
            return False
        if self._blurred(frame) and self._waited < self._options.patience:
            self._waited += 1
            return False
        self._last, self._waited = (frame.time, pose), 0
        return True

    def may_want(self, time: float, pose: Float[np.ndarray, "4 4"] | None, scale: Scale) -> bool:
        """Whether a frame may show something else than the last keyframe.

        As far as can be told without its picture: a frame that is not wanted need not be read.

        Args:
            time: Seconds.
            pose: Camera to world, or None.
            scale: Of the pose.
        """
        if self._last is None:
            return True
        options = self._options
        then, before = self._last
        passed = time - then
        if passed >= options.most_seconds:
            return True
        if pose is None or before is None:
            # Times that do not go on tell nothing: such a frame is looked at.
            return passed >= options.least_seconds or passed <= 0
        move, turn = _motion(before, pose)
        if turn >= options.least_turn:
            return True
        if scale == "metric":
            return move >= options.least_move
        return passed >= options.least_seconds

    def _blurred(self, frame: Frame) -> bool:
        """Whether a frame is less sharp than those looked at before, which it then joins."""
        if not self._options.blur:
            return False
        own, usual = sharpness(frame.image.pixels), self._sharpness
        self._sharpness = own if usual is None else usual + _FOLLOW * (own - usual)
        return usual is not None and own < (1 - self._options.blur) * usual


def sharpness(pixels: UInt8[np.ndarray, "h w 3"]) -> float:
    """How much neighbouring pixels differ, in grey values; less where a picture is blurred.

    Examples:
        >>> edge = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> edge[:, 4:] = 255
        >>> sharpness(edge) > sharpness(np.zeros((1, 1, 3), dtype=np.uint8))
        True
    """
    green = pixels[..., 1].astype(np.int16)
    across = np.abs(np.diff(green[::_STRIDE], axis=1))
    down = np.abs(np.diff(green[:, ::_STRIDE], axis=0))
    total = across.size + down.size
    return float(int(across.sum()) + int(down.sum())) / max(1, total)


def _motion(a: Float[np.ndarray, "4 4"], b: Float[np.ndarray, "4 4"]) -> tuple[float, float]:
    """How far a camera moved, metres, and turned, radians."""
    move = float(np.linalg.norm(b[:3, 3] - a[:3, 3]))
    cosine = (float((a[:3, :3] * b[:3, :3]).sum()) - 1) / 2
    return move, math.acos(min(1.0, max(-1.0, cosine)))
