"""What an answer says in one line, for people and for models that read no JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from groundplane.apps.told import one_line

__all__ = ["summary"]

Record = Mapping[str, Any]


def summary(tool: str, record: Record) -> str:
    """One line on the answer of a tool.

    Examples:
        >>> phrases = [{"phrase": "cup", "outcome": "found", "regions": [{}, {}]}]
        >>> summary("find", {"image": {"name": "a.jpg"}, "phrases": phrases})
        "a.jpg: 2 of 'cup'"
        >>> summary("find", {"image": {"name": "a.jpg"}, "phrases": []})
        'a.jpg: nothing was looked for'
    """
    return one_line(_SUMMARIES[tool](record), 400)


def _find(record: Record) -> str:
    parts = []
    for told in record["phrases"]:
        name = one_line(told["phrase"], 40)
        counts = f"{len(told['regions'])} of {name!r}"
        parts.append({"none": f"no {name!r}", "cannot": f"cannot look for {name!r}"}.get(
            told["outcome"], counts
        ))  # fmt: skip
    return f"{record['image']['name']}: {', '.join(parts) or 'nothing was looked for'}"


def _segment(record: Record) -> str:
    count = len(record["regions"])
    drawn = f", drawn in {record['drawing']}" if record["drawing"] else ""
    return f"{record['image']['name']}: {count} mask{'' if count == 1 else 's'}{drawn}"


def _answer(record: Record) -> str:
    return str(record["text"])


def _map(record: Record) -> str:
    counts = sorted(record["counts"].items(), key=lambda item: -item[1])
    named = ", ".join(f"{count} {label}" for label, count in counts[:12])
    return f"{record['name']}: {len(record['objects'])} objects: {named}"


def _verify(record: Record) -> str:
    return str(record["summary"])


_SUMMARIES: Mapping[str, Callable[[Record], str]] = {
    "find": _find,
    "segment": _segment,
    "measure": _answer,
    "ask": _answer,
    "map": _map,
    "verify": _verify,
}
