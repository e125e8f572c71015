"""The claims of a text as they are found, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from groundplane.core.claims import Amount, Claim, Number, RelationWords, Thing
from groundplane.grounding.claim_words import CLOTHES, is_person

__all__ = ["NONE", "Ledger"]

# None at all: `no dog`.
NONE = Number(least=0, most=0)
_HOLDING = "what somebody holds or wears is not told by boxes"


@dataclass(slots=True)
class Ledger:
    """What a text has claimed so far; it only grows, but for what a later word takes back.

    Attributes:
        text: The whole text.
        find: Knows the wordings of relations.
        nouns: Names of things that are known besides those of the lexicon.
        claims: What was claimed so far.
        unread: Spans that claim nothing we can read, each with the reason.
        spoken: The things of the sentence before, for `it` and `they`.
    """

    text: str
    find: Callable[[str], Sequence[RelationWords]]
    nouns: Container[str] = ()
    claims: list[Claim] = field(default_factory=list)
    unread: list[tuple[tuple[int, int], str]] = field(default_factory=list)
    spoken: tuple[Thing, ...] = ()
    _settled: tuple[int, int] = (0, 0)
    _known: set[tuple[str, Number | None]] = field(default_factory=set)

    @property
    def latest(self) -> list[Claim]:
        """The claims of this sentence."""
        return self.claims[self._settled[0] :]

    def begin_sentence(self) -> None:
        """What was claimed until now stays as it is."""
        for claim in self.latest:
            if claim.kind in ("exists", "count"):
                noun = claim.subject.noun
                self._known |= {(noun, None), (noun, claim.subject.number)}
        self._settled = (len(self.claims), len(self.unread))

    def add_thing(self, thing: Thing, *, denied: bool = False) -> Thing:
        """Claim that a thing is there, so many of them, and what it is like.

        Returns:
            The thing with the number that is claimed: none where it is denied.
        """
        if denied and not thing.exact:
            thing, denied = replace(thing, number=NONE, exact=True), False
        self._add_number(thing, denied=denied)
        for word in thing.modifiers:
            self.add_attribute(thing, word, span=thing.span, denied=denied)
        return thing

    def add_attribute(
        self, thing: Thing, word: str, *, span: tuple[int, int], denied: bool
    ) -> None:
        """Claim what a thing is like, in its name or behind `is`."""
        if span != thing.span:
            self.loosen(thing)
        self._add(Claim(
            kind="attribute", span=span, text="", subject=thing, value=word, negated=denied
        ))  # fmt: skip

    def add_amount(
        self, thing: Thing, amount: Amount, anchors: tuple[Thing, ...], *, span: tuple[int, int],
        denied: bool,
    ) -> None:  # fmt: skip
        """Claim what a thing measures."""
        self.loosen(thing)
        self._add(Claim(
            kind="measurement", span=span, text="", subject=thing, amount=amount, anchors=anchors,
            negated=denied,
        ))  # fmt: skip

    def add_relation(
        self, thing: Thing, words: RelationWords, anchors: tuple[Thing, ...], *, denied: bool
    ) -> None:
        """Claim how a thing stands to others; what boxes cannot tell is noted as unread."""
        why = "" if words.names else words.reason
        if words.names == ("contains",) and is_person(thing.noun):
            why = _HOLDING
        if words.names == ("inside",) and anchors[0].noun in CLOTHES:
            why = _HOLDING
        if why:
            self.unread.append((words.span, why))
            return
        for spoken in (thing, *anchors):
            self.loosen(spoken)
        start = min(thing.span[0], words.span[0], anchors[0].span[0])
        span = (start, max(thing.span[1], anchors[-1].span[1]))
        self._add(Claim(
            kind="relation", span=span, text="", subject=thing, relation=words, anchors=anchors,
            negated=denied,
        ))  # fmt: skip

    def repeat(self, things: Sequence[Thing], marked: int) -> None:
        """What was said of the first thing since `marked` claims holds of the others too."""
        said = [claim for claim in self.claims[marked:] if claim.subject.span == things[0].span]
        for thing in things[1:]:
            self.loosen(thing)
            for claim in said:
                span = (min(thing.span[0], claim.span[0]), claim.span[1])
                self._add(replace(claim, subject=thing, span=span))

    def deny(self, things: Sequence[Thing]) -> None:
        """Take back that things are there, and claim the opposite."""
        spans = {thing.span for thing in things}
        kept = [claim for claim in self.latest if claim.subject.span not in spans]
        self.claims[self._settled[0] :] = kept
        for thing in things:
            self.add_thing(thing, denied=True)

    def loosen(self, thing: Thing) -> None:
        """`two dogs on the bed`: of dogs there may be more; so many of them are on the bed.

        Of none at all nothing is then claimed by itself: `no dog is on the bed`.
        """
        if thing.definite or not thing.exact:
            return
        for i in range(self._settled[0], len(self.claims)):
            claim = self.claims[i]
            if claim.span != thing.span or claim.kind not in ("exists", "count"):
                continue
            if thing.number.least == 0:
                del self.claims[i]
            else:
                self.claims[i] = replace(claim, subject=_at_least(claim.subject))
            return

    def leave_open(self, thing: Thing) -> None:
        """What is said of a thing is not read: so many do it, and there may be more of them."""
        marked = len(self.claims)
        self.loosen(thing)
        if len(self.claims) < marked:
            self.unread.append((thing.span, "what is denied of it is not read"))

    def take_back(self, span: tuple[int, int], why: str) -> None:
        """Take back all that this sentence claims: it is unread."""
        claims, unread = self._settled
        del self.claims[claims:]
        del self.unread[unread:]
        self.unread.append((span, why))

    def _add(self, claim: Claim) -> None:
        start, end = claim.span
        self.claims.append(replace(claim, text=" ".join(self.text[start:end].split())))

    def _add_number(self, thing: Thing, *, denied: bool) -> None:
        """The noun alone: with modifiers, there are at least so many of it."""
        if thing.modifiers and (denied or thing.number == NONE):
            return  # `no red car` says nothing of cars
        plain = replace(thing, modifiers=())
        if thing.modifiers:
            plain = _at_least(plain)
        if thing.number == NONE:
            claim = Claim(kind="exists", span=thing.span, text="", subject=plain, negated=True)
        elif thing.exact and plain.number != Number():
            claim = Claim(kind="count", span=thing.span, text="", subject=plain, negated=denied)
        elif self._is_known(plain):
            return
        else:
            claim = Claim(kind="exists", span=thing.span, text="", subject=plain)
        self._add(claim)

    def _is_known(self, thing: Thing) -> bool:
        """Whether the text has claimed already that there is one."""
        if (thing.noun, None if thing.definite else thing.number) in self._known:
            return True
        return any(
            claim.subject.noun == thing.noun and claim.kind in ("exists", "count")
            for claim in self.latest
            if thing.definite or claim.subject.number == thing.number
        )


def _at_least(thing: Thing) -> Thing:
    """The same thing, of which there may be more."""
    number = thing.number
    return replace(thing, number=Number(least=number.least, floor=number.floor))
