"""The manifest of a run: what it is to do, fixed when it begins."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from groundplane.annotation.codec import from_json, to_json
from groundplane.annotation.framing import KEY_SIZE
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationPrompt, ClassTable
from groundplane.core.errors import GroundplaneError, InputError, listing

__all__ = ["Manifest", "differences"]

FORMAT = 1
_MARK = "groundplane_run"
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError, ArithmeticError)
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run is to do, and the key of its logs.

    Attributes:
        spec: The job.
        key: 16 random bytes, by which a log is known to be of this run.
    """

    spec: JobSpec
    key: bytes

    @classmethod
    def of(cls, spec: JobSpec) -> Manifest:
        """A manifest for a new run."""
        return cls(spec=spec, key=secrets.token_bytes(KEY_SIZE))

    def to_bytes(self) -> bytes:
        """The manifest's file: JSON, to be read by people too."""
        job = dataclasses.asdict(self.spec)
        document = {
            _MARK: FORMAT,
            "key": self.key.hex(),
            "job": job,
            "job_hash": _hash(job),
        }
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "surrogatepass") + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str) -> Manifest:
        """The manifest that such a file holds.

        Args:
            data: The file's bytes.
            name: The file, for messages.

        Raises:
            InputError: If it is no manifest, of a newer version, or was changed by hand.
        """
        try:
            document = from_json(data)
            version = document[_MARK]
        except _MALFORMED as error:
            raise InputError(
                f"{name}: is no manifest of a run, or was damaged; put the file back as it was, or "
                "name another folder"
            ) from error
        if version != FORMAT:
            raise InputError(
                f"{name}: a run of format {ascii(version)[:_SHOWN]}; this groundplane reads "
                f"{FORMAT}. Install the version that wrote it, or name another folder"
            )
        try:
            _known({_MARK, "key", "job", "job_hash"}, document, where=name)
            if document["job_hash"] != _hash(document["job"]):
                raise InputError(
                    f"{name}: was changed after the run began, so its log is of another job than "
                    "it says; put the old file back, or begin another run"
                )
            spec = _made(JobSpec, document["job"], where=f"{name}: job")
            key = bytes.fromhex(document["key"])
            if len(key) != KEY_SIZE:
                raise ValueError(f"a key of {len(key)} bytes")
        except InputError:
            raise
        except (*_MALFORMED, GroundplaneError) as error:
            raise InputError(f"{name}: is damaged: {error!r}") from error
        return cls(spec=spec, key=key)

    @property
    def job_hash(self) -> str:
        """SHA-256 over all that the job fixes, hexadecimal."""
        return _hash(dataclasses.asdict(self.spec))


def _hash(job: object) -> str:
    return hashlib.sha256(to_json(job)).hexdigest()


def differences(old: JobSpec, new: JobSpec) -> tuple[str, ...]:
    """In what two jobs differ, in words.

    Examples:
        >>> def job(*texts, floor=0.1):
        ...     prompts = tuple(AnnotationPrompt(text=t, class_id=0) for t in texts)
        ...     return JobSpec(
        ...         source="a", classes=ClassTable(names=("dog",), prompts=prompts), floor=floor
        ...     )
        >>> differences(job("dog"), job("dog", "puppy", floor=0.2))
        ("prompt 'puppy' added", 'floor 0.1 -> 0.2')
        >>> differences(job("dog"), job("dog"))
        ()
    """
    told = [*_class_differences(old.classes, new.classes)]
    for field in dataclasses.fields(JobSpec):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name == "classes" or before == after:
            continue
        name = field.name.replace("_", " ")
        if isinstance(before, tuple):
            told += _table_differences(name.removesuffix("s"), before, after)
        else:
            told.append(f"{name} {_shown(before)} -> {_shown(after)}")
    return tuple(told)


def _class_differences(old: ClassTable, new: ClassTable) -> Iterable[str]:
    before, after = ({prompt.text: prompt for prompt in t.prompts} for t in (old, new))
    yield from _comings("prompt", list(before), list(after))
    for text in before.keys() & after.keys():
        was, now = before[text], after[text]
        to, into = _class_name(old, was), _class_name(new, now)
        if to != into:
            yield f"prompt {text!r}: class {to} -> {into}"
        if was.threshold != now.threshold:
            yield f"threshold of {text!r} {_shown(was.threshold)} -> {_shown(now.threshold)}"
    yield from _comings("class", old.names, new.names)


def _class_name(classes: ClassTable, prompt: AnnotationPrompt) -> str:
    return "none" if prompt.class_id < 0 else repr(classes.names[prompt.class_id])


def _comings(what: str, old: Sequence[str], new: Sequence[str]) -> Iterable[str]:
    """What was added, removed, or only moved."""
    yield from (f"{what} {word!r} added" for word in new if word not in set(old))
    yield from (f"{what} {word!r} removed" for word in old if word not in set(new))
    if set(old) == set(new) and list(old) != list(new):
        yield f"{what}es in another order" if what == "class" else f"{what}s in another order"


def _table_differences(
    name: str, old: tuple[tuple[Any, ...], ...], new: tuple[tuple[Any, ...], ...]
) -> Iterable[str]:
    """Of rows whose last column is the value and the others its name."""
    before, after = ({row[:-1]: row[-1] for row in rows} for rows in (old, new))
    if before == after:
        yield f"{name}s in another order"
    for key in dict.fromkeys((*before, *after)):
        words = ", ".join(map(_shown, key))
        if before.get(key) != after.get(key):
            was, now = (_shown(table.get(key, "none")) for table in (before, after))
            yield f"{name} {words}: {was} -> {now}"


def _shown(value: object) -> str:
    return "none" if value is None else str(value)[:_SHOWN]


# Reading -------------------------------------------------------------------------------------


def _known(known: Iterable[str], given: Any, *, where: str) -> None:
    """Refuse fields that this version does not know: what they say would not be done."""
    if not isinstance(given, dict):
        raise InputError(f"{where}: expected an object, got {ascii(given)[:_SHOWN]}")
    extra = sorted(set(given) - set(known))
    if extra:
        raise InputError(
            f"{where}: unknown {listing(map(repr, extra))}; was it written by a newer groundplane?"
        )


def _made(hint: Any, value: Any, *, where: str) -> Any:
    """A value of the type that a field has, from JSON; what is missing is as it was before."""
    kind, parts = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        _known(hints, value, where=where)
        fields = {n: _made(hints[n], v, where=f"{where}: {n}") for n, v in value.items()}
        return hint(**fields)  # type: ignore[operator]
    if kind is tuple and isinstance(value, list):
        types = (parts[0],) * len(value) if parts[-1] is Ellipsis else parts
        if len(types) == len(value):
            pairs = zip(types, value, strict=True)
            return tuple(_made(t, v, where=f"{where}[{i}]") for i, (t, v) in enumerate(pairs))
    if kind is UnionType and value is None and type(None) in parts:
        return None
    wanted = parts[0] if kind is UnionType else hint
    if type(value) is wanted or (wanted is float and type(value) is int):
        return value
    raise InputError(f"{where}: expected {wanted}, got {ascii(value)[:_SHOWN]}")
