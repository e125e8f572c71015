"""Questions that compose: counts, comparisons and attributes of nested noun phrases.

The noun phrases are read by `groundplane.spatial.questions.nested`. A question may open with a
sentence that introduces what `it` stands for: `There is a big cube; what color is it?`
"""

from __future__ import annotations

import re
from collections.abc import Callable

from groundplane.core.attributes import ATTRIBUTES, attribute_named, meaning_of
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Same,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.lexicon import known_nouns, normalise
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Exists,
    Expression,
    Measure,
    nodes_of,
)
from groundplane.spatial.questions.form import MACROS, Context
from groundplane.spatial.questions.nested import SAME, NounReader, plain, single
from groundplane.spatial.questions.phrases import PhraseError

__all__ = ["EXAMPLES", "introduce", "is_composed", "read_composition"]

EXAMPLES = (
    "How many chairs are both left of the table and near the sofa?",
    "Is the number of cups on the table less than the number of plates?",
    "There is a chair behind the table; what color is it?",
    "Is there anything else of the same color as the sofa?",
    "Does the chair next to the bed have the same material as the desk?",
)

_NAME = rf"(?P<name>{'|'.join(ATTRIBUTES)})"
_BE = "is|are"
# Nouns that stand for a shape: `is it left of the red ball` does not ask whether it is a ball.
_SOLIDS = frozenset({"sphere", "ball", "cube", "block", "cylinder"})
_HOW_MANY = r"how many|(?:what is |count )?(?:the )?(?:total )?number of|what number of"
_ORDERS = {
    "more": "more", "fewer": "fewer", "less": "fewer", "greater": "more", "larger": "more",
    "bigger": "more", "higher": "more", "smaller": "fewer", "lower": "fewer",
}  # fmt: skip
# Where everything is: `in this picture` anywhere, `in the room` at the end.
_SCOPE = re.compile(
    rf" (?:in|on|of) {MACROS['PICTURE']}\b| (?:in|inside|within|around|throughout) {MACROS['ROOM']}$"
)
# Of these it is asked whether any is so, not whether all are.
_SOME = r"(?:any(?:thing|one)?|some(?:thing)?|one of|at least one)\b"
_Read = Callable[[NounReader, Context], Expression]


def read_composition(text: str, context: Context) -> Expression | None:
    """Read a compositional question; None if it is none, or a word of it is left over.

    Args:
        text: A cleaned question.
        context: The viewpoint and the unit that were taken out of it.

    Examples:
        >>> from groundplane.core.queries import describe
        >>> query = read_composition("how many cups are left of it", Context())
        >>> query is None
        True
        >>> text = "there is a red cube; how many balls are the same size as it"
        >>> describe(read_composition(text, Context()).source.anchor)
        "unique(select('red cube'))"
    """
    reader = NounReader(_SCOPE.sub("", text), context)
    try:
        introduced = introduce(reader)
    except PhraseError:
        return None
    start = reader.mark
    for read in _READERS:
        reader.back_to(start)
        # `is the cube made of the same material as the ball`: there the sentence goes on so.
        reader.bare = read is not _alike
        try:
            expression = read(reader, context)
            reader.end()
        except PhraseError:
            continue
        if introduced and reader.it not in tuple(nodes_of(expression)):
            return None
        return expression
    return None


def is_composed(expression: Expression) -> bool:
    """Whether a query joins sets or relates what is itself related: no simple form can say it.

    Examples:
        >>> is_composed(Count(Select("cups"))), is_composed(Count(And((Select("a"), Select("b")))))
        (False, True)
    """
    nodes = list(nodes_of(expression))
    ends = [node.anchor for node in nodes if isinstance(node, Relate)]
    joined = [node for node in nodes if isinstance(node, Or) and node not in ends]
    # What stands on what stands on something, simply listed, the forms read as well.
    return (
        bool(joined)
        or (len(ends) > 1 and not isinstance(expression, Relate | Unique))
        or any(isinstance(node, Same | And | Except | Filter) for node in nodes)
        or (isinstance(expression, Compare) and isinstance(expression.left, Attribute))
    )


def introduce(reader: NounReader) -> bool:
    """Read `There is a big cube;`, which says what `it` is; False where no such sentence stands."""
    mark = reader.mark
    if not reader.take(r"there (?:is|stands|lies)(?: also)?(?= an? | another | one )"):
        return False
    thing = single(reader.phrase())
    if not reader.take(r"[;,.](?: and)?"):
        reader.back_to(mark)
        return False
    reader.it = thing
    return True


# -- counts ------------------------------------------------------------------------------------


def _counted(reader: NounReader, context: Context) -> Expression:
    reader.need(_HOW_MANY)
    if context.unit is not None:
        raise PhraseError("a count has no unit")
    return Count(_asked(reader))


