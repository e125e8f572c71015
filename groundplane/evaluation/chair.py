"""CHAIR: how many of the objects that captions name are not in the picture.

What is in a picture are the categories of its annotated regions, and where reference captions are
given what those name as well, as in the paper.

Source: Rohrbach et al., Object Hallucination in Image Captioning, EMNLP 2018. Recall is not in
the paper; it is reported beside its two numbers since, and counts each object of a picture once
for each of its captions. We differ in the words: see `chair_words`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.core.errors import InputError, did_you_mean
from groundplane.evaluation.chair_words import CaptionReader, ObjectMention
from groundplane.evaluation.coco import CocoTruth, read_coco
from groundplane.evaluation.documents import Row, read_json, rows_of

__all__ = ["Caption", "CaptionItem", "ChairResult", "evaluate_chair", "read_captions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A caption of the picture with this id."""

    image: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionItem:
    """One scored caption.

    Attributes:
        mentions: The objects that it names, in its order.
        present: The categories that are in the picture.
    """

    caption: Caption
    mentions: tuple[ObjectMention, ...]
    present: frozenset[str]

    @property
    def hallucinated(self) -> tuple[ObjectMention, ...]:
        """What it names and is not there."""
        return tuple(m for m in self.mentions if m.category not in self.present)

    @property
    def found(self) -> frozenset[str]:
        """What it names and is there."""
        return self.present & {mention.category for mention in self.mentions}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChairResult:
    """All scored captions; shares from 0 to 1 (papers print them times 100), None of nothing."""

    items: tuple[CaptionItem, ...]

    @property
    def chair_i(self) -> float | None:
        """Share of the named objects that are not there."""
        return _share(sum(len(i.hallucinated) for i in self.items), self.num_mentions)

    @property
    def chair_s(self) -> float | None:
        """Share of the captions that name an object which is not there."""
        return _share(sum(bool(item.hallucinated) for item in self.items), len(self.items))

    @property
    def recall(self) -> float | None:
        """Share of the objects there that are named."""
        found = sum(len(item.found) for item in self.items)
        return _share(found, sum(len(item.present) for item in self.items))

    @property
    def num_mentions(self) -> int:
        """How many times an object is named."""
        return sum(len(item.mentions) for item in self.items)

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values; the shares times 100."""
        shares = {"chair_i": self.chair_i, "chair_s": self.chair_s, "recall": self.recall}
        return {
            "benchmark": "chair",
            "n": len(self.items),
            "mentions": self.num_mentions,
            **{name: None if share is None else 100 * share for name, share in shares.items()},
            "items": [
                {
                    "image_id": item.caption.image,
                    "caption": item.caption.text,
                    "mentions": [[m.words, m.category] for m in item.mentions],
                    "hallucinated": [[m.words, m.category] for m in item.hallucinated],
                    "present": sorted(item.present),
                }
                for item in self.items
            ],
        }


def read_captions(path: str | Path, *, what: str = "captions") -> tuple[Caption, ...]:
    """Read captions: a list or JSON lines of `image_id` and `caption`, or COCO's captions file.

    The form that the paper's own script reads (`imgToEval`) is read too.

    Raises:
        InputError: If the file is malformed; the message names the field.
    """
    document = read_json(path, what=what)
    if isinstance(document, Mapping) and isinstance(document.get("imgToEval"), Mapping):
        document = list(document["imgToEval"].values())
    key = "annotations" if isinstance(document, Mapping) and "annotations" in document else ""
    rows = rows_of(document, path=path, what=what, key=key)
    if not rows:
        raise InputError(f"{what} {Path(path).name!r}: there are none in it")
    return tuple(_caption(row) for row in rows)


def evaluate_chair(
    captions: str | Path, annotations: str | Path, *, references: str | Path | None = None
) -> ChairResult:
    """Score captions.

    Args:
        captions: See `read_captions`.
        annotations: A COCO instances file of the pictures.
        references: Captions by people, whose objects are in the pictures as well; or None.

    Raises:
        InputError: If a file is malformed, or a caption is of a picture that the annotations lack.
    """
    truth = read_coco(annotations)
    reader = CaptionReader(truth.categories.values())
    given = read_captions(captions)
    present = _present(truth)
    for caption in given:
        if caption.image not in present:
            raise InputError(
                f"captions {Path(captions).name!r}: picture {caption.image!r} is not among the "
                f"{len(present)} of {Path(annotations).name!r}."
                f"{did_you_mean(caption.image, present)}"
            )
    for caption in read_captions(references, what="references") if references else ():
        if caption.image in present:
            present[caption.image] |= {m.category for m in reader.read(caption.text)}
    return _score(given, present, reader)


def _score(
    captions: Sequence[Caption], present: Mapping[str, set[str]], reader: CaptionReader
) -> ChairResult:
    """Score captions of pictures whose objects are known."""
    return ChairResult(
        items=tuple(
            CaptionItem(
                caption=caption,
                mentions=reader.read(caption.text),
                present=frozenset(present[caption.image]),
            )
            for caption in captions
        )
    )


def _present(truth: CocoTruth) -> dict[str, set[str]]:
    """The categories in each picture, by its id."""
    present: dict[str, set[str]] = {str(image): set() for image in truth.images}
    for entry in truth.annotations:
        present[str(entry["image_id"])].add(truth.categories[entry["category_id"]])
    return present


def _caption(row: Row) -> Caption:
    return Caption(image=row.name("image_id"), text=row.text("caption", empty=True))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
