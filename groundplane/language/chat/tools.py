"""The tools that a model may call: looks by experts, and questions to the cognitive map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundplane.core import masks as rle
from groundplane.core.answer import Answer, Status, plain
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.expressions import Select, SetExpression, Unique
from groundplane.core.frames import Frame
from groundplane.core.queries import Measure
from groundplane.core.regions import Regions
from groundplane.core.session import Failed, Ground, Query, Resolved
from groundplane.language.chat.terms import Called, Tool
from groundplane.language.spatial_queries import query_schema, read_query

__all__ = ["TOOLS"]

_PHRASES, _LETTERS, _REGIONS = 16, 200, 32
_PAIRS = ("distance", "center_distance")
_SINGLE = ("size", "length", "width", "depth", "height", "floor_area", "volume", "elevation", "top")
_MEASURES = (*_PAIRS, *_SINGLE, "room_area")


def _phrases_schema(what: str, most: int = _PHRASES) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": _LETTERS}
    return {
        "type": "array",
        "items": text,
        "minItems": 1,
        "maxItems": most,
        "description": what,
    }


def _schema(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_LOOK = _schema(
    ["phrases"],
    phrases=_phrases_schema("what to look for, each a short noun phrase"),
    image={"type": "integer", "minimum": 1, "description": "which picture; 1 is the first"},
)


def _fields(called: Called, tool: str, known: Sequence[str]) -> Mapping[str, Any]:
    strange = [name for name in called.arguments if name not in known]
    if strange:
        raise InputError(
            f"tool {tool}: unknown argument {strange[0][:40]!r}; there are {listing(known)}."
            f"{did_you_mean(strange[0][:40], known)}"
        )
    return called.arguments


def _words(value: object, what: str, least: int, most: int) -> tuple[str, ...]:
    fine = isinstance(value, list) and least <= len(value) <= most
    if not fine or not all(isinstance(word, str) for word in value):  # type: ignore[attr-defined]
        raise InputError(f"{what}: expected a list of {least} to {most} phrases")
    words = tuple(" ".join(word.split()) for word in value)  # type: ignore[attr-defined]
    for word in words:
        text = word.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in word)
        if not word or len(word) > _LETTERS or not text:
            raise InputError(f"{what}: expected phrases of 1 to {_LETTERS} characters")
    return words


def _look(called: Called, tool: str) -> Ground:
    given = _fields(called, tool, ("phrases", "image"))
    words = _words(given.get("phrases"), f"tool {tool}: phrases", 1, _PHRASES)
    image, count = given.get("image", 1), len(called.prompt.images)
    if type(image) is not int or not 1 <= image <= count:
        raise InputError(f"tool {tool}: expected image as a number from 1 to {count}")
    phrases = tuple(dict.fromkeys(words))
    return Ground(
        sequence=called.sequence, request=called.request, phrases=phrases, image=image - 1
    )


def _ground(called: Called) -> Ground:
    return _look(called, "ground")


def _segment(called: Called) -> Ground:
    return _look(called, "segment")


def _query(called: Called, expression: Any, tool: str) -> Query:
    if called.prompt.scene is None and not called.grounds:
        raise InputError(f"tool {tool}: nothing was looked for yet; call ground first")
    on = () if called.prompt.scene is not None else called.grounds
    return Query(sequence=called.sequence, request=called.request, expression=expression, on=on)


def _measure(called: Called) -> Query:
    given = _fields(called, "measure", ("quantity", "of"))
    quantity = given.get("quantity")
    if not isinstance(quantity, str) or quantity not in _MEASURES:
        raise InputError(f"tool measure: expected quantity as one of {listing(_MEASURES)}")
    count = 2 if quantity in _PAIRS else 0 if quantity == "room_area" else 1
    words = _words(given.get("of", []), f"tool measure: of, for {quantity}", count, count)
    of: tuple[SetExpression, ...] = tuple(Unique(Select(word)) for word in words)
    return _query(called, Measure(name=quantity, of=of), "measure")


def _map_query(called: Called) -> Query:
    given = _fields(called, "map_query", ("query",))
    query = given.get("query")
    if not isinstance(query, Mapping):
        raise InputError("tool map_query: expected query as an object")
    return _query(called, read_query(query), "map_query")


# What the model reads ----------------------------------------------------------------------------


def _failed(outcome: Failed) -> dict[str, Any]:
    # The message may hold an expert's own words, which are for the trace.
    why = {"deadline": "too late", "budget": "no more calls are allowed"}
    return {"error": f"not available: {why.get(outcome.kind, outcome.kind)}"}


def _tell_regions(
    event: Ground | Query, outcome: Resolved | Failed, frame: Frame | None, *, masks: bool
) -> Mapping[str, Any]:
    if isinstance(outcome, Failed):
        return _failed(outcome)
    result = outcome.value
    if not isinstance(result, DetectResult) or not isinstance(event, Ground):
        return {"error": "not available: no regions came back"}
    regions = result.regions
    size = frame.canvas if frame is not None else regions.image_size
    pairs = list(zip(regions.phrases, result.outcomes, strict=True))
    told: dict[str, Any] = {
        "frame": f"picture {event.image + 1}, {size[0]} x {size[1]} pixels, box is "
        "[left, top, right, bottom], origin at the top left corner",
        "found": _rows(regions, frame, masks=masks),
        "not found": [phrase for phrase, how in pairs if how is Outcome.NONE],
    }
    cannot = [phrase for phrase, how in pairs if how is Outcome.CANNOT]
    if cannot:
        told["not looked for"] = cannot
    if len(regions) > _REGIONS:
        told["left out"] = len(regions) - _REGIONS
    return told


def _rows(regions: Regions, frame: Frame | None, *, masks: bool) -> list[dict[str, Any]]:
    """The regions, best first, boxes in the pixels that the model sees."""
    boxes = np.asarray(regions.boxes.tolist(), dtype=np.float64).reshape(-1, 4)
    if frame is not None and frame.image_size == regions.image_size:
        boxes = frame.to_canvas.boxes(boxes)
    scores, labels = regions.scores.tolist(), regions.labels()
    rows = []
    for k in sorted(range(len(regions)), key=lambda k: -scores[k])[:_REGIONS]:
        row = {
            "id": regions.ids[k],
            "phrase": labels[k],
            "box": [round(value, 1) for value in boxes[k].tolist()],
            "score": round(scores[k], 3),
        }
        if masks and regions.masks is not None:
            width, height = regions.image_size
            row["share of picture"] = round(rle.area(regions.masks[k]) / (width * height), 4)
        rows.append(row)
    return rows


def _tell_ground(
    event: Ground | Query, outcome: Resolved | Failed, frame: Frame | None
) -> Mapping[str, Any]:
    return _tell_regions(event, outcome, frame, masks=False)


def _tell_segment(
    event: Ground | Query, outcome: Resolved | Failed, frame: Frame | None
) -> Mapping[str, Any]:
    return _tell_regions(event, outcome, frame, masks=True)


def _tell_answer(
    event: Ground | Query, outcome: Resolved | Failed, frame: Frame | None
) -> Mapping[str, Any]:
    del event, frame
    if isinstance(outcome, Failed):
        return _failed(outcome)
    answer = outcome.value
    if not isinstance(answer, Answer):
        return {"error": "not available: no answer came back"}
    told: dict[str, Any] = {"status": answer.status.value, "value": plain(answer.value)}
    if answer.status is Status.UNKNOWN_OBJECT:
        told["status"] = "not found"
    if answer.unit is not None:
        told["unit"] = answer.unit
    if answer.interval is not None:
        told["interval of 90 %"] = list(answer.interval)
    if answer.frame is not None:
        told["frame"] = answer.frame.text
    for name in ("measure", "note"):
        if getattr(answer, name):
            told[name] = getattr(answer, name)
    if answer.evidence:
        told["evidence"] = list(answer.evidence[:_REGIONS])
    return told


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="ground",
        description="Find things in a picture. Gives boxes, or says that they are not found. "
        "Use it before you say where something is, how many there are, or that it is there.",
        parameters=_LOOK,
        ask=_ground,
        tell=_tell_ground,
    ),
    Tool(
        name="segment",
        description="Find things in a picture with the share of it that each covers.",
        parameters=_LOOK,
        ask=_segment,
        tell=_tell_segment,
    ),
    Tool(
        name="measure",
        description="Measure things of the scene that were found: a distance between two, or a "
        "size of one. The answer has its unit.",
        parameters=_schema(
            ["quantity"],
            quantity={"type": "string", "enum": list(_MEASURES)},
            of=_phrases_schema("two phrases for a distance, one for a size", 2),
        ),
        ask=_measure,
        tell=_tell_answer,
    ),
    Tool(
        name="map_query",
        description="Ask the map of the scene: which things, how many, where to one another.",
        parameters={
            **_schema(["query"], query={"$ref": "#/$defs/query"}),
            "$defs": query_schema()["$defs"],
        },
        ask=_map_query,
        tell=_tell_answer,
    ),
)