def _asked(reader: NounReader) -> SetExpression:
    """`cubes are there`, `cubes are left of it`, `things are cubes or red balls`."""
    named = plain(reader.phrase())
    if reader.take(rf"(?:{_BE}) there|(?:{_BE}) (?:visible|present)|there (?:{_BE})|exist"):
        restrict = reader.clause()
        return named if restrict is None else restrict(named)
    verb = reader.take(f"{_BE}|have|has")
    if verb is None:
        return named
    mark = reader.mark
    restrict = reader.predicate()
    if restrict is not None:
        return restrict(named)
    if verb[0] in ("have", "has"):
        raise PhraseError("what they have is not read")
    reader.back_to(mark)
    return _kinds(reader, named)


def _kinds(reader: NounReader, named: SetExpression) -> SetExpression:
    """`either small cubes or red balls that are behind it`."""
    reader.take("either")
    kinds = [plain(reader.phrase())]
    while reader.take("or|, or|,"):
        kinds.append(plain(reader.phrase()))
    if len(kinds) < 2:
        raise PhraseError("one kind is no choice")
    either = Or(tuple(kinds))
    return either if named == Select(None) else And((named, either))


def _existing(reader: NounReader, context: Context) -> Expression:
    del context
    if reader.take(r"(?:is|are) there(?: also)?"):
        return Exists(plain(reader.phrase()))
    reader.need(r"(?:is|are)(?= any| some| an? )")
    named = plain(reader.phrase())
    reader.need("visible|present|there|shown")
    return Exists(named)


def _outnumbering(reader: NounReader, context: Context) -> Expression:
    """`are there more cubes than balls`, `an equal number of cubes and balls`."""
    del context
    reader.need(r"(?:is|are) there")
    if reader.take(r"(?:the same|an equal) (?:number|amount) of"):
        return _numbers(reader, "equal", "and|as")
    if reader.take("as many"):
        return _numbers(reader, "equal", "as")
    order = reader.need("more|fewer|less")[0]
    return _numbers(reader, _ORDERS[order], r"than(?: there (?:is|are))?")


def _numbers(reader: NounReader, operator: str, link: str) -> Expression:
    left = Count(plain(reader.phrase()))
    reader.need(link)
    right = Count(plain(reader.phrase()))
    return Compare(left=left, operator=operator, right=right)  # type: ignore[arg-type]


def _compared(reader: NounReader, context: Context) -> Expression:
    """`is the number of cubes less than the number of balls`."""
    del context
    reader.need(r"is the (?:number|amount|count) of")
    left = Count(plain(reader.phrase()))
    order = reader.take(rf"(?P<order>{'|'.join(_ORDERS)}) than|the same as|equal to")
    if order is None:
        raise PhraseError("it is not said how the numbers compare")
    reader.take(r"(?:the (?:number|amount|count)|that) of")
    right = Count(plain(reader.phrase()))
    operator = _ORDERS[order["order"]] if order["order"] else "equal"
    return Compare(left=left, operator=operator, right=right)  # type: ignore[arg-type]


# -- attributes --------------------------------------------------------------------------------


def _value(source: SetExpression, name: str, context: Context) -> Expression:
    """A size may be stated or measured; the scene decides."""
    if name == "size":
        return Measure(name="size", of=(source,), unit=context.unit)
    return Attribute(source=source, name=name)


def _attribute(reader: NounReader, context: Context) -> Expression:
    """`what color is the cube`, `what is it made of`, `how big is it`."""
    if reader.take(rf"how (?:big|large|small) (?:{_BE})"):
        return _value(reader.phrase(), "size", context)
    if found := reader.take(rf"what (?:is|are) its {_NAME}"):
        return _value(_antecedent(reader), attribute_named(found["name"]) or "", context)
    if found := reader.take(rf"what (?:is|are) the {_NAME} of"):
        return _value(reader.phrase(), attribute_named(found["name"]) or "", context)
    if found := reader.take(rf"(?:what|which) {_NAME} (?:{_BE}|does|has)"):
        name, source = attribute_named(found["name"]) or "", reader.phrase()
        reader.take(r"made (?:out )?of" if name == "material" else "have")
        return _value(source, name, context)
    reader.need(rf"what (?:{_BE})")
    source = reader.phrase()
    reader.need(r"made (?:out )?of")
    return _value(source, "material", context)


def _stated(reader: NounReader, context: Context) -> Expression:
    """`the cube behind it is what color`, `the cube is made of what material`."""
    source = reader.phrase()
    found = reader.take(rf"(?:{_BE}|has|have) (?:what|which) {_NAME}")
    found = found or reader.need(rf"(?:{_BE}) made (?:out )?of (?:what|which) (?P<name>material)")
    return _value(source, attribute_named(found["name"]) or "", context)


