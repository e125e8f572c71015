"""The text that is shown: signs taken out, blanks around them set right, offsets counted."""

from __future__ import annotations

from groundplane.grounding.scanning.nouns import REACH

__all__ = ["Shown"]

# Blanks held back at most; more of them are shown as they come.
_BLANKS = 4096
# Signs before which no blank is left where something was taken out; those of Chinese as well.
_TIGHT = frozenset(
    ".,;:!?)]}%'\u2019\u201d\u00bb\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff09\u3011\u300b\u3001"
)


class Shown:
    """The clean text as it grows.

    Blanks are held back until it is known what follows them: where a sign was taken out between
    two stretches of blanks, only one is kept (that with more line breaks, else the shorter one),
    and none before a full stop.
    """

    __slots__ = (
        "_best",
        "_blanks",
        "_gap",
        "_joint",
        "_recent",
        "_recent_size",
        "_taken_out",
        "at",
        "raw_end",
    )

    def __init__(self) -> None:
        self.at = 0
        """How many characters are shown."""
        self.raw_end = 0
        """Where the last one that is no blank ended in the raw text."""
        self._blanks, self._best, self._taken_out, self._joint = "", "", False, ""
        self._gap = False
        self._recent: list[str] = []
        self._recent_size = 0

    @property
    def holds(self) -> bool:
        """Whether something stands between the shown text and what comes."""
        return bool(self._blanks or self._taken_out or self._joint)

    def pass_over(self, piece: str, raw_end: int) -> None:
        """Text was shown as it came; nothing is held, and it does not end in a blank."""
        self.at += len(piece)
        self.raw_end = raw_end
        self._remember(piece)

    def wait(self, blanks: str) -> str:
        """Hold blanks back; gives those that are too many to hold, which are shown now."""
        self._blanks += blanks
        excess = self._blanks[: max(0, len(self._blanks) - _BLANKS)]
        self._blanks = self._blanks[len(excess) :]
        self.at += len(excess)
        self._remember(excess)
        return excess

    def take_out(self) -> None:
        """A sign stood here that is not shown."""
        self._best = _better(self._best, self._blanks)
        self._blanks, self._taken_out = "", True

    def join(self, joint: str, *, gap: bool = False) -> None:
        """Show this before what comes next; with `gap` only where two words would touch."""
        self._joint, self._gap = joint, gap

    def show(self, body: str, raw_end: int) -> tuple[str, int]:
        """Show text without blanks at its ends; gives all that is shown now, and where it starts.

        Args:
            body: The text.
            raw_end: Where it ends in the raw text.
        """
        before = self._between(body[0])
        start = self.at + len(before)
        piece = before + body
        self.at += len(piece)
        self.raw_end = raw_end
        self._remember(body if before and not before.isspace() else piece)
        return piece, start

    def close(self) -> str:
        """What is left to show at the end: blanks that no sign was taken out of."""
        rest = "" if self._taken_out else self._blanks
        self.at += len(rest)
        self._blanks, self._best, self._taken_out, self._joint = "", "", False, ""
        return rest

    def recent(self) -> str:
        """The last text that was shown since it was forgotten, at most `REACH` characters."""
        # No more, or how much it is would depend on how the text came in pieces.
        return "".join(self._recent)[-REACH:]

    def forget(self) -> None:
        """What comes next does not belong to the text before it."""
        self._recent, self._recent_size = [], 0

    def _between(self, first: str) -> str:
        touching = not self._best and not self._blanks and first.isalnum()
        if self._joint and (touching or not self._gap):
            between = self._joint
        elif not self._taken_out:
            between = self._blanks
        else:
            between = _better(self._best, self._blanks)
            if not self.at or (first in _TIGHT and "\n" not in between):
                between = ""
        self._blanks, self._best, self._taken_out, self._joint = "", "", False, ""
        return between

    def _remember(self, piece: str) -> None:
        if not piece:
            return
        self._recent.append(piece[-REACH:])
        self._recent_size += 1
        if self._recent_size > REACH:
            # One character a piece at least, so this keeps `REACH` of them.
            self._recent = ["".join(self._recent)[-REACH:]]
            self._recent_size = 1


def _better(one: str, other: str) -> str:
    """Which of two stretches of blanks is kept."""
    if not one or not other:
        return one or other
    return max(one, other, key=lambda blanks: (blanks.count("\n"), -len(blanks)))
