"""The tools that a client sees: names, descriptions and schemas, all of them written here.

Nothing that a plugin or a file says ever becomes part of them: what a model reads as a description
it may obey (the attack called tool poisoning). A test holds their digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["GRID_CELLS", "MOST_OBJECTS", "MOST_REGIONS", "TOOLS", "Tool", "digest"]

Schema = dict[str, Any]

# What an answer holds at most; how much was left out is said in it.
MOST_REGIONS, MOST_OBJECTS = 500, 500
GRID_CELLS = 10
_PHRASES, _PROMPTS, _TEXT, _QUESTION, _NAME = 32, 64, 20_000, 2_000, 1_000
# Quantities of `measure`, each with how many things it is about.
_QUANTITIES = ("distance", "height", "width", "length", "depth", "count", "room_area")
_RELATIONS = ("near", "distance", "on", "under", "above", "below", "inside", "touches", "next_to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool.

    Attributes:
        description: What the client's model reads.
        takes: JSON schema of the arguments.
        gives: JSON schema of the structured content.
        writes: Whether it may write files into the output folder.
    """

    name: str
    title: str
    description: str
    takes: Schema
    gives: Schema
    writes: bool = False


def digest() -> str:
    """SHA-256 of everything that a client is told about the tools."""
    told = [
        [tool.name, tool.title, tool.description, tool.takes, tool.gives, tool.writes]
        for tool in TOOLS.values()
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _object(*, optional: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _text(says: str, *, most: int = _NAME) -> Schema:
    return {"type": "string", "description": says, "minLength": 1, "maxLength": most}


def _list(items: Schema, says: str = "", *, least: int = 0, most: int | None = None) -> Schema:
    schema: Schema = {"type": "array", "items": items}
    schema |= {"description": says} if says else {}
    schema |= {"minItems": least} if least else {}
    return schema | ({"maxItems": most} if most is not None else {})


def _enum(*names: str, says: str = "") -> Schema:
    return {"type": "string", "enum": [*names]} | ({"description": says} if says else {})


def _or_none(kind: str, says: str = "") -> Schema:
    return {"type": [kind, "null"]} | ({"description": says} if says else {})


_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_IMAGE_IN = _text("File name of the picture, below a folder that the server may read.")
_SOURCE = _text(
    "File name of a picture, a scene (.json) or a story (.txt), below a folder that the server "
    "may read."
)
_SCENE = _text("Id of the scene, where the file holds several.")
_LEAST: Schema = {
    "type": "number", "minimum": 0, "maximum": 1, "description": "Least score of what is told.",
}  # fmt: skip
_BOX = _list(
    _NUMBER, "x0, y0, x1, y1: pixels of the upright picture, half-open, origin at the top left.",
    least=4, most=4,
)  # fmt: skip
_PHRASE_LIST = _list(
    _text("A thing, such as 'red cup'.", most=200), "What to look for.", least=1, most=_PHRASES
)
_PICTURE = _object(
    name=_STRING,
    id=_STRING | {"description": "SHA-256 of the file's bytes."},
    size=_list({"type": "integer"}, "Width and height of the upright picture.", least=2, most=2),
    frame_map=_list(
        _list(_NUMBER, least=3, most=3),
        "Rows of the affine map from the upright picture's pixels to those stored in the file.",
        least=2,
        most=2,
    ),
) | {"type": ["object", "null"]}
_FOUND = _object(id=_STRING, box=_BOX, score=_NUMBER, source=_STRING)
_OUTCOME = _enum(
    "found", "none", "cannot", says="'cannot': no expert can look for it; it may well be there."
)
_LEFT_OUT = _COUNT | {"description": "What was left out since there was too much of it."}

_FIND = Tool(
    name="find",
    title="Find things in a picture",
    description=(
        "Where in a picture the things are that phrases name. Gives a box and a score for each "
        "thing, and for each phrase whether it was found, is not there, or cannot be looked for."
    ),
    takes=_object(
        optional=("threshold",), image=_IMAGE_IN, phrases=_PHRASE_LIST, threshold=_LEAST
    ),
    gives=_object(
        image=_PICTURE,
        phrases=_list(
            _object(
                phrase=_STRING, outcome=_OUTCOME, presence=_or_none("number"),
                regions=_list(_FOUND),
            )
        ),
        left_out=_LEFT_OUT,
        note=_STRING,
    ),
)  # fmt: skip

_POINT = _list(_NUMBER, "x and y, pixels.", least=2, most=2)
_SEGMENT = Tool(
    name="segment",
    title="Outline things in a picture",
    description=(
        "The mask of each thing in a picture, for phrases, for boxes or for points: give exactly "
        "one of them. A mask comes as run-length counts (COCO's text form) where they are short, "
        "and as a PNG file in the server's output folder where it has one; the file is told by "
        "its name in that folder."
    ),
    takes=_object(
        optional=("phrases", "boxes", "points", "threshold", "draw"),
        image=_IMAGE_IN,
        phrases=_PHRASE_LIST,
        boxes=_list(_BOX, "One box a thing.", least=1, most=_PROMPTS),
        points=_list(_POINT, "One point on each thing.", least=1, most=_PROMPTS),
        threshold=_LEAST,
        draw={
            "type": "boolean",
            "description": "Also draw the masks on the picture, as a file in the output folder.",
        },
    ),
    gives=_object(
        image=_PICTURE,
        regions=_list(
            _object(
                id=_STRING, phrase=_or_none("string"), box=_BOX, score=_NUMBER, source=_STRING,
                area=_COUNT | {"description": "Pixels of the mask."},
                mask=_object(
                    size=_list({"type": "integer"}, "Height and width.", least=2, most=2),
                    counts=_or_none("string", "COCO's compressed run lengths."),
                    file=_or_none("string", "PNG in the output folder, 255 on the thing."),
                ),
            )
        ),
        drawing=_or_none("string", "PNG in the output folder."),
        left_out=_LEFT_OUT,
        note=_STRING,
    ),
    writes=True,
)  # fmt: skip

_ANSWER = _object(
    question=_STRING,
    source=_STRING,
    image=_PICTURE,
    status=_enum(
        "answered", "ambiguous", "too_close", "unknown_object", "not_understood", "needs_video",
        "cannot_detect",
    ),
    text=_STRING | {"description": "The answer in plain words."},
    value={"type": ["number", "string", "boolean", "array", "null"], "items": _STRING},
    unit=_or_none("string"),
    interval={
        "type": ["array", "null"], "items": _NUMBER,
        "description": "Where the value lies with 90 % probability.",
    },
    probability=_or_none("number"),
    choice=_or_none("string", "Letter of the option that the answer is."),
    frame=_or_none("string", "Frame of reference: whose left and right, in words."),
    measure=_STRING | {"description": "What was measured, and how."},
    evidence=_list(_STRING, "Ids of the objects or regions that the answer rests on."),
    notes=_list(_STRING, "What must be known of how the scene came about."),
    regions={
        "type": ["array", "null"],
        "items": _object(id=_STRING, label=_STRING, box=_BOX, score=_NUMBER),
        "description": "Of a picture: where the evidence is.",
    },
    path={
        "type": ["array", "null"], "items": _list(_NUMBER, least=2, most=2),
        "description": "Of a way: x and y of its corners, metres.",
    },
)  # fmt: skip

_MEASURE = Tool(
    name="measure",
    title="Measure in a scene or picture",
    description=(
        "A distance, size or count with its unit and evidence: metres in a scene, pixels in a "
        "picture. 'distance' needs 'of' and 'to', 'room_area' neither, all others 'of'."
    ),
    takes=_object(
        optional=("scene", "of", "to"),
        source=_SOURCE,
        scene=_SCENE,
        quantity=_enum(*_QUANTITIES),
        of=_text("The thing, such as 'chair' or the id 'chair-2'.", most=200),
        to=_text("The other thing, for a distance.", most=200),
    ),
    gives=_ANSWER,
)

_ASK = Tool(
    name="ask",
    title="Ask a spatial question",
    description=(
        "Answers a question about where things are in a scene, a picture or a story (relations, "
        "directions, distances, sizes, counts, ways), with the objects that the answer rests on, "
        "its frame of reference and, where the scene states how sure it is, an interval."
    ),
    takes=_object(
        optional=("scene", "choices"),
        source=_SOURCE,
        scene=_SCENE,
        question=_text("The question, in English or Chinese.", most=_QUESTION),
        choices=_list(_text("An option.", most=500), "Options to choose among.", most=26),
    ),
    gives=_ANSWER,
)

_PLACE = _list(_NUMBER, least=3, most=3)
_MAP = Tool(
    name="map",
    title="Show the cognitive map of a scene",
    description=(
        "The objects of a scene file in metres (x, y, z; z is up), where each is on a 10 x 10 "
        "grid seen from above, and which relations hold between objects near each other."
    ),
    takes=_object(
        optional=("scene", "relations", "within"),
        source=_text("File name of a scene, below a folder that the server may read."),
        scene=_SCENE,
        relations=_list(_enum(*_RELATIONS), "Kinds of relations; 'near' by default.", most=9),
        within={
            "type": "number", "minimum": 0, "maximum": 1000,
            "description": "Tell relations of objects at most so far apart, metres; 2 by default.",
        },
    ),
    gives=_object(
        name=_STRING,
        id=_STRING | {"description": "SHA-256 of the file's bytes."},
        scale=_enum("metric", "relative"),
        room_area=_or_none("number", "Square metres."),
        counts={"type": "object", "additionalProperties": _COUNT},
        objects=_list(_object(id=_STRING, label=_STRING, center=_PLACE, size=_PLACE)),
        grid=_object(
            cells=_COUNT,
            origin=_list(_NUMBER, least=2, most=2),
            side=_NUMBER | {"description": "Length of the grid's side, metres."},
            objects={
                "type": "object",
                "additionalProperties": _list(_list({"type": "integer"}, least=2, most=2)),
                "description": "For each label its cells: column from the left, row from below.",
            },
        ),
        relations=_list(
            _object(
                subject=_STRING, relation=_STRING, object=_STRING,
                metres=_or_none("number"), frame=_STRING,
            )
        ),
        left_out=_LEFT_OUT,
    ),
)  # fmt: skip

_VERIFY = Tool(
    name="verify",
    title="Check a text against a picture or scene",
    description=(
        "Takes the claims of an English text about a picture or a scene apart and checks each: "
        "supported, contradicted, or not to be told, with the evidence. What claims nothing that "
        "can be checked is listed as unread."
    ),
    takes=_object(
        optional=("scene",),
        source=_SOURCE,
        scene=_SCENE,
        text=_text("The text.", most=_TEXT),
    ),
    gives=_object(
        source=_STRING,
        image=_PICTURE,
        summary=_STRING,
        marked=_STRING | {"description": "The text with its verdicts."},
        claims=_list(
            _object(
                kind=_STRING,
                span=_list({"type": "integer"}, "First letter, one past the last.", most=2),
                text=_STRING,
                verdict=_enum("supported", "contradicted", "cannot_tell"),
                reason=_STRING,
                evidence=_list(
                    _object(
                        optional=("label", "box", "score"),
                        id=_STRING, label=_STRING, box=_BOX, score=_NUMBER,
                    )
                ),
            )
        ),
        unread=_list(_object(text=_STRING, reason=_STRING)),
    ),
)  # fmt: skip

TOOLS: Mapping[str, Tool] = MappingProxyType(
    {tool.name: tool for tool in (_FIND, _SEGMENT, _MEASURE, _ASK, _MAP, _VERIFY)}
)
