"""Forms that count, list, ask whether there is something, or in which order it was seen."""

from __future__ import annotations

import re

from groundplane.core.expressions import Extreme, Or, Select
from groundplane.core.queries import Compare, Count, Exists, Expression, Order
from groundplane.spatial.questions.choosing import read_options
from groundplane.spatial.questions.form import Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import PhraseError, find_relation, read_phrase
from groundplane.spatial.questions.placing import read_related
from groundplane.spatial.questions.text import split_list

__all__ = ["COUNTING", "LISTING", "ORDERING"]

_REL = (
    r"(?P<r>(?:on|near|next|by|in|left|right|behind|under|underneath|below|above|within|to|at|"
    r"around|beside|between|closer|less|more|farther|touching|inside|over) ?.+?)"
)
_ANY = r"(?:also )?(?:any |a |an |some |at least one )?"
_NUMBERS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_NUMBER = rf"(?P<number>{'|'.join(_NUMBERS)}|\d{{1,6}})"
_BOUND = (
    r"(?:(?P<bound>exactly|only|just|at least|at most|more than|less than|fewer than|no more than|"
    r"not more than|a minimum of|a maximum of|over|under) )?"
)


def _as_many(slots: Slots, context: Context) -> Expression:
    """`are there five chairs`, `at least two`: the count against a number."""
    source = read_phrase("all " + slots["a"], view=context.viewpoint)
    if slots.get("r"):
        source = read_related(source, slots["r"], context)
    word = slots["number"]
    number = _NUMBERS[word] if word in _NUMBERS else int(word)
    bound = slots.get("bound", "exactly")
    if bound in ("more than", "over"):
        return Compare(left=Count(source), operator="more", right=number)
    if bound in ("less than", "fewer than", "under"):
        return Compare(left=Count(source), operator="fewer", right=number)
    if bound in ("at least", "a minimum of"):
        return Compare(left=Count(source), operator="more", right=number - 1)
    if bound in ("at most", "no more than", "not more than", "a maximum of"):
        return Compare(left=Count(source), operator="fewer", right=number + 1)
    return Compare(left=Count(source), operator="equal", right=number)


def _count(slots: Slots, context: Context) -> Expression:
    if context.unit is not None or "furniture" in slots["a"]:
        raise PhraseError("a count has no unit, and what counts as furniture is not known")
    parts = re.split(r" and (?:the )?", slots["a"])
    if len(parts) > 1:
        if find_relation(slots["a"]) is not None:
            raise PhraseError("what the relation holds for is not clear")
        # `lamps and plants` are counted together.
        return Count(Or(tuple(read_phrase("all " + part) for part in parts)))
    return Count(read_phrase("all " + slots["a"], view=context.viewpoint))


def _count_related(slots: Slots, context: Context) -> Expression:
    subject = read_phrase("all " + slots["a"], view=context.viewpoint)
    return Count(read_related(subject, slots["r"], context))


def _exists(slots: Slots, context: Context) -> Expression:
    return Exists(read_phrase("any " + slots["a"], view=context.viewpoint))


def _exists_related(slots: Slots, context: Context) -> Expression:
    subject = read_phrase("any " + slots["a"], view=context.viewpoint)
    return Exists(read_related(subject, slots["r"], context))


def _list_all(slots: Slots, context: Context) -> Expression:
    del slots, context
    return Select(None)


def _more_than(slots: Slots, context: Context) -> Expression:
    left = Count(read_phrase("all " + slots["a"]))
    first, second = find_relation(slots["a"]), find_relation(slots["b"])
    if first is not None and second is not None and second.start == 0:
        # `more chairs near the table than near the sofa`: both counts are of chairs.
        subject = read_phrase("all " + slots["a"][: first.start].strip())
        right = Count(read_related(subject, slots["b"], context))
    else:
        right = Count(read_phrase("all " + slots["b"]))
    if slots["more"] == "as many":
        return Compare(left=left, operator="equal", right=right)
    return Compare(left=left, operator="more" if slots["more"] == "more" else "fewer", right=right)


