"""Forms that ask what somebody sees: whether a thing is in sight, what hides it, what is in view."""

from __future__ import annotations

from groundplane.core.expressions import Except, Relate, Select, SetExpression, Unique
from groundplane.core.pair_queries import Sight
from groundplane.core.queries import Compare, Count, Expression
from groundplane.spatial.questions.form import Builder, Context, Form, Slots, make_form
from groundplane.spatial.questions.phrases import PhraseError, read_phrase

__all__ = ["SIGHTING"]

_WHO = r"(?:i|we|you|one|somebody|someone|anybody|anyone|a person|people)"
_HERE = ("here", "there", "me", "my place", "where i am", "where i stand", "that spot")
_STANDING = (
    r"(?:(?:when|if|while) (?:i|we|you|one) (?:am |are |is )?(?:stand|standing|sit|sitting|lie|lying|am|are|is)|"
    r"(?:while )?(?:standing|sitting|lying)) (?:in|at|by|on|near|beside|next to|in front of)"
)
_FROM = rf"(?:from|,? ?{_STANDING}|seen from)"
_CAN = (
    rf"(?:is it possible(?: for {_WHO})? to|"
    rf"(?:can|could|do|does|would|will|may|might) {_WHO}(?: be able to| still| really)*) "
    r"(?:see|spot|make out)"
)
_SEEN = r"(?:visible|in view|in sight|to be seen|seen|in the line of sight|in direct view)"
_HIDDEN = r"(?:hidden|invisible|out of sight|out of view|concealed|obscured|not visible)"
_VIEW = (
    r"(?:(?:an?|the|my|any|your|our) )?(?:(?:clear|direct|free|unobstructed|good|full|straight|open) )*"
    r"(?:line of sight|sight ?line|view|line of vision)"
)
_BLOCKS = r"(?:block|blocks|obstruct|obstructs|hide|hides|cover|covers|obscure|obscures|interrupt|interrupts)"
_BLOCKING = r"(?:blocking|obstructing|hiding|obscuring|covering|interrupting|in the way of)"
_THING = r"(?:what|which (?:thing|object|item|piece of furniture))"


def _place(text: str, context: Context) -> SetExpression:
    """Where one stands; who also looks somewhere sees only a part, which is not modelled."""
    if context.viewpoint is not None:
        raise PhraseError("what one sees who looks one way only is not known")
    if text not in _HERE:
        return read_phrase(text)
    if context.origin is None:
        raise PhraseError("it is not said where the asker is")
    return context.origin


def _sight(tell: str) -> Builder:
    def build(slots: Slots, context: Context) -> Expression:
        viewer = _place(slots.get("a", "here"), context)
        target = read_phrase(slots["b"])
        if isinstance(target, Unique):
            return Sight(viewer=viewer, target=target, tell=tell)  # type: ignore[arg-type]
        if tell != "seen":
            raise PhraseError("which of several is meant is not clear")
        return Compare(left=Count(_in_view(target, viewer)), operator="equal", right=Count(target))

    return build


def _in_the_way(slots: Slots, context: Context) -> Expression:
    """`What is in the way when I look from the bed to the door`: both were taken out."""
    del slots
    looks = context.viewpoint
    if looks is None or looks.origin is None or looks.turn:
        raise PhraseError("it is not said who looks from where")
    return Sight(viewer=looks.origin, target=looks.facing, tell="blocker")


def _by(slots: Slots, context: Context) -> Expression:
    viewer, target, by = _place(slots["a"], context), *(read_phrase(slots[k]) for k in "bc")
    if not isinstance(target, Unique) or not isinstance(by, Unique):
        raise PhraseError("which of several is meant is not clear")
    return Sight(viewer=viewer, target=target, tell="obstructed", by=by)


def _in_view(source: SetExpression, viewer: SetExpression) -> SetExpression:
    return Relate(source=source, relation="visible_from", anchor=viewer)


