"""The experts as an auto-annotation function of CVAT.

    cvat-cli --server-host HOST task auto-annotate 42 \\
        --function-module groundplane.apps.cvat_function \\
        -p 'prompts=str:dog, person: pedestrian' -p detector=str:grounding-dino \\
        -p 'options=str:weights=FOLDER'

CVAT's client calls `create` with the parameters, matches the labels by their names, and asks for
each picture of the task. Source: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image as PILImage

from groundplane.annotation.items import Picture
from groundplane.annotation.looking import Looker, LookTerms
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.spec import JobSpec
from groundplane.apps.given import expert_options
from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.hub import need_library
from groundplane.core.mask_outlines import bridged, mask_parts
from groundplane.core.masks import RleMask, decode
from groundplane.core.media import read_image

__all__ = ["CvatFunction", "create"]

_WHO = "the auto-annotation function for CVAT"
# CVAT may ask for any threshold; what lies below is not worth the time that masks take.
_FLOOR = 0.05

_log = logging.getLogger(__name__)


def create(
    prompts: str,
    *,
    detector: str = "",
    segmenter: str = "",
    options: str = "",
    device: str = "auto",
    deadline: float = 120.0,
    skip_failures: bool = False,
) -> CvatFunction:
    """Make the function; each parameter is one of `-p NAME=TYPE:VALUE`.

    Args:
        prompts: What to look for, `dog, red car: car`; the classes are the labels' names.
        detector: Name of the expert, or several with commas between them; empty for all.
        segmenter: Who makes masks; empty for boxes.
        options: Options of the experts, `key=value` with semicolons between them.
        device: Where the experts run.
        deadline: Seconds that each stage of a look may take.
        skip_failures: Whether a picture that fails is passed over with a warning; otherwise it
            ends the call, and CVAT gets nothing of the task.

    Raises:
        InputError: If a parameter is malformed, or a prompt has no class.
        PluginNotFoundError, PluginBrokenError: If an expert or cvat-sdk cannot be had.
    """
    from groundplane.annotation.expert_process import ProcessLooker

    library = need_library("cvat_sdk.auto_annotation", who=_WHO, extra="cvat")
    classes = read_prompts(prompts)
    bare = [prompt.text for prompt in classes.prompts if prompt.class_id < 0]
    if bare:
        raise InputError(f"{_WHO}: prompt {bare[0]!r} has no class, and CVAT needs a label")
    pairs = [pair.strip() for pair in options.split(";") if pair.strip()]
    spec = JobSpec(
        source="cvat",
        classes=classes,
        detector=detector or None,
        segmenter=segmenter or None,
        options=tuple(expert_options(pairs, flag="options").items()),
        floor=_FLOOR,
    )
    looker = ProcessLooker(spec, terms=LookTerms(device=device, deadline=deadline))
    for prompt, why in looker.lacking.items():
        _log.warning("nobody can look for %r: %s", prompt, why)
    return CvatFunction(spec, looker, library=library, skip_failures=skip_failures)


class CvatFunction:
    """A detection function, as cvat-sdk's `auto_annotation` describes it.

    Args:
        spec: What is looked for.
        looker: Who looks.
        library: The module `cvat_sdk.auto_annotation`.
        skip_failures: See `create`.
    """

    def __init__(self, spec: JobSpec, looker: Looker, *, library: Any, skip_failures: bool) -> None:
        self._looker, self._library, self._skip = looker, library, skip_failures
        self._encode = need_library("cvat_sdk.masks", who=_WHO, extra="cvat").encode_mask
        shapes = need_library("cvat_sdk.models", who=_WHO, extra="cvat").LabeledShapeRequest
        self._scored = "score" in shapes.attribute_map  # older versions have none
        # CVAT's client never says that it is done.
        self._end = weakref.finalize(self, looker.close)
        self._type = "mask" if spec.segmenter is not None else "rectangle"
        self._spec = library.DetectionFunctionSpec(
            labels=[
                library.label_spec(name, class_id, type=self._type)
                for class_id, name in enumerate(spec.classes.names)
            ]
        )

    @property
    def spec(self) -> Any:
        """The labels that the function knows: masks with a segmenter, boxes without."""
        return self._spec

    def detect(self, context: Any, image: PILImage.Image) -> list[Any]:
        """The shapes in a picture.

        Args:
            context: CVAT's: the frame's name, the least score, and whether masks are to be
                polygons.
            image: The picture.

        Raises:
            MediaError: If the picture is refused by a limit.
            DetectorError: If the experts fail on it, unless failures are skipped.
        """
        decoded = read_image(image, name=context.frame_name)
        picture = Picture(
            path=context.frame_name,
            content_hash=decoded.source.content_hash,
            pixels=decoded.pixels,
            to_stored=tuple(decoded.frame_map.matrix.ravel().tolist()),
        )
        (record,) = self._looker.look([picture])
        if record.failure is not None:
            if not self._skip:
                raise DetectorError(record.failure.message)
            _log.warning("%s: no shapes: %s", context.frame_name, record.failure.message)
            return []
        if record.note:
            _log.info("%s: %s", context.frame_name, record.note)
        return list(self._shapes(record, context))

    def close(self) -> None:
        """Let go of the experts."""
        self._end()

    def _shapes(self, record: AnnotationRecord, context: Any) -> Iterator[Any]:
        regions = record.regions
        least = context.conf_threshold
        keep = regions.kept if least is None else regions.scores >= least
        for row in np.flatnonzero(keep).tolist():
            yield from self._of_region(regions, row, context)

    def _of_region(self, regions: AnnotatedRegions, row: int, context: Any) -> Iterator[Any]:
        label = int(regions.class_ids[row])
        score = {"score": float(regions.scores[row])} if self._scored else {}
        if self._type == "rectangle":
            yield self._library.rectangle(label, regions.boxes[row].tolist(), **score)
            return
        mask = regions.masks[row] if regions.masks else None
        if mask is None or not decode(mask).any():
            _log.warning("%s: a region without a mask is left out", context.frame_name)
        elif context.conv_mask_to_poly:
            yield from self._polygons(label, mask, {**score, "group": row + 1})
        else:
            yield self._library.mask(label, self._encode(decode(mask)), **score)

    def _polygons(self, label: int, mask: RleMask, given: dict[str, Any]) -> Iterator[Any]:
        """A polygon for each part; those of one region are a group."""
        for part in mask_parts(mask):
            points = bridged(part).astype(np.float64).ravel().tolist()
            yield self._library.polygon(label, points, **given)
