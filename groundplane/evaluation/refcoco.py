"""RefCOCO, RefCOCO+ and RefCOCOg: which box does an expression mean?

An expression is right where the best box has an intersection over union of at least 0.5 with the
true one. One without a box is wrong, with an overlap of 0.

Source: Yu et al., Modeling Context in Referring Expressions, ECCV 2016. The files are read in the
forms in which others publish them, for the original is a pickle: MDETR's `finetune_refcoco_*.json`
(scripts/fine-tuning/refexp_coco_format.py) and Qwen-VL's `refcoco_*.jsonl`
(eval_mm/evaluate_grounding.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.boxes import area
from groundplane.core.detection import Detector
from groundplane.core.errors import InputError
from groundplane.evaluation.documents import Row, read_json, rows_of
from groundplane.evaluation.looking import Look, Pictures, look_at, scored

__all__ = [
    "BoxForm",
    "Expression",
    "RefcocoResult",
    "detect_expressions",
    "evaluate_expressions",
    "read_boxes",
    "read_expressions",
]

Box = tuple[float, float, float, float]
BoxForm = Literal["xyxy", "xywh"]

_TEXTS = ("expression", "sent", "caption", "sentence")
_PICTURES = ("file_name", "image", "image_id")
_BOXES = ("bbox_xyxy", "bbox_xywh", "bbox", "box")
_RIGHT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression.

    Attributes:
        id: Its own id where the file has one, else its place in the file.
        text: The expression.
        image: Name of the picture.
        box: The true box, `xyxy`, pixels.
        group: What its score is told for as well: the file's `dataset_name`, the original's
            `split`, or nothing.
        size: Width and height of the picture, pixels, or None where the file does not say.
    """

    id: str
    text: str
    image: str
    box: Box
    group: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefcocoResult:
    """All scored expressions.

    Attributes:
        expressions: In the file's order.
        boxes: The box that was given for each, or None.
        overlaps: Intersection over union of each with the true box.
    """

    expressions: tuple[Expression, ...]
    boxes: tuple[Box | None, ...]
    overlaps: tuple[float, ...]

    def groups(self) -> dict[str, dict[str, float | int]]:
        """Number, accuracy and mean overlap of each group, and of `all`."""
        places: dict[str, list[int]] = defaultdict(list)
        for place, expression in enumerate(self.expressions):
            places["all"].append(place)
            if expression.group:
                places[expression.group].append(place)
        return {
            name: {
                "n": len(members),
                "accuracy": sum(self.overlaps[i] >= _RIGHT for i in members) / len(members),
                "mean_iou": sum(self.overlaps[i] for i in members) / len(members),
                "without_box": sum(self.boxes[i] is None for i in members),
            }
            for name, members in places.items()
        }

    @property
    def accuracy(self) -> float:
        """Share of the expressions whose box overlaps the true one by at least 0.5."""
        return float(self.groups()["all"]["accuracy"])

    def record(self) -> dict[str, Any]:
        """The result as plain JSON values; boxes are `xyxy`, pixels."""
        return {
            "benchmark": "refcoco",
            "iou": _RIGHT,
            "groups": self.groups(),
            "items": [
                {
                    "id": expression.id,
                    "image": expression.image,
                    "expression": expression.text,
                    "truth": list(expression.box),
                    "box": None if box is None else list(box),
                    "iou": overlap,
                }
                for expression, box, overlap in zip(
                    self.expressions, self.boxes, self.overlaps, strict=True
                )
            ],
        }


def read_expressions(
    path: str | Path, *, form: BoxForm | None = None, annotations: str | Path | None = None
) -> tuple[Expression, ...]:
    """Read expressions with their boxes.

    Args:
        path: A COCO-like file whose pictures carry a `caption`, or a list or JSON lines of
            objects with the text (`expression`, `sent`, `caption` or `sentence`), the picture
            (`file_name`, `image` or `image_id`) and the box (`bbox_xyxy`, `bbox_xywh` or `bbox`).
            The content of the original `refs(unc).p` as JSON is read with `annotations`.
        form: How a `bbox` is meant, `xyxy` or `xywh`. Not needed where it is known: COCO-like
            files have `xywh`, and lines with `sent`, `width` and `height` (Qwen-VL's) `xyxy`.
        annotations: The COCO instances file that the original's `ann_id` refer to.

    Raises:
        InputError: If the file is malformed, or it cannot be told how boxes are meant.
    """
    document = read_json(path, what="expressions")
    if isinstance(document, Mapping) and "annotations" in document:
        found = _coco_like(document, path)
    else:
        rows = rows_of(document, path=path, what="expressions")
        if rows and "sentences" in rows[0] and "ann_id" in rows[0]:
            found = _originals(rows, annotations)
        else:
            found = [_expression(row, place, form) for place, row in enumerate(rows, start=1)]
    if not found:
        raise InputError(f"expressions {Path(path).name!r}: there are none in it")
    return tuple(found)


