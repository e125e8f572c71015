"""Samples to train on: conversations about pictures, in LLaVA's JSON."""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from groundplane.core.errors import InputError, listing
from groundplane.core.files import one_line
from groundplane.core.media import read_image

__all__ = ["PLACEHOLDER", "Sample", "Skipped", "Turn", "mix_in", "read_samples"]

# What stands for a picture in the text of a sample.
PLACEHOLDER = "<image>"

_CHUNK = 2**20
_MAX_ITEM = 2**24
_SPACE = re.compile(r"[ \t\r\n]*")
# JSON can write half of a letter (backslash, u, d800), which no UTF-8 and no tokenizer can hold.
_HALF = re.compile("[\ud800-\udfff]")
_SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}


class Turn(NamedTuple):
    """What one side says.

    Attributes:
        role: `system`, `user` or `assistant`.
        text: It holds `<image>` where a picture is shown.
    """

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One conversation.

    Attributes:
        name: The file, its place in it and its id, for messages.
        turns: User and assistant in turn, the assistant last; a system turn may come first.
        images: Files of the pictures, in the order of their placeholders.
    """

    name: str
    turns: tuple[Turn, ...]
    images: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A sample that was left out.

    Attributes:
        name: As of `Sample`.
        reason: What is wrong with it.
    """

    name: str
    reason: str


def read_samples(
    path: Path, *, images: Path | None = None, skip: bool = False
) -> tuple[list[Sample], list[Skipped]]:
    """Read samples, one after the other, and see that their pictures are there.

    Each is an object `{"id", "image", "conversations": [{"from": "human" | "gpt", "value"}]}`;
    `image` may be missing, or a list where a sample shows several.

    Args:
        path: A list of them in JSON, or JSON lines; UTF-8.
        images: Folder of the pictures; the file's own by default.
        skip: Leave out what cannot be used, instead of refusing all; then every picture is decoded
            once, so that a broken one is left out, too.

    Returns:
        The samples, and those left out; these are none unless `skip`.

    Raises:
        InputError: If the file cannot be read, is not of this form, or no sample is left; unless
            `skip`, if a sample cannot be used: the first of them are named.
    """
    named = f"data {one_line(path.name)!r}"
    folder = path.parent if images is None else images
    samples: list[Sample] = []
    skipped: list[Skipped] = []
    check = functools.cache(_check_decodes if skip else _check_there)
    for place, item in enumerate(_items(path, named)):
        name = f"{named}: [{place}]"
        try:
            name = _name(item, name)
            samples.append(_sample(item, name, folder, check))
        except InputError as error:
            skipped.append(Skipped(name=name, reason=str(error)))
    told = listing([f"{s.name}: {s.reason}" for s in skipped], limit=3)
    if skipped and not skip:
        raise InputError(
            f"{len(skipped)} of {len(samples) + len(skipped)} samples cannot be used: {told}; "
            "mend them, or leave them out with skip_missing = true"
        )
    if not samples:
        why = f": {told}" if skipped else ""
        raise InputError(f"{named}: holds no sample that can be used{why}")
    return samples, skipped


def mix_in(
    samples: Sequence[Sample], replay: Sequence[Sample], *, share: float, seed: int
) -> list[Sample]:
    """Add samples of another file, so that they are a share of all.

    None comes a second time before all have come once.

    Args:
        samples: All are kept.
        replay: Some of these, by chance, or all of them several times.
        share: Of the result, above 0 and below 1.
        seed: Of the choice.

    Examples:
        >>> one = lambda name: Sample(name=name, turns=(), images=())
        >>> new, old = [one(n) for n in "abc"], [one(n) for n in "xyz"]
        >>> "".join(sample.name for sample in mix_in(new, old, share=0.25, seed=0))
        'abcy'
        >>> mix_in(new, [], share=0.25, seed=0)
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: replay: holds no samples
    """
    if not replay:
        raise InputError("replay: holds no samples")
    wanted = max(1, round(len(samples) * share / (1 - share)))
    rounds, rest = divmod(wanted, len(replay))
    chosen = random.Random(seed).sample(list(replay), rest)
    return [*samples, *list(replay) * rounds, *chosen]


def _name(item: object, name: str) -> str:
    if not isinstance(item, Mapping):
        raise InputError(f"expected an object, got {item!r:.60}")
    label = item.get("id")
    return name if label is None else f"{name} (id {one_line(str(label))})"


