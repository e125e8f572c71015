"""Faces and eyes, found by the Haar cascades that come with OpenCV 4.

A cascade alone takes much for a face that is none. So a face that one cascade proposes must be
seen again by three, trained apart, at a fixed size, as it is, mirrored and with its contrast
spread. The least number of neighbouring windows that agree in any of these twelve looks is the
evidence. What this finds and misses is measured in docs/detectors.md.

Source: Viola and Jones, Rapid object detection using a boosted cascade of simple features, 2001.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError, PluginBrokenError
from groundplane.core.image import Image
from groundplane.core.regions import Regions
from groundplane.grounding.result_merging import join_notes
from groundplane.grounding.vocabulary import look_up

__all__ = ["OpenCVDetector", "OpenCVOptions"]

_PROPOSER = "haarcascade_frontalface_default.xml"
_JUDGES = ("haarcascade_frontalface_alt.xml", "haarcascade_frontalface_alt2.xml", _PROPOSER)
_EYE = "haarcascade_eye.xml"

# The window that the proposing cascade was trained on; a smaller face cannot be seen.
_WINDOW = 24
# Judged faces are brought to this side, pixels, so that their counts can be compared.
_FACE_SIDE = 80
# Eyes are looked for in faces of this side at least, pixels; smaller ones are enlarged.
_EYE_FACE_SIDE = 200
# Agreeing windows at which the score is a half. Measured: true faces have 18 or more of them,
# false ones 6 or fewer (docs/detectors.md).
_HALF = 12
_STEP = 1.05

_Grey = UInt8[np.ndarray, "h w"]
_Rect = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCVOptions:
    """Options of `OpenCVDetector`.

    Attributes:
        scale: Factor between the sizes that the search goes through.
        min_neighbors: A face or eye is considered only if more neighbouring windows agree on it.
        min_score: Least score where a request states no threshold of its own.
        min_side: Least side of a face, pixels of the picture that is searched.
        max_side: A picture with a longer side is searched at this size, pixels.

    Raises:
        InputError: If a value is out of range.
    """

    scale: float = 1.1
    min_neighbors: int = 5
    min_score: float = 0.5
    min_side: int = _WINDOW
    max_side: int = 1024

    def __post_init__(self) -> None:
        limits = {
            "scale": (1.01, 2.0),
            "min_neighbors": (1, 1000),
            "min_score": (0.0, 1.0),
            "min_side": (_WINDOW, 100_000),
            "max_side": (_WINDOW, 8192),
        }
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(
                    f"detector 'opencv': option {name}: expected {least} to {most}, got {value}"
                )


@dataclass(frozen=True, slots=True)
class _Hit:
    """Something seen: left, top, width, height in pixels, and a score in [0, 1]."""

    rect: _Rect
    score: float


class OpenCVDetector:
    """Finds upright frontal faces, and the eyes in them.

    The score is n / (n + 12), n the least number of agreeing windows (see the module): it rises
    with the evidence and is no probability. Safe to use from several threads.

    Args:
        options: See `OpenCVOptions`.
        device: Where the regions' tensors are put; the search itself runs on the CPU.
        dtype: Not used: a cascade has no number type of its own. Boxes and scores are float32.

    Raises:
        PluginBrokenError: If this OpenCV has no Haar cascades.
    """

    Options = OpenCVOptions
    # The order of magnitude, from its time on one core: how early cascades stop depends on the
    # picture.
    capabilities = Capabilities(prompts=frozenset({"vocabulary"}), cost=1.0)

    def __init__(
        self, options: OpenCVOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self._options = options
        self._device = torch.device(device)
        self._cascades = _Cascades((*_JUDGES, _EYE))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """`face` and `eye`."""
        return ("face", "eye")

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        A region that answers several phrases of a request is given once for each.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        looked_up = [look_up(phrase, self.vocabulary) for phrase in request.phrases]
        least = request.thresholds or (self._options.min_score,) * len(request.phrases)
        asked = [
            (label, t) for (labels, _), t in zip(looked_up, least, strict=True) for label in labels
        ]
        found = self._search(request.image, asked)
        rows = _Rows(request)
        for index, (labels, _) in enumerate(looked_up):
            for label in labels:
                rows.add(label, found[label], index, least[index])
        notes = dict.fromkeys(note for _, note in looked_up if note)
        outcomes = []
        for index, (labels, _) in enumerate(looked_up):
            if index not in rows.phrase_ids:
                notes |= dict.fromkeys(_MISSED[label] for label in labels)
            seen = Outcome.FOUND if index in rows.phrase_ids else Outcome.NONE
            outcomes.append(seen if labels else Outcome.CANNOT)
        return DetectResult(
            regions=rows.regions(self._device), outcomes=tuple(outcomes), note=join_notes(notes)
        )

    def _search(self, image: Image, asked: Sequence[tuple[str, float]]) -> dict[str, list[_Hit]]:
        """Look for each label asked for, down to the least score that anyone wants."""
        if not asked:
            return {}
        own = self._options.min_score
        grey = _to_grey(image, max_side=self._options.max_side)
        faces = self._faces(grey, least=min([own, *(t for label, t in asked if label == "face")]))
        found = {"face": faces, "eye": []}
        if any(label == "eye" for label, _ in asked):
            sure = [face for face in faces if face.score >= own]
            found["eye"] = [eye for face in sure for eye in self._eyes(grey, face.rect)]
        return {
            label: [
                _Hit(_rescaled(hit.rect, grey, image), hit.score) for hit in sorted(hits, key=_rank)
            ]
            for label, hits in found.items()
        }

    def _faces(self, grey: _Grey, *, least: float) -> list[_Hit]:
        options = self._options
        proposed = self._cascades.find(
            _PROPOSER,
            grey,
            scale=options.scale,
            min_neighbors=options.min_neighbors,
            sides=(options.min_side, max(grey.shape)),
        )
        hits = [_Hit(rect, self._judged(grey, rect, least=least)) for rect, _ in proposed]
        return [hit for hit in hits if hit.score >= least]

    def _judged(self, grey: _Grey, rect: _Rect, *, least: float) -> float:
        """The score of a proposed face; below `least` it may be given too high."""
        score = 1.0
        for crop, (x, y) in _looks(grey, rect):
            for judge in _JUDGES:
                seen = self._cascades.find(
                    judge,
                    crop,
                    scale=_STEP,
                    min_neighbors=1,
                    sides=(_FACE_SIDE * 7 // 10, _FACE_SIDE * 14 // 10),
                )
                counts = [n for r, n in seen if _overlap(r, x, y) > 0.4]
                score = min(score, _score(max(counts, default=0)))
                if score < least:
                    return score
        return score

    def _eyes(self, grey: _Grey, face: _Rect) -> list[_Hit]:
        """The best eye of the left and of the right half of a face's upper part."""
        x, y, side, _ = face
        zoom = max(1.0, _EYE_FACE_SIDE / side)
        width, height = round(side * zoom), round(0.6 * side * zoom)
        upper = grey[y : y + round(0.6 * side), x : x + side]
        upper = cv2.resize(upper, (width, height), interpolation=cv2.INTER_CUBIC)
        seen = self._cascades.find(
            _EYE,
            upper,
            scale=self._options.scale,
            min_neighbors=self._options.min_neighbors,
            sides=(width // 8, width // 2),
        )
        best: dict[bool, _Hit] = {}
        for (ex, ey, ew, eh), count in seen:
            right = ex + ew / 2 > width / 2
            rect = tuple(round(v / zoom) for v in (ex, ey, ew, eh))
            hit = _Hit((x + rect[0], y + rect[1], rect[2], rect[3]), _score(count))
            best[right] = min(best.get(right, hit), hit, key=_rank)
        return list(best.values())


_MISSED = {
    "face": "only upright frontal faces can be found",
    "eye": "eyes are looked for only in upright frontal faces that were found",
}


class _Cascades:
    """Classifiers by file name; one search at a time, since each keeps state while it runs."""

    def __init__(self, names: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._by_name = {name: _load(name) for name in names}

    def find(
        self,
        name: str,
        grey: _Grey,
        *,
        scale: float,
        min_neighbors: int,
        sides: tuple[int, int],
    ) -> list[tuple[_Rect, int]]:
        """Boxes (left, top, width, height) in pixels and how many windows agreed on each."""
        least, most = sides
        with self._lock:
            rects, counts = self._by_name[name].detectMultiScale2(
                grey,
                scaleFactor=scale,
                minNeighbors=min_neighbors,
                minSize=(least, least),
                maxSize=(most, most),
            )
        # OpenCV searches in threads of its own and gives what it found in any order.
        return sorted(
            ((int(x), int(y), int(w), int(h)), int(count))
            for (x, y, w, h), count in zip(rects, counts, strict=True)
        )


def _load(name: str) -> Any:
    maker = getattr(cv2, "CascadeClassifier", None)
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    path = None if folder is None else Path(folder, name)
    classifier = maker(str(path)) if maker is not None and path and path.is_file() else None
    if classifier is None or classifier.empty():
        raise PluginBrokenError(
            f"detector 'opencv': expected OpenCV 4 with its Haar cascades, got OpenCV "
            f"{cv2.__version__} without {name}. Try: pip install 'opencv-python-headless>=4.10,<5'"
        )
    return classifier


class _Rows:
    """Grows the columns of a request's regions."""

    def __init__(self, request: DetectRequest) -> None:
        self._request = request
        self._ids: list[str] = []
        self._boxes: list[tuple[int, int, int, int]] = []
        self._scores: list[float] = []
        self.phrase_ids: list[int] = []

    def add(self, label: str, hits: Sequence[_Hit], phrase: int, least: float) -> None:
        """Take the hits that are good enough for a phrase."""
        for number, hit in enumerate(hits):
            if hit.score < least:
                continue
            x, y, w, h = hit.rect
            name = f"{label}-{number}"
            self._ids.append(f"{name}/{phrase}" if name in self._ids else name)
            self._boxes.append((x, y, x + w, y + h))
            self._scores.append(hit.score)
            self.phrase_ids.append(phrase)

    def regions(self, device: torch.device) -> Regions:
        """The columns as tensors."""
        return Regions(
            ids=tuple(self._ids),
            boxes=torch.tensor(self._boxes, dtype=torch.float32, device=device).reshape(-1, 4),
            scores=torch.tensor(self._scores, dtype=torch.float32, device=device),
            phrases=self._request.phrases,
            phrase_ids=torch.tensor(self.phrase_ids, dtype=torch.long, device=device),
            image_size=self._request.image.size,
            sources=("opencv",) * len(self._ids),
        )


def _rank(hit: _Hit) -> tuple[float, _Rect]:
    """Sorts the best first, and alike ones by place, so that ids do not change."""
    return (-hit.score, hit.rect)


def _score(agreeing: int) -> float:
    return agreeing / (agreeing + _HALF)


def _to_grey(image: Image, *, max_side: int) -> _Grey:
    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    width, height = image.size
    shrink = max_side / max(width, height)
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey)


def _rescaled(rect: _Rect, grey: _Grey, image: Image) -> _Rect:
    """From pixels of the searched picture to pixels of the image."""
    x, y, w, h = rect
    across, down = image.size[0] / grey.shape[1], image.size[1] / grey.shape[0]
    left, top = round(x * across), round(y * down)
    return left, top, round((x + w) * across) - left, round((y + h) * down) - top


def _looks(grey: _Grey, rect: _Rect) -> Iterator[tuple[_Grey, tuple[float, float]]]:
    """Views of a proposed face with half a face around it, and where in them it begins."""
    x, y, side, _ = rect
    margin = side // 2
    left, top = max(0, x - margin), max(0, y - margin)
    crop = grey[top : y + side + margin, left : x + side + margin]
    zoom = _FACE_SIDE / side
    size = round(crop.shape[1] * zoom), round(crop.shape[0] * zoom)
    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    plain = cv2.resize(crop, size, interpolation=smooth)
    begin, down = (x - left) * zoom, (y - top) * zoom
    mirrored = np.ascontiguousarray(plain[:, ::-1])
    for view, across in ((plain, begin), (mirrored, size[0] - begin - _FACE_SIDE)):
        yield view, (across, down)
        yield cv2.equalizeHist(view), (across, down)


def _overlap(rect: _Rect, x: float, y: float) -> float:
    """Intersection over union of a box and the judged face, which begins at x, y."""
    left, top, width, height = rect
    wide = min(left + width, x + _FACE_SIDE) - max(left, x)
    high = min(top + height, y + _FACE_SIDE) - max(top, y)
    shared = max(0.0, wide) * max(0.0, high)
    return shared / (width * height + _FACE_SIDE**2 - shared)
