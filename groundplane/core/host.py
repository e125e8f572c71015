"""The plugin host: what is installed, whether it can load, and one instance of it.

Plugins are entry points, one group a kind. Listing reads their files and runs none of them.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, Literal

from groundplane.core.errors import (
    GroundplaneError,
    InputError,
    PluginBrokenError,
    PluginNotFoundError,
    did_you_mean,
    listing,
)
from groundplane.core.options import make_options
from groundplane.core.plugin_source import (
    FaultError,
    is_installed,
    not_installed,
    pip_name,
    read_plugin,
    split_value,
)

__all__ = [
    "DISABLE",
    "KINDS",
    "Need",
    "PluginInfo",
    "Prepared",
    "available",
    "call_apart",
    "check",
    "choose_device",
    "load",
    "option_names",
    "prepare",
]

logger = logging.getLogger(__name__)

KINDS = ("detectors", "segmenters", "encoders", "geometry", "language_models", "exporters")
DISABLE = "GROUNDPLANE_PLUGINS_DISABLE"

# The protocol of each kind, by name: importing it here would load torch.
_PROTOCOLS = {
    "detectors": ("groundplane.core.detection", "Detector"),
    "segmenters": ("groundplane.core.segmentation", "Segmenter"),
    "encoders": ("groundplane.core.features", "Encoder"),
    "geometry": ("groundplane.core.geometry", "GeometryExpert"),
    "language_models": ("groundplane.core.session", "LanguageModel"),
    "exporters": ("groundplane.core.exporting", "Exporter"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A third-party library that a plugin's file imports, at once or later."""

    library: str
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """An installed plugin, known from its metadata and its source text only.

    Attributes:
        kind: One of `KINDS`.
        name: What `load` takes.
        value: `module:attribute`.
        distribution: The installed distribution that it comes from, of that `version`.
        status: `duplicate` where two distributions give the kind the same name.
        reason: Why it is not `ok`; for an `ok` one what could not be read; else empty.
        needs: The libraries that its file imports.
    """

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    status: Literal["ok", "broken", "duplicate", "disabled"] = "ok"
    reason: str = ""
    needs: tuple[Need, ...] = ()

    @property
    def qualified(self) -> str:
        """`distribution:name`, which is never ambiguous between distributions."""
        return f"{self.distribution}:{self.name}"

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return f"{self.distribution} {self.version} ({self.value})"


def available(kind: str | None = None, *, read: bool = True) -> list[PluginInfo]:
    """List the installed plugins without importing or running any of them.

    Args:
        kind: One of `KINDS`, or None for all, in that order.
        read: Whether to read their files. Without it each is `ok` or `disabled`, and what it
            needs is not told.

    Raises:
        InputError: If the kind is unknown.
    """
    entries = _scan(kind)
    return [_judged(entry, among=entries) for entry in entries] if read else entries