def read_boxes(
    path: str | Path, expressions: Sequence[Expression], *, form: BoxForm = "xyxy"
) -> tuple[Box | None, ...]:
    """Read the boxes that a model gave, in the order of the expressions.

    Args:
        path: A list or JSON lines, one entry an expression, each an object with `bbox_xyxy`,
            `bbox_xywh` or `bbox` (null where there is none). Where every entry has an `id` it
            says which expression is meant, else the order does.
        expressions: See `read_expressions`.
        form: How a `bbox` is meant; pixels of the picture.

    Raises:
        InputError: If the file is malformed, or the entries do not match the expressions.
    """
    rows = rows_of(read_json(path, what="predictions"), path=path, what="predictions")
    name = Path(path).name
    if rows and all("id" in row for row in rows):
        return _matched(rows, expressions, name, form)
    if len(rows) != len(expressions):
        raise InputError(
            f"predictions {name!r}: expected one for each of {len(expressions)} expressions, got "
            f"{len(rows)}; give each its id if some are left out"
        )
    for row, expression in zip(rows, expressions, strict=True):
        for key in _TEXTS:
            if key in row and row.values[key] != expression.text:
                raise row.error(key, f"{expression.text!r} at this place", row.values[key])
    return tuple(_given(row, form) for row in rows)


def evaluate_expressions(
    expressions: Sequence[Expression], boxes: Sequence[Box | None]
) -> RefcocoResult:
    """Score boxes.

    Args:
        expressions: The expressions, at least one.
        boxes: One each, `xyxy` in pixels, or None.

    Raises:
        InputError: If there is no expression, or not one box or None an expression.

    Examples:
        >>> cup = Expression(id="1", text="left cup", image="a.jpg", box=(0.0, 0.0, 2.0, 2.0))
        >>> evaluate_expressions([cup, cup], [(0.0, 0.0, 2.0, 1.0), None]).overlaps
        (0.5, 0.0)
    """
    if not expressions or len(expressions) != len(boxes):
        raise InputError(f"refcoco: {len(expressions)} expressions but {len(boxes)} boxes")
    truth = torch.tensor([expression.box for expression in expressions], dtype=torch.float64)
    given = torch.tensor([box or (0.0,) * 4 for box in boxes], dtype=torch.float64)
    overlaps = _overlaps(truth, given)
    return RefcocoResult(
        expressions=tuple(expressions),
        boxes=tuple(boxes),
        overlaps=tuple(overlaps.tolist()),
    )


def detect_expressions(
    expressions: Sequence[Expression], folder: str | Path, expert: Detector, *, name: str
) -> tuple[Box | None, ...]:
    """Let an expert find each expression: its best box, whatever its score, or None.

    Raises:
        InputError: If a picture is missing or of another size than the file says.
        DetectorError: If the expert fails.
    """
    # One phrase a look: expressions of one picture are often near to each other in words.
    looks = [Look(picture=e.image, phrases=(e.text,)) for e in expressions]
    boxes: list[Box | None] = []
    found = look_at(expert, looks, Pictures(folder), name=name)
    for expression, (image, result) in zip(expressions, found, strict=True):
        if expression.size not in (None, image.size):
            raise InputError(
                f"picture {expression.image!r} has {image.size} pixels, but the expressions "
                f"describe one of {expression.size}; give the picture that was annotated"
            )
        regions = scored(result)
        regions = regions.select(regions.phrase_ids == 0)
        if not len(regions):
            boxes.append(None)
            continue
        left, top, right, bottom = regions.boxes[regions.scores.argmax()].tolist()
        boxes.append((left, top, right, bottom))
    return tuple(boxes)


