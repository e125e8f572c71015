"""Whether the poses of a capture fit its depth, looked at until it is told.

The first keyframes tell it where the camera moves through depth. Where it stands before a wall and
turns, poses of any unit fit; then the next keyframes are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from groundplane.core.camera import Frame
from groundplane.core.errors import InputError
from groundplane.spatial.mapping.pose_checks import PoseReport, check_poses

__all__ = ["PoseWatch"]

# So many times keyframes are asked after the first; a camera that only turns never tells.
_TIMES = 8
# What later keyframes may say: rough poses that drift are no error, and fit under no reading.
_NO_CURE = ("none", "unsynchronised", "cannot tell")


class PoseWatch:
    """Holds poses against the depth until it is told that they fit, in their unit too.

    Args:
        name: Of the capture.
        frames: Keyframes that are asked at a time; they are held until then.
    """

    def __init__(self, name: str, *, frames: int) -> None:
        self._name, self._size = name, frames
        self._held: list[Frame] = []
        self._left = 0

    def begin(self, frames: Sequence[Frame]) -> tuple[str, ...]:
        """Ask the first keyframes.

        Returns:
            What a reader of the map must know.

        Raises:
            InputError: If their poses cannot be right; it says how to read them.
        """
        report = check_poses(frames)
        if report.ok is False:
            raise self._wrong(report)
        self._left = 0 if report.ok and report.tells_unit else _TIMES
        if report.ok is None and len(frames) > 1:
            return (f"whether the poses are right is not known: {report.message}",)
        return ()

    def see(self, frames: Iterable[Frame]) -> None:
        """Ask later keyframes, as long as it is not told.

        Raises:
            InputError: If another unit or another reading of their poses fits.
        """
        if not self._left:
            return
        self._held += frames
        if len(self._held) < self._size:
            return
        report, self._held = check_poses(self._held), []
        if report.ok is False and report.reading not in _NO_CURE:
            raise self._wrong(report)
        self._left = 0 if report.ok and report.tells_unit else self._left - 1

    def _wrong(self, report: PoseReport) -> InputError:
        return InputError(
            f"{self._name!r}: {report.message}. To go on as it is: groundplane map --poses trust"
        )
