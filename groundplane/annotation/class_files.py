"""Files that list classes: lines of text, JSON, YAML; read as plain values, nothing more.

Every scalar of a YAML file is text, so that a class `no` stays a word, and neither anchors nor
tags are taken: a class list needs none, and both have been used to do harm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundplane.core.errors import InputError
from groundplane.core.files import one_line
from groundplane.core.hub import need_library

__all__ = ["read_class_file"]

_MAX_BYTES = 4 * 2**20  # 100 times LVIS's 1,203 classes with their synonyms
_DEEPEST = 6
_LINE_END = re.compile(r"\r\n?|\n")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_KINDS = (".txt", ".names", ".json", ".yaml", ".yml")


def read_class_file(path: str | Path) -> object:
    """Read what a class file holds.

    Args:
        path: `.txt` or `.names`: a line a prompt, empty lines and those that begin with `#` are
            passed over. `.json`, `.yaml`, `.yml`: lists and mappings of texts.

    Returns:
        Lists, mappings, texts, numbers (JSON only) and None.

    Raises:
        InputError: If it cannot be read, is too large or is malformed; a key that stands twice
            is malformed.
        PluginBrokenError: If it is YAML and pyyaml is not installed.

    Examples:
        >>> read_class_file("classes.csv")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: class file 'classes.csv': expected a name that ends in .txt, .names, .json, .yaml, .yml
    """  # noqa: E501
    place = Path(path)
    where = f"class file {one_line(place.name)!r}"
    kind = place.suffix.lower()
    if kind not in _KINDS:
        raise InputError(f"{where}: expected a name that ends in {', '.join(_KINDS)}")
    text = _text(place, where)
    try:
        if kind == ".json":
            return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
        if kind in (".yaml", ".yml"):
            return _yaml(text, where)
    except RecursionError as error:
        raise InputError(f"{where}: nested too deeply") from error
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except ValueError as error:
        raise InputError(f"{where}: expected JSON, got: {error}") from error
    lines = (line.strip() for line in _LINE_END.split(text))
    return [line for line in lines if line and not line.startswith("#")]


def _text(path: Path, where: str) -> str:
    try:
        # A pipe without a writer would be waited for.
        if path.exists() and not path.is_file():
            raise InputError(f"{where}: it is no regular file")
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InputError(f"{where}: larger than {_MAX_BYTES // 2**20} MB")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: it is not UTF-8 ({error.reason} at {error.start})") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{where}: cannot be read: {reason}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise InputError(f"the key {key!r} stands twice")
        made[key] = value
    return made


def _no_number(word: str) -> object:
    raise InputError(f"{word} is no value of a class file")


def _yaml(text: str, where: str) -> object:
    yaml = need_library("yaml", who=where)
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        events = iter(yaml.parse(text, Loader=loader))
        if type(next(events)) is not yaml.StreamStartEvent:
            raise InputError("expected YAML")
        if type(next(events)) is yaml.StreamEndEvent:
            return None
        value = _YamlReader(yaml, events).value(next(events))
        next(events)
        if type(next(events)) is not yaml.StreamEndEvent:
            raise InputError("expected one YAML document, got several")
        return value
    except yaml.YAMLError as error:
        raise InputError(f"expected YAML, got: {' '.join(str(error).split())}") from error


class _YamlReader:
    """Builds lists, mappings and texts from the events of a parser."""

    def __init__(self, yaml: Any, events: Iterator[Any]) -> None:
        self._yaml = yaml
        self._events = events

    def value(self, event: Any, *, depth: int = 0) -> object:
        yaml, line = self._yaml, event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise InputError(f"line {line}: anchors and aliases are not taken; write it out")
        if event.tag not in (None, "!"):
            raise InputError(f"line {line}: the tag {event.tag!r} is not taken; write plain values")
        if depth > _DEEPEST:
            raise InputError(f"line {line}: nested too deeply")
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            return None if plain and event.value in _NULLS else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._until(yaml.SequenceEndEvent, depth + 1))
        parts = list(self._until(yaml.MappingEndEvent, depth + 1))
        keys = parts[::2]
        if not all(isinstance(key, str) for key in keys):
            raise InputError(f"line {line}: expected keys that are texts")
        return _object([(str(key), value) for key, value in zip(keys, parts[1::2], strict=True)])

    def _until(self, end: type, depth: int) -> Iterator[object]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield self.value(event, depth=depth)
