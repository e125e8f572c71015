"""The grammar of claims: one sentence in, what it claims and what stays unread out."""

from __future__ import annotations

import bisect
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from groundplane.core.attributes import meaning_of
from groundplane.core.claims import RelationWords, Thing
from groundplane.grounding.claim_amounts import read_amount
from groundplane.grounding.claim_ledger import NONE, Ledger
from groundplane.grounding.claim_words import Token, is_action, is_person, is_picture, is_stop
from groundplane.grounding.clause_words import (
    ADVERBS,
    BE,
    DENIED,
    HEDGES,
    JOINTS,
    NEGATORS,
    NEUTRAL,
    POSTURES,
    PRESENT,
    PRONOUNS,
    SEE,
    SHOW,
)
from groundplane.grounding.noun_phrases import NounPhrase, read_noun_phrase

__all__ = ["Sentence"]


@dataclass(frozen=True, slots=True)
class _Relation:
    """A wording of a relation, by the indices of its words."""

    words: RelationWords
    after: int


class Sentence:
    """Reads one sentence; what it finds is added to the ledger.

    Args:
        words: The words of the sentence.
        ledger: What came before, and where claims go.
    """

    def __init__(self, words: Sequence[Token], ledger: Ledger) -> None:
        self._text = ledger.text
        self._words = words
        self._ledger = ledger
        self._used: set[int] = set()
        self._things: list[Thing] = []
        self._relations: Mapping[int, _Relation] = {}

    def read(self) -> None:
        """Read the sentence from its first clause to its last."""
        self._ledger.begin_sentence()
        if why := self._refused():
            self._ledger.unread.append((self._span(0, len(self._words)), why))
            return
        self._relations = self._find_relations()
        at = 0
        while at < len(self._words):
            at = max(self._clause(at), at + 1)
        if any(self._word(i) in NEGATORS and i not in self._used for i in range(len(self._words))):
            why = "it denies something, and what is not clear"
            self._ledger.take_back(self._span(0, len(self._words)), why)
            return
        self._note_unread()
        if self._things:
            self._ledger.spoken = tuple(self._things)

    # -- words ----------------------------------------------------------------------------

    def _find_relations(self) -> Mapping[int, _Relation]:
        """Where relations begin, by index of the word."""
        start, end = self._words[0].start, self._words[-1].end
        starts = [token.start for token in self._words]
        place = {first: i for i, first in enumerate(starts)}
        found: dict[int, _Relation] = {}
        for told in self._ledger.find(self._text[start:end]):
            first, last = (edge + start for edge in told.span)
            if first in place:
                words = replace(told, span=(first, last))
                found[place[first]] = _Relation(words, bisect.bisect_left(starts, last))
        return found

    def _word(self, at: int) -> str:
        return self._words[at].word if at < len(self._words) else ""

    def _span(self, start: int, end: int) -> tuple[int, int]:
        return self._words[start].start, self._words[max(end, start + 1) - 1].end

    def _use(self, start: int, end: int) -> int:
        self._used.update(range(start, end))
        return end

    def _skip(self, at: int, words: Container[str]) -> int:
        while self._word(at) in words and self._word(at):
            self._used.add(at)
            at += 1
        return at

    def _refused(self) -> str:
        words = {token.word for token in self._words}
        if self._words[-1].word in ("?", "\uff1f"):
            return "a question claims nothing"
        if HEDGES & words:
            return "hedged, so it claims nothing that could be wrong"
        if len(self._words) > 200:
            return "too long for one sentence"
        return ""

    def _note_unread(self) -> None:
        """Words that no claim took, in stretches."""
        run: list[int] = []
        for i in [*range(len(self._words)), len(self._words)]:
            word = self._word(i)
            if i < len(self._words) and i not in self._used and word.strip(".,;:!\"'()-"):
                run.append(i)
            elif run:
                if any(self._word(k) not in JOINTS for k in run):
                    span = self._span(run[0], run[-1] + 1)
                    self._ledger.unread.append((span, "no claim that can be read"))
                run = []

    # -- clauses --------------------------------------------------------------------------

    def _clause(self, at: int) -> int:
        """Read one clause; the index of the first word behind it."""
        at = self._opening(at)
        if (after := self._fronted(at)) is not None:
            return after
        start = self._existential(at)
        if start is not None:
            begin, denied = start
            after = self._list(begin, denied=denied)
            if after == begin:
                self._used.difference_update(range(at, begin))  # what is denied was not read
            return after
        if self._word(at) in PRONOUNS and self._word(at + 1) in (*BE, "has", "have"):
            return self._pronoun(at)
        phrase = self._phrase(at)
        if phrase is None:
            return at + 1
        if phrase.kind != "thing":
            return phrase.after
        things: list[Thing] = []
        after = self._list(at, into=things, subject=True)
        return self._predicate(things, after) if things else after

    def _opening(self, at: int) -> int:
        """Joints, and `in the image` before a clause."""
        at = self._skip(at, JOINTS - {"there", "with"})
        if self._word(at) in ("it", "this", "here") and self._word(at + 1) in BE:
            told = read_noun_phrase(self._words, at + 2)
            if told is not None and told.kind == "picture":
                return self._use(at, told.after)  # `this is a photo of`
        after = self._in_picture(at)
        return self._skip(after, {","}) if after > at else at

    def _in_picture(self, at: int) -> int:
        """Past `in the image`; where it is not said, where we are."""
        if self._word(at) not in ("in", "within", "of", "on", "throughout"):
            return at
        phrase = read_noun_phrase(self._words, at + 1)
        if phrase is None or phrase.kind != "picture":
            return at
        return self._use(at, phrase.after)

    def _fronted(self, at: int) -> int | None:
        """Past `on the table is a cup`, `on the table, there are two cups`; None if it is not."""
        found = self._relations.get(at)
        if found is None or not found.words.names or found.words.names == ("between",):
            return None
        anchor = self._phrase(found.after)
        if anchor is None or anchor.kind != "thing":
            return None
        i = anchor.after
        while self._word(i) in (",", "there"):
            i += 1
        if self._word(i) not in BE and (i > anchor.after or self._word(i) not in POSTURES):
            return None
        if self._phrase(i + 1) is None:
            return None
        thing = self._claimed(anchor.thing)
        self._use(at, anchor.after)
        self._use(anchor.after, i + (self._word(i) in BE))
        things: list[Thing] = []
        after = self._list(i + 1, into=things)
        for subject in things:
            self._ledger.add_relation(subject, found.words, (thing,), denied=False)
        return after

    def _existential(self, at: int) -> tuple[int, bool] | None:
        """Past `there is`, `i can see`, `the photo shows`; and whether it is denied."""
        word, i = self._word(at), at
        if word == "there" and self._word(at + 1) in BE:
            i = at + 2
        elif word in ("i", "we", "you", "one"):
            i = self._skip(at + 1, {"can", "do", "also"})
            denied = self._word(i) in DENIED
            i += denied
            if self._word(i) not in SEE:
                return None
            return self._use(at, i + 1), denied
        else:
            i = at + (word in ("the", "this", "that"))
            if not is_picture(self._word(i)):
                return None
            i = self._skip(i + 1, {"also", "clearly", "does", "do"})
            denied = self._word(i) in DENIED
            i += denied
            if self._word(i) not in SHOW:
                return None
            return self._use(at, i + 1), denied
        denied = self._word(i) in DENIED
        i = self._skip(i + denied, ADVERBS - {"only", "just"})
        return self._use(at, i), denied

    # -- things ---------------------------------------------------------------------------

    def _phrase(self, at: int) -> NounPhrase | None:
        phrase = read_noun_phrase(self._words, at, stops=self._relations, nouns=self._ledger.nouns)
        return phrase if phrase is None or phrase.after <= len(self._words) else None

    def _list(
        self, at: int, *, denied: bool = False, subject: bool = False,
        into: list[Thing] | None = None,
    ) -> int:  # fmt: skip
        """`a dog, two cats and a cup on the table`: each is claimed, with what is said of it."""
        after, first = at, True
        while True:
            start = after if first else self._joint(after, subject=subject)
            phrase = None if start is None else self._phrase(start)
            if start is None or phrase is None or phrase.kind != "thing":
                return after
            thing = self._claimed(phrase.thing, denied=denied)
            self._use(after, phrase.after)
            if into is not None:
                into.append(thing)
            after = self._attached(thing, phrase.after)
            first = False

    def _joint(self, at: int, *, subject: bool) -> int | None:
        """Past the comma or `and` before the next of a list; None where the list has ended."""
        i = at
        while self._word(i) in (",", "and", "or", "as", "well", "along", "with", "nor"):
            i += 1
        if i == at:
            return None
        phrase = self._phrase(i)
        if phrase is None:
            return None
        new_clause = self._word(phrase.after) in BE and not subject
        return None if new_clause else i

    def _claimed(self, thing: Thing, *, denied: bool = False) -> Thing:
        """Claim that a thing is there, so many of them, and what it is like."""
        thing = self._ledger.add_thing(thing, denied=denied)
        self._things.append(thing)
        return thing

    # -- what is said of a thing ----------------------------------------------------------

    def _attached(self, thing: Thing, at: int) -> int:
        """Relations and verbs right behind a thing: `on the table`, `riding a horse`."""
        while True:
            i = at
            if self._word(i) in ("that", "which", "who") and self._word(i + 1) in BE:
                i += 2
            after = self._of(i) or self._placed(thing, i)
            if after is None:
                after = self._measured(thing, i)
            if after is None and is_action(self._word(i)) and i not in self._relations:
                self._ledger.leave_open(thing)
                after = self._action(i)
            if after is None:
                return self._in_picture(at)
            self._use(at, i)
            at = after

    def _of(self, at: int) -> int | None:
        """`of water` behind a glass: no claim of its own, and listed as unread."""
        if self._word(at) != "of" or at in self._relations:
            return None
        if (after := self._in_picture(at)) > at:
            return after
        phrase = self._phrase(at + 1)
        bare = at + 1
        while phrase is None and self._word(bare) and not is_stop(self._word(bare)):
            bare += 1
        return phrase.after if phrase is not None else bare if bare > at + 1 else None

    def _placed(self, thing: Thing, at: int, *, denied: bool = False) -> int | None:
        """Past a relation and what it is to; None where none is said."""
        i = at
        while self._word(i) in ADVERBS or self._word(i) in NEUTRAL:
            i += 1
        posture = self._word(i) in POSTURES and i not in self._relations
        i += posture
        found = self._relations.get(i)
        if found is None:
            return None
        if (after := self._in_picture(i)) > i:
            return self._use(at, i - posture) and after if i > at else after
        anchors, after = self._anchors(found, subject=thing)
        if not anchors:
            return None
        self._use(at, i - posture)
        self._use(i, after)
        self._ledger.add_relation(thing, found.words, anchors, denied=denied)
        return self._attached(anchors[-1], after)

    def _anchors(self, found: _Relation, *, subject: Thing) -> tuple[tuple[Thing, ...], int]:
        """What a relation is to: one thing, or two for `between`."""
        at = found.after
        if self._word(at) in ("it", "them", "him", "her") and self._phrase(at) is None:
            known = self._meant(self._word(at), other_than=subject)
            span = self._span(at, at + 1)
            return ((replace(known, span=span),), at + 1) if known else ((), at)
        phrase = self._phrase(at)
        if phrase is None or phrase.kind != "thing":
            return (), at
        anchors, after = [self._claimed(phrase.thing)], phrase.after
        if "between" in found.words.names and self._word(after) == "and":
            other = self._phrase(after + 1)
            if other is not None and other.kind == "thing":
                anchors.append(self._claimed(other.thing))
                after = other.after
        return tuple(anchors), after

    def _measured(self, thing: Thing, at: int, *, denied: bool = False) -> int | None:
        """Past `2 m from the table` or `1.2 m tall`; None where nothing is measured."""
        found = read_amount(self._words, at)
        if found is None:
            return None
        anchors: tuple[Thing, ...] = ()
        after = found.after
        if found.amount.measure == "distance":
            phrase = self._phrase(found.after)
            if phrase is None or phrase.kind != "thing":
                return None
            anchors, after = (self._claimed(phrase.thing),), phrase.after
        start = min(thing.span[0], self._words[at].start)
        span = (start, self._words[after - 1].end)
        self._ledger.add_amount(thing, found.amount, anchors, span=span, denied=denied)
        return self._use(at, after)

    def _action(self, at: int) -> int:
        """Past a verb and what it is done to, which is claimed to be there."""
        after = at + 1
        if self._phrase(after) is None:
            return after
        return self._list(after)

    # -- predicates -----------------------------------------------------------------------

    def _predicate(self, things: list[Thing], at: int) -> int:
        """What a clause says of its subjects behind `is`, `has` or another verb."""
        word = self._word(at)
        if word == "can" and "be" in (self._word(at + 1), self._word(at + 2)):
            return self._present(things, at, self._word(at + 1) == "not")
        if word not in BE:
            return self._verb(things, at)
        i = at + 1
        denied = self._word(i) in DENIED
        i = self._skip(i + denied, ADVERBS)
        if self._word(i) in PRESENT and i not in self._relations:
            return self._present(things, at, denied)
        for read in (self._placed, self._measured):
            marked = len(self._ledger.claims)
            ends = [read(thing, i, denied=denied) for thing in things[:1]]
            if ends[0] is not None:
                self._ledger.repeat(things, marked)
                self._use(at, i)
                return ends[0]
        return self._described(things, at, i, denied=denied)

    def _present(self, things: list[Thing], at: int, denied: bool) -> int:
        """`is visible in the image`: that it is there, or that it is not."""
        i = at
        while self._word(i) and (
            self._word(i) in PRESENT | BE | DENIED | ADVERBS or self._word(i) in ("can", "be")
        ):
            i += 1
        if denied:
            self._ledger.deny(things)
        self._use(at, i)
        after = self._in_picture(i)
        if after == i and len(things) == 1 and not denied:
            return self._placed(things[0], i) or i
        return after

    def _described(self, things: list[Thing], at: int, i: int, *, denied: bool) -> int:
        """`is red and shiny`: attributes; what a thing is called or does stays unread."""
        j = i
        said: list[int] = []
        while self._word(j) and j not in self._relations:
            word = self._word(j)
            joint = word in (",", "and") and meaning_of(self._word(j + 1)) is not None
            if joint or word in ADVERBS:
                j += 1
                continue
            if is_stop(word) or is_action(word) or (said and meaning_of(word) is None):
                break
            if word == "made" and self._word(j + 1) == "of" and meaning_of(self._word(j + 2)):
                said.append(j + 2)
                j += 3
                continue
            after = self._word(j + 1)
            if meaning_of(word) is None and is_stop(after) and after.isalpha() and after != "and":
                break  # `stopped at the light`: what happened, not what it is like
            said.append(j)
            j += 1
        if is_action(self._word(i)) or not said:
            for thing in things:
                self._ledger.leave_open(thing)
            return self._action(i) if is_action(self._word(i)) else i
        for thing in things:
            for k in said:
                span = (thing.span[0], self._words[k].end)
                self._ledger.add_attribute(thing, self._word(k), span=span, denied=denied)
        return self._use(at, j)

    def _verb(self, things: list[Thing], at: int) -> int:
        """`sits on the bed`, `has a collar`, `chases a cat`."""
        word = self._word(at)
        placed = self._placed(things[0], at) if word in POSTURES else None
        if placed is not None:
            return placed
        if not word or word in JOINTS or (is_stop(word) and word not in ("has", "have")):
            return at
        for thing in things:
            self._ledger.leave_open(thing)
        after = at + 1
        if after in self._relations:
            # A verb moves: where it leads is not where the thing is.
            found = self._relations[after]
            after = found.after
        return self._list(after) if self._phrase(after) is not None else at + 1

    # -- pronouns -------------------------------------------------------------------------

    def _pronoun(self, at: int) -> int:
        """`it is red`: of the one thing that it may mean; else nothing is claimed."""
        thing = self._meant(self._word(at))
        if thing is None:
            end = next(
                (i for i in range(at, len(self._words)) if self._word(i) in (",", ".", "but")),
                len(self._words),
            )
            why = f"what {self._word(at)!r} means is not clear"
            self._ledger.unread.append((self._span(at, end), why))
            return self._use(at, end)
        meant = replace(thing, span=self._span(at, at + 1), definite=True)
        self._use(at, at + 1)
        return self._predicate([meant], at + 1)

    def _meant(self, pronoun: str, *, other_than: Thing | None = None) -> Thing | None:
        """The one thing spoken of that a pronoun fits."""
        spoken = self._things or self._ledger.spoken
        several = pronoun in ("they", "them")
        person = pronoun in ("he", "she", "him", "her")
        fitting = {
            thing.noun: thing
            for thing in spoken
            if thing.number != NONE
            and (other_than is None or thing.noun != other_than.noun)
            and several == (thing.plural or thing.number.least > 1)
            and (not person or is_person(thing.noun))
        }
        return next(iter(fitting.values())) if len(fitting) == 1 else None
