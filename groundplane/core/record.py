"""Records of runs: all that was said, asked, found and injected, and when; to read and replay."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from groundplane.core.answer import GroundedText
from groundplane.core.budget import Budget
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.files import one_line, write_whole
from groundplane.core.image import Image
from groundplane.core.orchestrator import Orchestrator
from groundplane.core.progress import Finished, Update
from groundplane.core.record_values import pack, unpack
from groundplane.core.session import Done, Event, Failed, Prompt, Resolved
from groundplane.core.workers import Call, Resolvers

__all__ = ["Asked", "Entry", "Record", "Recorder", "replay"]

VERSION = 1
_LIMIT = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one sequence was asked.

    Attributes:
        text: The question.
        images: Name, content hash and size (width, height) of each picture.
        choices: The options.
        system: What the model was told before.
        scene: The name of the scene that it is about, or nothing.
    """

    text: str
    images: tuple[tuple[str, str, tuple[int, int]], ...] = ()
    choices: tuple[str, ...] = ()
    system: str = ""
    scene: str = ""

    @classmethod
    def of(cls, prompt: Prompt) -> Asked:
        """What a prompt asks."""
        images = tuple((i.source.name, i.source.content_hash, i.size) for i in prompt.images)
        return cls(
            text=prompt.text,
            images=images,
            choices=prompt.choices,
            system=prompt.system,
            scene=str(getattr(prompt.scene, "name", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One update of a run, and the seconds since the run began."""

    seconds: float
    update: Update


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """A run, whole. Pictures are named by their hash, not kept; hidden states are not kept.

    Attributes:
        model: The language model's name.
        prompts: What each sequence was asked.
        entries: Everything that happened, in order.
        experts: Who answered, in words.
    """

    model: str
    prompts: tuple[Asked, ...]
    entries: tuple[Entry, ...]
    experts: str = ""

    @property
    def results(self) -> dict[int, GroundedText]:
        """The finished texts, by sequence; one that never finished has none."""
        done = [entry.update for entry in self.entries if isinstance(entry.update, Finished)]
        return {update.sequence: update.result for update in done}

    def save(self, path: str | Path) -> None:
        """Write the record as JSON, whole or not at all.

        Raises:
            OutputError: If it cannot be written.
        """
        document = {
            "groundplane_record": VERSION,
            "model": self.model,
            "experts": self.experts,
            "prompts": [
                {
                    "text": asked.text,
                    "images": [
                        {"name": name, "sha256": digest, "size": list(size)}
                        for name, digest, size in asked.images
                    ],
                    "choices": list(asked.choices),
                    "system": asked.system,
                    "scene": asked.scene,
                }
                for asked in self.prompts
            ],
            "entries": [
                {"seconds": round(entry.seconds, 6), "update": pack(entry.update)}
                for entry in self.entries
            ],
        }
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
        # Half a surrogate pair, which a broken tokenizer may give, is no UTF-8.
        write_whole(path, text.encode("utf-8", errors="backslashreplace"))

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read a record.

        Raises:
            InputError: If the file cannot be read or is no record.
        """
        name = one_line(str(path))
        try:
            file = Path(path)
            if file.stat().st_size > _LIMIT:
                raise InputError(f"record {name}: larger than {_LIMIT // 2**20} MB")
            document = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(f"record {name}: cannot be read: {why}") from error
        if not isinstance(document, dict) or document.get("groundplane_record") != VERSION:
            raise InputError(
                f"record {name}: expected a JSON object with groundplane_record: {VERSION}; "
                "`groundplane ask --record FILE` writes one"
            )
        try:
            return _read(document)
        except GroundplaneError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise InputError(f"record {name}: damaged: {error!r}") from error


def _read(document: Mapping[str, Any]) -> Record:
    prompts = tuple(
        Asked(
            text=str(asked["text"]),
            images=tuple(
                (str(i["name"]), str(i["sha256"]), (int(i["size"][0]), int(i["size"][1])))
                for i in asked["images"]
            ),
            choices=tuple(map(str, asked["choices"])),
            system=str(asked["system"]),
            scene=str(asked["scene"]),
        )
        for asked in document["prompts"]
    )
    entries = []
    for given in document["entries"]:
        update = unpack(given["update"])
        if not isinstance(update, Update):
            raise InputError(f"record: a {type(update).__name__} is no update of a run")
        if not 0 <= int(update.sequence) < len(prompts):
            raise InputError(f"record: sequence {update.sequence}, but {len(prompts)} prompts")
        seconds = float(given["seconds"])
        if not 0 <= seconds < math.inf:
            raise InputError(f"record: expected seconds of 0 or more, got {seconds}")
        entries.append(Entry(seconds=seconds, update=update))
    return Record(
        model=str(document["model"]),
        experts=str(document["experts"]),
        prompts=prompts,
        entries=tuple(entries),
    )


@dataclass(slots=True, eq=False)
class Recorder:
    """Keeps what a run tells while it passes by.

    Args:
        model: The language model's name.
        experts: Who answers, in words.
    """

    model: str
    experts: str = ""
    _prompts: tuple[Asked, ...] = ()
    _entries: list[Entry] = field(default_factory=list)

    def watch(self, prompts: Sequence[Prompt], updates: Iterator[Update]) -> Iterator[Update]:
        """Pass the updates of `Orchestrator.stream(prompts)` on; a later run adds its own."""
        first, begun = len(self._prompts), time.monotonic()
        self._prompts += tuple(map(Asked.of, prompts))
        for update in updates:
            kept = replace(update, sequence=update.sequence + first) if first else update
            self._entries.append(Entry(seconds=time.monotonic() - begun, update=kept))
            yield update

    def record(self) -> Record:
        """What was kept so far."""
        return Record(
            model=self.model,
            experts=self.experts,
            prompts=self._prompts,
            entries=tuple(self._entries),
        )


def replay(record: Record, images: Sequence[Sequence[Image]] | None = None) -> list[GroundedText]:
    """Run a record again, through the orchestrator, with what model and experts gave then.

    Args:
        record: A record; of a sequence that never finished, what there is.
        images: The pictures of each prompt; None for blank ones of their size.

    Returns:
        One text a prompt: the text, mentions, answers, regions and problems of the first run.

    Raises:
        InputError: If the record contradicts itself.
    """
    resolver = _Recalled(record)
    resolvers = Resolvers(ground=resolver, query=resolver)
    try:
        prompts = [
            Prompt(
                text=asked.text, images=tuple(images[i] if images else map(_blank, asked.images))
            )
            for i, asked in enumerate(record.prompts)
        ]
        runner = Orchestrator(_Replayed(record), resolvers=resolvers, budget=_boundless())
        texts = runner.run(prompts)
    except (GroundplaneError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise InputError(f"record: it contradicts itself: {error}") from error
    ends = {i: result.finish for i, result in record.results.items()}
    return [replace(text, finish=ends.get(i, text.finish)) for i, text in enumerate(texts)]


def _boundless() -> Budget:
    """What was done under one budget may be more than another allows."""
    most, ever = sys.maxsize, threading.TIMEOUT_MAX
    return Budget(
        calls=most, boxes=most, tokens=most, events=most, text=most, seconds=ever, deadline=ever
    )


def _blank(image: tuple[str, str, tuple[int, int]]) -> Image:
    import numpy as np

    from groundplane.core.image import FrameMap, Source

    name, digest, (width, height) = image
    pixels = np.broadcast_to(np.uint8(0), (height, width, 3))
    source = Source(name=name, content_hash=digest)
    return Image(pixels=pixels, source=source, frame_map=FrameMap.identity())


class _Replayed:
    """A language model that says what a record says, in the record's order."""

    def __init__(self, record: Record) -> None:
        self._lines: list[list[Event | str]] = [[] for _ in record.prompts]
        for entry in record.entries:
            update = entry.update
            if isinstance(update, Resolved | Failed):
                self._lines[update.sequence].append(update.request)  # known from here on
            elif not isinstance(update, Finished):
                self._lines[update.sequence].append(update)
        for sequence, line in enumerate(self._lines):
            if not any(isinstance(event, Done) for event in line):
                line.append(Done(sequence=sequence, finish="broken"))

    def open(self, prompts: Sequence[Prompt]) -> _Replayed:
        """Begin: there is one session."""
        del prompts
        self._known: list[set[str]] = [set() for _ in self._lines]
        return self

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Say what was said before the next outcome that is not known yet."""
        for outcome in resolutions:
            self._known[outcome.sequence].add(outcome.request)
        told: list[Event] = []
        for known, line in zip(self._known, self._lines, strict=True):
            while line and not (isinstance(line[0], str) and line[0] not in known):
                event = line.pop(0)
                told += [] if isinstance(event, str) else [event]
                if isinstance(event, Done):
                    line.clear()
        return told


class _Recalled:
    """Gives each request what it got then."""

    def __init__(self, record: Record) -> None:
        outcomes = [entry.update for entry in record.entries]
        self._outcomes = {
            (one.sequence, one.request): one
            for one in outcomes
            if isinstance(one, Resolved | Failed)
        }
        # The prompts are made anew in order, and a call tells no more than its sequence.

    def resolve(self, calls: Sequence[Call]) -> list[object]:
        """Answer each call from the record."""
        return [self._recall(call) for call in calls]

    def _recall(self, call: Call) -> object:
        outcome = self._outcomes.get((call.event.sequence, call.event.request))
        if isinstance(outcome, Resolved):
            return outcome.value
        return InputError(outcome.message if outcome is not None else "not in the record")
