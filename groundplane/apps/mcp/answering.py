"""The tools' work: arguments that fit the schema in, records that fit the schema out."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from groundplane.apps.finding import find_record
from groundplane.apps.given import expert_options
from groundplane.apps.mcp.errors import ToolError, harmless
from groundplane.apps.mcp.files import Found, Output, Roots
from groundplane.apps.mcp.keeping import Kept
from groundplane.apps.mcp.mapping import map_record
from groundplane.apps.mcp.outlining import outlines, phrases_of
from groundplane.apps.mcp.plan import Plan
from groundplane.apps.mcp.tools import MOST_REGIONS
from groundplane.apps.told import one_line
from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.budget import Budget
from groundplane.core.detection import DetectRequest
from groundplane.core.image import Image
from groundplane.core.media import MediaLimits, is_picture_name, read_image
from groundplane.grounding.router import Router, Terms
from groundplane.grounding.setup import make_router
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scenes.files import from_bytes
from groundplane.spatial.stories import Story
from groundplane.verifying import verify

__all__ = ["Answers"]

_log = logging.getLogger(__name__)

Record = dict[str, Any]
Arguments = Mapping[str, Any]

_QUESTIONS = {
    "distance": "What is the distance between the {of} and the {to}?",
    "height": "How tall is the {of}?",
    "width": "How wide is the {of}?",
    "length": "How long is the {of}?",
    "depth": "How deep is the {of}?",
    "count": "How many {of} are there?",
    "room_area": "What is the size of this room?",
}
# What the record of a reply has and the tools' schemas do not; what of a claim's they have.
_TRACE = ("trace", "runner_up", "what_if")
_CLAIM = ("kind", "span", "text", "verdict", "reason", "evidence")
_KEPT_BYTES, _KEPT_SCENES = 32 * 2**20, 64 * 2**20


class Answers:
    """Answers calls; safe to use from several threads.

    Args:
        plan: What is served.

    Raises:
        InputError: If a folder or an option is none.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._roots = Roots(plan.roots)
        self._out = Output(plan.out)
        self._options = expert_options(plan.options)
        self._limits = MediaLimits(max_pixels=plan.max_pixels, max_bytes=plan.max_bytes)
        self._routers: dict[bool, Router] = {}
        self._lock = threading.Lock()
        self._answers: Kept[Record] = Kept(_KEPT_BYTES)
        self._scenes: Kept[CognitiveMap] = Kept(_KEPT_SCENES)
        self._tools: Mapping[str, Callable[[Found, Arguments], Record]] = {
            "find": self._find,
            "segment": self._segment,
            "measure": self._measure,
            "ask": self._ask,
            "map": self._map,
            "verify": self._verify,
        }

    def prepare(self) -> None:
        """Find the experts and check their options; none is loaded yet.

        Raises:
            GroundplaneError: If one cannot be had.
        """
        for masks in (False, True):
            self._router(masks=masks)

    def answer(self, tool: str, arguments: Arguments) -> Record:
        """Answer one call; the same call about the same bytes is answered from memory.

        Raises:
            ToolError, GroundplaneError: If it cannot be answered.
        """
        name = arguments["image"] if "image" in arguments else arguments["source"]
        found = self._roots.read(name, most=self._plan.max_bytes)
        key = _key(tool, found, arguments)
        record = self._answers.get(key)
        if record is None:
            record = _plain(self._tools[tool](found, arguments))
            # What lies in files may be gone by the next time.
            if not (tool == "segment" and self._out.there):
                self._answers.put(key, record, size=len(json.dumps(record)))
        return record

    def _find(self, found: Found, arguments: Arguments) -> Record:
        image = self._image(found)
        phrases = phrases_of(arguments)
        least = arguments.get("threshold")
        request = DetectRequest(
            image=image,
            phrases=phrases,
            thresholds=None if least is None else (float(least),) * len(phrases),
        )
        (result,) = self._router(masks=False).detect([request])
        told = find_record(image, result)
        rows = [row for phrase in told["phrases"] for row in phrase["regions"]]
        best = sorted(rows, key=lambda row: -row["score"])[:MOST_REGIONS]
        kept = {row["id"] for row in best}
        for phrase in told["phrases"]:
            phrase["regions"] = [
                {key: row[key] for key in ("id", "box", "score", "source")}
                for row in phrase["regions"]
                if row["id"] in kept
            ]
        return {
            "image": image_record(image),
            "phrases": told["phrases"],
            "left_out": len(rows) - len(best),
            "note": harmless(result.note),
        }

    def _segment(self, found: Found, arguments: Arguments) -> Record:
        image = self._image(found)
        key = _key("segment", found, arguments)[:16]
        record = outlines(image, arguments, self._router(masks=True), out=self._out, key=key)
        return {"image": image_record(image), **record}

    def _measure(self, found: Found, arguments: Arguments) -> Record:
        quantity = arguments["quantity"]
        needs = {"distance": ("of", "to"), "room_area": ()}.get(quantity, ("of",))
        given = tuple(name for name in ("of", "to") if name in arguments)
        if given != needs:
            wanted = " and ".join(repr(name) for name in needs) or "neither 'of' nor 'to'"
            raise ToolError("bad_request", f"quantity {quantity!r} takes {wanted}")
        things = {name: one_line(arguments[name]) for name in needs}
        return self._told(found, arguments, _QUESTIONS[quantity].format(**things))

    def _ask(self, found: Found, arguments: Arguments) -> Record:
        return self._told(found, arguments, arguments["question"])

    def _told(self, found: Found, arguments: Arguments, question: str) -> Record:
        """What came of a question about whatever the file is."""
        source = self._source(found, arguments)
        router = self._router(masks=False) if isinstance(source, Image) else None
        budget = Budget(seconds=self._plan.seconds, deadline=self._plan.seconds)
        asker = Asker(source, detector=router, budget=budget)
        reply = asker.ask(question, choices=tuple(arguments.get("choices", ())))
        record = {key: value for key, value in reply.record().items() if key not in _TRACE}
        picture = image_record(source) if isinstance(source, Image) else None
        text = one_line(record["text"], 2000)
        if reply.status is Status.CANNOT_DETECT:
            # Here the text is what an expert said, maybe of its own failure.
            _log.warning("no expert could look: %s", text)
            text = harmless(text)
        return record | {"image": picture, "text": text}

    def _map(self, found: Found, arguments: Arguments) -> Record:
        source = self._source(found, arguments)
        if not isinstance(source, CognitiveMap):
            raise ToolError("bad_input", "map shows scenes (.json); this is none")
        shown = map_record(
            source,
            relations=tuple(arguments.get("relations", ("near",))),
            within=float(arguments.get("within", 2.0)),
        )
        return {"id": found.digest, **shown}

    def _verify(self, found: Found, arguments: Arguments) -> Record:
        source = self._source(found, arguments)
        if isinstance(source, Story):
            raise ToolError(
                "bad_input", "verify checks texts about pictures and scenes, not stories"
            )
        router = self._router(masks=False) if isinstance(source, Image) else None
        checked = verify(source, arguments["text"], detector=router)
        record = checked.record()
        return {
            "source": record["source"],
            "image": image_record(source) if isinstance(source, Image) else None,
            "summary": record["summary"],
            "marked": checked.marked(),
            "claims": [
                {key: claim[key] for key in _CLAIM} | {"reason": harmless(claim["reason"])}
                for claim in record["claims"]
            ],
            "unread": [{key: part[key] for key in ("text", "reason")} for part in record["unread"]],
        }

    def _source(self, found: Found, arguments: Arguments) -> Image | CognitiveMap | Story:
        """What a file is, by its ending."""
        scene = arguments.get("scene")
        if is_picture_name(found.name) or found.name.lower().endswith(".txt"):
            if scene is not None:
                raise ToolError(
                    "bad_request", "'scene' names a scene of a .json file; leave it out"
                )
            return self._image(found) if is_picture_name(found.name) else _story(found)
        if not found.name.lower().endswith(".json"):
            raise ToolError("bad_input", "expected a picture, a scene (.json) or a story (.txt)")
        key = f"{found.digest}#{scene}"
        read = self._scenes.get(key)
        if read is None:
            read = from_bytes(found.data, source=found.name, scene=scene)
            self._scenes.put(key, read, size=2000 * max(len(read), 1))
        return read

    def _image(self, found: Found) -> Image:
        return read_image(found.data, name=found.name, limits=self._limits)

    def _router(self, *, masks: bool) -> Router:
        """The experts, which stay loaded; a router loads each when it is first needed."""
        with self._lock:
            if masks not in self._routers:
                self._routers[masks] = make_router(
                    self._plan.detector,
                    segmenter=self._plan.segmenter,
                    options=self._options,
                    device=self._plan.device,
                    terms=Terms(masks=masks, deadline=self._plan.seconds),
                )
            return self._routers[masks]


def image_record(image: Image) -> Record:
    """What is told of a picture."""
    return {
        "name": image.source.name,
        "id": image.source.content_hash,
        "size": list(image.size),
        "frame_map": image.frame_map.matrix.tolist(),
    }


def _story(found: Found) -> Story:
    try:
        return Story.read(found.data.decode("utf-8-sig"), source=found.name)
    except UnicodeDecodeError as error:
        raise ToolError("bad_input", f"the story is not UTF-8 at byte {error.start}") from error


def _key(tool: str, found: Found, arguments: Arguments) -> str:
    """What an answer follows from: the file's name and bytes, and what is asked of it."""
    asked = {name: value for name, value in arguments.items() if name not in ("image", "source")}
    text = json.dumps([tool, found.name, found.digest, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A record whose texts hold no control characters, whoever wrote them."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c == "\n" else " " for c in value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
