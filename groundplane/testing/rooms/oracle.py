"""Experts that know the truth, and err as much as one asks them to.

What a map built with them gets wrong is the fault of how it was built, or of the errors that were
put in on purpose. Each error is drawn from the seed, the picture and the thing alone, so neither
the order of pictures nor what else is asked changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import PurePosixPath

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int32

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.lexicon import match_phrase
from groundplane.core.masks import RleMask, encode
from groundplane.core.regions import Regions
from groundplane.testing.rooms.furniture import LABELS
from groundplane.testing.rooms.replay import Replay

__all__ = ["OracleDetector", "OracleErrors"]

_SOURCE = "oracle"
_SHARES = ("miss", "lost", "confusion", "flicker", "score")
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleErrors:
    """How an oracle errs; as it stands, not at all.

    Attributes:
        seed: Other seeds give other errors.
        miss: Share of sights of a thing that are missed, picture by picture.
        lost: Share of things that are missed in all pictures.
        false_alarms: Boxes a picture on nothing but wall and floor, on average; each is called
            by one of the words asked for.
        jitter: Pixels by which a side of a box is off, standard deviation.
        bleed: Pixels by which masks are too wide or too narrow, standard deviation.
        confusion: Share of things that are called by another word of the room in all pictures.
        flicker: Share of sights of a thing that are called by another word of the room.
        score: Of what is there, on average; false alarms have half of it.
        spread: Of scores, standard deviation.
        least_pixels: What shows fewer is not seen.

    Raises:
        InputError: If a share is not in [0, 1], or another number is negative or not finite.
    """

    seed: int = 0
    miss: float = 0.0
    lost: float = 0.0
    false_alarms: float = 0.0
    jitter: float = 0.0
    bleed: float = 0.0
    confusion: float = 0.0
    flicker: float = 0.0
    score: float = 0.9
    spread: float = 0.0
    least_pixels: int = 30

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"oracle: expected {name} from 0 to 1, got {getattr(self, name)}")
        for name in ("false_alarms", "jitter", "bleed", "spread", "least_pixels"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(
                    f"oracle: expected {name} of at least 0, got {getattr(self, name)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """Something the oracle says it sees; `id` is negative for a false alarm."""

    id: int
    label: str
    box: Box
    mask: RleMask
    score: float


class OracleDetector:
    """Finds things by the true ids of pixels; knows all words of the rooms' furniture.

    Args:
        replay: The pictures and what they show.
        errors: How it errs; None for not at all.
        masks: Whether regions carry masks.
        device: Where the regions' tensors are put.
    """

    capabilities = Capabilities(prompts=frozenset({"vocabulary"}), masks=True)

    def __init__(
        self,
        replay: Replay,
        errors: OracleErrors | None = None,
        *,
        masks: bool = True,
        device: str = "cpu",
    ) -> None:
        self._replay = replay
        self._errors = errors or OracleErrors()
        self._masks = masks
        self._device = torch.device(device)
        self._vocabulary = tuple(sorted({*LABELS, *replay.labels.values()}))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All words of the rooms' furniture, those of this room among them."""
        return self._vocabulary

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order.

        Raises:
            DetectorError: If a picture was not shown to the replay, or has another size.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        asked = [_labels_of(phrase, self._vocabulary) for phrase in request.phrases]
        wanted = sorted({label for labels in asked for label in labels})
        sights = self._sights(request.image, wanted)
        rows: list[tuple[int, _Sight]] = []
        outcomes, notes = [], []
        for index, labels in enumerate(asked):
            least = request.thresholds[index] if request.thresholds else 0.0
            here = [s for s in sights if s.label in labels and s.score >= least]
            rows += [(index, sight) for sight in here]
            found = Outcome.FOUND if here else Outcome.NONE
            outcomes.append(found if labels else Outcome.CANNOT)
            if not labels:
                notes.append(f"this expert does not know {request.phrases[index][:80]!r}")
        return DetectResult(
            regions=self._regions(rows, request),
            outcomes=tuple(outcomes),
            note="; ".join(notes[:3]),
        )

    def _regions(self, rows: Sequence[tuple[int, _Sight]], request: DetectRequest) -> Regions:
        stem = PurePosixPath(request.image.source.name).stem
        names = [f"{stem}-{sight.id}" for _, sight in rows]
        ids = [
            name if name not in names[:i] else f"{name}/{rows[i][0]}"
            for i, name in enumerate(names)
        ]
        on = self._device
        return Regions(
            ids=tuple(ids),
            boxes=torch.tensor([s.box for _, s in rows], dtype=torch.float32, device=on).view(
                -1, 4
            ),
            scores=torch.tensor([s.score for _, s in rows], dtype=torch.float32, device=on),
            phrases=request.phrases,
            phrase_ids=torch.tensor([index for index, _ in rows], dtype=torch.long, device=on),
            image_size=request.image.size,
            masks=tuple(s.mask for _, s in rows) if self._masks else None,
            sources=(_SOURCE,) * len(rows),
        )

    def _sights(self, image: Image, wanted: Sequence[str]) -> list[_Sight]:
        """What the oracle says it sees of some labels."""
        name, ids = self._replay.name_of(image), self._replay.ids_of(image)
        shown, pixels = np.unique(ids, return_counts=True)
        sights = []
        for id, count in zip(shown.tolist(), pixels.tolist(), strict=True):
            if id and count >= max(self._errors.least_pixels, 1):
                sight = self._sight(id, ids, name, wanted)
                sights += [sight] if sight else []
        return sights + self._alarms(ids, name, wanted)

    def _sight(
        self, id: int, ids: Int32[np.ndarray, "h w"], name: str, wanted: Sequence[str]
    ) -> _Sight | None:
        errors = self._errors
        whole = _draw(errors.seed, self._replay.name, id)
        lost, confused, other = whole.random(3)
        here = _draw(errors.seed, self._replay.name, id, name)
        missed, flickers, another = here.random(3)
        if lost < errors.lost or missed < errors.miss:
            return None
        label = self._replay.labels[id]
        if confused < errors.confusion:
            label = self._called(label, by=other)
        if flickers < errors.flicker:
            label = self._called(label, by=another)
        if label not in wanted:
            return None
        sides, score, width = here.normal(size=4), float(here.normal()), float(here.normal())
        mask = _widened(ids == id, pixels=round(width * errors.bleed))
        return _Sight(
            id=id,
            label=label,
            box=_jittered(_around(mask), sides * errors.jitter, ids.shape),
            mask=encode(mask),
            score=float(np.clip(errors.score + errors.spread * score, 0.01, 1.0)),
        )

    def _called(self, label: str, *, by: float) -> str:
        """Another word of the room; of all furniture where the room has no other."""
        others = sorted(set(self._replay.labels.values()) - {label})
        others = others or [word for word in self._vocabulary if word != label]
        return others[int(by * len(others))]

    def _alarms(
        self, ids: Int32[np.ndarray, "h w"], name: str, wanted: Sequence[str]
    ) -> list[_Sight]:
        """False alarms: boxes on what is no thing, as far as it fills them."""
        errors, alarms = self._errors, []
        draw = _draw(errors.seed, self._replay.name, 0, name)
        height, width = ids.shape
        for number in range(int(draw.poisson(errors.false_alarms)) if wanted else 0):
            x, y, w, h, word = draw.random(5)
            score = float(np.clip(errors.score / 2 + errors.spread * draw.normal(), 0.01, 1.0))
            w, h = (0.05 + 0.2 * w) * width, (0.05 + 0.25 * h) * height
            left, top = int(x * (width - w)), int(y * (height - h))
            mask = np.zeros(ids.shape, dtype=bool)
            inside = np.s_[top : top + int(h) + 1, left : left + int(w) + 1]
            mask[inside] = ids[inside] == 0
            if mask.sum() < max(errors.least_pixels, 1):
                continue
            alarm = _Sight(
                id=-1 - number,
                label=wanted[int(word * len(wanted))],
                box=_around(mask),
                mask=encode(mask),
                score=score,
            )
            alarms.append(alarm)
        return alarms


