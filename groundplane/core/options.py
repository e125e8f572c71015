"""A plugin's options: a frozen dataclass, made from what the user gave."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import os
import types
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from groundplane.core.errors import (
    GroundplaneError,
    InputError,
    PluginBrokenError,
    did_you_mean,
    listing,
)
from groundplane.core.files import one_line

__all__ = ["make_options", "option_hint", "read_options"]

T = TypeVar("T")

_MAX_BYTES = 2**20
# In a command that takes an expert as well, the options of these have a name of their own.
_ASKED = "language model "
_TRUTH = {"true": True, "yes": True, "on": True, "1": True}
_TRUTH |= {"false": False, "no": False, "off": False, "0": False}


def option_hint(who: str, pair: str) -> str:
    """How an option is given on the command line.

    Args:
        who: What messages call the plugin.
        pair: Such as `weights=FOLDER`.

    Examples:
        >>> option_hint("detector 'owlv2'", "weights=FOLDER")
        '--option weights=FOLDER'
        >>> option_hint("language model 'mof'", "weights=FOLDER")
        '--option weights=FOLDER (of ask: --model-option)'
    """
    return f"--option {pair}" + (" (of ask: --model-option)" if who.startswith(_ASKED) else "")


def make_options(options_type: type[T], given: Mapping[str, object], *, plugin: str) -> T:
    """Make a plugin's options from what the user gave.

    Text is converted to the declared type of its field: `str`, `int`, `float`, `bool`, `Path`,
    an `Enum`, `Literal`, `tuple` (values separated by commas) and unions such as `int | None`
    (the word `none` is None). Other values must already be of the declared type.

    Args:
        options_type: The plugin's dataclass.
        given: Option name to value.
        plugin: What messages call the plugin, such as `detector 'opencv'`.

    Returns:
        An instance of `options_type`; fields that were not given keep their defaults.

    Raises:
        InputError: If an option is unknown, is required but not given, or has a bad value.
        PluginBrokenError: If the types of the plugin's own dataclass cannot be read.

    Examples:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     size: int = 3
        >>> make_options(Options, {"size": "5"}, plugin="detector 'x'")
        Options(size=5)
    """
    fields = {f.name: f for f in dataclasses.fields(options_type) if f.init}  # type: ignore[arg-type]
    for name in given:
        if name not in fields:
            raise InputError(
                f"{plugin} has no option {name!r}; its options: {listing(fields)}."
                f"{did_you_mean(name, fields)}"
            )
    missing = [name for name, f in fields.items() if name not in given and _required(f)]
    if missing:
        raise InputError(
            f"{plugin} needs the option {listing([repr(m) for m in missing])}, which was not "
            f"given. Try: {option_hint(plugin, f'{missing[0]}=VALUE')}"
        )
    declared = _declared(options_type, plugin=plugin)
    values = {
        name: _checked(value, declared[name], where=f"{plugin}, option {name!r}")
        for name, value in given.items()
    }
    try:
        return options_type(**values)
    except GroundplaneError:
        raise
    except Exception as error:
        raise InputError(
            f"{plugin} refuses these options: {error or type(error).__name__}"
        ) from error


def read_options(path: Path, *, plugin: str, option: str = "options") -> dict[str, object]:
    """Options of other plugins, which a plugin is given as a file: a JSON object.

    Args:
        path: The file, UTF-8, at most 1 MiB.
        plugin: Whose option names it, for messages.
        option: That option.

    Raises:
        InputError: If it cannot be read, is too long or is no JSON object.
    """
    where = f"{plugin}, option {option!r}: {one_line(str(path))}"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        document: object = json.loads(data.decode("utf-8-sig")) if len(data) <= _MAX_BYTES else data
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected JSON, got: {str(error) or 'too deep'}") from error
    if isinstance(document, bytes):
        raise InputError(f"{where}: expected at most {_MAX_BYTES} bytes")
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object, name to value")
    return document


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _declared(options_type: type, *, plugin: str) -> dict[str, Any]:
    try:
        return get_type_hints(options_type)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise PluginBrokenError(
            f"{plugin}: the types of its options cannot be read ({error}); "
            f"import every type that {options_type.__name__} names at module level"
        ) from error


def _checked(value: object, declared: Any, *, where: str) -> object:
    try:
        return _convert(value, declared)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: expected {_described(declared)}, got {value!r}") from error


def _convert(value: object, declared: Any) -> object:
    """The value as the declared type; ValueError where it is not one."""
    origin = get_origin(declared)
    if declared is Any or declared is object:
        return value
    if origin is Annotated:
        return _convert(value, get_args(declared)[0])
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, get_args(declared))
    if origin is Literal:
        return _choice(value, get_args(declared))
    if origin is tuple:
        return _tuple(value, get_args(declared))
    if declared is type(None):
        if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
            return None
        raise ValueError("not none")
    if declared in _CONVERTERS:
        return _CONVERTERS[declared](value)
    if isinstance(declared, type) and isinstance(value, declared):
        return value
    if isinstance(declared, type) and issubclass(declared, Enum):
        return declared(_choice(value, tuple(member.value for member in declared)))
    raise ValueError("cannot be converted")


def _first_that_fits(value: object, arms: tuple[Any, ...]) -> object:
    # `none` must win over `str`, whichever is written first.
    for arm in sorted(arms, key=lambda arm: arm is not type(None)):
        try:
            return _convert(value, arm)
        except (ValueError, TypeError):
            continue
    raise ValueError("fits no member of the union")


def _choice(value: object, choices: tuple[Any, ...]) -> object:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    for choice in choices:
        if isinstance(value, str) and value.strip() == str(choice):
            return choice
    raise ValueError("not one of the choices")


def _tuple(value: object, members: tuple[Any, ...]) -> tuple[object, ...]:
    if isinstance(value, str):
        items: list[object] = [part.strip() for part in value.split(",")] if value.strip() else []
    elif isinstance(value, (tuple, list)):
        items = list(value)
    else:
        raise ValueError("not a sequence")
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(items)
    if len(members) != len(items):
        raise ValueError("wrong length")
    return tuple(_convert(item, member) for item, member in zip(items, members, strict=True))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return value


def _truth(value: object) -> bool:
    if isinstance(value, str) and value.strip().lower() in _TRUTH:
        return _TRUTH[value.strip().lower()]
    if not isinstance(value, bool):
        raise ValueError("not a truth value")
    return value


def _whole(value: object) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError("not a whole number")
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (str, numbers.Real)):
        raise ValueError("not a number")
    number = float(value)
    if math.isnan(number):
        raise ValueError("not a number")
    return number


def _path(value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)) or value == "":
        raise ValueError("not a path")
    return Path(value)


_CONVERTERS: dict[Any, Callable[[object], object]] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _truth,
    Path: _path,
}
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    type(None): "none",
}


def _described(declared: Any) -> str:
    """The declared type in words, for messages."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        return _described(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_described(argument) for argument in arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"values separated by commas, each {_described(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} values separated by commas"
    if isinstance(declared, type) and issubclass(declared, Enum):
        return "one of " + ", ".join(str(member.value) for member in declared)
    return _WORDS.get(declared, f"a {getattr(declared, '__name__', declared)}")