def load(
    kind: str,
    name: str,
    *,
    device: str = "auto",
    dtype: object | None = None,
    **options: object,
) -> Any:
    """Make one instance of a plugin. Nothing is ever installed or downloaded for it.

    Args:
        kind: One of `KINDS`.
        name: The plugin's name, or `distribution:name`.
        device: `auto` (CUDA if there is one, else the CPU), or a device as torch names it.
        dtype: The plugin's number type, handed on; None leaves it to the plugin.
        **options: The plugin's own options; text is converted to the declared type.

    Returns:
        An object that satisfies the kind's protocol.

    Raises:
        InputError: If the kind, the device or an option is unknown or malformed.
        PluginNotFoundError: If no such plugin is installed, or it is disabled.
        PluginBrokenError: If the name is ambiguous, the plugin cannot be imported or made, or
            it misses a part of the protocol.
    """
    return prepare(kind, name, options).make(device=device, dtype=dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plugin whose class was found and whose options were checked, but that was not made.

    Attributes:
        info: What is known of it.
        plugin: Its class, with its `capabilities` if it states any.
        options: Its `Options`.
    """

    info: PluginInfo
    plugin: Any
    options: object

    def make(self, *, device: str = "auto", dtype: object | None = None) -> Any:
        """Make the instance; see `load`.

        Raises:
            InputError: If the device is unknown.
            PluginBrokenError: If it cannot be made, or misses a part of the protocol.
        """
        kind = self.info.kind
        whole = f"{_noun(kind)} {self.info.name!r} from {self.info.origin}"
        place = choose_device(device)
        try:
            instance = self.plugin(self.options, device=place, dtype=dtype)
            missing = _missing_members(kind, instance)
        except GroundplaneError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginBrokenError(f"{whole} cannot be made: {_said(error)}") from error
        if missing:
            raise PluginBrokenError(f"{whole} lacks {listing(missing)}, which {kind} must have")
        return instance


def prepare(kind: str, name: str, options: Mapping[str, object]) -> Prepared:
    """Find a plugin and check its options, without making it: what `load` does first.

    Raises:
        InputError: If the kind or an option is unknown or malformed, or one is missing.
        PluginNotFoundError: If no such plugin is installed, or it is disabled.
        PluginBrokenError: If the name is ambiguous or the plugin cannot be imported.
    """
    info = _find(kind, name)
    plugin = _imported(info)
    made = make_options(plugin.Options, options, plugin=f"{_noun(kind)} {info.name!r}")
    return Prepared(info=info, plugin=plugin, options=made)


def option_names(kind: str, name: str) -> tuple[str, ...]:
    """What a plugin's options are called; its module is imported for it.

    Raises:
        PluginNotFoundError: If no such plugin is installed, or it is disabled.
        PluginBrokenError: If the name is ambiguous or the plugin cannot be imported.
    """
    plugin = _imported(_find(kind, name))
    return tuple(field.name for field in dataclasses.fields(plugin.Options) if field.init)


def check(info: PluginInfo, *, timeout: float = 60.0) -> str | None:
    """Really import a plugin, in a process of its own, and look at its class.

    Gives why it fails, in one line, or None. After `timeout` seconds it counts as hung.
    """
    argument = {"kind": info.kind, "name": info.name, "value": info.value}
    try:
        reason = call_apart("groundplane.core.host:_fault_of", argument, timeout=timeout)
    except PluginBrokenError as error:
        return str(error)
    return None if reason is None else str(reason)


def _scan(kind: str | None) -> list[PluginInfo]:
    if kind is not None and kind not in KINDS:
        raise InputError(
            f"unknown plugin kind {kind!r}; the kinds: {listing(KINDS)}.{did_you_mean(kind, KINDS)}"
        )
    hidden = {word.strip() for word in os.environ.get(DISABLE, "").split(",")}
    found = [info for info in _entries() if info.kind == kind or (not kind and info.kind in KINDS)]
    found.sort(key=lambda info: (KINDS.index(info.kind), info.name, info.distribution))
    return [
        replace(info, status="disabled", reason=f"named in {DISABLE}")
        if hidden & {info.name, info.qualified}
        else info
        for info in found
    ]


def _entries() -> Iterator[PluginInfo]:
    """Our entry points, first come first where a distribution is there twice."""
    seen = set()
    for found in metadata.distributions():
        try:
            text = found.read_text("entry_points.txt") or ""
        except UnicodeDecodeError:
            logger.warning("an entry_points.txt is not UTF-8 and was left out: %s", found)
            continue
        if "groundplane." not in text:
            continue
        distribution, version = _identity(found)
        key = re.sub(r"[-_.]+", "-", distribution).lower()
        if key not in seen or key == "unnamed":
            seen.add(key)
            for kind, name, value in _parsed(text):
                yield PluginInfo(
                    kind=kind, name=name, value=value, distribution=distribution, version=version
                )


def _identity(found: Any) -> tuple[str, str]:
    """Name and version; a distribution whose METADATA is damaged must not end the listing.

    Args:
        found: A distribution; once the backport of importlib.metadata is imported, one of its.
    """
    try:
        fields = found.metadata
        return str(fields["Name"] or "unnamed"), str(fields["Version"] or "unknown")
    except (LookupError, OSError, TypeError, ValueError, AttributeError):
        return "unnamed", "unknown"


def _parsed(text: str) -> Iterator[tuple[str, str, str]]:
    kind = ""
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            kind = group.removeprefix("groundplane.") if group.startswith("groundplane.") else ""
        elif line and kind and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield kind, name.strip(), value.strip()


def _find(kind: str, name: str) -> PluginInfo:
    entries = _scan(kind)
    named = [entry for entry in entries if name in (entry.name, entry.qualified)]
    live = [entry for entry in named if entry.status != "disabled"]
    if len(live) == 1:
        return live[0]
    if live:
        raise PluginBrokenError(
            f"{_noun(kind)} {name!r} is installed more than once: "
            f"{listing([entry.origin for entry in live])}. Name one: "
            f"{listing([repr(entry.qualified) for entry in live])}, or uninstall the other"
        )
    if named:
        raise PluginNotFoundError(
            f"{_noun(kind)} {name!r} is disabled by the environment variable {DISABLE}; "
            "take it out of there to use it"
        )
    names = sorted({entry.name for entry in entries if entry.status != "disabled"})
    raise PluginNotFoundError(
        f"{_noun(kind)} {name!r} is not installed; available: {listing(names)}."
        f"{did_you_mean(name, names)}"
    )


def _noun(kind: str) -> str:
    return "geometry" if kind == "geometry" else kind.removesuffix("s").replace("_", " ")


def _judged(info: PluginInfo, *, among: list[PluginInfo]) -> PluginInfo:
    if info.status == "disabled":
        return info
    others = [
        other.origin
        for other in among
        if other is not info and other.status != "disabled" and other.kind == info.kind
        if other.name == info.name
    ]
    double = f"the name is also given by {listing(others)}" if others else ""
    try:
        imports, unread = read_plugin(info.value)
    except FaultError as fault:
        return replace(info, status="broken", reason=f"{fault}{double and '; '}{double}")
    needs = tuple(Need(library=name, present=is_installed(name)) for name in sorted(imports))
    status: Literal["ok", "duplicate"] = "duplicate" if double else "ok"
    return replace(info, status=status, reason=double or unread, needs=needs)


def _imported(info: PluginInfo) -> Any:
    try:
        return _resolve(info)
    except FaultError as fault:
        raise PluginBrokenError(
            f"{_noun(info.kind)} {info.name!r} from {info.origin} cannot be loaded: {fault}"
        ) from fault.__cause__


def _resolve(info: PluginInfo) -> Any:
    """Import a plugin and give its class; `FaultError`, chained from the cause, where it fails."""
    module_name, attribute = split_value(info.value)
    try:
        target: Any = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Even SystemExit: somebody else's module must not end the user's program.
        raise FaultError(_said(error)) from error
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError as error:
            raise FaultError(f"{module_name} does not define {attribute!r}") from error
        except (Exception, SystemExit) as error:
            # A module may make its names on demand, and fail at it.
            raise FaultError(_said(error)) from error
    if not callable(target):
        raise FaultError(f"{attribute} is a {type(target).__name__}, expected a class")
    fault = _options_fault(target)
    if fault:
        raise FaultError(fault)
    return target


def _options_fault(plugin: object) -> str:
    """What is wrong with a plugin's `Options`, or nothing."""
    name = f"{getattr(plugin, '__name__', plugin)}.Options"
    options = getattr(plugin, "Options", None)
    if not isinstance(options, type) or not dataclasses.is_dataclass(options):
        return f"{name} is not there or is no dataclass; expected a frozen dataclass"
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return f"{name} is not frozen; write @dataclass(frozen=True)"
    return ""


def _missing_members(kind: str, plugin: object) -> list[str]:
    """Members of the kind's protocol that a plugin lacks.

    Args:
        kind: The plugin's kind.
        plugin: An instance; or a class, of which only methods are asked, since its constructor
            may still set the rest.
    """
    module, name = _PROTOCOLS[kind]
    protocol = vars(getattr(importlib.import_module(module), name))
    lacking = []
    for member, declared in protocol.items():
        is_method = callable(declared)
        if member.startswith("_") or (isinstance(plugin, type) and not is_method):
            continue
        if not hasattr(plugin, member) or (is_method and not callable(getattr(plugin, member))):
            lacking.append(member)
    return lacking


def choose_device(device: str) -> str:
    """Check a device's name, and choose one for `auto`: CUDA if there is one, else the CPU.

    Raises:
        InputError: If torch knows no such device.

    Examples:
        >>> choose_device("cpu")
        'cpu'
    """
    if device == "cpu":
        return device  # no need to load torch for it
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = str(torch.device(device))
        if chosen.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device {device!r}: torch finds no CUDA device here; use cpu or auto")
        return chosen
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"unknown device {device!r}; expected auto, cpu, cuda or cuda:0"
        ) from error