def _labels_of(phrase: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The words that a phrase names; none where it says more than they do."""
    match = match_phrase(phrase, vocabulary)
    return () if match is None or match.how == "part" else match.labels


def _draw(*key: object) -> np.random.Generator:
    """Random numbers that depend on the key alone."""
    digest = blake2b("|".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def _widened(mask: Bool[np.ndarray, "h w"], *, pixels: int) -> Bool[np.ndarray, "h w"]:
    """Wider on all sides, or narrower where negative unless nothing would be left."""
    if pixels == 0:
        return mask
    square = np.ones((3, 3), dtype=np.uint8)
    change = cv2.dilate if pixels > 0 else cv2.erode
    changed = np.asarray(change(mask.astype(np.uint8), square, iterations=abs(pixels))) > 0
    return changed if changed.any() else mask


def _around(mask: Bool[np.ndarray, "h w"]) -> Box:
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    return float(x), float(y), float(x + w), float(y + h)


def _jittered(box: Box, by: np.ndarray, shape: tuple[int, ...]) -> Box:
    """A box with its sides moved, at least a pixel wide, within the picture."""
    height, width = shape[:2]
    x0, y0, x1, y1 = (np.array(box) + by).tolist()
    x0, x1 = min(max(min(x0, x1), 0.0), width - 1.0), max(x0, x1)
    y0, y1 = min(max(min(y0, y1), 0.0), height - 1.0), max(y0, y1)
    return x0, y0, min(max(x1, x0 + 1.0), float(width)), min(max(y1, y0 + 1.0), float(height))
