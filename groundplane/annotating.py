"""Annotate many pictures: an iterator over records that can be trusted to be resumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from groundplane.annotation.beginning import Handed, begin_job, versions_of
from groundplane.annotation.job import AnnotationJob
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.running import Running
from groundplane.annotation.sources import open_source
from groundplane.annotation.sources.given import Given
from groundplane.annotation.spec import JobSpec

if TYPE_CHECKING:
    from groundplane.core.detection import Detector
    from groundplane.core.session import LanguageModel

__all__ = ["AnnotationJob", "Details", "annotate"]

Box = tuple[float, float, float, float]


class Details(TypedDict, total=False):
    """What else `annotate` may be told.

    Of these a run's manifest fixes: `segmenter`, `captioner`, `options`, `caption_options`,
    `exemplars`, `floor`, `merge`, `tracks`, `frame_step`, `column`, `http`; see `JobSpec`. The
    others only say how this call runs; see `Running`.
    """

    segmenter: str | None
    captioner: str | LanguageModel | None
    options: Mapping[str, object]
    caption_options: Mapping[str, object]
    exemplars: Mapping[str, Mapping[str, Box]]
    floor: float
    merge: float | None
    tracks: bool
    frame_step: int
    column: str | None
    http: bool
    batch: int
    workers: int | None
    device: str
    apart: bool
    deadline: float | None
    max_failures: int | None
    retry_failed: bool
    limit: int | None
    candidates: bool


def annotate(
    images: Given | Iterable[Given] | Mapping[str, Given],
    prompts: object,
    *,
    detector: str | Detector | None = None,
    out: str | Path | None = None,
    thresholds: float | str | Iterable[str] | Mapping[str, float] = (),
    **details: Unpack[Details],
) -> AnnotationJob:
    """Annotate pictures and videos; the records come as they are done.

    Args:
        images: A folder, a picture, a video, a list file, an archive or table of pictures, an
            address of any of these in an object store; or an iterable of paths, encoded bytes,
            RGB arrays, PIL pictures, or pairs of a name and one of these.
        prompts: What to look for: `"dog, red car, person: pedestrian"`, a list of texts, a
            mapping of prompts to classes, or a class file.
        detector: The expert's name, several with commas between them, or the expert itself; None
            for all that are installed.
        out: The folder of the run, where each record is kept before it is handed out. The same
            call goes on where an earlier one ended. None keeps nothing.
        thresholds: The least score: a number, or numbers by prompt or class.
        **details: See `Details`.

    Returns:
        A job to iterate over; a `with` statement ends it in order, wherever it is.

    Raises:
        MediaError: If there is nothing to annotate.
        InputError: If an argument is malformed, or `out` holds another job.
        OutputError: If `out` cannot be written, or another process writes to it.
        PluginNotFoundError, PluginBrokenError: If an expert cannot be made.

    Examples:
        >>> import numpy as np
        >>> grey = np.full((64, 48, 3), 128, dtype=np.uint8)
        >>> with annotate([("a.png", grey)], "face", detector="opencv", apart=False) as job:
        ...     for record in job:
        ...         print(record.path, record.status, record.outcomes, len(record.regions))
        a.png done ('none',) 0
        >>> job.summary.ended
        'complete'
    """
    given = cast("Mapping[str, Any]", details)
    source = open_source(
        images,
        frame_step=details.get("frame_step", 1),
        column=details.get("column"),
        http=details.get("http", False),
    )
    captioner = details.get("captioner")
    spec = JobSpec(
        source=source.name,
        classes=read_prompts(prompts, thresholds=thresholds),
        detector=_name(detector),
        captioner=_name(captioner),
        options=_texts(details.get("options", {})),
        caption_options=_texts(details.get("caption_options", {})),
        exemplars=_flat(details.get("exemplars", {})),
        **{key: given[key] for key in _FIXED if key in given},
    )
    handed = Handed(
        detector=None if isinstance(detector, str) else detector,
        captioner=None if isinstance(captioner, str) else captioner,
    )
    running = Running(**{key: given[key] for key in _FREE if key in given})
    return begin_job(versions_of(spec), source, out=out, running=running, handed=handed)


_FIXED = ("segmenter", "floor", "merge", "tracks", "frame_step", "column", "http")
_FREE = (
    "batch", "workers", "device", "apart", "deadline", "max_failures", "retry_failed", "limit",
    "candidates",
)  # fmt: skip


def _name(given: object) -> str | None:
    """An expert's name as the manifest has it."""
    return given if given is None or isinstance(given, str) else f"object:{type(given).__name__}"


def _texts(options: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in options.items()))


def _flat(exemplars: Mapping[str, Mapping[str, Box]]) -> tuple[tuple[str, str, Box], ...]:
    return tuple(
        (path, prompt, box) for path, boxes in exemplars.items() for prompt, box in boxes.items()
    )
