"""How a detector is asked over HTTP: the JSON that goes there and comes back.

Described for those who write the other side in docs/remote.md. Both sides trust nothing that they
read: every field is checked, and what a message says is shown on one printable line.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch

from groundplane.core import masks as rle
from groundplane.core.capabilities import Capabilities, PromptKind
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import GroundplaneError, InputError, ShapeError
from groundplane.core.image import Image
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions
from groundplane.grounding.checking import (
    MAX_CANDIDATES,
    MAX_REGIONS,
    BreachError,
    check_result,
    most_of,
)
from groundplane.grounding.remote_parts import (
    VERSION,
    Fields,
    is_number,
    pack_image,
    printable,
    unpack_image,
)

__all__ = [
    "VERSION",
    "Info",
    "printable",
    "read_info",
    "read_requests",
    "read_results",
    "write_error",
    "write_info",
    "write_requests",
    "write_results",
]

_MAX_TEXT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a server says of its detector.

    Attributes:
        name: What it calls it.
        vocabulary: The words it can look for; None if it takes any text.
        capabilities: What it takes and gives, if it says so.
    """

    name: str
    vocabulary: tuple[str, ...] | None
    capabilities: Capabilities | None = None


# Requests ------------------------------------------------------------------------------------


def write_requests(
    requests: Sequence[DetectRequest], *, picture: Literal["png", "jpeg"] = "png"
) -> bytes:
    """Requests as a body; a picture that several are about is in it once.

    Args:
        requests: What is asked.
        picture: How pictures are packed; `jpeg` is smaller and loses a little.
    """
    places: dict[int, int] = {}
    images: list[dict[str, str]] = []
    asked: list[dict[str, object]] = []
    for request in requests:
        image = request.image
        if id(image) not in places:
            places[id(image)] = len(images)
            packed = base64.b64encode(pack_image(image, picture)).decode("ascii")
            images.append({"name": image.source.name, "data": packed})
        asked.append(
            {
                "image": places[id(image)],
                "phrases": request.phrases,
                "thresholds": request.thresholds,
                "exemplars": request.exemplars,
            }
        )
    document = {"protocol": VERSION, "images": images, "requests": asked}
    return json.dumps(document, allow_nan=False).encode()


def read_requests(data: bytes) -> list[DetectRequest]:
    """The requests of a body.

    Raises:
        InputError: If it is not as the protocol says, or a picture cannot be read.
    """
    try:
        document = Fields.of(data, what="the body")
        document.version()
        images = [unpack_image(Fields(entry, "an image")) for entry in document.items("images")]
        return [
            _request(Fields(entry, "a request"), images) for entry in document.items("requests")
        ]
    except BreachError as breach:
        raise InputError(str(breach)) from breach


def _request(fields: Fields, images: Sequence[Image]) -> DetectRequest:
    place = fields.values.get("image")
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(images):
        raise BreachError(f"a request: expected the number of an image, got {printable(place)}")
    least = fields.numbers("thresholds") if fields.has("thresholds") else None
    exemplars = None
    if fields.has("exemplars"):
        exemplars = tuple(
            None if box is None else _box(box, "an exemplar") for box in fields.items("exemplars")
        )
    return DetectRequest(
        image=images[place], phrases=fields.words("phrases"), thresholds=least, exemplars=exemplars
    )


# Results -------------------------------------------------------------------------------------


def write_results(results: Sequence[DetectResult | GroundplaneError]) -> bytes:
    """Results as a body; an error stands in the place of what could not be answered."""
    told = [
        {"error": str(result)} if isinstance(result, GroundplaneError) else _told(result)
        for result in results
    ]
    return json.dumps({"protocol": VERSION, "results": told}, allow_nan=False).encode()


def _told(result: DetectResult) -> dict[str, object]:
    return {
        "size": result.regions.image_size,
        "outcomes": [outcome.value for outcome in result.outcomes],
        "note": result.note,
        "regions": _columns(result.regions),
        "candidates": None if result.candidates is None else _columns(result.candidates),
        "presence": result.presence,
        "uncounted": result.uncounted,
    }


def _columns(regions: Regions) -> dict[str, object]:
    packed = None
    if regions.masks is not None:
        packed = [{"size": m.size, "counts": m.counts.decode("ascii")} for m in regions.masks]
    return {
        "ids": regions.ids,
        "boxes": regions.boxes.tolist(),
        "scores": regions.scores.tolist(),
        "phrases": regions.phrase_ids.tolist(),
        "masks": packed,
    }


def read_results(
    data: bytes, requests: Sequence[DetectRequest], *, source: str
) -> list[DetectResult]:
    """The results of a body.

    Args:
        data: The body.
        requests: What was asked.
        source: The name that regions get as their source.

    Raises:
        BreachError: If it is not as the protocol says or does not answer the requests, or the
            other side says that it could not answer one.
    """
    document = Fields.of(data, what="the reply")
    document.version()
    given = document.items("results")
    if len(given) != len(requests):
        raise BreachError(f"expected {len(requests)} results, got {len(given)}")
    return [
        _result(Fields(entry, "a result"), request, source=source)
        for entry, request in zip(given, requests, strict=True)
    ]


