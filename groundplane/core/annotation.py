"""Annotations of pictures, as they stand in a run's log and go out to other formats.

Nothing here needs torch: exports, listings and pages are made without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from groundplane.core.errors import InputError, ShapeError, listing
from groundplane.core.masks import RleMask

__all__ = [
    "AnnotatedRegions",
    "AnnotationPrompt",
    "AnnotationRecord",
    "ClassTable",
    "Failure",
    "VideoFrame",
    "rounded_boxes",
    "rounded_scores",
]

Attribute = str | float | int | bool
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationPrompt:
    """What experts are asked for, and the class that it gives.

    Attributes:
        text: The phrase.
        class_id: Index of the class; -1 where what is found gets no class (unmapped).
        threshold: The least score, in [0, 1]; None leaves it to the expert.

    Raises:
        InputError: If the text is empty or the threshold out of range.
    """

    text: str
    class_id: int
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InputError("prompt: expected words, got an empty text")
        if self.threshold is not None and not 0 <= self.threshold <= 1:  # NaN is not either
            raise InputError(
                f"prompt {self.text!r}: expected a threshold from 0 to 1, got {self.threshold}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """The classes of a run and the prompts that lead to them; fixed when the run begins.

    A class's id is its place in `names` and never changes within a run.

    Attributes:
        names: One name a class, each once.
        prompts: What is asked for; several prompts may lead to one class.

    Raises:
        InputError: If a name is empty or stands twice, a prompt stands twice, or a prompt leads
            to a class that is not there.
    """

    names: tuple[str, ...]
    prompts: tuple[AnnotationPrompt, ...]

    def __post_init__(self) -> None:
        for what, words in (("class", self.names), ("prompt", [p.text for p in self.prompts])):
            twice = sorted(word for word, times in Counter(words).items() if times > 1)
            if twice:
                raise InputError(f"classes: the {what} {listing(map(repr, twice))} stands twice")
        if not all(name.strip() for name in self.names):
            raise InputError("classes: expected names in words, got an empty one")
        for prompt in self.prompts:
            if not -1 <= prompt.class_id < len(self.names):
                raise InputError(
                    f"classes: prompt {prompt.text!r} leads to class {prompt.class_id}, but there "
                    f"are {len(self.names)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedRegions:
    """The regions of one picture in columns; numbers are rounded as the log keeps them.

    Attributes:
        ids: One id a region, unique in the picture.
        boxes: `xyxy`, pixels of the upright picture, half-open; multiples of 0.01.
        scores: In [0, 1]; multiples of 1e-4.
        prompt_ids: Index of the prompt that each answers; -1 for none.
        class_ids: Index of its class; -1 where it is unmapped.
        kept: Whether the expert itself gave it; the others are candidates, which only a lower
            threshold brings in.
        masks: One run-length mask a region, None for a region without; None where no region has
            one.
        track_ids: One track a region, -1 where unknown; None where nothing was tracked.
        attributes: Further facts on each region by name, such as its caption.
        sources: Who found each region.

    Raises:
        ShapeError: If a column has another length, or an id stands twice.
    """

    ids: tuple[str, ...]
    boxes: Float64[np.ndarray, "n 4"]
    scores: Float64[np.ndarray, " n"]
    prompt_ids: Int64[np.ndarray, " n"]
    class_ids: Int64[np.ndarray, " n"]
    kept: Bool[np.ndarray, " n"]
    masks: tuple[RleMask | None, ...] | None = None
    track_ids: Int64[np.ndarray, " n"] | None = None
    attributes: tuple[Mapping[str, Attribute], ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(set(self.ids)) != n:
            raise ShapeError("annotated regions: ids are not unique")
        if self.boxes.shape != (n, 4):
            raise ShapeError(f"annotated regions: {n} ids but boxes of shape {self.boxes.shape}")
        for name in ("scores", "prompt_ids", "class_ids", "kept", "track_ids"):
            column = getattr(self, name)
            if column is not None and column.shape != (n,):
                raise ShapeError(f"annotated regions: {n} ids but {name} of shape {column.shape}")
        for name in ("masks", "attributes", "sources"):
            column = getattr(self, name)
            if column and len(column) != n:
                raise ShapeError(f"annotated regions: {n} ids but {len(column)} {name}")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls) -> AnnotatedRegions:
        """No region at all.

        Examples:
            >>> len(AnnotatedRegions.empty())
            0
        """
        none = np.zeros(0, dtype=np.int64)
        return cls(
            ids=(), boxes=np.zeros((0, 4)), scores=np.zeros(0), prompt_ids=none, class_ids=none,
            kept=np.zeros(0, dtype=np.bool_),
        )  # fmt: skip

    def select(self, keep: Bool[np.ndarray, " n"] | Int64[np.ndarray, " m"]) -> AnnotatedRegions:
        """The regions that a boolean or index array picks, in its order."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        rows: list[int] = index.tolist()
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            boxes=self.boxes[index],
            scores=self.scores[index],
            prompt_ids=self.prompt_ids[index],
            class_ids=self.class_ids[index],
            kept=self.kept[index],
            masks=None if self.masks is None else tuple(self.masks[i] for i in rows),
            track_ids=None if self.track_ids is None else self.track_ids[index],
            attributes=tuple(self.attributes[i] for i in rows) if self.attributes else (),
            sources=tuple(self.sources[i] for i in rows) if self.sources else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFrame:
    """Where a picture stands in a video.

    Attributes:
        video: The video's path, relative to the source.
        index: Of the decoded frame, from 0.
        time: Presentation time, seconds.
    """

    video: str
    index: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a picture has no annotation.

    Attributes:
        stage: Where it failed: `read`, `decode`, `detect`, `segment`, `caption`.
        message: In one line, for people.
    """

    stage: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotationRecord:
    """What became of one picture.

    Attributes:
        path: Relative to the source, with `/` between its parts; data, never a path to write to.
            A video's frames end in `#` and their index.
        content_hash: SHA-256 of the encoded bytes, hexadecimal; empty where they could not be
            read.
        status: Whether it was annotated.
        size: Width and height of the upright picture, pixels; None where it could not be decoded.
        to_stored: The rows of the affine map from upright pixels to the file's stored ones, one
            after the other.
        regions: What was found, candidates too until a view leaves them out.
        outcomes: For each prompt `found`, `none` or `cannot`; empty where it failed.
        failure: Why it failed; None where it did not.
        frame: Where it stands in a video.
        caption: What a language model says of it.
        note: What a user must know, as the expert put it.

    Raises:
        InputError: If status, size and failure do not go together.
    """

    path: str
    content_hash: str
    status: Literal["done", "failed"]
    size: tuple[int, int] | None
    to_stored: tuple[float, ...] = _UPRIGHT
    regions: AnnotatedRegions = field(default_factory=AnnotatedRegions.empty)
    outcomes: tuple[str, ...] = ()
    failure: Failure | None = None
    frame: VideoFrame | None = None
    caption: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if (self.status == "failed") != (self.failure is not None):
            raise InputError(f"record of {self.path!r}: a failure belongs to the status 'failed'")
        if self.status == "done" and self.size is None:
            raise InputError(f"record of {self.path!r}: what is done has a size")
        if len(self.to_stored) != len(_UPRIGHT):
            raise ShapeError(f"record of {self.path!r}: expected a map of six numbers")

    @property
    def turned(self) -> bool:
        """Whether the upright picture is not the stored one."""
        return self.to_stored != _UPRIGHT


def rounded_boxes(boxes: Float64[np.ndarray, "n 4"]) -> Float64[np.ndarray, "n 4"]:
    """Boxes as the log keeps them: hundredths of a pixel, no negative zero.

    Examples:
        >>> rounded_boxes(np.array([[-0.001, 1.234, 5.678, 9.0]])).tolist()
        [[0.0, 1.23, 5.68, 9.0]]
        >>> rounded_boxes(np.zeros((0, 4))).shape
        (0, 4)
    """
    return np.round(boxes, 2) + 0.0


def rounded_scores(
    scores: Sequence[float] | Float64[np.ndarray, " n"],
) -> Float64[np.ndarray, " n"]:
    """Scores as the log keeps them: multiples of 1e-4.

    Examples:
        >>> rounded_scores([0.123456, 1.0]).tolist()
        [0.1235, 1.0]
        >>> rounded_scores([]).shape
        (0,)
    """
    return np.asarray(np.round(np.asarray(scores, dtype=np.float64), 4) + 0.0)
