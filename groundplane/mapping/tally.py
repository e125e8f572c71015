"""What was done for a map so far, and what a reader of answers must know of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from groundplane.captures.videos import ends_early
from groundplane.core.camera import Frame, Scale
from groundplane.core.errors import listing
from groundplane.core.regions import Regions
from groundplane.spatial.mapping.sightings import Sightings

__all__ = ["MapTally", "readable_notes"]

# Notes of one kind that are told, at most; what differs in more says the same in other words.
_NOTES = 20
# Of a note, and of notes in all.
_LENGTH, _MOST = 1000, 60
# What is neither a letter nor a space: controls and halves of surrogate pairs.
_UNREADABLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
# So many reasons are told apart; whatever else frames were passed over for is one more.
_REASONS = 50


@dataclass(slots=True, kw_only=True)
class MapTally:
    """What was done so far; it grows with the map.

    Attributes:
        frames: Frames that were read.
        keyframes: Frames that were looked at.
        regions: Regions that were found.
        lifted: Regions that went into the map.
        found: Regions by label.
        passed_over: Frames that were passed over, by reason.
        left_out: Regions that were left out, by label and reason.
        notes: Of frames and of the world, each once; of those that differ in their numbers alone
            the first, by what they have in common.
        ends: Why a video ended early, if it did; told first.
        scales: Of the frames.
    """

    frames: int = 0
    keyframes: int = 0
    regions: int = 0
    lifted: int = 0
    found: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: dict[str, str] = field(default_factory=dict)
    ends: list[str] = field(default_factory=list)
    _varied: set[str] = field(default_factory=set)
    scales: set[Scale] = field(default_factory=set)

    def pass_over(self, notes: tuple[str, ...], why: str) -> None:
        """A frame cannot be used; whoever could not tell of it may have said why in its notes."""
        told = f"{why}: {notes[-1]}" if notes else why
        known = told in self.passed_over or len(self.passed_over) < _REASONS
        self.passed_over[told if known else why] += 1

    def took(self, frame: Frame, regions: Regions, seen: Sightings) -> None:
        """A keyframe went into the map."""
        labels = regions.labels()
        # Sightings are called by their frame too, so that no two of a capture share an id.
        names = (f"{seen.frame}:{name}" for name in regions.ids)
        by_id = dict(zip(names, labels, strict=True))
        self.keyframes += 1
        self.regions += len(regions)
        self.lifted += len(seen)
        self.found.update(labels)
        self.left_out.update((by_id[name], why) for name, why in seen.dropped)
        self.scales.add(frame.scale)
        if len(self.notes) < _NOTES:
            self.note(frame.notes)

    def note(self, notes: Iterable[str]) -> None:
        """Keep notes, each once."""
        for note in notes:
            if ends_early([note]):
                # The last of all notes, and the one that concerns all of the map.
                self.ends = [note]
                continue
            shape = _NUMBER.sub("#", note)
            if self.notes.setdefault(shape, note) != note:
                self._varied.add(shape)

    def reasons(self) -> dict[str, int]:
        """Why regions were left out, and how many."""
        reasons: Counter[str] = Counter()
        for (_, why), number in self.left_out.items():
            reasons[why] += number
        return dict(reasons)

    def told(
        self, *, there: set[str], phrases: Sequence[str], cannot: Mapping[str, str]
    ) -> list[str]:
        """What a reader must know, in sentences.

        Args:
            there: Labels of what is on the map.
            phrases: What was looked for.
            cannot: What nobody could look for, and why.
        """
        told = self.ends + [
            f"{note}, and alike with other numbers" if shape in self._varied else note
            for shape, note in islice(self.notes.items(), _NOTES)
        ]
        told += [
            f"nobody could look for {phrase!r}: {why}"
            for phrase, why in islice(cannot.items(), _NOTES)
        ]
        told += (
            self._lost(there)
            if there
            else [self._why_empty([p for p in phrases if p not in cannot])]
        )
        return told

    def _lost(self, there: set[str]) -> list[str]:
        """What was found, but of which nothing is on the map."""
        notes = []
        for label, found in self.found.items():
            if label and label not in there:
                mine = Counter(
                    {why: n for (name, why), n in self.left_out.items() if name == label}
                )
                often = "once" if found == 1 else f"{found} times"
                notes.append(
                    f"{label!r} was found {often}, but none became an object of its own{_why(mine)}"
                )
        return notes[:_NOTES]

    def _why_empty(self, phrases: Sequence[str]) -> str:
        if not self.keyframes:
            why = _why(self.passed_over)
            return f"the map is empty: none of {self.frames} frames could be placed{why}"
        if not phrases:
            return "nothing was looked for: only the room is known"
        if not self.regions:
            sought = listing(map(repr, phrases), limit=6)
            return f"the map is empty: no {sought} was found in {_counted(self.keyframes)}"
        return (
            f"the map is empty: of {self.regions} regions that were found in "
            f"{_counted(self.keyframes)} none became an object{_why(Counter(self.reasons()))}"
        )


def readable_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes, each once, as a scene file takes them: on one line, not too long, not too many.

    Examples:
        >>> readable_notes(["the depth\\nis guessed", "", "the depth is guessed"])
        ('the depth is guessed',)
        >>> readable_notes([])
        ()
    """
    lines = (" ".join(_UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", n).split()) for n in notes)
    return tuple(dict.fromkeys(line[:_LENGTH] for line in lines if line))[:_MOST]


def _counted(keyframes: int) -> str:
    return f"{keyframes} keyframe{'' if keyframes == 1 else 's'}"


def _why(reasons: Counter[str]) -> str:
    often = "; ".join(f"{number}: {why}" for why, number in reasons.most_common(3))
    return f" ({often})" if often else ""
