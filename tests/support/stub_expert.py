"""A detector made for tests of jobs: quick, of any words, and the same whatever the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.regions import Regions


class StubExpert:
    """Finds up to three regions for each phrase; where and how surely follows from the picture."""

    vocabulary: tuple[str, ...] | None = None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return [answer(request) for request in requests]


def answer(request: DetectRequest) -> DetectResult:
    """What the stub finds."""
    width, height = request.image.size
    boxes, scores, ids, outcomes = [], [], [], []
    for index, phrase in enumerate(request.phrases):
        key = f"{request.image.source.content_hash} {phrase}".encode()
        digest = hashlib.sha256(key).digest()
        count = digest[0] % 4
        outcomes.append(Outcome.FOUND if count else Outcome.NONE)
        for place in range(count):
            a, b, c, d, e = (byte / 256 for byte in digest[1 + 5 * place : 6 + 5 * place])
            left, top = a * width / 2, b * height / 2
            boxes.append((left, top, left + (0.1 + c / 3) * width, top + (0.1 + d / 3) * height))
            scores.append(0.3 + 0.7 * e)
            ids.append(index)
    return DetectResult(
        regions=Regions(
            ids=tuple(f"s{index}" for index in range(len(ids))),
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.tensor(scores, dtype=torch.float32),
            phrases=request.phrases,
            phrase_ids=torch.tensor(ids, dtype=torch.int64),
            image_size=request.image.size,
        ),
        outcomes=tuple(outcomes),
    )
