"""Texts as XML can hold them; they go out escaped by whoever writes the XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["distinct_names", "xml_plain"]

# XML 1.0, section 2.2: what is no character of it, not even as a reference.
_NONE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def xml_plain(text: str) -> str:
    """A text with U+FFFD for each sign that XML cannot hold.

    Examples:
        >>> xml_plain("a<b\\x1b")
        'a<b\\ufffd'
        >>> xml_plain("")
        ''
    """
    return _NONE.sub("\ufffd", text)


def distinct_names(names: Sequence[str], change: Callable[[str], str]) -> list[str]:
    """Names brought to a form that a format takes, each still another.

    A name that the form leaves alone is kept; one that had to be changed never takes another's.

    Args:
        names: Each once.
        change: Gives the form; what it gives for its own results is not changed again.

    Examples:
        >>> distinct_names(["a\\tb", "a b", "a\\nb"], lambda name: " ".join(name.split()))
        ['a b (2)', 'a b', 'a b (3)']
        >>> distinct_names([], str)
        []
    """
    kept = {name for name in names if change(name) == name}
    taken = set(kept)
    result = []
    for name in names:
        label = plain = change(name)
        number = 1
        while name not in kept and label in taken:
            number += 1
            label = f"{plain} ({number})"
        taken.add(label)
        result.append(label)
    return result
