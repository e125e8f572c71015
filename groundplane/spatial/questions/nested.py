"""Nested noun phrases: `the big cube that is both left of the ball and behind the red thing`.

    phrase    = [article] [other] words [clause] | it | me
    clause    = [that is | that has] predicate
    predicate = both P and P | either P or P | neither P nor P | P [and P] [or P]
    P         = [not] (relation phrase | [made] of the same A as phrase | adjective)

A clause belongs to the nearest noun: in `the cup on the table next to the sofa` the table is next
to the sofa. `and` and `or` join predicates of the outermost noun, unless `both` or `either` stands
at an inner one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from groundplane.core.attributes import ATTRIBUTES, attribute_named, meaning_of
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Same,
    SetExpression,
    Unique,
    Viewpoint,
)
from groundplane.spatial.questions.form import Context
from groundplane.spatial.questions.phrases import (
    FoundRelation,
    PhraseError,
    find_relation,
    read_phrase,
)

__all__ = ["NounReader", "plain", "single"]

_NAMES = "|".join(ATTRIBUTES)
SAME = rf"(?:of |with |having |made of |made out of )?the same (?P<name>{_NAMES}) as"
# What ends the words of a name; relations end them too.
_END = re.compile(
    r"(?:that|which|who|is|are|was|were|has|have|having|do|does|and|or|nor|but|than|as|there|both|"
    r"either|neither|not|what|how|made|visible|present|shown|equal|except|from|to|excluding|besides|other than|apart from|the same|of the same|with the same|"
    r"(?:more|less|fewer|greater|larger|smaller|bigger|higher|lower) than)\b|"
    r"[;,.]|$"
)
_WORD = re.compile(r"[\w'#&]+(?:-\w+)*")
_ME = r"(?:me|us|you|myself)"
_DEEPEST = 12

Restrict = Callable[[SetExpression], SetExpression]


def plain(node: SetExpression) -> SetExpression:
    """All that a phrase may name, whether one is meant or several."""
    return node.source if isinstance(node, Unique) else node


def single(node: SetExpression) -> SetExpression:
    """The one thing that a phrase names."""
    return node if isinstance(node, Unique) else Unique(node)


class NounReader:
    """Reads a text from left to right; what cannot be read raises `PhraseError`.

    Args:
        text: A cleaned question.
        context: The viewpoint that was taken out of it.

    Attributes:
        it: What `it` stands for; None where nothing was introduced.
        bare: Whether `made of the same material as the ball` may stand behind a noun without
            `that is`; not where the sentence itself goes on so.
    """

    def __init__(self, text: str, context: Context) -> None:
        self.it: SetExpression | None = None
        self.bare = True
        self._text = text
        self._at = 0
        self._context = context
        self._level = 0

    # -- the text ---------------------------------------------------------------------------

    @property
    def mark(self) -> int:
        """Where the reader stands; `back_to` takes it up again."""
        return self._at

    def back_to(self, mark: int) -> None:
        """Read on from an earlier place."""
        self._at = mark

    def take(self, pattern: str) -> re.Match[str] | None:
        """Read a wording if it stands here as whole words."""
        found = re.compile(rf"(?:{pattern})(?!\w)").match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            self._skip()
        return found

    def _stands(self, pattern: str) -> bool:
        return re.compile(rf"(?:{pattern})(?!\w)").match(self._text, self._at) is not None

    def need(self, pattern: str) -> re.Match[str]:
        """Read a wording that must stand here."""
        found = self.take(pattern)
        if found is None:
            raise PhraseError(f"{pattern!r} does not stand at {self.rest!r}")
        return found

    @property
    def rest(self) -> str:
        """What is still to be read."""
        return self._text[self._at :]

    def end(self) -> None:
        """Nothing may be left."""
        if self.rest.strip(" .,;"):
            raise PhraseError(f"{self.rest!r} is left over")

    def _skip(self) -> None:
        while self._text[self._at : self._at + 1] == " ":
            self._at += 1

    # -- noun phrases -----------------------------------------------------------------------

    def phrase(self, *, joined: bool = True) -> SetExpression:
        """A noun phrase with all that restricts it; one that means a single thing is `Unique`.

        Args:
            joined: Whether `and` and `or` behind it may join what restricts it.

        Raises:
            PhraseError: If none stands here, or it is nested too deeply.
        """
        self._level += 1
        if self._level > _DEEPEST:
            raise PhraseError("it is nested too deeply")
        try:
            named = self.name()
            restrict = None if named is self.it else self.clause(joined=joined)
        finally:
            self._level -= 1
        return named if restrict is None else _restricted(named, restrict)

    def name(self) -> SetExpression:
        """A name without what restricts it; `it` too.

        Raises:
            PhraseError: If none stands here.
        """
        if self.it is not None and self.take("it|that one|them"):
            return self.it
        several = self.take(r"(?:any|some|all)(?: of)?(?: the)?") is not None
        self.take(r"(?:the |a |an )?(?:only |same )?(?:other|another)|the|a|an")
        start = self._at
        while not self._ends():
            found = _WORD.match(self._text, self._at)
            if found is None:
                break
            self._at = found.end()
            self._skip()
        words = self._text[start : self._at].strip()
        if not words:
            raise PhraseError(f"no name stands at {self.rest!r}")
        if "furniture" in words:
            raise PhraseError("what counts as furniture is not known")
        return read_phrase(f"any {words}" if several else words)

    def _ends(self) -> bool:
        return _END.match(self._text, self._at) is not None or self._relation() is not None

    def _relation(self) -> FoundRelation | None:
        """The relation whose words begin here."""
        found = find_relation(self.rest)
        return found if found is not None and found.start == 0 else None

    # -- what restricts a noun --------------------------------------------------------------

    def clause(self, *, joined: bool = True) -> Restrict | None:
        """The predicate behind a noun; None where there is none."""
        mark = self._at
        opened = self.take(r"(?:that|which|who)(?: (?:is|are|was|were|has|have))?|having|being")
        if opened is None and self._stands(SAME) and (not self.bare or self._stands("the same")):
            return None
        restrict = self.predicate(joined=joined)
        if restrict is None:
            self._at = mark
        return restrict

    def predicate(self, *, joined: bool = True) -> Restrict | None:
        """What is said of a thing; None where nothing readable is."""
        for opening, link, join in (
            ("both", "and", _all_of), ("either", "or", _any_of), ("neither", "nor", _none_of),
        ):  # fmt: skip
            mark = self._at
            if self.take(opening):
                first = self._one()
                second = self._linked(link) if first is not None else None
                if first is None or second is None:
                    self._at = mark
                    return None
                return join(first, second)
        first = self._one()
        if first is None or not joined:
            return first
        while (second := self._linked("and")) is not None:
            first = _all_of(first, second)
        while (second := self._linked("or")) is not None:
            first = _any_of(first, second)
        return first

    def _linked(self, link: str) -> Restrict | None:
        """`and behind the ball`; not `and the ball`."""
        mark = self._at
        if self.take(link):
            self.take(r"(?:that|which)(?: (?:is|are|has|have))?")
            found = self._one()
            if found is not None:
                return found
        self._at = mark
        return None

    def _one(self) -> Restrict | None:
        mark = self._at
        if self.take("not"):
            inner = self._same() or self._related() or self._adjective()
            if inner is None:
                self._at = mark
                return None
            return lambda source: Except(source, inner(source))
        return self._same() or self._related() or self._adjective()

    def _same(self) -> Restrict | None:
        found = self.take(SAME)
        if found is None:
            return None
        name, anchor = attribute_named(found["name"]) or "", self.phrase(joined=False)
        return lambda source: Same(source=source, attribute=name, anchor=anchor)

    def _related(self) -> Restrict | None:
        aside = self.take(r"(?:on|to|at|off to) (?:my|your|our) (?P<side>left|right)(?: side)?")
        if aside is not None:
            name, looks = f"{aside['side']}_of", self._context.viewpoint
            return lambda source: Relate(
                source=source, relation=name, anchor=None, viewpoint=looks
            )  # fmt: skip
        found = self._relation()
        if found is None:
            return None
        self._at += found.end
        self._skip()
        view = self._context.viewpoint
        if found.sized is not None:
            return found.sized.restrict
        if found.name == "between":
            return self._between(view)
        anchor = None if self.take(_ME) else self.phrase(joined=False)
        if anchor is not None and view is None and self._context.origin is not None:
            view = Viewpoint(origin=self._context.origin, facing=anchor)
        return lambda source: Relate(
            source=source, relation=found.name, anchor=anchor, viewpoint=view, limit=found.limit
        )

    def _between(self, view: Viewpoint | None) -> Restrict:
        ends = self.phrase(joined=False)
        if self.take("and"):
            ends = Or((ends, self.phrase(joined=False)))
        return lambda source: Relate(
            source=source, relation="between", anchor=ends, viewpoint=view
        )  # fmt: skip

    def _adjective(self) -> Restrict | None:
        """`that is red`; `red cubes` is a name."""
        mark = self._at
        found = _WORD.match(self._text, self._at)
        meaning = meaning_of(found[0]) if found is not None else None
        if found is None or meaning is None:
            return None
        self._at = found.end()
        self._skip()
        if not self._ends():
            self._at = mark
            return None
        return lambda source: Filter(source, *meaning)


def _restricted(named: SetExpression, restrict: Restrict) -> SetExpression:
    """What is named, as far as the clause holds; `the biggest` is chosen among those."""
    source = plain(named)
    if isinstance(source, Extreme):
        if source.anchor is not None:
            raise PhraseError("what the clause belongs to is not clear")
        return Unique(replace(source, source=restrict(source.source)))
    found = restrict(source)
    return Unique(found) if isinstance(named, Unique) else found


def _all_of(first: Restrict, second: Restrict) -> Restrict:
    return lambda source: And((first(source), second(source)))


def _any_of(first: Restrict, second: Restrict) -> Restrict:
    return lambda source: Or((first(source), second(source)))


def _none_of(first: Restrict, second: Restrict) -> Restrict:
    return lambda source: Except(source, Or((first(source), second(source))))
