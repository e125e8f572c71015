"""Prompts as people give them - a line of text, a list, a mapping, a class file - to one table.

A class's id is its place in the table, in the order of what was given; nothing is sorted, no
name is changed but for the spaces in it, and `Car` is not `car`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from groundplane.annotation.class_files import read_class_file
from groundplane.core.annotation import AnnotationPrompt, ClassTable
from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.files import one_line

__all__ = ["read_prompts", "with_thresholds"]

# Commas and line ends of the scripts that people list things in.
_BETWEEN = re.compile(r"[,;\n\uff0c\u3001\uff1b]")
_COLONS = re.compile(r"[:\uff1a]")
_LONGEST = 1000
_MOST = 100_000
_NAMES = re.compile(r"\.(txt|names|json|ya?ml)", re.IGNORECASE)
_FIELDS = frozenset({"prompt", "class", "threshold"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A prompt, the class that it leads to (None: no class) and its threshold."""

    prompt: str
    name: str | None
    least: float | None = None


def read_prompts(
    given: object,
    *,
    classes: object = None,
    thresholds: float | str | Iterable[str] | Mapping[str, float] = (),
) -> ClassTable:
    """The classes of a run and the prompts that lead to them.

    Args:
        given: What to look for:
            a text, `dog, red car, person: pedestrian`, in which `prompt: class` gives the class
            and `prompt:` none at all (unmapped);
            a list of such texts, one prompt each (a comma in it is a part of the prompt);
            a mapping `{prompt: class}`, as autodistill's ontology, `{class: [prompts]}`, or
            `{id: name}`; records `{"prompt": ..., "class": ..., "threshold": ...}`;
            a path to a file with any of these (see `read_class_file`), with ultralytics' `names`
            or COCO's `categories` (in the file's order; the ids that COCO gives are not kept);
            a `ClassTable`. None looks for all of `classes`.
        classes: Like `given`, but only the classes count: they fix the ids, and no prompt may
            lead to another.
        thresholds: Least scores; see `with_thresholds`.

    Raises:
        InputError: If nothing is named, something is named twice or is no text, or a class is
            not in `classes`.
        PluginBrokenError: If it is a YAML file and pyyaml is not installed.

    Examples:
        >>> table = read_prompts("dog, red car: car, person: pedestrian")
        >>> table.names
        ('dog', 'car', 'pedestrian')
        >>> read_prompts({"person": ["walker", "rider"]}).prompts[1].class_id
        0
        >>> read_prompts("dog: ").prompts[0].class_id
        -1
        >>> read_prompts(" , ")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: annotation: name what to look for, such as "dog, red car, person: pedestrian"
    """  # noqa: E501
    if given is None:
        given, classes = classes, None
    if isinstance(given, ClassTable) and classes is None:
        return with_thresholds(given, thresholds)
    lines = list(_lines(given))
    if not lines:
        raise InputError(
            'annotation: name what to look for, such as "dog, red car, person: pedestrian"'
        )
    fixed = lines if classes is None else list(_lines(classes))
    once = dict.fromkeys(line.name for line in fixed if line.name is not None)
    names = {name: place for place, name in enumerate(once)}
    if len(lines) + len(names) > _MOST:
        raise InputError(f"annotation: more than {_MOST} prompts and classes")
    for line in lines:
        if line.name is not None and line.name not in names:
            raise InputError(
                f"annotation: prompt {line.prompt!r} leads to the class {line.name!r}, which is "
                f"none of the classes.{did_you_mean(line.name, names)}"
            )
    prompts = tuple(
        AnnotationPrompt(
            text=line.prompt,
            class_id=-1 if line.name is None else names[line.name],
            threshold=line.least,
        )
        for line in lines
    )
    return with_thresholds(ClassTable(names=tuple(names), prompts=prompts), thresholds)


