"""Chinese noun phrases, relations, lists and viewpoints, as the same expressions as in English."""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from groundplane.core.expressions import (
    Extreme,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
    Viewpoint,
)
from groundplane.core.lexicon import plural
from groundplane.spatial.questions.chinese_words import (
    COLORS,
    MEASURE_WORDS,
    english_noun,
    is_chinese,
    near_nouns,
)
from groundplane.spatial.questions.phrases import PhraseError, read_phrase

__all__ = [
    "ANYTHING",
    "RELATION",
    "SUPERLATIVES",
    "UnknownNounError",
    "read_list",
    "read_noun",
    "read_options",
    "read_relation",
    "read_set",
    "read_thing",
    "take_viewpoint",
]

ANYTHING = "(?:东西|物体|物品|物件|家具|对象)"
# After 最, or after 更: the measure, and whether the larger one wins.
SUPERLATIVES = {
    "大": ("volume", True), "小": ("volume", False), "高": ("height", True),
    "矮": ("height", False), "长": ("size", True), "短": ("size", False), "宽": ("width", True),
    "窄": ("width", False), "深": ("depth", True), "厚": ("depth", True), "薄": ("depth", False),
}  # fmt: skip
_END = "(?:手)?(?:边|面|侧|方|头)?"
# Longer wordings first; each follows the thing that it is said of (`桌子旁边`).
_RELATIONS: tuple[tuple[str, str], ...] = (
    ("left_of", f"左{_END}"),
    ("right_of", f"右{_END}"),
    ("in_front_of", "正?前(?:边|面|方)|正前方"),
    ("behind", "后(?:边|面|方)|背后"),
    ("above", "(?:正)?上方|上空"),
    ("on", "上(?:面|边|头)?"),
    ("under", "(?:正)?(?:下(?:面|边|方)|底下)|下"),
    ("inside", "里(?:面|边|头)?|内部?|中间?"),
    ("next_to", "旁边?|边上|隔壁|一旁"),
    ("near", "附近|周围|四周|近旁"),
)
RELATION = "|".join(words for _, words in _RELATIONS)
_DETERMINERS = (
    rf"^(?:(?:我的|你的|房间里的?|屋里的?|图中的?|画面中的?)?(?:这|那|该|此|某|任何|其他)?"
    rf"(?:一|几|些)?{MEASURE_WORDS}?)"
)
_ALL = r"^(?:所有的?|全部的?|每一?(?:个|把|张|台|盏|扇|只)?|各(?:个)?|任意)"
_COLOR = re.compile(rf"({'|'.join(sorted(COLORS, key=len, reverse=True))})色?的?(.+)")
_NEAR = re.compile(r"(?:离|距离?|与)(.+?)(?:距离)?最(近|远)的(.+)")
_MOST = re.compile(rf"最({'|'.join(SUPERLATIVES)})的(.+)")
_LOCATED = re.compile(rf"(?:在)?(.+?)(?:的)?({RELATION})的(.+)")
_LIST = re.compile(r"[,、;/和与跟及]|以及|还是|或者?|还有")


class UnknownNounError(PhraseError):
    """A thing's name is not known; the text suggests others."""


def read_noun(text: str) -> str | None:
    """The English name of a thing; None for anything.

    Raises:
        UnknownNounError: If the name is not known.
    """
    name = re.sub(r"的$", "", text.strip(" ,.:;?!'[]"))
    if re.fullmatch(rf"(?:这|那|哪|一|任何|所有的?)?(?:一|些)?{MEASURE_WORDS}?{ANYTHING}", name):
        return None
    for form in dict.fromkeys((name, re.sub(_DETERMINERS, "", name), re.sub(_ALL, "", name))):
        if known := english_noun(form):
            return known
        color = _COLOR.fullmatch(form)
        if color and (known := english_noun(color[2])):
            return f"{COLORS[color[1]]} {known}"
    bare = re.sub(_DETERMINERS, "", name) or name
    if not is_chinese(bare) and bare:
        return bare
    near = near_nouns(bare)
    hint = f"，是不是{'、'.join(f'“{noun}”' for noun in near)}" if near else ""
    raise UnknownNounError(f"不认识物体“{bare}”{hint}")


def read_thing(text: str) -> SetExpression:
    """One thing, as `the sofa` in English.

    Raises:
        PhraseError: If it cannot be read.

    Examples:
        >>> read_thing("那张桌子")
        Unique(source=Select(phrase='table'))
        >>> read_thing("离门最近的椅子").source.anchor
        Unique(source=Select(phrase='door'))
    """
    found = read_set(text)
    return found if isinstance(found, Unique) else Unique(found)