def _most_numerous(slots: Slots, context: Context) -> Expression:
    del context
    sources = tuple(read_phrase("all " + item) for item in split_list(slots["a"]))
    if len(sources) < 2:
        raise PhraseError("a choice needs two things or more")
    return Extreme(source=Or(sources), measure="count", largest=slots["more"] in ("more", "most"))


def _order(slots: Slots, context: Context) -> Expression:
    del context
    return Order(read_options(slots["a"]))


def _first_seen(slots: Slots, context: Context) -> Expression:
    del context
    return Extreme(
        source=Or(read_options(slots["a"])),
        measure="first_seen",
        largest=slots["when"] == "last",
    )


_APPEAR = (
    r"(?:appears?|appeared|(?:is|was|are) seen|shows? up|showed up|(?:is|are) shown|comes? into "
    r"view|came|comes?|(?:do|did) (?:you|i|we) see|is visible)"
)

ORDERING: tuple[Form, ...] = (
    make_form(
        "appearance order", "In what order do the sofa, the tv and the door appear?", _order,
        r"what (?:will be|is|was) the first time appearance order of the following categories in "
        r"the video: {a}",
        r"(?:in )?(?:what|which) order (?:do|does|did|are|were|will) {a} (?:first )?"
        r"(?:appear|seen|shown|show up|come into view|come up)(?: first)?(?: in the video)?",
        r"(?:what is )?(?:the )?order of (?:first )?(?:appearance|sight)s? (?:of|for) {a}",
        r"(?:what is )?(?:the )?(?:first time )?(?:appearance )?order (?:of|in which) {a}"
        r"(?: (?:appear|are seen|show up))?(?: in the video)?",
    ),
    make_form(
        "seen first", "What appears first, the sofa or the tv?", _first_seen,
        rf"(?:what|which|who)<THING> {_APPEAR} (?P<when>first|last)(?: in the video)?[,:]? {{a}}"
        r"(?: in the video)?",
        rf"(?:which of|of|out of|between|among) {{a}},? (?:(?:which|what)<THING> )?{_APPEAR} "
        r"(?P<when>first|last)(?: in the video)?",
        r"(?:do|does|did) {a} (?:appear|come|show up) (?P<when>first|last)(?: in the video)?",
    ),
)  # fmt: skip

