"""Find things in a photo by phrases: the router over installed experts in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from groundplane.core.detection import Detector, DetectRequest, DetectResult
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.grounding.router import Terms
from groundplane.grounding.setup import make_router

__all__ = ["find"]


def find(
    photo: Image | str | Path,
    phrases: str | Sequence[str],
    *,
    detector: str | Detector | None = None,
    segmenter: str | None = None,
    thresholds: Sequence[float] | None = None,
    device: str = "auto",
    options: Mapping[str, object] | None = None,
) -> DetectResult:
    """Find what phrases name in a photo.

    For many photos make a router once (`groundplane.make_router`) and hand it all requests.

    Args:
        photo: An image, or the path of one.
        phrases: What to find; one text is one phrase.
        detector: The expert's name, several with commas between them, or the expert itself; None
            for all that are installed, the cheapest that can look for a phrase first.
        segmenter: Who makes masks; None for those that the detector makes anyway.
        thresholds: The least score for each phrase, in [0, 1], or None for the expert's own.
        device: Where the experts run.
        options: Options of the experts, such as `weights` or `owlv2.weights`.

    Returns:
        Regions with boxes in pixels of the upright photo, and for each phrase whether it was
        found, is not there, or cannot be looked for.

    Raises:
        MediaError: If the photo cannot be read.
        PluginNotFoundError, PluginBrokenError, InputError: If an expert cannot be made.
        DetectorError: If the expert fails.

    Examples:
        >>> import numpy as np
        >>> from groundplane.testing.detectors import make_image
        >>> grey = make_image(np.full((64, 64, 3), 128, dtype=np.uint8))
        >>> result = find(grey, ["face", "giraffe"], detector="opencv")
        >>> [outcome.value for outcome in result.outcomes], len(result.regions)
        (['none', 'cannot'], 0)
        >>> find(grey, [], detector="opencv").outcomes
        ()
    """
    wanted = (phrases,) if isinstance(phrases, str) else tuple(phrases)
    if not all(isinstance(phrase, str) for phrase in wanted):
        raise InputError("find: expected phrases in words, as a text or a list of texts")
    image = photo if isinstance(photo, Image) else read_image(photo)
    router = make_router(
        detector,
        segmenter=segmenter,
        options=options or {},
        device=device,
        terms=Terms(masks=segmenter is not None),
    )
    least = None if thresholds is None else tuple(thresholds)
    (result,) = router.detect([DetectRequest(image=image, phrases=wanted, thresholds=least)])
    return result
