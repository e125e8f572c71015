"""What experts find in keyframes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from groundplane.core.camera import Frame
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, listing
from groundplane.core.regions import Regions
from groundplane.mapping.state import FoundLog

__all__ = ["Looker", "phrases_from"]

# As labels of a scene file must be.
_LONGEST, _UNFIT = 200, {"Cc", "Cs", "Zl", "Zp"}
# Commas and line ends of the scripts that people list things in.
_BETWEEN = re.compile(r"[,;\n\uff0c\u3001\uff1b]")


def phrases_from(given: str | Sequence[str]) -> tuple[str, ...]:
    """What to look for, each once; a text is parted at its commas, and case makes no difference.

    Raises:
        InputError: If there is none, or one is no text.

    Examples:
        >>> phrases_from("sofa, red  cup,Sofa")
        ('sofa', 'red cup')
        >>> phrases_from([])
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: map: name what to look for, such as "sofa, chair"
    """
    parts = _BETWEEN.split(given) if isinstance(given, str) else list(given)
    if strange := [part for part in parts if not isinstance(part, str)]:
        raise InputError(f"map: expected phrases in words, got {type(strange[0]).__name__}")
    phrases = tuple(dict.fromkeys(name for part in parts if (name := " ".join(part.split()))))
    if isinstance(given, str):
        # Who writes a list by hand means one thing by "TV, tv"; each would be counted.
        first: dict[str, str] = {}
        for phrase in phrases:
            first.setdefault(phrase.casefold(), phrase)
        phrases = tuple(first.values())
    for phrase in phrases:
        if len(phrase) > _LONGEST or _UNFIT & set(map(unicodedata.category, phrase)):
            raise InputError(
                f"map: {phrase[:60]!r} is no phrase: expected at most {_LONGEST} characters, "
                "without control characters or halves of surrogate pairs"
            )
    if not phrases:
        raise InputError('map: name what to look for, such as "sofa, chair"')
    return phrases


@dataclass(slots=True, kw_only=True, eq=False)
class Looker:
    """Looks at keyframes for phrases.

    Attributes:
        detector: Who looks; None where nothing is looked for.
        phrases: For what.
        thresholds: Least scores by phrase: of all phrases or of none.
        log: Where what was found is kept, and taken from where it was found before; or None.
        cannot: Phrases that nobody could look for, and why.
    """

    detector: Detector | None
    phrases: tuple[str, ...]
    thresholds: Mapping[str, float]
    log: FoundLog | None = None
    cannot: dict[str, str] = field(default_factory=dict)

    def look(self, frames: Sequence[Frame]) -> list[Regions]:
        """What is in each frame, of all that answers a phrase.

        Raises:
            DetectorError: If an expert fails, or no expert can look for any of the phrases.
        """
        if self.detector is None or not self.phrases:
            return [Regions.empty(phrases=(), image_size=frame.image.size) for frame in frames]
        seen = {
            frame.index: known for frame in frames if (known := self._before(frame)) is not None
        }
        new = [frame for frame in frames if frame.index not in seen]
        asked = self._ask(self.detector, new) if new else []
        seen |= zip([frame.index for frame in new], asked, strict=True)
        return [seen[frame.index] for frame in frames]

    def _before(self, frame: Frame) -> Regions | None:
        """What was found in a frame by an earlier call."""
        if self.log is None or (known := self.log.found(frame.index)) is None:
            return None
        self.cannot |= known[1]
        return known[0]

    def _ask(self, detector: Detector, frames: Sequence[Frame]) -> list[Regions]:
        asked = tuple(phrase for phrase in self.phrases if phrase not in self.cannot)
        least = tuple(self.thresholds[phrase] for phrase in asked) if self.thresholds else None
        requests = [
            DetectRequest(image=frame.image, phrases=asked, thresholds=least) for frame in frames
        ]
        found = []
        for frame, result in zip(frames, detector.detect(requests), strict=True):
            self._note(result)
            regions = result.regions
            found.append(regions.select(regions.phrase_ids >= 0))
            if self.log is not None:
                self.log.keep(frame.index, found[-1], self.cannot)
        return found

    def _note(self, result: DetectResult) -> None:
        for phrase, outcome in zip(result.regions.phrases, result.outcomes, strict=True):
            if outcome is Outcome.CANNOT and phrase not in self.cannot:
                self.cannot[phrase] = _why(result, phrase)
        if len(self.cannot) == len(self.phrases):
            raise DetectorError(
                f"map: no expert can look for {listing(map(repr, self.phrases), limit=6)}: "
                f"{next(iter(self.cannot.values()))}"
            )


def _why(result: DetectResult, phrase: str) -> str:
    steps = [step.detail for step in result.steps if step.name == "passed over"]
    told = [detail for detail in steps if repr(phrase) in detail] or [result.note]
    return " ".join("; ".join(filter(None, told)).split())[:500] or "it is none of their words"
