"""Words for what things are like: `shiny` is metal, `tiny` is small, `crimson` nothing we know.

A phrase such as `the big red ball` names objects by what a source states of them. The words here
say which attribute an adjective speaks of and which value it stands for; a word that is not here
may still be a value that a source states.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ATTRIBUTES", "attribute_named", "has_value", "meaning_of", "same_value", "states"]

# The attributes that questions ask for, and how people write them.
ATTRIBUTES: Mapping[str, str] = {
    "size": "size", "color": "color", "colour": "color", "material": "material", "shape": "shape",
}  # fmt: skip

# The first word of each group is the value; sizes, materials and shapes as CLEVR words them
# (Johnson et al., CVPR 2017), and what else is common indoors.
_VALUES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "size": (("large", "big", "huge"), ("small", "tiny", "little"), ("medium", "middling")),
    "material": (
        ("metal", "metallic", "shiny"), ("rubber", "matte"), ("wood", "wooden"), ("plastic",),
        ("glass",), ("leather",), ("fabric", "cloth"), ("stone",), ("ceramic",),
    ),
    "shape": (
        ("sphere", "spherical", "ball"), ("cube", "cubic", "cubical", "block"),
        ("cylinder", "cylindrical"), ("round",), ("square",), ("rectangular",),
    ),
    "color": (
        ("black",), ("white",), ("gray", "grey"), ("red",), ("green",), ("blue",), ("yellow",),
        ("orange",), ("brown",), ("purple",), ("pink",), ("beige",), ("silver",), ("gold",),
        ("cyan",), ("magenta",), ("turquoise",), ("violet",), ("cream",), ("tan",), ("dark",),
        ("light",),
    ),
}  # fmt: skip
_MEANINGS = {
    word: (attribute, group[0])
    for attribute, groups in _VALUES.items()
    for group in groups
    for word in group
}


def attribute_named(word: str) -> str | None:
    """The attribute that a noun asks for, or None.

    Examples:
        >>> attribute_named("colour"), attribute_named("weight")
        ('color', None)
    """
    return ATTRIBUTES.get(word.lower())


def meaning_of(word: str) -> tuple[str, str] | None:
    """Which attribute an adjective speaks of, and the value; None for any other word.

    Examples:
        >>> meaning_of("Tiny"), meaning_of("shiny"), meaning_of("kitchen")
        (('size', 'small'), ('material', 'metal'), None)
    """
    return _MEANINGS.get(word.lower())


def same_value(told: str, asked: str) -> bool:
    """Whether two words stand for one value of an attribute.

    Examples:
        >>> same_value("large", "big"), same_value("Red", "red"), same_value("red", "rubber")
        (True, True, False)
    """
    a, b = told.lower(), asked.lower()
    return a == b or (a in _MEANINGS and _MEANINGS.get(a) == _MEANINGS.get(b))


def states(attributes: Mapping[str, str], word: str) -> bool:
    """Whether a word describes an object of which these attributes are stated.

    Examples:
        >>> states({"size": "large", "color": "dark blue"}, "big")
        True
        >>> states({"color": "dark blue"}, "blue"), states({"color": "dark blue"}, "red")
        (True, False)
        >>> states({}, "red")
        False
    """
    wanted = word.lower()
    if any(wanted in value.lower().split() for value in attributes.values()):
        return True
    attribute, value = _MEANINGS.get(wanted, ("", ""))
    told = attributes.get(attribute, "").lower().split()
    return any(_MEANINGS.get(part, ("", part))[1] == value for part in told)


def has_value(attribute: str, told: str, asked: str) -> bool:
    """Whether what is stated of an attribute is a value, or a kind of it.

    Examples:
        >>> has_value("color", "dark blue", "blue"), has_value("color", "blue", "dark blue")
        (True, False)
        >>> has_value("material", "oak wood", "wooden")
        True
    """
    return same_value(told, asked) or states({attribute: told}, asked)
