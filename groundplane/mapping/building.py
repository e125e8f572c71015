"""Build a map in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from groundplane.captures.capture import Capture
from groundplane.core.camera import Frame
from groundplane.core.detection import Detector
from groundplane.core.errors import InputError, did_you_mean
from groundplane.core.geometry import GeometryExpert
from groundplane.core.image import Image
from groundplane.grounding.router import Router, Terms
from groundplane.grounding.setup import make_router
from groundplane.mapping.geometry import GeometryChain, split_options
from groundplane.mapping.given import capture_of
from groundplane.mapping.looking import Looker, phrases_from
from groundplane.mapping.mapper import Mapper
from groundplane.mapping.state import FoundLog
from groundplane.mapping.terms import MapTerms
from groundplane.spatial.map import CognitiveMap

__all__ = ["Geometry", "MapSource", "build_map", "make_mapper", "make_router_for"]

MapSource = str | Path | Capture | Image | Iterable[Frame]
Geometry = str | GeometryExpert | Sequence[GeometryExpert]

_TERMS = MapTerms()


def build_map(
    source: MapSource,
    phrases: str | Sequence[str],
    *,
    detector: str | Detector | None = None,
    segmenter: str | None = None,
    geometry: Geometry | None = None,
    options: Mapping[str, object] | None = None,
    device: str = "auto",
    terms: MapTerms = _TERMS,
) -> CognitiveMap:
    """Build the cognitive map of a video or of posed RGB-D.

    Args:
        source: The path of a video or of a folder (TUM, ScanNet, ARKitScenes, COLMAP, nerfstudio,
            pictures), a capture that is open already, one picture, or frames in order.
        phrases: What to look for; one text is parted at its commas.
        detector: Who looks: a plugin's name, several with commas between them, or the expert
            itself; None for all that are installed.
        segmenter: Who makes masks; None for those that the detector makes anyway. Without masks
            the inner part of each box is taken.
        geometry: Who fills in depth, intrinsics and poses that the source does not tell: names
            with commas between them, asked one after another, or experts that are made already.
        options: Options of the experts: `depth-pro.weights`, or `weights` alone where it is clear
            whose it is.
        device: Where the experts run.
        terms: See `MapTerms`.

    Returns:
        The map. Its `notes` say what a reader of an answer must know; one without objects says
        why there are none.

    Raises:
        InputError: If geometry stays unknown, the poses cannot be right, no phrase is given, or
            an option is unknown.
        MediaError: If the source cannot be read.
        PluginNotFoundError, PluginBrokenError: If an expert cannot be made.
        DetectorError: If an expert fails, or no expert can look for any phrase.
    """
    mapper = make_mapper(
        source, phrases_from(phrases), detector=detector, segmenter=segmenter, geometry=geometry,
        options=options, device=device, terms=terms,
    )  # fmt: skip
    for _ in mapper.words():
        pass
    return mapper.map()


def make_mapper(  # noqa: PLR0913 - as `build_map`
    source: MapSource,
    phrases: Sequence[str],
    *,
    detector: str | Detector | None = None,
    segmenter: str | None = None,
    geometry: Geometry | None = None,
    options: Mapping[str, object] | None = None,
    device: str = "auto",
    terms: MapTerms = _TERMS,
    log: FoundLog | None = None,
) -> Mapper:
    """The job that `build_map` runs, for who wants to watch or end it; see there.

    Args:
        source, detector, segmenter, geometry, options, device, terms: See `build_map`.
        phrases: What to look for; where there is none, only the room is found.
        log: Where what was found is kept, to go on from after an interruption.

    Raises:
        InputError, MediaError, PluginNotFoundError, PluginBrokenError: As `build_map`.
    """
    known = tuple(terms.scaling.known)
    wanted = phrases_from([*phrases, *known]) if phrases or known else ()
    _check_thresholds(terms.thresholds, wanted)
    capture = capture_of(source, terms)
    own, _ = _parted(options, geometry, detector, segmenter)
    chain = GeometryChain.of(geometry, options=own, device=device, deadline=terms.deadline)
    if capture.length == 1:
        chain = chain.alone(capture.gives)
    chain.check(capture.gives, source=repr(capture.name))
    router = None
    if wanted:
        router = make_router_for(
            detector, segmenter=segmenter, geometry=geometry, options=options, device=device
        )
    looker = Looker(detector=router, phrases=wanted, thresholds=terms.thresholds, log=log)
    return Mapper(capture, looker, geometry=chain, terms=terms)


def make_router_for(
    detector: str | Detector | None,
    *,
    segmenter: str | None = None,
    geometry: Geometry | None = None,
    options: Mapping[str, object] | None = None,
    device: str = "auto",
) -> Router:
    """Who looks for phrases, of the options that are not the geometry experts'.

    Raises:
        InputError, PluginNotFoundError, PluginBrokenError: As `make_router`.
    """
    if isinstance(detector, Router):
        return detector
    _, rest = _parted(options, geometry, detector, segmenter)
    terms = Terms(masks=segmenter is not None)
    return make_router(detector, segmenter=segmenter, options=rest, device=device, terms=terms)


def _parted(
    options: Mapping[str, object] | None,
    geometry: Geometry | None,
    detector: str | Detector | None,
    segmenter: str | None,
) -> tuple[dict[str, dict[str, object]], dict[str, object]]:
    """The options of the geometry experts by name, and those of all others."""
    others = {
        "detectors": detector if isinstance(detector, str | None) else "",
        "segmenters": segmenter or "",
    }
    return split_options(options or {}, geometry, others=others)


def _check_thresholds(given: Mapping[str, float], phrases: Sequence[str]) -> None:
    if strange := [phrase for phrase in given if phrase not in phrases]:
        raise InputError(
            f"map: a threshold for {strange[0]!r}, which is none of the phrases."
            f"{did_you_mean(strange[0], phrases)}"
        )
    if given and (missing := [phrase for phrase in phrases if phrase not in given]):
        raise InputError(f"map: {missing[0]!r} has no threshold; give one for each phrase, or none")