COUNTING: tuple[Form, ...] = (
    make_form(
        "as many as", "Are there at least two chairs?", _as_many,
        rf"(?:is|are) there {_BOUND}{_NUMBER} {{a}}<SCOPE>",
        rf"(?:is|are) there {_BOUND}{_NUMBER} {{a}} {_REL}",
        rf"(?:do|does|can|did) (?:i|you|we|it|<ROOM>|<PICTURE>) (?:see|have|contain|find|own|show) "
        rf"{_BOUND}{_NUMBER} {{a}}<SCOPE>",
    ),
    make_form(
        "more or fewer", "Are there more chairs than tables?", _more_than,
        r"(?:are|is) there (?P<more>more|fewer|less|as many) {a} (?:than|as) (?:there are )?{b}<SCOPE>",
        r"(?:do|does|can) (?:we|you|i|it|<ROOM>) (?:have|see|contain|hold) "
        r"(?P<more>more|fewer|less|as many) {a} (?:than|as) {b}<SCOPE>",
    ),
    make_form(
        "most numerous", "Are there more chairs or tables?", _most_numerous,
        r"(?:are|is) there (?P<more>more|fewer) (?P<a>.+? or .+?)<SCOPE>",
        r"(?:what|which)(?: one)? (?:are|is|do (?:we|you) (?:have|see)) there ?(?P<more>more|fewer)"
        r"(?: of)?,? {a}",
        r"of which (?:are|is) there (?P<more>more|most|fewer),? {a}",
    ),
    make_form(
        "count", "How many chairs are there?", _count,
        r"how many {a} <SEE><SCOPE>",
        r"how many {a}<SCOPE>",
        r"(?:count|count up|tally)(?: all| up)?(?: of)?(?: the)? {a}<SCOPE>",
        r"(?:what is |i need |give )?(?:the )?(?:total |exact |overall )?(?:number|count|amount|"
        r"quantity|total)(?: number)? of (?:the )?{a}(?: <SEE>)?<SCOPE>",
        r"(?:what is )?(?:the )?{a} count<SCOPE>",
        r"how many (?:are|is) there (?:of )?{a}<SCOPE>",
        r"how many of (?:the |these |those )?{a} (?:are|is) (?:there)?<SCOPE>",
    ),
    make_form(
        "count in relation", "How many chairs are near the table?", _count_related,
        r"how many {a} (?:<BE>|do (?:i|you|we) (?:see|have)|can (?:i|you) see|there are|"
        r"are there|have we got)(?: (?:there|located|placed|found|standing|sitting|lying))? (?P<r>.+)",
        rf"how many {{a}} {_REL}(?: (?:are|is)(?: there)?| do (?:you|i|we) see)?",
        rf"(?:count|tally)(?: all| up)?(?: the)? {{a}} {_REL}",
        rf"(?:what is )?(?:the )?number of {{a}} {_REL}",
    ),
    make_form(
        "exists", "Is there a lamp on the table?", _exists,
        rf"(?:is|are) there {_ANY}{{a}}<SCOPE>",
        rf"(?:do|does|can|did|could) (?:i|you|we|it|they|one|anyone|<ROOM>|<PICTURE>) (?:see|have|"
        rf"contain|find|own|spot|got|include|show) {_ANY}{{a}}<SCOPE>",
        rf"(?:have|has) (?:we|you|it|<ROOM>) (?:got|seen|found) {_ANY}{{a}}<SCOPE>",
        r"(?:does|do) (?:any |a |an |some )?{a} exist<SCOPE>",
        r"any {a}<SCOPE>",
        r"(?:is|are) (?:any |a |an |some ){a} (?:present|visible|available|here|there|in sight|"
        r"in view|shown)<SCOPE>",
        r"(?:is|are) (?:any |a |an |some ){a} in (?:<ROOM>|<PICTURE>)",
    ),
    make_form(
        "exists in relation", "Is there anything on the table?", _exists_related,
        rf"(?:is|are) there {_ANY}{{a}} {_REL}",
        rf"(?:do|does|can|did) (?:i|you|we|it|<ROOM>) (?:see|have|find) {_ANY}{{a}} {_REL}",
        rf"(?:is|are|does|do) (?P<a>anything|something|any \w+)(?: (?:is|lie|lies|stand|stands|sit))?"
        rf" {_REL}",
    ),
)  # fmt: skip

LISTING: tuple[Form, ...] = (
    make_form(
        "list", "What objects are there?", _list_all,
        r"(?:what|which)(?: \w+)? (?:objects|things|items|furniture|all|else) ?(?:<SEE>|is|are)?"
        r"(?: objects| things)?<SCOPE>",
        r"(?!(?:what|which) (?:is|are)$)(?:what|which) ?<SEE><SCOPE>",
        r"(?:list|name|describe|show)?(?: me)? ?(?:all|everything|every object)"
        r"(?: the| of the)?(?: objects| things| items)?<SCOPE>",
        r"(?:list|name) (?:the )?(?:objects|things|items|furniture|contents)<SCOPE>",
        r"what (?:does|do) (?:<ROOM>|<PICTURE>|you|i|we|it) (?:contain|have|see|hold|show)<SCOPE>",
        r"what (?:is|are)(?= )<SCOPE>",
    ),
)  # fmt: skip