def _sample(
    item: Mapping[str, Any], name: str, folder: Path, check: Callable[[Path], None]
) -> Sample:
    turns = _turns(item.get("conversations"))
    given = item.get("image")
    files = [] if given is None else given if isinstance(given, list) else [given]
    if not all(isinstance(file, str) and file and "\0" not in file for file in files):
        raise InputError(f"image: expected a file name, got {given!r:.60}")
    shown = sum(turn.text.count(PLACEHOLDER) for turn in turns)
    if shown != len(files):
        raise InputError(
            f"expected {PLACEHOLDER} once for each of its {len(files)} pictures, got it {shown} "
            "times"
        )
    pictures = tuple(folder / file for file in files)
    for picture in pictures:
        check(picture)
    return Sample(name=name, turns=turns, images=pictures)


def _check_there(picture: Path) -> None:
    try:
        is_there = picture.is_file()
    except OSError as error:  # such as a name that is too long
        named = one_line(str(picture))
        raise InputError(f"the picture {named}: {error.strerror or error}") from error
    if not is_there:
        raise InputError(f"the picture {one_line(str(picture))} is not there")


def _check_decodes(picture: Path) -> None:
    _check_there(picture)
    read_image(picture)


def _turns(given: object) -> tuple[Turn, ...]:
    if not isinstance(given, list) or not given:
        raise InputError(f"conversations: expected a list of turns, got {given!r:.60}")
    turns = tuple(_turn(item, place) for place, item in enumerate(given))
    spoken = turns[1:] if turns[0].role == "system" else turns
    expected = ["user", "assistant"] * (len(spoken) // 2)
    if not spoken or [turn.role for turn in spoken] != expected:
        raise InputError(
            "conversations: expected human and gpt in turn, gpt last, got "
            f"{listing([turn.role for turn in turns], limit=6)}"
        )
    return turns


def _turn(item: object, place: int) -> Turn:
    where = f"conversations[{place}]"
    if not isinstance(item, Mapping):
        raise InputError(f"{where}: expected an object, got {item!r:.60}")
    speaker, text = item.get("from"), item.get("value")
    roles = _SPEAKERS | ({"system": "system"} if place == 0 else {})
    if not isinstance(speaker, str) or speaker not in roles:
        raise InputError(f"{where}.from: expected human or gpt, got {speaker!r:.60}")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}.value: expected text, got {text!r:.60}")
    if _HALF.search(text):
        raise InputError(f"{where}.value: expected Unicode, got half of a surrogate pair")
    if roles[speaker] != "user" and PLACEHOLDER in text:
        raise InputError(f"{where}.value: only a human turn can show {PLACEHOLDER}")
    return Turn(role=roles[speaker], text=text)


def _items(path: Path, named: str) -> Iterator[Any]:
    """The values of a JSON list or of JSON lines; only one at a time is in memory."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _values(file, named)
    except OSError as error:
        raise InputError(f"{named}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{named}: not UTF-8 at byte {error.start} of a part") from error


def _values(file: TextIO, named: str) -> Iterator[Any]:
    reader = _Reader(file)
    is_list = reader.mark() == "["
    reader.at += is_list
    for number in itertools.count():
        mark = reader.mark()
        if is_list and mark == "]":
            reader.at += 1
            if reader.mark():
                raise InputError(f"{named}: not JSON: more follows after the list")
            return
        if is_list and number and mark:
            if mark != ",":
                raise InputError(f"{named}: not JSON: expected a comma after [{number - 1}]")
            reader.at += 1
            mark = reader.mark()
        if not mark and not is_list:
            return
        yield reader.value(f"{named}: [{number}]")


class _Reader:
    """Text that is read bit by bit."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._decode = json.JSONDecoder().raw_decode
        self._text, self._ended = "", False
        self.at = 0

    def mark(self) -> str:
        """The next sign that is no space; nothing at the end."""
        while True:
            space = _SPACE.match(self._text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self._text) or self._ended:
                return self._text[self.at : self.at + 1]
            self._read_on()

    def value(self, where: str) -> Any:
        """The next value of JSON."""
        while True:
            try:
                value, end = self._decode(self._text, self.at)
            except RecursionError as error:
                raise InputError(f"{where}: not JSON: nested too deeply") from error
            except ValueError as error:
                if self._ended or len(self._text) - self.at > _MAX_ITEM:
                    raise InputError(f"{where}: not JSON: {error}") from error
            else:
                # At the end of what was read, a number may go on.
                if self._ended or end < len(self._text):
                    self.at = end
                    return value
            self._read_on()

    def _read_on(self) -> None:
        left = self._text[self.at :]
        more = self._file.read(max(_CHUNK, len(left)))
        self._text, self.at, self._ended = left + more, 0, not more