def _listed(slots: Slots, context: Context) -> Expression:
    source = read_phrase("all " + slots.get("c", "objects"))
    return _in_view(source, _place(slots.get("a", "here"), context))


def _unseen(slots: Slots, context: Context) -> Expression:
    viewer = _place(slots.get("a", "here"), context)
    source = read_phrase("all " + slots.get("c", "objects"))
    if source == Select(None):
        # What one stands at is neither seen nor hidden.
        source = Except(source, viewer)
    return Except(source, _in_view(source, viewer))


def _unseen_count(slots: Slots, context: Context) -> Expression:
    found = _unseen(slots, context)
    assert isinstance(found, Except)
    return Count(found)


def _counted(slots: Slots, context: Context) -> Expression:
    source = read_phrase("all " + slots["c"])
    if source == Select(None) and "furniture" in slots["c"]:
        raise PhraseError("what counts as furniture is not known")
    return Count(_in_view(source, _place(slots.get("a", "here"), context)))


def _both(before: str, after: str = "") -> tuple[str, ...]:
    """A view of one thing from another, said in any order."""
    return (
        rf"{before} from {{a}} (?:to|of|on|towards?) {{b}}{after}",
        rf"{before} (?:of|to|on|towards?) {{b}} {_FROM} {{a}}{after}",
        rf"{before} between {{a}} and {{b}}{after}",
    )


_SOME = r"(?:does|do|is|would) (?:anything|something|any object|any furniture|some object)"