def _overlaps(a: Float[Tensor, "n 4"], b: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    """Intersection over union of each box with the one at its place; 0 where both are empty."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    whole = area(a) + area(b) - shared
    return torch.where(whole > 0, shared / whole, torch.zeros_like(shared))


def _coco_like(document: Mapping[str, Any], path: str | Path) -> list[Expression]:
    """MDETR's form: a picture for each expression, which is its caption, with one region."""
    boxes: dict[int, Row] = {}
    for row in rows_of(document, path=path, what="expressions", key="annotations"):
        if row.whole("image_id") in boxes:
            raise row.error("image_id", "one region an expression", row.whole("image_id"))
        boxes[row.whole("image_id")] = row
    found = []
    for row in rows_of(document, path=path, what="expressions", key="images"):
        key = row.whole("id")
        if key not in boxes:
            raise InputError(f"{row.place}: no annotation has the image_id {key}")
        found.append(
            Expression(
                id=str(key),
                text=row.text("caption"),
                image=row.text("file_name"),
                box=_box(boxes[key], "bbox", "xywh"),
                group=row.text("dataset_name") if "dataset_name" in row else "",
                size=_size(row),
            )
        )
    return found


def _originals(rows: Sequence[Row], annotations: str | Path | None) -> list[Expression]:
    """The original's form: a region's id with several sentences; its box is in COCO's file."""
    if annotations is None:
        raise InputError(
            f"{rows[0].place}: names regions by 'ann_id', whose boxes are in the instances.json "
            "beside the original file. Try: --annotations instances.json"
        )
    document = read_json(annotations, what="annotations")
    entries, pictures = (
        {
            row.whole("id"): row
            for row in rows_of(document, path=annotations, what="annotations", key=key)
        }
        for key in ("annotations", "images")
    )
    found = []
    for row in rows:
        entry = entries.get(row.whole("ann_id"))
        if entry is None:
            raise row.error("ann_id", "the id of an annotation", row.values["ann_id"])
        picture = pictures.get(entry.whole("image_id"))
        if picture is None:
            raise entry.error("image_id", "the id of a picture", entry.values["image_id"])
        found += [
            Expression(
                id=sentence.name("sent_id"),
                text=sentence.text("sent"),
                # The original's own file_name ends in the number of the region.
                image=picture.text("file_name"),
                box=_box(entry, "bbox", "xywh"),
                group=row.text("split") if "split" in row else "",
                size=_size(picture),
            )
            for sentence in row.rows("sentences")
        ]
    return found


def _expression(row: Row, place: int, form: BoxForm | None) -> Expression:
    text, key = row.first(*_TEXTS), row.first(*_BOXES)
    if key.startswith("bbox_"):
        form = "xyxy" if key == "bbox_xyxy" else "xywh"
    elif form is None and all(name in row for name in ("sent", "width", "height")):
        form = "xyxy"
    if form is None:
        raise InputError(
            f"{row.place}.{key}: it cannot be told whether this is left, top, right, bottom or "
            "left, top, width, height. Try: --box-form xyxy or --box-form xywh"
        )
    return Expression(
        id=row.name("id") if "id" in row else str(place),
        text=row.text(text),
        image=row.name(row.first(*_PICTURES)),
        box=_box(row, key, form),
        group=row.text("dataset_name") if "dataset_name" in row else "",
        size=_size(row),
    )


def _size(row: Row) -> tuple[int, int] | None:
    if "width" not in row or "height" not in row:
        return None
    return int(row.number("width", least=1)), int(row.number("height", least=1))


def _box(row: Row, key: str, form: BoxForm) -> Box:
    a, b, c, d = row.four(key)
    right, bottom = (c, d) if form == "xyxy" else (a + c, b + d)
    if right < a or bottom < b:
        raise row.error(key, f"a box as {form}, whose right and bottom come last", [a, b, c, d])
    return a, b, right, bottom


def _given(row: Row, form: BoxForm) -> Box | None:
    key = row.first(*_BOXES)
    if row.values[key] is None:
        return None
    if key.startswith("bbox_"):
        form = "xyxy" if key == "bbox_xyxy" else "xywh"
    a, b, c, d = row.four(key)
    # A model may turn its corners round: such a box overlaps nothing, and that is its score.
    return (a, b, c, d) if form == "xyxy" else (a, b, a + c, b + d)


def _matched(
    rows: Sequence[Row], expressions: Sequence[Expression], name: str, form: BoxForm
) -> tuple[Box | None, ...]:
    boxes: dict[str, Box | None] = {}
    for row in rows:
        key = row.name("id")
        if key in boxes:
            raise row.error("id", "an id that is not used twice", key)
        boxes[key] = _given(row, form)
    if missing := [e.id for e in expressions if e.id not in boxes]:
        others = f", nor have {len(missing) - 1} others" if missing[1:] else ""
        raise InputError(
            f"predictions {name!r}: expression {missing[0]} has none{others}; give a bbox of null "
            "where there is no box"
        )
    return tuple(boxes[e.id] for e in expressions)
