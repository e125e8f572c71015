"""Whether a claim holds, given what was seen and how the things seen stand to each other.

How words are taken:

* `a dog is on the bed`: some dog on some bed. Where none is, the claim is wrong.
* `two dogs are on the bed`: so many dogs are on a bed; there may be others elsewhere.
* `the dog is on the bed`: the one dog. Where several are seen, all must agree, or it cannot be
  told which is meant. `the dogs`, `all dogs`, `every dog`: each of them.
* `the dog is not on the bed`: wrong of no dog at all, for then nobody can tell.

What may be there but was not seen well enough, or may be something else, makes a claim neither
right nor wrong on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from groundplane.core.claims import (
    Claim,
    Number,
    RelationChecker,
    Sighting,
    Thing,
    Verdict,
)
from groundplane.core.lexicon import plural
from groundplane.grounding.claim_chances import Trust, judge_number

__all__ = ["ClaimChecker", "Finding"]

_NONE = Number(least=0, most=0)
_TELL = Verdict.CANNOT_TELL
_FLIPPED = {
    Verdict.SUPPORTED: Verdict.CONTRADICTED, Verdict.CONTRADICTED: Verdict.SUPPORTED, _TELL: _TELL,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one claim.

    Attributes:
        claim: What was claimed.
        verdict: Whether it holds.
        evidence: Ids of the regions or objects that this rests on; none where nothing was found.
        reason: Why, in words.
        expert: Who looked, or `map`.
    """

    claim: Claim
    verdict: Verdict
    evidence: tuple[str, ...] = ()
    reason: str
    expert: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Of each subject, whether what is said of it is true, and whether that can be told."""

    names: tuple[str, ...]
    true: Bool[Tensor, " n"]
    known: Bool[Tensor, " n"]
    sure: Bool[Tensor, " n"]
    partners: tuple[tuple[str, ...], ...] = ()
    more: bool = False

    def denied(self) -> _Rows:
        """The same of the opposite."""
        return replace(self, true=~self.true & self.known)

    def picked(self, mask: Bool[Tensor, " n"]) -> tuple[str, ...]:
        """The subjects of a mask, with those that they stand to."""
        names: dict[str, None] = {}
        for i in torch.nonzero(mask).flatten().tolist():
            partners = self.partners[i] if self.partners else ()
            names.update(dict.fromkeys((self.names[i], *partners)))
        return tuple(names)


class ClaimChecker:
    """Checks claims of one picture or scene.

    Args:
        sightings: What is known of each phrase that the claims speak of.
        relations: How the things seen stand to each other.
        trust: How far who looked is believed.
        expert: Who looked.
    """

    def __init__(
        self, sightings: Mapping[str, Sighting], relations: RelationChecker, *, trust: Trust,
        expert: str,
    ) -> None:  # fmt: skip
        self._sightings = sightings
        self._relations = relations
        self._trust = trust
        self._expert = expert

    def check(self, claim: Claim) -> Finding:
        """What becomes of a claim."""
        seen = self._seen(replace(claim.subject, modifiers=()))
        if not seen.known:
            return self._untold(claim, seen.note or f"nobody can look for {seen.phrase!r}")
        if claim.kind in ("exists", "count"):
            return self._number(claim, seen)
        if claim.kind == "attribute":
            return self._attribute(claim, seen)
        missing = self._missing(claim)
        if missing is not None:
            return missing
        return self._relation(claim) if claim.kind == "relation" else self._measurement(claim)

    # -- what was seen --------------------------------------------------------------------

    def _seen(self, thing: Thing) -> Sighting:
        """What is known of a thing; of what its modifiers say nobody may know, so it may be any."""
        whole = self._sightings.get(thing.phrase)
        if whole is not None and whole.known:
            return whole
        plain = self._sightings.get(thing.noun)
        if plain is None or not plain.known:
            note = plain.note if plain is not None else f"nobody looked for {thing.noun!r}"
            return Sighting(phrase=thing.phrase, known=False, note=note)
        return replace(
            plain, ids=(), possible=(*plain.ids, *plain.possible), fewer=True,
            note=whole.note if whole is not None else plain.note,
        )  # fmt: skip

    def _untold(self, claim: Claim, reason: str) -> Finding:
        return Finding(claim=claim, verdict=_TELL, reason=reason, expert=self._expert)

    def _told(
        self, claim: Claim, verdict: Verdict, reason: str, evidence: Sequence[str] = ()
    ) -> Finding:
        return Finding(
            claim=claim, verdict=verdict, evidence=tuple(evidence), reason=reason,
            expert=self._expert,
        )  # fmt: skip

    def _missing(self, claim: Claim) -> Finding | None:
        """What to say where nobody can look for one of the things, or one is not there."""
        for thing in (claim.subject, *claim.anchors):
            seen = self._seen(thing)
            if not seen.known:
                return self._untold(claim, seen.note or f"nobody can look for {seen.phrase!r}")
            is_subject = thing is claim.subject
            if is_subject and thing.number == _NONE:
                continue
            absent = judge_number(
                _NONE, len(seen.ids), len(seen.possible), trust=self._trust, more=seen.more
            )
            if absent is Verdict.SUPPORTED:
                reason = f"no {thing.phrase} is seen"
                denied = claim.negated or (claim.relation is not None and claim.relation.negated)
                if denied or claim.subject.number == _NONE:
                    return self._untold(claim, f"{reason}, so there is nothing to deny of it")
                return self._told(claim, Verdict.CONTRADICTED, reason)
            if not seen.ids and not seen.possible:
                return self._untold(claim, f"no {thing.phrase} is seen, and one may be missed")
        return None

    # -- how many -------------------------------------------------------------------------

    def _number(self, claim: Claim, seen: Sighting) -> Finding:
        number, negated = claim.subject.number, claim.negated
        if claim.kind == "exists":
            number, negated = (_NONE if claim.negated else number), False
        sure, possible = len(seen.ids), len(seen.possible)
        if seen.stated is not None:
            sure, possible = seen.stated, 0
        verdict = judge_number(number, sure, possible, trust=self._trust, more=seen.more)
        verdict = _FLIPPED[verdict] if negated else verdict
        reason = _seen_words(seen, sure, possible)
        if verdict is _TELL and not (possible or seen.more or seen.note):
            reason += "; that leaves it open"
        return self._told(claim, verdict, reason, seen.ids or seen.possible)

    # -- what it is like ------------------------------------------------------------------

    def _attribute(self, claim: Claim, plain: Sighting) -> Finding:
        """Those that are red, out of those that are there."""
        thing = claim.subject
        phrase = f"{claim.value} {thing.noun}"
        like = self._sightings.get(phrase)
        if like is None or not like.known:
            note = like.note if like is not None else ""
            return self._untold(claim, note or f"nobody can tell what is {claim.value!r}")
        none = not plain.ids and not plain.possible and not plain.more
        if none and thing.number != _NONE:
            if claim.negated or judge_number(_NONE, 0, trust=self._trust) is _TELL:
                return self._untold(claim, f"no {thing.noun} is seen")
            return self._told(claim, Verdict.CONTRADICTED, f"no {thing.noun} is seen")
        sure, possible = len(like.ids), len(like.possible)
        if not thing.definite:
            verdict = judge_number(thing.number, sure, possible, trust=self._trust, more=like.more)
            verdict = _FLIPPED[verdict] if claim.negated else verdict
        else:
            verdict = _all_or_none(sure, possible, of=len(plain.ids), negated=claim.negated)
        reason = _seen_words(like, sure, possible)
        if thing.definite:
            reason += f", of {_count(len(plain.ids), thing.noun)}"
        return self._told(claim, verdict, reason, like.ids or plain.ids)

    # -- how they stand to each other -----------------------------------------------------

    def _relation(self, claim: Claim) -> Finding:
        words = claim.relation
        if words is None or not words.names:
            return self._untold(claim, "the relation cannot be checked")
        anchors = claim.anchors
        if words.names == ("between",) and len(anchors) == 1 and anchors[0].plural:
            # `between two bowls`: any two of them.
            claim = replace(claim, anchors=(_some(anchors[0]), _some(anchors[0])))
        sets = [_names(self._seen(thing)) for thing in (claim.subject, *claim.anchors)]
        rows, reason = self._rows(claim, sets)
        if not bool(rows.known.any()) and rows.names:
            return self._untold(claim, reason or self._open_words(claim))
        return self._judged(claim, rows.denied() if claim.negated else rows, reason)

    def _rows(self, claim: Claim, sets: Sequence[tuple[str, ...]]) -> tuple[_Rows, str]:
        """What is said of each subject, and why it cannot be told where it cannot."""
        assert claim.relation is not None
        tables = [self._relations.holds(name, *sets) for name in claim.relation.names]
        true = torch.stack([table.holds & table.known for table in tables]).all(dim=0)
        false = torch.stack([~table.holds & table.known for table in tables]).any(dim=0)
        reason = next((table.reason for table in tables if table.reason), "")
        if claim.relation.negated:
            true, false = false, true
        true, false = true.cpu(), false.cpu()
        partners: list[tuple[str, ...]] = [()] * len(sets[0])
        if len(sets) == 2:
            partners = _partners(true if bool(true.any()) else ~false, sets[1])
        # The last axis goes first: `between` has two anchors.
        for thing in reversed(claim.anchors):
            true, false = self._over(thing, true, false)
        seen = self._seen(claim.subject)
        sure = torch.tensor([name in seen.ids for name in sets[0]], dtype=torch.bool)
        return _Rows(
            names=tuple(sets[0]), true=true, known=true | false, sure=sure,
            partners=tuple(partners), more=seen.more,
        ), reason  # fmt: skip

    def _over(
        self, thing: Thing, true: Bool[Tensor, "*s m"], false: Bool[Tensor, "*s m"]
    ) -> tuple[Bool[Tensor, "*s"], Bool[Tensor, "*s"]]:
        """Over the anchors: some of them, so many of them, or all that are meant."""
        seen = self._seen(thing)
        sure = torch.tensor([name in seen.ids for name in _names(seen)], dtype=torch.bool)
        if thing.definite and not thing.exact:
            # All must agree; one that may not be there at all decides nothing.
            if not bool(sure.any()):
                return torch.zeros_like(true[..., 0]), false.all(dim=-1)
            return true[..., sure].all(dim=-1), false.all(dim=-1)
        least = (true & sure).sum(dim=-1)
        most = (~false).sum(dim=-1)
        number = thing.number
        floor = number.least
        top = number.most if number.most is not None else len(sure)
        right = (least >= floor) & (most <= top)
        wrong = (most < floor) | (least > top)
        if seen.more:
            wrong = torch.zeros_like(wrong) if number.most is None else least > top
        return right, wrong

    def _judged(self, claim: Claim, rows: _Rows, reason: str) -> Finding:
        thing, trust = claim.subject, self._trust.of_pairs()
        true, false = rows.true, ~rows.true & rows.known
        if thing.definite:
            sure = rows.sure
            if bool((true & sure).sum() == sure.sum()) and bool(sure.any()):
                verdict = Verdict.SUPPORTED
            elif bool(false.all()) or (bool((false & sure).any()) and thing.plural):
                verdict = Verdict.CONTRADICTED
            else:
                verdict = _TELL
            if trust.precision < trust.confidence:
                verdict = _TELL
        else:
            certain = int((true & rows.sure).sum())
            maybe = int((~false).sum()) - certain
            verdict = judge_number(thing.number, certain, maybe, trust=trust, more=rows.more)
        picked = rows.picked(true if bool(true.any()) else torch.ones_like(true))
        return self._told(
            claim, verdict, self._relation_words(claim, rows, verdict, reason), picked
        )

    def _relation_words(self, claim: Claim, rows: _Rows, verdict: Verdict, reason: str) -> str:
        assert claim.relation is not None
        certain = int((rows.true & rows.sure).sum()) if verdict is _TELL else int(rows.true.sum())
        deny = "not " if claim.negated != claim.relation.negated else ""
        names = " and ".join(claim.relation.names).replace("_", " ")
        what = f"{deny}{names} {' and '.join(_definite(thing) for thing in claim.anchors)}"
        told = f"{certain} of {_count(len(rows.names), claim.subject.noun)} {_be(certain)} {what}"
        if verdict is not _TELL:
            return told
        open_ = int((rows.true | ~rows.known).sum()) - certain
        return reason or f"{told} for certain, and {open_} may be"

    def _open_words(self, claim: Claim) -> str:
        assert claim.relation is not None
        names = " and ".join(claim.relation.names).replace("_", " ")
        return f"the boxes show neither that it is {names} nor that it is not"

    # -- measures -------------------------------------------------------------------------

    def _measurement(self, claim: Claim) -> Finding:
        amount = claim.amount
        assert amount is not None
        sets = [_names(self._seen(thing)) for thing in (claim.subject, *claim.anchors)]
        values = self._relations.measure(amount.measure, *sets)
        if isinstance(values, str):
            return self._untold(claim, values)
        flat = values.flatten().tolist()
        fits = [_fits(value, amount.quantity.value, amount.quantity.about, amount.bound)
                for value in flat]  # fmt: skip
        definite = claim.subject.definite and all(thing.definite for thing in claim.anchors)
        if all(fits) if definite else any(fits):
            verdict = Verdict.SUPPORTED
        elif not any(fits):
            verdict = Verdict.CONTRADICTED
        else:
            verdict = _TELL
        verdict = _FLIPPED[verdict] if claim.negated else verdict
        told = ", ".join(f"{value:.2f} m" for value in flat[:4])
        told += "" if len(flat) <= 4 else f" and {len(flat) - 4} more"
        evidence = tuple(dict.fromkeys(name for names in sets for name in names))
        return self._told(claim, verdict, f"{amount.measure}: {told}", evidence)


def _some(thing: Thing) -> Thing:
    return replace(thing, number=Number(), exact=False, definite=False)


def _names(seen: Sighting) -> tuple[str, ...]:
    return (*seen.ids, *seen.possible)


def _partners(mask: Bool[Tensor, "n m"], names: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(names[j] for j, on in enumerate(row) if on) for row in mask.tolist()]


def _all_or_none(sure: int, possible: int, *, of: int, negated: bool) -> Verdict:
    """Of the ones that are meant: all are like that, or none is; else it cannot be told."""
    if sure >= of > 0:
        return Verdict.CONTRADICTED if negated else Verdict.SUPPORTED
    if sure == 0 and possible == 0:
        return Verdict.SUPPORTED if negated else Verdict.CONTRADICTED
    return _TELL


def _fits(value: float, wanted: float, about: float, bound: str) -> bool:
    if bound == "more":
        return value >= wanted
    if bound == "fewer":
        return value <= wanted
    return abs(value - wanted) <= max(about * wanted, 0.01)


def _count(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else plural(noun)}"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _definite(thing: Thing) -> str:
    return f"the {thing.phrase}" if thing.definite else f"a {thing.phrase}"


def _seen_words(seen: Sighting, sure: int, possible: int) -> str:
    told = f"{_count(sure, seen.phrase)} {_be(sure)} seen" if sure else f"no {seen.phrase} is seen"
    if possible:
        told += f", {possible} more {_be(possible)} possible"
    if seen.more:
        told += ", and there may be more"
    return f"{told} ({seen.note})" if seen.note else told
