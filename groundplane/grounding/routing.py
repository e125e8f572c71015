"""Which expert is asked for a phrase: the cheapest that can, and what is said of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from groundplane.core.answer import Step
from groundplane.core.capabilities import PromptKind
from groundplane.core.errors import GroundplaneError, listing
from groundplane.grounding.experts import Expert, lacks

__all__ = ["Choice", "Chooser", "Maker", "Passed", "cannot_find", "chosen_steps", "shortened"]

Maker = Callable[[Expert], str]

# Of a reason or a step, in characters: enough to know what to do.
_MAX_TEXT = 400


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """An expert that was passed over.

    Attributes:
        expert: Who.
        why: Why, to be read after its name: `knows: face, eye`.
        ready: Whether it could be asked at all; not so where its library or weights are missing.
    """

    expert: Expert
    why: str
    ready: bool = True


@dataclass(slots=True, eq=False)
class Choice:
    """The way of one phrase, or of one set of prompts, along the experts.

    Attributes:
        expert: Who is asked now; None if nobody is left.
        passed: Who was passed over before.
        next: How far along the line of experts the way has come.
    """

    expert: Expert | None = None
    passed: list[Passed] = field(default_factory=list)
    next: int = 0

    def refuse(self, why: str) -> None:
        """The one who was asked cannot; the next in line is to be found."""
        if self.expert is not None:
            self.passed.append(Passed(self.expert, why))
        self.expert = None


class Chooser:
    """Experts in the order in which they are asked: the cheapest first, then as given.

    One of unknown cost comes last. An expert is made only when it is its turn; one that cannot be
    made is passed over.

    Args:
        experts: The experts.
        masks: Whether regions must carry masks.
        mask_cost: What it costs to get masks from somebody else; None where nobody gives them.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        *,
        masks: bool = False,
        mask_cost: float | None = None,
    ) -> None:
        self._masks = masks
        self._mask_cost = mask_cost
        self.line = sorted(experts, key=self._cost)

    def go_on(
        self,
        choice: Choice,
        phrase: str | None,
        prompts: Iterable[PromptKind],
        *,
        make: Maker,
        width: int = 0,
    ) -> None:
        """Find the next in line that can.

        Args:
            choice: How far it has come; it is moved on.
            phrase: What to look for; None for prompts without words.
            prompts: The kinds of prompt that an expert must take, of which `text` stands for
                words of any kind.
            make: Makes an expert, and gives why it cannot be made, or nothing; what it raises
                passes through.
            width: Numbers of the embedding that it is asked with; 0 for any.
        """
        wanted = frozenset(prompts)
        while choice.next < len(self.line):
            expert = self.line[choice.next]
            choice.next += 1
            passed = self._passed(expert, phrase, wanted, make=make, width=width)
            if passed is None:
                choice.expert = expert
                return
            choice.passed.append(passed)

    def _cost(self, expert: Expert) -> float:
        able = expert.capabilities
        own = not self._masks or (able is not None and able.masks)
        return expert.cost + (0.0 if own else self._mask_cost or 0.0)

    def _passed(
        self,
        expert: Expert,
        phrase: str | None,
        wanted: frozenset[PromptKind],
        *,
        make: Maker,
        width: int,
    ) -> Passed | None:
        """Why an expert is passed over; None if it is not."""
        why = self._unfit(expert, wanted)
        if why:
            return Passed(expert, why)
        why = make(expert)
        if why:
            return Passed(expert, why, ready=False)
        # Only now is it known for sure what it takes.
        why = (
            self._unfit(expert, wanted)
            or _too_narrow(expert, width)
            or self._wordless(expert, phrase)
        )
        return Passed(expert, why) if why else None

    def _unfit(self, expert: Expert, wanted: frozenset[PromptKind]) -> str:
        """Why its capabilities rule it out, as far as they are known."""
        able = expert.capabilities
        if able is None:
            return ""
        takes = able.prompts | ({"text"} if "vocabulary" in able.prompts else set())
        missing = sorted(wanted - takes)
        if missing:
            return f"takes no {missing[0]} prompt"
        if self._masks and not able.masks and self._mask_cost is None:
            return "gives no masks, and there is no segmenter to make them"
        return ""

    def _wordless(self, expert: Expert, phrase: str | None) -> str:
        # An expert without a rival knows best itself what it can look for.
        if phrase is None or len(self.line) == 1:
            return ""
        try:
            return lacks(expert, phrase)
        except GroundplaneError as error:
            return shortened(str(error))


def _too_narrow(expert: Expert, width: int) -> str:
    """Why an expert, made by now, cannot be asked with an embedding of so many numbers."""
    able = expert.capabilities
    takes = 0 if able is None else able.embedding_width
    if width in (0, takes):
        return ""
    return f"takes embeddings of {takes or 'a width that it does not tell'}, not of {width}"


def cannot_find(phrase: str, choice: Choice) -> str:
    """Say that nobody can look for a phrase, what those who looked know, and who is not set up."""
    told = [f"{passed.expert.name} {passed.why}" for passed in choice.passed if passed.ready]
    rest = [passed.expert.name for passed in choice.passed if not passed.ready]
    reasons = f": {'; '.join(told)}" if told else ""
    unready = f"; not ready: {listing(rest, limit=3)} (the trace says why)" if rest else ""
    return f"no expert can look for {shortened(phrase)!r}{reasons}{unready}"


def chosen_steps(ways: Sequence[tuple[str, Choice]]) -> tuple[Step, ...]:
    """The choices of a request's phrases, for its trace: who is asked for what, and who is not.

    Args:
        ways: Each phrase and its way; the expert is the one whose answer counts, or None.
    """
    asked: dict[str, list[str]] = {}
    passed: dict[tuple[str, str], list[str]] = {}
    for phrase, choice in ways:
        who = "nobody" if choice.expert is None else _described(choice.expert)
        asked.setdefault(who, []).append(phrase)
        for one in choice.passed:
            passed.setdefault((one.expert.who, one.why), []).append(phrase)
    return (
        *(
            Step(name="passed over", detail=shortened(f"{who} for {_quoted(phrases)}: {why}"))
            for (who, why), phrases in passed.items()
        ),
        *(
            Step(name="route", detail=shortened(f"{_quoted(phrases)} to {who}"))
            for who, phrases in asked.items()
        ),
    )


def shortened(text: str) -> str:
    """A text in one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else f"{line[: _MAX_TEXT - 1]}…"


def _described(expert: Expert) -> str:
    cost = expert.cost
    if math.isinf(cost):
        return expert.who
    return f"{expert.who} (about {cost:g} billion operations a look)"


def _quoted(phrases: Sequence[str]) -> str:
    return listing([repr(shortened(phrase)) for phrase in phrases], limit=6)
