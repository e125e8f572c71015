"""How the work of a scanner grows with a hostile text: calls of functions, counted, not timed.

Run: python tests/support/scanner_work.py DIALECT..; prints the growth for four times the text.
"""

from __future__ import annotations

import sys

from scanned import scan

__all__ = ["growth"]

_HOSTILE = (
    "<ref>",
    "<box>",
    "<re",
    "[[",
    '{"',
    "```",
    "[ {",
    "<point x='",
    "\\",
    "<ref>a</ref>",
    "[1,",
    "{<1>",
    "<loc_1>",
    " ",
)
# Well beyond the longest payload, within which work may grow with its square.
_SHORT = 6_000


def growth(name: str) -> tuple[float, str]:
    """The greatest growth over all kinds of hostile text, and of which."""
    found = []
    for unit in _HOSTILE:
        short, long = (_calls(name, unit * (size // len(unit))) for size in (_SHORT, 4 * _SHORT))
        found.append((long / short, unit))
    return max(found)


def _calls(name: str, text: str) -> int:
    count = 0

    def one(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(one)
    try:
        scan(name, [text])
    finally:
        sys.setprofile(None)
    return count


if __name__ == "__main__":
    for dialect_name in sys.argv[1:]:
        most, of = growth(dialect_name)
        sys.stdout.write(f"{dialect_name} {most:.3f} {of!r}\n")
