"""Poses as files state them: checked, made exactly rigid, and found between two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from groundplane.core.errors import InputError

__all__ = ["between", "from_axis_angles", "from_quaternions", "inverted", "rigid"]

# Files round their numbers: ScanNet's to six digits. What lies further off is no pose.
_NEAR = 1e-2
# No room is this large, in any unit; sums of such numbers say nothing.
_FAR = 1e9


def rigid(
    poses: Float[np.ndarray, "n 4 4"], where: Callable[[int], str]
) -> tuple[Float[np.ndarray, "n 4 4"], Bool[np.ndarray, " n"]]:
    """Poses that turn and move only, and which of them are known.

    Rounded ones are brought to the nearest rotation (Horn et al., Closed-form solution of
    absolute orientation using orthonormal matrices, 1988).

    Args:
        poses: Camera to world, metres.
        where: Names the place of a pose in its file, for messages.

    Returns:
        The poses, the identity where one is not known, and whether each is: one with a number
        that is not finite is not, as ScanNet marks frames whose camera was lost.

    Raises:
        InputError: If one is left-handed, scales, shears, is beyond all bounds, or has another
            last row.

    Examples:
        >>> poses, known = rigid(np.stack([np.eye(4), np.full((4, 4), -np.inf)]), "row {}".format)
        >>> known.tolist()
        [True, False]
        >>> rigid(np.diag([1.0, 1.0, -1.0, 1.0])[None], "row {}".format)
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: row 0: the pose is left-handed: one of its axes points \
the wrong way; expected x right, y down, z forward, turned and moved only
    """
    poses = np.asarray(poses, dtype=np.float64)
    known = np.isfinite(poses).all(axis=(1, 2))
    poses = np.where(known[:, None, None], poses, np.eye(4))
    turns = poses[:, :3, :3]
    last = np.abs(poses[:, 3] - (0, 0, 0, 1)).max(axis=1, initial=0)
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0)
    for row in np.flatnonzero(~((off <= _NEAR) & (last <= 1e-6)))[:1]:
        raise InputError(f"{where(int(row))}: {_fault(poses[row], float(off[row]))}")
    for row in np.flatnonzero(np.linalg.det(turns) < 0)[:1]:
        raise InputError(
            f"{where(int(row))}: the pose is left-handed: one of its axes points the wrong way; "
            "expected x right, y down, z forward, turned and moved only"
        )
    for row in np.flatnonzero(np.abs(poses[:, :3, 3]).max(axis=1, initial=0) > _FAR)[:1]:
        raise InputError(f"{where(int(row))}: the camera is more than {_FAR:g} from the origin")
    left, _, right = np.linalg.svd(turns)
    poses[:, :3, :3] = left @ right
    poses[:, 3] = (0, 0, 0, 1)
    return poses, known


def from_quaternions(
    wxyz: Float[np.ndarray, "n 4"], where: Callable[[int], str]
) -> Float[np.ndarray, "n 3 3"]:
    """Rotations of quaternions, of length 1 within a hundredth.

    Raises:
        InputError: If one has another length.

    Examples:
        >>> from_quaternions(np.array([[0.0, 0.0, 0.0, 1.0]]), "row {}".format)[0].tolist()
        [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
        >>> from_quaternions(np.zeros((0, 4)), "row {}".format).shape
        (0, 3, 3)
    """
    with np.errstate(over="ignore"):
        length = np.sqrt((wxyz**2).sum(axis=1))
    stated = np.isfinite(wxyz).all(axis=1)
    for row in np.flatnonzero(stated & ~(np.abs(length - 1) <= _NEAR))[:1]:
        raise InputError(
            f"{where(int(row))}: expected a quaternion of length 1, got {wxyz[row].tolist()}"
        )
    unit = np.full_like(wxyz, np.nan)
    unit[stated] = wxyz[stated] / length[stated, None]
    w, x, y, z = unit.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows).transpose(2, 0, 1)


def from_axis_angles(turns: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotations about axes whose length is the angle, radians.

    Examples:
        >>> from_axis_angles(np.array([[0.0, 0.0, np.pi / 2]])).round(9)[0, 0].tolist()
        [0.0, -1.0, 0.0]
        >>> from_axis_angles(np.zeros((0, 3))).shape
        (0, 3, 3)
    """
    angles = np.sqrt((turns**2).sum(axis=1))
    half = angles / 2
    # np.sinc(x) is sin(pi x) / (pi x), so it needs no case of its own at 0.
    xyz = turns * (np.sinc(half / np.pi) / 2)[:, None]
    return from_quaternions(np.concatenate([np.cos(half)[:, None], xyz], axis=1), str)


def inverted(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 4 4"]:
    """Camera to world from world to camera, or the other way round; rigid ones."""
    out = np.tile(np.eye(4), (len(poses), 1, 1))
    out[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    out[:, :3, 3] = -(out[:, :3, :3] @ poses[:, :3, 3:])[:, :, 0]
    return out


def between(
    before: Float[np.ndarray, "n 4 4"],
    after: Float[np.ndarray, "n 4 4"],
    shares: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n 4 4"]:
    """Poses on the way from one to another: the turn about one axis, the move straight.

    Args:
        before: Where the share is 0.
        after: Where it is 1.
        shares: In [0, 1].

    Examples:
        >>> end = np.eye(4)[None]
        >>> end[0, :3, :3] = from_axis_angles(np.array([[0.0, 0.0, 1.0]]))[0]
        >>> float(np.arccos(between(np.eye(4)[None], end, np.array([0.25]))[0, 0, 0]).round(9))
        0.25
    """
    turns = before[:, :3, :3].transpose(0, 2, 1) @ after[:, :3, :3]
    # The sine of the angle, along the axis; half a turn within a few hundredths of a second
    # has no one axis, and is left as it was before.
    axes = (turns - turns.transpose(0, 2, 1))[:, [2, 0, 1], [1, 2, 0]] / 2
    sines = np.sqrt((axes**2).sum(axis=1))
    angles = np.arctan2(sines, (np.trace(turns, axis1=1, axis2=2) - 1) / 2)
    factors = np.where(sines > 1e-12, angles * shares / np.maximum(sines, 1e-12), 0.0)
    out = np.tile(np.eye(4), (len(before), 1, 1))
    out[:, :3, :3] = before[:, :3, :3] @ from_axis_angles(axes * factors[:, None])
    weight = shares[:, None]
    out[:, :3, 3] = (1 - weight) * before[:, :3, 3] + weight * after[:, :3, 3]
    return out


def _fault(pose: Float[np.ndarray, "4 4"], off: float) -> str:
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-6:
        moved = np.abs(pose[:3, 3]).max() < 1e-9
        why = "; it looks transposed" if moved else ""
        return f"expected a pose with the last row 0 0 0 1, got {pose[3].tolist()}{why}"
    with np.errstate(over="ignore", invalid="ignore"):
        det = float(np.linalg.det(pose[:3, :3]))
    scale = np.cbrt(abs(det)) if np.isfinite(det) else np.inf
    return (
        "expected a pose that turns and moves only; its axes are of length about "
        f"{scale:.4g} and off by {off:.3g}"
    )
