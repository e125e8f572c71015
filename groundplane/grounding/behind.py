"""What detectors that stand before another one have in common."""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import DetectorError
from groundplane.grounding.checking import BreachError, check_result

__all__ = ["BeforeDetector", "ask_checked"]


class BeforeDetector:
    """Says of itself what the detector behind it says.

    Args:
        detector: The one behind.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The detector's own."""
        return self._detector.vocabulary

    @property
    def capabilities(self) -> Capabilities | None:
        """The detector's own, if it states any."""
        stated = getattr(self._detector, "capabilities", None)
        return stated if isinstance(stated, Capabilities) else None


def ask_checked(
    detector: Detector, requests: Sequence[DetectRequest], *, who: str
) -> list[DetectResult]:
    """Ask a detector, and check that what it gives is well formed.

    Args:
        detector: Who is asked.
        requests: What for.
        who: Who asks, for messages.

    Raises:
        DetectorError: If it gives another number of results, or one that is not well formed.
    """
    given = detector.detect(requests)
    if len(given) != len(requests):
        raise DetectorError(f"{who}: {len(given)} results for {len(requests)} requests")
    try:
        return [check_result(r, q) for r, q in zip(given, requests, strict=True)]
    except BreachError as breach:
        raise DetectorError(f"{who}: it broke its contract: {breach}") from breach