SIGHTING: tuple[Form, ...] = (
    make_form(
        "in the way", "What blocks the view from the sofa to the tv?", _sight("blocker"),
        *_both(rf"{_THING} (?:is )?(?:{_BLOCKS}|{_BLOCKING}) {_VIEW}"),
        rf"{_THING} (?:is )?(?:{_BLOCKS}|{_BLOCKING}) {{b}} (?:from (?:view|sight) )?{_FROM} {{a}}",
        rf"{_THING} (?:is|stands) in the way (?:when|if) {_WHO} (?:look|looks) from {{a}} "
        r"(?:to|at|towards?) {b}",
        rf"{_THING} (?:is|stands) in the way (?:when|if) {_WHO} (?:look|looks) at {{b}} {_FROM} {{a}}",
        *_both(rf"{_THING} (?:is|stands) in the way of {_VIEW}"),
    ),
    make_form(
        "in the way of a look", "What is in the way when I look from the bed to the tv?", _in_the_way,
        rf"{_THING} (?:is|stands|gets) in (?:the|my) way",
    ),
    make_form(
        "anything in the way", "Does anything block the view of the tv from the sofa?",
        _sight("obstructed"),
        *_both(rf"{_SOME} {_BLOCKS} {_VIEW}"),
        *_both(rf"{_SOME} {_BLOCKING} {_VIEW}"),
        *_both(rf"is there anything (?:that )?(?:{_BLOCKS}|{_BLOCKING}) {_VIEW}"),
    ),
    make_form(
        "is it in the way", "Does the plant block the view from the sofa to the tv?", _by,
        *_both(rf"(?:does|do|is|are|would|will) {{c}} (?:{_BLOCKS}|{_BLOCKING}) {_VIEW}"),
        *_both(rf"is {_VIEW}", r" (?:blocked|obstructed|hidden|interrupted) by {c}"),
        rf"(?:does|do|is|are|would|will) {{c}} (?:{_BLOCKS}|{_BLOCKING}) {{b}} (?:from (?:view|sight) )?{_FROM} {{a}}",
    ),
    make_form(
        "how much of it", "How much of the plant can I see from the sofa?", _sight("share"),
        rf"how much of {{b}} {_CAN} {_FROM} {{a}}",
        rf"how much of {{b}} (?:is|are|can be) {_SEEN} {_FROM} {{a}}",
    ),
    make_form(
        "hidden", "Is the washer hidden from the bed?", _sight("hidden"),
        rf"(?:is|are) {{b}} (?:completely |fully )?{_HIDDEN} {_FROM} {{a}}",
        *_both(rf"is {_VIEW}", " (?:blocked|obstructed|hidden|interrupted)"),
        rf"(?:is|are) {{b}} (?:completely |fully )?{_HIDDEN}(?: from (?P<a>here|there))?",
    ),
    make_form(
        "how many in view", "How many chairs can I see from the bed?", _counted,
        rf"how many {{c}} {_CAN} {_FROM} {{a}}",
        rf"how many {{c}} (?:are|is|can be) {_SEEN} {_FROM} {{a}}",
        rf"how many {{c}} (?:{_CAN}|(?:are|is) {_SEEN})(?: from (?P<a>here|there))?",
    ),
    make_form(
        "in view", "What can I see from the sofa?", _listed,
        rf"(?:what|which objects|which things|what all)(?: else)? {_CAN} {_FROM} {{a}}",
        rf"which {{c}} {_CAN} {_FROM} {{a}}",
        rf"(?:what|which objects|which things) (?:is|are|can be) {_SEEN} {_FROM} {{a}}",
        rf"which {{c}} (?:is|are|can be) {_SEEN} {_FROM} {{a}}",
        rf"(?:what|which objects|which things) (?:{_CAN}|(?:is|are) {_SEEN})(?: from (?P<a>here|there))?",
        rf"which {{c}} (?:{_CAN}|(?:is|are) {_SEEN})(?: from (?P<a>here|there))?",
    ),
    make_form(
        "out of view", "Which chairs are hidden from the bed?", _unseen,
        rf"(?:what|which objects|which things) (?:is|are) {_HIDDEN} {_FROM} {{a}}",
        rf"which {{c}} (?:is|are) {_HIDDEN} {_FROM} {{a}}",
        rf"(?:what|which objects|which things) (?:can|could) {_WHO} not see {_FROM} {{a}}",
        rf"which {{c}} (?:can|could) {_WHO} not see {_FROM} {{a}}",
        rf"(?:what|which objects|which things) (?:can|could) not {_WHO} see {_FROM} {{a}}",
        rf"which {{c}} (?:can|could) not {_WHO} see {_FROM} {{a}}",
        rf"(?:what|which objects|which things) (?:can|could) {_WHO} not see",
        rf"which {{c}} (?:can|could) {_WHO} not see",
    ),
    make_form(
        "how many out of view", "How many chairs can I not see from the bed?", _unseen_count,
        rf"how many {{c}} (?:can|could) (?:not {_WHO}|{_WHO} not) see {_FROM} {{a}}",
        rf"how many {{c}} (?:are|is) {_HIDDEN} {_FROM} {{a}}",
        rf"how many {{c}} (?:can|could) (?:not {_WHO}|{_WHO} not) see",
    ),
    make_form(
        "seen", "Can I see the tv from the sofa?", _sight("seen"),
        rf"{_CAN} {{b}} {_FROM} {{a}}",
        r"(?:can|could|would) (?:i|we|you|one|somebody|someone|a person) (?:who is )?(?:(?:standing|sitting|lying) )?"
        r"(?:at|by|on|near|beside|next to|in) {a} see {b}",
        rf"(?:is|are) {{b}} (?:still )?{_SEEN} {_FROM} {{a}}",
        r"(?:is|are) {b} (?:still )?in (?:view|sight) of {a}",
        rf"(?:can|could) {{b}} be (?:seen|spotted) {_FROM} {{a}}",
        *_both(rf"(?:is|are) there {_VIEW}"),
        *_both(rf"(?:do|does|can|would) {_WHO} (?:have|get) {_VIEW}"),
        rf"(?:does|do) {{a}} have {_VIEW} (?:of|to|on) {{b}}",
        rf"{_CAN} {{b}}(?: from (?P<a>here|there))?",
        rf"(?:is|are) {{b}} {_SEEN}(?: from (?P<a>here|there))?",
    ),
)  # fmt: skip
