"""An expert that errs as detectors do: it misses things, sees others, and its boxes are off."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.lexicon import normalise
from groundplane.core.regions import Regions
from tests.support.coco_statements import Box, Photo

__all__ = ["DegradedDetector"]


class DegradedDetector:
    """Plays back photos with errors, the same for the same seed and whatever is asked.

    Args:
        photos: What is there.
        missed: The share of boxes that is dropped.
        false: How many boxes are made up, as a share of those that are there.
        jitter: Standard deviation of every edge, as a share of the box's side.
        seed: Of the errors.

    A made-up thing is of a class drawn from all; scores of true things lie in 0.4 to 1, of
    made-up ones in 0.2 to 0.7.
    """

    def __init__(
        self, photos: Sequence[Photo], *, missed: float = 0.2, false: float = 0.1,
        jitter: float = 0.05, seed: int = 0,
    ) -> None:  # fmt: skip
        self.vocabulary = photos[0].classes if photos else ()
        self._crowded = {photo.name: photo.crowded for photo in photos}
        self._found: dict[str, list[tuple[str, Box, float]]] = {}
        for photo in photos:
            rng = random.Random(f"{seed} {photo.name}")
            found: list[tuple[str, Box, float]] = []
            for name, boxes in photo.boxes.items():
                for box in boxes:
                    if rng.random() >= missed:
                        score = rng.uniform(0.4, 1.0)
                        found.append((name, _moved(box, photo.size, jitter, rng), score))
                    if rng.random() < false:
                        made = _somewhere(photo.size, rng)
                        found.append((rng.choice(photo.classes), made, rng.uniform(0.2, 0.7)))
            self._found[photo.name] = found

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        found = self._found[request.image.source.name]
        asked = {normalise(phrase): i for i, phrase in enumerate(request.phrases)}
        rows = sorted(
            ((score, asked[name], box) for name, box, score in found if name in asked),
            key=lambda row: -row[0],
        )
        everything = Regions(
            ids=tuple(f"r{k}" for k in range(len(rows))),
            boxes=torch.tensor([row[2] for row in rows]).reshape(-1, 4),
            scores=torch.tensor([row[0] for row in rows]).reshape(-1),
            phrases=request.phrases,
            phrase_ids=torch.tensor([row[1] for row in rows], dtype=torch.long).reshape(-1),
            image_size=request.image.size,
        )
        known = [normalise(phrase) in self.vocabulary for phrase in request.phrases]
        named = set(everything.phrase_ids.tolist())
        outcomes = [
            Outcome.CANNOT if not can else Outcome.FOUND if i in named else Outcome.NONE
            for i, can in enumerate(known)
        ]
        crowded = self._crowded[request.image.source.name]
        whole = DetectResult(
            regions=everything, outcomes=tuple(outcomes), candidates=everything,
            uncounted=tuple(i for name, i in asked.items() if name in crowded),
        )  # fmt: skip
        return whole.at([0.4] * len(request.phrases))


def _moved(box: Box, size: tuple[int, int], jitter: float, rng: random.Random) -> Box:
    sides = (box[2] - box[0], box[3] - box[1])
    moved = [edge + rng.gauss(0, jitter * sides[k % 2]) for k, edge in enumerate(box)]
    x1, x2 = sorted(min(max(edge, 0.0), size[0]) for edge in (moved[0], moved[2]))
    y1, y2 = sorted(min(max(edge, 0.0), size[1]) for edge in (moved[1], moved[3]))
    return x1, y1, x2, y2


def _somewhere(size: tuple[int, int], rng: random.Random) -> Box:
    w, h = rng.uniform(0.05, 0.3) * size[0], rng.uniform(0.05, 0.3) * size[1]
    x, y = rng.uniform(0, size[0] - w), rng.uniform(0, size[1] - h)
    return x, y, x + w, y + h