def _result(fields: Fields, request: DetectRequest, *, source: str) -> DetectResult:
    name = request.image.source.name
    if fields.has("error"):
        raise BreachError(f"it failed on {name!r}: {printable(fields.values['error'])}")
    size = tuple(fields.items("size"))
    if size != request.image.size:
        raise BreachError(f"expected the size {request.image.size}, got {printable(size)}")
    try:
        outcomes = tuple(Outcome(word) for word in fields.words("outcomes"))
    except ValueError as error:
        raise BreachError(f"a result: {printable(error)}; expected found, none, cannot") from error
    candidates = None
    if fields.has("candidates"):
        columns = Fields(fields.values["candidates"], "candidates")
        candidates = _regions(
            columns, request, source=source, most=most_of(MAX_CANDIDATES, request)
        )
    columns = Fields(fields.values.get("regions"), "regions")
    try:
        result = DetectResult(
            regions=_regions(columns, request, source=source, most=most_of(MAX_REGIONS, request)),
            outcomes=outcomes,
            note=printable(fields.text("note"), limit=_MAX_TEXT) if fields.has("note") else "",
            candidates=candidates,
            presence=fields.numbers("presence") if fields.has("presence") else None,
            uncounted=_places(fields, len(request.phrases)),
        )
    except ShapeError as error:
        raise BreachError(str(error)) from error
    return check_result(result, request)


def _places(fields: Fields, count: int) -> tuple[int, ...]:
    given = fields.items("uncounted") if fields.has("uncounted") else []
    if not all(type(i) is int and 0 <= i < count for i in given):
        raise BreachError("a result: expected uncounted as numbers of phrases")
    return tuple(given)


def _regions(columns: Fields, request: DetectRequest, *, source: str, most: int) -> Regions:
    rows = columns.items("boxes")
    if len(rows) > most:
        raise BreachError(f"expected at most {most} regions, got {len(rows)}")
    boxes = [_box(row, "a box") for row in rows]
    scores = columns.numbers("scores")
    phrases = columns.items("phrases")
    if not all(type(i) is int and -1 <= i < len(request.phrases) for i in phrases):
        raise BreachError("regions: expected phrases as numbers of the request's phrases, or -1")
    given = columns.words("ids") if columns.has("ids") else range(len(rows))
    ids = [printable(word) for word in given]
    packed = columns.items("masks") if columns.has("masks") else None
    columns_of = {"scores": scores, "phrases": phrases, "ids": ids, "masks": packed}
    for name, column in columns_of.items():
        if column is not None and len(column) != len(rows):
            raise BreachError(f"regions: {len(rows)} boxes but {len(column)} {name}")
    if len(set(ids)) < len(rows):
        raise BreachError("regions: expected ids that are unique")
    return Regions(
        ids=tuple(ids),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        phrases=request.phrases,
        phrase_ids=torch.tensor(phrases, dtype=torch.long),
        image_size=request.image.size,
        masks=None if packed is None else tuple(_mask(m, request) for m in packed),
        sources=(source,) * len(rows),
    )


def _mask(entry: object, request: DetectRequest) -> RleMask:
    fields = Fields(entry, "a mask")
    width, height = request.image.size
    if fields.items("size") != [height, width]:
        raise BreachError(f"expected masks of size {[height, width]} (h, w)")
    counts = fields.text("counts", limit=None)
    mask = RleMask(size=(height, width), counts=counts.encode("ascii", "replace"))
    try:
        rle.area(mask)  # reads the runs, which checks them
    except GroundplaneError as error:
        raise BreachError(str(error)) from error
    return mask


# The detector --------------------------------------------------------------------------------


def write_info(info: Info) -> bytes:
    """What a server's detector can do, as a body."""
    document: dict[str, object] = {
        "protocol": VERSION,
        "name": info.name,
        "vocabulary": info.vocabulary,
    }
    if info.capabilities is not None:
        can = info.capabilities
        document["capabilities"] = {
            "prompts": sorted(can.prompts),
            "masks": can.masks,
            "cost": can.cost if math.isfinite(can.cost) else None,
            "joint": can.joint,
            "licence": can.licence,
        }
    return json.dumps(document, allow_nan=False).encode()


def read_info(data: bytes) -> Info:
    """What a server's detector can do.

    Raises:
        BreachError: If the body is not as the protocol says.
    """
    document = Fields.of(data, what="the reply")
    document.version()
    words = document.words("vocabulary") if document.has("vocabulary") else None
    if words is not None and not all(word.strip() and word.isprintable() for word in words):
        raise BreachError("the reply: expected a vocabulary of printable words")
    can = None
    if document.has("capabilities"):
        fields = Fields(document.values["capabilities"], "capabilities")
        cost = fields.numbers("cost", many=False)[0] if fields.has("cost") else math.inf
        masks = fields.values.get("masks", False)
        joint = fields.values.get("joint", False)
        if not isinstance(masks, bool) or not isinstance(joint, bool):
            raise BreachError("capabilities: expected masks and joint as true or false")
        prompts = set(fields.words("prompts"))
        if not prompts or not prompts <= set(get_args(PromptKind)) or cost < 0:
            raise BreachError(
                f"capabilities: expected prompts among {get_args(PromptKind)} and a cost of 0 or "
                f"more, got {printable(sorted(prompts))} and {cost}"
            )
        can = Capabilities(
            prompts=frozenset(cast(set[PromptKind], prompts)),
            masks=masks,
            cost=cost,
            joint=joint,
            licence=printable(fields.text("licence")) if fields.has("licence") else "",
        )
    return Info(name=printable(document.text("name")), vocabulary=words, capabilities=can)


def write_error(text: str) -> bytes:
    """Why there is no answer, as a body."""
    return json.dumps({"protocol": VERSION, "error": text}).encode()


def _box(given: object, what: str) -> tuple[float, float, float, float]:
    if not isinstance(given, list) or len(given) != 4 or not all(map(is_number, given)):
        raise BreachError(f"{what}: expected four finite numbers, got {printable(given)}")
    return (float(given[0]), float(given[1]), float(given[2]), float(given[3]))
