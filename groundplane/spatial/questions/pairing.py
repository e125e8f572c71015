"""Forms about two things: which two are closest, and what holds between both of two."""

from __future__ import annotations

from groundplane.core.expressions import Relate, SetExpression, Unique
from groundplane.core.pair_queries import Pair
from groundplane.core.queries import Exists, Expression
from groundplane.spatial.questions.form import Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import PhraseError, read_phrase

__all__ = ["PAIRING"]

_NEAR = r"(?:closest|nearest)"
_FAR = r"(?:farthest|furthest|most distant)"
_WHICH = rf"(?P<which>{_NEAR}|{_FAR})"
_OTHER = r"(?: (?:away )?(?:together|apart|(?:to|from) (?:each other|one another)))?"
_TWO = r"(?:two|pair of|2)"
_LEAST = r"(?:shortest|smallest|minimum|minimal|least|closest)"
_MOST = r"(?:greatest|largest|longest|maximum|maximal|biggest|farthest|furthest)"
_GAP = r"(?:distance|gap|space|separation|spacing)"

# What holds both ways; the wording behind `are a and b`.
_MUTUAL = {
    "parallel": r"(?:run |stand |lie )?parallel",
    "perpendicular": r"(?:perpendicular|at (?:a )?right angles?|orthogonal)",
    "aligned_with": r"(?:aligned|lined up|in line|in a line)",
    "touches": r"(?:touching|touch|in contact)",
    "same_size": r"(?:the same size|of the same size|of equal size|equally big|equally large|as big as)",
    "next_to": r"(?:next|side by side|adjacent|beside)",
    "near": r"(?:near|close|close by|close together|near together|close to)",
    "far": r"(?:far apart|far(?: away)? from|far away)",
    "opposite": r"(?:opposite|face to face|facing|face|across from)",
}


def _is_far(word: str) -> bool:
    return word not in ("closest", "nearest")


def _several(text: str) -> SetExpression:
    source = read_phrase("all " + text)
    if isinstance(source, Unique):
        raise PhraseError("one thing is no pair")
    return source


def _pair(slots: Slots, context: Context) -> Expression:
    del context
    return Pair(source=_several(slots["a"]), farthest=_is_far(slots["which"]))


def _apart(slots: Slots, context: Context) -> Expression:
    farthest = bool(slots.get("most")) or _is_far(slots.get("which", "closest"))
    return Pair(source=_several(slots["a"]), farthest=farthest, tell="distance", unit=context.unit)


def _mutual(name: str, slots: Slots, context: Context) -> Expression:
    del context
    first, second = read_phrase(slots["a"]), read_phrase(slots["b"])
    if not (isinstance(first, Unique) and isinstance(second, Unique)):
        raise PhraseError("which of several is meant is not clear")
    return Exists(Relate(source=first, relation=name, anchor=second))


def _mutual_form(name: str, wording: str) -> Form:
    # `facing each other` is mutual, `the sofa and the tv face` is not.
    other = r" (?:(?:to|with|from|as) )?(?:each other|one another)"
    needed = name in ("next_to", "near", "opposite", "far")
    alone = r"(?:side by side|close together|close by|far apart|face to face|opposite)"
    ends = [rf"{wording}{other}"]
    if not needed:
        ends.append(wording)
    patterns = [rf"(?:is|are|do|does|lie|stand) {{a}} and {{b}} {end}" for end in ends]
    if needed:
        patterns.append(rf"(?:is|are|do|does|lie|stand) {{a}} and {{b}} (?={alone}$){wording}")
    return make_form(
        "both", "Are the sofa and the bed parallel?",
        lambda slots, context: _mutual(name, slots, context), *patterns,
    )  # fmt: skip


PAIRING: tuple[Form, ...] = (
    make_form(
        "which two", "Which two chairs are closest to each other?", _pair,
        rf"(?:which|what) {_TWO} {{a}} (?:are|is|stand|lie|sit) (?:the )?{_WHICH}{_OTHER}<SCOPE>",
        rf"(?:which|what) {{a}} (?:are|stand|lie|sit) (?:the )?{_WHICH} (?:together|apart|"
        r"(?:to|from) (?:each other|one another))",
        rf"(?:of|among|out of) (?:all )?{{a}},? (?:which|what) (?:two|pair) (?:is|are|stand|lie|sit) "
        rf"(?:the )?{_WHICH}{_OTHER}",
        rf"(?:(?:what|which|who) (?:is|are) )?(?:the )?{_WHICH} {_TWO} {{a}}",
        rf"(?:what|which|who) (?:is|are) the {_TWO} {_WHICH} {{a}}",
    ),
    make_form(
        "shortest gap", "What is the shortest distance between any two chairs?", _apart,
        rf"(?:what is |how (?:big|large|long|great) is )?(?:the )?(?:{_LEAST}|(?P<most>{_MOST})) {_GAP} "
        rf"between (?:any |the |some )?(?:two|2|pair of) (?:of the )?{{a}}",
        rf"how far apart are (?:the )?two {_WHICH} {{a}}",
        rf"(?:what |how )?(?:much |big |is )*(?:the |a )?{_GAP} (?:is there |is |lies )?between (?:the )?"
        rf"two {_WHICH} {{a}}",
        rf"how far apart are (?:the )?{_WHICH} two {{a}}",
        rf"how (?:close|near)(?: together)? are (?:the )?two {_WHICH} {{a}}(?: to each other)?",
        rf"how far apart are (?:the )?two {{a}} (?:that are |which are )?(?:the )?{_WHICH}{_OTHER}",
    ),
    *(_mutual_form(name, wording) for name, wording in _MUTUAL.items()),
)  # fmt: skip