def with_thresholds(
    table: ClassTable, given: float | str | Iterable[str] | Mapping[str, float]
) -> ClassTable:
    """The same table with other least scores.

    Args:
        table: What is looked for.
        given: A number for every prompt that has none yet, and numbers by name: texts
            `NAME=NUMBER` (or `NUMBER`), or a mapping. A name is that of a prompt or, where none
            has it, of a class; a prompt's own number goes before its class's.

    Raises:
        InputError: If a name is unknown or a number out of range.

    Examples:
        >>> table = with_thresholds(read_prompts("dog, cat"), ["0.3", "cat=0.5"])
        >>> [prompt.threshold for prompt in table.prompts]
        [0.3, 0.5]
        >>> with_thresholds(read_prompts("dog"), []).prompts[0].threshold is None
        True
    """
    general, named = _numbers(given)
    texts = {prompt.text for prompt in table.prompts}
    for name in named:
        if name not in texts and name not in table.names:
            raise InputError(
                f"threshold: {name!r} is neither a prompt nor a class."
                f"{did_you_mean(name, [*texts, *table.names])}"
            )
    by_class = {i: named[n] for i, n in enumerate(table.names) if n in named and n not in texts}
    prompts = []
    for prompt in table.prompts:
        least = named.get(prompt.text, by_class.get(prompt.class_id, prompt.threshold))
        prompts.append(replace(prompt, threshold=general if least is None else least))
    return replace(table, prompts=tuple(prompts))


def _numbers(
    given: float | str | Iterable[str] | Mapping[str, float],
) -> tuple[float | None, dict[str, float]]:
    """The general number and those by name."""
    if isinstance(given, Mapping):
        return None, {
            _words(name, "a threshold's name"): _score(v, name) for name, v in given.items()
        }
    if isinstance(given, (int, float)):
        return _score(given, ""), {}
    general: float | None = None
    named: dict[str, float] = {}
    for text in [given] if isinstance(given, str) else given:
        name, equals, number = text.rpartition("=")
        if equals:
            named[_words(name, "a threshold's name")] = _score(number, text)
        else:
            general = _score(number, text)
    return general, named


def _score(value: object, name: str) -> float:
    where = f"threshold {one_line(name)!r}" if name else "threshold"
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: expected a number or NAME=NUMBER, got {value!r:.60}") from error
    if not 0 <= number <= 1:  # NaN is not either
        raise InputError(f"{where}: expected a number from 0 to 1, got {number}")
    return number


def _lines(given: object) -> Iterator[_Line]:
    """What was given, a prompt at a time."""
    if isinstance(given, ClassTable):
        for prompt in given.prompts:
            name = given.names[prompt.class_id] if prompt.class_id >= 0 else None
            yield _Line(prompt=prompt.text, name=name, least=prompt.threshold)
    elif isinstance(given, Path):
        try:
            yield from _lines_of(read_class_file(given))
        except InputError as error:
            where = f"class file {one_line(given.name)!r}"
            raise (
                error if str(error).startswith(where) else InputError(f"{where}: {error}")
            ) from error
    elif isinstance(given, str):
        if _NAMES.search(given[-6:]) and Path(given).is_file():
            raise InputError(
                f"annotation: {one_line(given)!r} is a file; give it as one, with Path"
            )
        yield from (_line(part) for part in _BETWEEN.split(given) if part.strip())
    else:
        yield from _lines_of(given)


def _lines_of(given: object) -> Iterator[_Line]:
    if isinstance(given, Mapping):
        names, categories = given.get("names"), given.get("categories")
        if isinstance(names, (Mapping, list, tuple)):
            yield from _named(names)
        elif isinstance(categories, list) and all(isinstance(c, Mapping) for c in categories):
            yield from _named([category.get("name") for category in categories])
        else:
            yield from _pairs(given)
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes, bytearray)):
        for entry in given:
            yield _record(entry) if isinstance(entry, Mapping) else _line(entry)
    elif given is not None:
        raise InputError(
            f"annotation: expected prompts as a text, a list, a mapping or a path, got "
            f"{type(given).__name__}"
        )


