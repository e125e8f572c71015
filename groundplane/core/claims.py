"""What a text claims of a picture or a scene, and who can tell whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Shaped
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.queries import Quantity

__all__ = [
    "Amount",
    "Claim",
    "ClaimKind",
    "Number",
    "RelationChecker",
    "RelationReader",
    "RelationWords",
    "Sighting",
    "Thing",
    "Truths",
    "Verdict",
]

ClaimKind = Literal["exists", "count", "attribute", "relation", "measurement"]


class Verdict(StrEnum):
    """What became of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """How many are claimed, with a margin for words that nobody counts by: `several`.

    Attributes:
        least: The claim holds from so many on.
        most: It holds up to so many; None for any number.
        floor: It is wrong below so many; `least` where None.
        ceiling: It is wrong above so many; `most` where None.

    Raises:
        InputError: If the numbers are not in order.

    Examples:
        >>> several = Number(least=3, floor=2)
        >>> [several.fits(n) for n in (1, 2, 3)]
        [False, None, True]
        >>> Number(least=2, most=2).fits(3)
        False
    """

    least: int = 1
    most: int | None = None
    floor: int | None = None
    ceiling: int | None = None

    def __post_init__(self) -> None:
        floor = self.least if self.floor is None else self.floor
        if not 0 <= floor <= self.least or (self.most is not None and self.most < self.least):
            raise InputError(f"number: expected floor <= least <= most from 0 on, got {self}")
        if self.ceiling is not None and (self.most is None or self.ceiling < self.most):
            raise InputError(f"number: expected a ceiling from the most on, got {self}")

    def fits(self, count: int) -> bool | None:
        """Whether the claim holds of so many; None within the margin."""
        if count >= self.least and (self.most is None or count <= self.most):
            return True
        floor = self.least if self.floor is None else self.floor
        ceiling = self.most if self.ceiling is None else self.ceiling
        within = count >= floor and (ceiling is None or count <= ceiling)
        return None if within else False


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A noun phrase of a text.

    Attributes:
        span: First character and one past the last.
        noun: What to look for, singular, without article.
        modifiers: What is said of it before the noun, such as `red`.
        number: How many are claimed.
        exact: Whether the text says how many (`two`, `several`, `no`), not just `a` or `the`.
        definite: `the` one, or `the` ones, that the speaker takes as known.
        plural: Whether several are spoken of.
    """

    span: tuple[int, int]
    noun: str
    modifiers: tuple[str, ...] = ()
    number: Number = Number()
    exact: bool = False
    definite: bool = False
    plural: bool = False

    @property
    def phrase(self) -> str:
        """The noun with what is said of it: `red car`."""
        return " ".join([*self.modifiers, self.noun])


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationWords:
    """A wording that says how two things stand to each other.

    Attributes:
        span: First character and one past the last.
        names: Relations that all hold; empty where the wording cannot be checked.
        negated: It says that they do not hold: `outside`.
        reason: Why it cannot be checked, or what of its meaning is lost.
    """

    span: tuple[int, int]
    names: tuple[str, ...]
    negated: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A measure that is stated: `2 m from the table`, `1.2 m tall`.

    Attributes:
        measure: `distance`, or a measure of one thing such as `height`.
        quantity: How much, and by which share it may be off.
        bound: `equal`, or `more` or `fewer` for a limit.
    """

    measure: str
    quantity: Quantity
    bound: Literal["equal", "more", "fewer"] = "equal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that a text says and that may be wrong.

    Attributes:
        kind: What is claimed of the subject.
        span: First character and one past the last.
        text: The words of the span.
        subject: What it is said of.
        negated: The text denies it.
        value: Of an attribute: the word, such as `red`.
        relation: Of a relation: its wording.
        anchors: Of a relation or a distance: what the subject stands to.
        amount: Of a measurement: what is stated.
    """

    kind: ClaimKind
    span: tuple[int, int]
    text: str
    subject: Thing
    negated: bool = False
    value: str = ""
    relation: RelationWords | None = None
    anchors: tuple[Thing, ...] = ()
    amount: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of one phrase in one picture or scene.

    Attributes:
        phrase: What was looked for.
        ids: Those that are taken to be there, best first.
        possible: Those that may be there: seen, but not well enough.
        known: Whether anybody could look for it at all; nothing else counts where not.
        more: There may be more than are listed: a crowd, or kinds that nobody looked for.
        fewer: Some of those listed may be something else: a person need not be a man.
        stated: How many the source says there are, where that differs from what it lists.
        note: Why nobody could look, or what it was taken for.
    """

    phrase: str
    ids: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()
    known: bool = True
    more: bool = False
    fewer: bool = False
    stated: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truths:
    """Whether a relation holds of every combination of things, where that can be told.

    Attributes:
        holds: One axis a set of things; of bool.
        known: Where `holds` can be relied on, same shape.
        reason: Why it cannot be told, where that is not told of any.

    Raises:
        ShapeError: If the tables differ in shape.
    """

    holds: Bool[Tensor, "*sets"]
    known: Bool[Tensor, "*sets"]
    reason: str = ""

    def __post_init__(self) -> None:
        if self.holds.shape != self.known.shape:
            raise ShapeError(
                f"truths: tables of shape {tuple(self.holds.shape)} and {tuple(self.known.shape)}"
            )


@runtime_checkable
class RelationReader(Protocol):
    """Knows the wordings of relations."""

    def find(self, text: str) -> tuple[RelationWords, ...]:
        """Every wording in a text, from left to right, none within another."""
        ...


@runtime_checkable
class RelationChecker(Protocol):
    """Tells how things stand to each other, by their ids."""

    def holds(self, relation: str, *sets: Sequence[str]) -> Truths:
        """Whether a relation holds: subjects first, then one set an anchor.

        What cannot be told is not `known`, and the reason says why; it is no exception.
        """
        ...

    def measure(self, name: str, *sets: Sequence[str]) -> Shaped[Tensor, "*sets"] | str:
        """A measure of each thing or each pair, in metres, or why there is none."""
        ...