def read_set(text: str, *, many: bool = False) -> SetExpression:
    """A set of things: all of a name, restricted by where or how they are.

    Args:
        text: The phrase, without the verb.
        many: Whether the name stands for several, as `chairs` in English.
    """
    text = text.strip(" ,.:;?!")
    if near := _NEAR.fullmatch(text):
        return Unique(
            Extreme(
                source=read_set(near[3]), measure="distance", largest=near[2] == "远",
                anchor=read_thing(near[1]),
            )
        )  # fmt: skip
    if most := _MOST.fullmatch(text):
        measure, largest = SUPERLATIVES[most[1]]
        return Unique(Extreme(source=read_set(most[2]), measure=measure, largest=largest))
    if located := _LOCATED.fullmatch(text):
        source = read_set(located[3], many=many)
        related = read_relation(source, located[1], located[2])
        return related if many else Unique(related)
    if not is_chinese(text):
        return read_phrase(text)
    name = read_noun(text)
    several = many and name is not None and is_chinese(text)
    return Select(plural(name) if several and name is not None else name)


def read_relation(
    source: SetExpression, anchor: str, words: str, *, view: Viewpoint | None = None
) -> Relate:
    """Those of a set that stand where the words say, of an anchor or of the viewer."""
    name = next(name for name, wording in _RELATIONS if re.fullmatch(wording, words))
    viewer = anchor.removesuffix("的") in ("我", "你", "")
    if viewer and view is None:
        raise PhraseError("没有说明站在哪里、面向哪里")
    return Relate(
        source=source, relation=name, anchor=None if viewer else read_thing(anchor), viewpoint=view
    )


def read_list(text: str) -> tuple[SetExpression, ...]:
    """The things of an enumeration.

    Examples:
        >>> [str(thing.source.phrase) for thing in read_list("椅子、桌子和门")]
        ['chair', 'table', 'door']
    """
    parts = [part.strip(" ()'[]") for part in _LIST.split(text.strip(" ()[].?'"))]
    things = tuple(read_thing(part) for part in parts if part)
    if len(things) < 2:
        raise PhraseError("至少要有两个物体")
    return things


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenery:
    """A question and the viewpoint taken out of it; `text` is the rest."""

    text: str
    viewpoint: Viewpoint | None = None


_WHO = "(?:如果|假如|假设|设想|想象|假定|当|若|要是|假使)?(?:我|你|有人|一个人|某人)?(?:现在|此时)?(?:正)?"
_STAND = "(?:站立?|坐|位于|处于|身处|待|躺)?(?:在|于)"
_BESIDE = "(?:旁边?|边上|附近|那里|这里|处|边|跟前|的位置)?"
_JOIN = "[,、]?(?:并且?|而且?|同时|然后|且)?(?:我|你)?(?:正|脸|身体)?"
_LOOK = (
    "(?P<how>面向|面对|面朝|朝向|朝着|看着|看向|望向|望着|正对|对着|背对|背向|背朝|背靠|背朝着)着?"
)
_STOP = r"(?:的时候|时候?|的话|站着|方向)?(?:[,.:;]+|(?<=时)|(?<=时候)|(?<=的话))(?:那么?|则|请问|问)?,?"
_VIEWS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_WHO}{_STAND}(?P<p>.+?){_BESIDE}{_JOIN}{_LOOK}(?P<o>.+?){_STOP}(?P<q>.+)",
        rf"{_WHO}{_LOOK}(?P<o>.+?)[,、]?(?:并|且|而)?{_STAND}(?P<p>.+?){_BESIDE}{_STOP}(?P<q>.+)",
        rf"从(?P<p>.+?){_BESIDE}(?:,)?(?P<how>看向|望向|面向|朝)(?P<o>.+?){_STOP}(?P<q>.+)",
        rf"(?P<q>.+?[?,]){_WHO}{_STAND}(?P<p>.+?){_BESIDE}{_JOIN}{_LOOK}(?P<o>[^,?]+?)"
        r"(?:的时候|时|的话)?",
    )
)


def take_viewpoint(text: str) -> Scenery:
    """Take the words that say where somebody stands and looks out of a question.

    Examples:
        >>> scenery = take_viewpoint("我站在电视旁边,面向床,门在我的左边吗")
        >>> scenery.text, scenery.viewpoint.facing
        ('门在我的左边吗', Unique(source=Select(phrase='bed')))
        >>> take_viewpoint("有几把椅子").viewpoint is None
        True
    """
    unknown: UnknownNounError | None = None
    for pattern in _VIEWS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        try:
            turn = math.pi if match["how"].startswith("背") else 0.0
            view = Viewpoint(
                origin=read_thing(match["p"]), facing=read_thing(match["o"]), turn=turn
            )
        except UnknownNounError as error:
            unknown = unknown or error
            continue
        except PhraseError:
            continue
        return Scenery(text=match["q"].strip(" ,?."), viewpoint=view)
    if unknown is not None:
        raise unknown
    return Scenery(text=text)


def read_options(choices: tuple[str, ...]) -> Or:
    """Options of a choice as the things to choose from."""
    return Or(tuple(read_thing(choice) for choice in choices))
