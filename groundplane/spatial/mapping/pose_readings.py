"""Ways in which files mean poses, and how each becomes camera-to-world in our axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

__all__ = ["READINGS", "Reading", "scaled_moves"]

_Poses = Float[np.ndarray, "n 4 4"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How poses can be meant.

    Attributes:
        change: Makes them map camera points to the world, x right, y down, z forward.
        cure: What is wrong with them and what to do, for messages.
        mirrors: Whether the poses as they are mirror, so that their determinant is -1.
    """

    change: Callable[[_Poses], _Poses]
    cure: str
    mirrors: bool = False


def scaled_moves(poses: _Poses, factor: float) -> _Poses:
    """The poses with their translations multiplied.

    Examples:
        >>> scaled_moves(np.full((1, 4, 4), 2.0), 10.0)[0, 0].tolist()
        [2.0, 2.0, 2.0, 20.0]
        >>> scaled_moves(np.zeros((0, 4, 4)), 10.0).shape
        (0, 4, 4)
    """
    scaled = poses.copy()
    scaled[:, :3, 3] *= factor
    return scaled


def _as_given(poses: _Poses) -> _Poses:
    return poses


def _inverted(poses: _Poses) -> _Poses:
    return np.asarray(np.linalg.inv(poses))


def _transposed(poses: _Poses) -> _Poses:
    turned = poses.copy()
    turned[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    return turned


def _with_axes(axes: Sequence[Sequence[int]]) -> Callable[[_Poses], _Poses]:
    """Of cameras whose axes are others: ours, one a column, written in theirs."""
    change = np.eye(4)
    change[:3, :3] = axes
    return lambda poses: poses @ change


def _flip(axis: int) -> Float[np.ndarray, "4 4"]:
    return np.diag([-1.0 if k == axis else 1.0 for k in range(4)])


def _mirrored(axis: int, *, world: bool, camera: bool) -> Callable[[_Poses], _Poses]:
    left = _flip(axis) if world else np.eye(4)
    right = _flip(axis) if camera else np.eye(4)
    return lambda poses: left @ poses @ right


_opengl = _with_axes(((1, 0, 0), (0, -1, 0), (0, 0, -1)))
# x forward, y left, z up.
_body = _with_axes(((0, 0, 1), (-1, 0, 0), (0, -1, 0)))

READINGS: Mapping[str, Reading] = MappingProxyType(
    {
        "as given": Reading(_as_given, ""),
        "inverted": Reading(_inverted, "they are world-to-camera; invert them"),
        "opengl": Reading(
            _opengl, "the camera's y points up and its z backwards, as in OpenGL; turn both round"
        ),
        "inverted opengl": Reading(
            lambda poses: _opengl(_inverted(poses)),
            "they are world-to-camera, with y up and z backwards as in OpenGL; invert them, then "
            "turn both axes round",
        ),
        "body axes": Reading(
            _body, "the camera's x points forward and its z up, as of robots; change its axes"
        ),
        "transposed": Reading(_transposed, "their rotations are transposed; transpose them"),
        **{
            f"mirrored {name}": Reading(
                _mirrored(axis, world=True, camera=True),
                f"they are left-handed; turn {name} of the world and of the camera round",
            )
            for axis, name in enumerate("xyz")
        },
        "world mirrored": Reading(
            _mirrored(1, world=True, camera=False),
            "their world is left-handed, so left and right are exchanged in it; turn one of its "
            "axes round",
            mirrors=True,
        ),
        **{
            f"camera mirrored {name}": Reading(
                _mirrored(axis, world=False, camera=True),
                f"the camera's axes are left-handed; turn its {name} round",
                mirrors=True,
            )
            for axis, name in enumerate("xyz")
        },
    }
)