def _antecedent(reader: NounReader) -> SetExpression:
    if reader.it is None:
        raise PhraseError("'its' stands for nothing")
    return reader.it


def _alike(reader: NounReader, context: Context) -> Expression:
    """`do the cube and the ball have the same size`, `is its color the same as the ball`."""
    del context
    if found := reader.take(rf"is the {_NAME} of"):
        return _equal(reader.phrase(), reader, found["name"])
    if found := reader.take(rf"is its {_NAME}"):
        return _equal(_antecedent(reader), reader, found["name"])
    reader.need(r"do|does|is|are")
    left = reader.phrase(joined=False)
    if reader.take("and"):
        right = reader.phrase(joined=False)
        found = reader.need(
            rf"(?:have|has|(?:made )?(?:out )?of|with)? ?the same {_NAME}(?: as each other)?"
        )
        return _same_values(left, right, found["name"])
    reader.take("have|has")
    found = reader.need(SAME)
    return _same_values(left, reader.phrase(), found["name"])


def _equal(left: SetExpression, reader: NounReader, name: str) -> Expression:
    reader.need("the same as|equal to")
    reader.take(rf"(?:that|the {name}) of")
    return _same_values(left, reader.phrase(), name)


def _same_values(left: SetExpression, right: SetExpression, name: str) -> Expression:
    attribute = attribute_named(name) or name
    return Compare(
        left=Attribute(source=left, name=attribute),
        operator="equal",
        right=Attribute(source=right, name=attribute),
    )


# -- sets and truths ---------------------------------------------------------------------------


def _listed(reader: NounReader, context: Context) -> Expression:
    """`which chairs are both red and near the door`, `list the cups that are on it`."""
    del context
    if reader.take(r"(?:list|name|show|find)(?: me)?(?: all)?"):
        return reader.phrase()
    if reader.take(rf"(?:what|which) (?:{_BE}|have|has)"):
        restrict = reader.predicate()
        if restrict is not None:
            return restrict(Select(None))
        chosen = reader.phrase()
        if isinstance(plain(chosen), Extreme):
            return chosen
        raise PhraseError("what is asked of it is not said")
    reader.need("what|which")
    named = reader.phrase()
    if not reader.take(f"{_BE}|have|has"):
        return named
    found = _needed(reader)(plain(named))
    return single(found) if isinstance(named, Unique) else found


def _needed(reader: NounReader) -> Callable[[SetExpression], SetExpression]:
    restrict = reader.predicate()
    if restrict is None:
        raise PhraseError(f"no predicate stands at {reader.rest!r}")
    return restrict


def _said(reader: NounReader, context: Context) -> Expression:
    """`is the cup both on the table and near the lamp`, `is the chair next to the bed red`."""
    reader.need(_BE)
    some = re.match(_SOME, reader.rest) is not None
    reader.take("at least one(?: of)?")
    described = re.fullmatch(r"(?P<what>.+?) (?P<no>not )?(?P<value>\w+)", reader.rest.strip())
    meaning = meaning_of(described["value"]) if described is not None else None
    if described is not None and meaning is not None and not _is_name(reader.rest):
        inner = NounReader(described["what"], context)
        inner.it = reader.it
        named = plain(inner.phrase()) if some else inner.phrase()
        inner.end()
        reader.take(".+")
        found: SetExpression = Filter(named, *meaning)
        found = Except(named, found) if described["no"] else found
        return Exists(found) if some else _holds(named, found)
    named = plain(reader.name()) if some else reader.name()
    found = _needed(reader)(named)
    if isinstance(found, Or):
        raise PhraseError("what is asked is a choice, not whether any of it holds")
    return Exists(found) if some else _holds(named, found)


def _is_name(text: str) -> bool:
    """`ceiling light`, `wine glass` and `red ball` are things; nothing is said of a ceiling."""
    *_, before, last = text.split()
    if last in _SOLIDS or normalise(f"{before} {last}") in known_nouns():
        return True
    meaning = meaning_of(before)
    return meaning is not None and meaning[0] != "shape" and before not in known_nouns()


def _holds(named: SetExpression, found: SetExpression) -> Expression:
    """Of one thing, whether it is among those found; of several, whether all are."""
    if isinstance(named, Unique):
        return Exists(found)
    return Compare(left=Count(found), operator="equal", right=Count(named))


_READERS: tuple[_Read, ...] = (
    _counted, _outnumbering, _compared, _attribute, _alike, _existing, _stated, _listed, _said,
)  # fmt: skip