def _said(error: BaseException) -> str:
    """What an exception says, in one line, with what to install where a library is missing."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    top = (name or "").partition(".")[0]
    if name and name == top and not is_installed(top):
        return not_installed(top)
    text = ": ".join(filter(None, [type(error).__name__, " ".join(str(error).split())[:400]]))
    if name:
        text += f". Try: pip install --upgrade {pip_name(top)}"
    return text


_CHILD = """import json, sys; order = json.loads(sys.argv[1]); sys.path[:] = order["path"]
from groundplane.core import host; host._answer(order)"""


def call_apart(function: str, argument: object, *, timeout: float = 60.0) -> Any:
    """Call `module:name` in a Python process of its own, so that a crash there harms nobody.

    Its one argument and its result, which is given back, are JSON values.

    Raises:
        PluginBrokenError: If it raises, crashes, exits or takes longer than `timeout` seconds;
            the message is one line.
    """
    import subprocess

    token = os.urandom(8).hex()
    order = {"path": sys.path, "token": token, "function": function, "argument": argument}
    command = [sys.executable, "-c", _CHILD, json.dumps(order)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PluginBrokenError(f"no answer within {timeout:g} s") from error
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith(token):
            answer = json.loads(line.removeprefix(token))
            if "error" in answer:
                raise PluginBrokenError(answer["error"])
            return answer["value"]
    last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no word on stderr"])[-1]
    raise PluginBrokenError(f"its process ended with code {done.returncode}, no answer: {last}")


def _answer(order: dict[str, Any]) -> None:
    """The child's part of `call_apart`: answer on a line that starts with the token."""
    module, _, name = order["function"].partition(":")
    try:
        answer = {"value": getattr(importlib.import_module(module), name)(order["argument"])}
    except BaseException as error:  # noqa: BLE001 the parent raises it again
        answer = {"error": _said(error)}
    os.write(1, f"\n{order['token']}{json.dumps(answer)}\n".encode())
    # Threads and exit hooks of somebody else's library must not hold the answer up.
    os._exit(0)


def _fault_of(argument: dict[str, Any]) -> str | None:
    """The child's part of `check`."""
    info = PluginInfo(distribution="", version="", **argument)
    try:
        plugin = _resolve(info)
    except FaultError as fault:
        return str(fault)
    missing = _missing_members(info.kind, plugin) if isinstance(plugin, type) else []
    return f"it lacks {listing(missing)}, which {info.kind} must have" if missing else None