def _named(names: object) -> Iterator[_Line]:
    """Classes under their own names."""
    if isinstance(names, Mapping):
        yield from _by_id(names)
    elif isinstance(names, Sequence):
        for value in names:
            name = _words(value, "a name")
            yield _Line(prompt=name, name=name)


def _by_id(table: Mapping[object, object]) -> Iterator[_Line]:
    """Names under their ids, which are 0, 1, 2 and so on."""
    by_id: dict[int, object] = {}
    for key, value in table.items():
        if isinstance(key, bool) or not re.fullmatch(r"\d{1,9}", str(key), re.ASCII):
            raise InputError(f"names: expected an id, got {key!r:.60}")
        by_id[int(str(key))] = value
    missing = next((i for i in range(len(table)) if i not in by_id), None)
    if missing is not None:
        raise InputError(f"names: expected the ids 0 to {len(table) - 1}, but {missing} is missing")
    yield from _named([by_id[i] for i in range(len(table))])


def _pairs(given: Mapping[object, object]) -> Iterator[_Line]:
    """`{prompt: class}`, `{class: [prompts]}` or `{id: name}`."""
    if given and all(isinstance(key, int) for key in given):
        yield from _by_id(given)
        return
    lists = [isinstance(value, (list, tuple)) for value in given.values()]
    if any(lists) and not all(lists):
        raise InputError(
            "annotation: expected {prompt: class} or {class: [prompts]}, got both in one mapping"
        )
    for key, value in given.items():
        if isinstance(value, (list, tuple)):
            name = _words(key, "a class")
            yield from (
                _Line(prompt=_words(text, f"a prompt of {name!r}"), name=name) for text in value
            )
        elif isinstance(value, Mapping):
            yield _record({"prompt": key, **value})
        else:
            prompt = _words(key, "a prompt")
            yield _Line(prompt=prompt, name=_class(value, prompt))


def _record(entry: Mapping[object, object]) -> _Line:
    unknown = [str(key) for key in entry if key not in _FIELDS]
    if unknown or "prompt" not in entry:
        raise InputError(
            "annotation: expected a record of prompt, class and threshold, got "
            f"{listing(map(repr, entry))}"
        )
    prompt = _words(entry["prompt"], "a prompt")
    least = entry.get("threshold")
    return _Line(
        prompt=prompt,
        name=_class(entry["class"], prompt) if "class" in entry else prompt,
        least=None if least is None else _score(least, prompt),
    )


def _line(text: object) -> _Line:
    """`prompt`, `prompt: class` or `prompt:`; the last colon counts."""
    colons = list(_COLONS.finditer(text)) if isinstance(text, str) else []
    if not isinstance(text, str) or not colons:
        prompt = _words(text, "a prompt")
        return _Line(prompt=prompt, name=prompt)
    prompt = _words(text[: colons[-1].start()], f"a prompt before the colon of {one_line(text)!r}")
    return _Line(prompt=prompt, name=_class(text[colons[-1].end() :], prompt))


def _class(value: object, prompt: str) -> str | None:
    """A class's name; None where it is left empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return _words(value, f"the class of {prompt!r}")


def _words(value: object, what: str) -> str:
    """A name with single spaces between its words.

    Raises:
        InputError: If it is no text, empty, long, or holds what no name has.
    """
    if not isinstance(value, str):
        raise InputError(f"annotation: expected {what} as a text, got {value!r:.60}")
    words = " ".join(value.split())
    if not words:
        raise InputError(f"annotation: expected {what}, got an empty text")
    if len(words) > _LONGEST:
        raise InputError(f"annotation: {what} is longer than {_LONGEST} characters")
    odd = next((sign for sign in words if unicodedata.category(sign) in ("Cc", "Cs")), None)
    if odd is not None:
        raise InputError(f"annotation: {what} holds the control character {odd!a}")
    return words
