"""Chinese questions: the same queries as the English ones.

A question is brought to one writing, what it says of unit and viewpoint is taken out, and the rest
is matched with the forms below, from the particular to the general.
"""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from groundplane.core.expressions import Extreme, Or, Select, SetExpression, Unique
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
    Sectors,
    Way,
)
from groundplane.spatial.questions.chinese_phrases import (
    ANYTHING,
    RELATION,
    SUPERLATIVES,
    Scenery,
    UnknownNounError,
    read_list,
    read_options,
    read_relation,
    read_set,
    read_thing,
    take_viewpoint,
)
from groundplane.spatial.questions.chinese_routes import read_route
from groundplane.spatial.questions.chinese_text import (
    core_of,
    split_options,
    strip_letter,
    take_unit,
)
from groundplane.spatial.questions.chinese_words import (
    MEASURE_WORDS,
    chinese_noun,
    english_option,
    simplify,
)
from groundplane.spatial.questions.phrases import PhraseError

__all__ = ["EXAMPLES", "ChineseQuestion", "complaint", "read_chinese"]


_MOST = 600
EXAMPLES = (
    "房间里有几把椅子？", "床的最长边是多少厘米？", "这个房间有多少平方米？",
    "从最近点测量，电视和床之间的距离是多少米？", "椅子、凳子、沙发中哪个离电视最近？",
    "我站在床旁边面向电视，桌子在我的左边、右边还是后面？", "灯、门、床首次出现的顺序是什么？",
    "桌子上有什么？",
)  # fmt: skip

_ROOM = (
    "(?:这|那|该|整|本)?(?:个|间|套|栋|处)?(?:房间|屋子|房子|屋|公寓|客厅|卧室|厨房|浴室|卫生间|"
    "空间|场景|办公室|住宅|室内|家)"
)
_PLACE = (
    rf"(?:在)?(?:{_ROOM}(?:里面?|内|中|里头)?|(?:这|该)?(?:张)?(?:图|图片|照片|画面|视频|录像)(?:里|中|上)?|"
    rf"这里|这儿|里面)?(?:的)?"
)
_TOTAL = "(?:一共|总共|共|共有|到底|大概|大约|约)?"
_SEE = "(?:有|能看到|可以看到|看得到|看到|看见|放着|摆着|存在|出现了?|包含)"
_HOW_MANY = f"(?:多少|几)(?:{MEASURE_WORDS}(?:的)?)?"
_IS = "(?:大约|大概|约)?(?:是|有|为|等于)?(?:大约|大概|约)?"
_AND = "(?:和|与|跟|到|离|距离?|同|至|及)"
_L, _R = "左(?:手)?(?:边|侧|面|方)?", "右(?:手)?(?:边|侧|面|方)?"
_F, _B = "(?:正?前(?:面|方|边)|前)", "(?:身后|背后|背面|正?后(?:面|方|边|侧)|后|背)"
_OR = "[,、/]?(?:还是|或者?|或是|抑或)?(?:在)?(?:我|它)?(?:的)?"
_MY = "(?:是)?(?:在|位于|处于)(?:我|你)?(?:的)?"
_QUARTER = "(?:左前|右前|左后|右后|前左|前右|后左|后右)(?:方|侧|面|边)?"
_WHICH = f"(?:哪|谁|什么)(?:一|1)?(?:个|件|样|种|把|张|台|盏|扇)?{ANYTHING}?"
_SIZES = {
    "高": "height", "宽": "width", "长": "size", "大": "size", "深": "depth", "厚": "depth",
    "高度": "height", "宽度": "width", "长度": "size", "深度": "depth", "厚度": "depth",
    "尺寸": "size", "大小": "size", "体积": "volume", "占地面积": "floor_area", "面积": "floor_area",
}  # fmt: skip
_NOT_A_ROOM = f"(?!{_ROOM}(?:的)?$)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChineseQuestion:
    """A Chinese question as a query.

    Attributes:
        expression: The query, as an English question gives it.
        form: Name of the form that matched.
        choices: The options in English, without their letters.
        unit: The unit asked for, or None.
    """

    expression: Expression
    form: str
    choices: tuple[str, ...]
    unit: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A match with what was taken out of the question before."""

    slots: dict[str, str]
    scenery: Scenery
    unit: str | None
    choices: tuple[str, ...]

    def __getitem__(self, name: str) -> str:
        return self.slots[name]

    def thing(self, name: str) -> SetExpression:
        return read_thing(self.slots[name])


_Builder = Callable[[_Asked], Expression]


def _count(asked: _Asked) -> Expression:
    if "r" in asked.slots:
        counted = read_set(asked["a"], many=True)
        return Count(read_relation(counted, asked["b"], asked["r"], view=asked.scenery.viewpoint))
    return Count(read_set(asked["a"], many=True))


def _distance(asked: _Asked) -> Expression:
    name = "center_distance" if asked.slots.get("center") else "distance"
    return Measure(name=name, of=(asked.thing("a"), asked.thing("b")), unit=asked.unit)


def _size(asked: _Asked) -> Expression:
    name = _SIZES[asked.slots.get("size", "长")]
    return Measure(name=name, of=(asked.thing("a"),), unit=asked.unit)


def _room(asked: _Asked) -> Expression:
    return Measure(name="room_area", unit=asked.unit)


def _elevation(asked: _Asked) -> Expression:
    return Measure(name="elevation", of=(asked.thing("a"),), unit=asked.unit)


def _nearest(asked: _Asked) -> Expression:
    """Among a list, among the options, of a kind, or of all."""
    far, anchor = asked["far"].endswith("远"), asked.thing("b")
    if asked.slots.get("l"):
        among: SetExpression = Or(read_list(asked["l"]))
    elif len(asked.choices) > 1:
        among = read_options(asked.choices)
    else:
        kind = read_set(asked.slots.get("a") or "物体")
        return Unique(Extreme(source=kind, measure="distance", largest=far, anchor=anchor))
    return Extreme(source=among, measure="distance", largest=far, anchor=anchor)


def _nearer_of_two(asked: _Asked) -> Expression:
    among = Or((asked.thing("b"), asked.thing("c")))
    far = asked["far"].endswith("远")
    return Extreme(source=among, measure="distance", largest=far, anchor=asked.thing("a"))


def _biggest(asked: _Asked) -> Expression:
    measure, largest = SUPERLATIVES[asked["most"]]
    if asked.slots.get("l"):
        return Extreme(source=Or(read_list(asked["l"])), measure=measure, largest=largest)
    if len(asked.choices) > 1:
        among = read_options(asked.choices)
        return Extreme(source=among, measure=measure, largest=largest)
    kind = read_set(asked.slots.get("a") or "物体")
    return Unique(Extreme(source=kind, measure=measure, largest=largest))


def _bigger_than(asked: _Asked) -> Expression:
    measure, largest = SUPERLATIVES[asked["most"]]
    left, right = (Measure(name=measure, of=(asked.thing(name),)) for name in "ab")
    return Compare(left=left, operator="more" if largest else "fewer", right=right)


def _more_than(asked: _Asked) -> Expression:
    left, right = (Count(read_set(asked[name], many=True)) for name in "ab")
    return Compare(left=left, operator="more" if asked["more"] == "多" else "fewer", right=right)


def _direction(sectors: Sectors | None) -> _Builder:
    """`sectors` None: as the options part the directions, else all eight."""

    def build(asked: _Asked) -> Expression:
        anchor = asked.thing("b") if asked.slots.get("b") else None
        view, target = asked.scenery.viewpoint, asked.thing("a")
        if view is None and anchor is None and sectors is None:
            return Attribute(source=target, name="place")
        if view is None and anchor is None and sectors != "sides":
            raise PhraseError("没有说明站在哪里、面向哪里")
        into = sectors or _sectors_of(asked.choices) or "compass"
        return Direction(target=target, viewpoint=view, anchor=anchor, sectors=into)

    return build


def _sectors_of(choices: Sequence[str]) -> Sectors | None:
    offered = {choice.lower() for choice in choices}
    if not offered:
        return None
    if all("-" in choice for choice in offered):
        return "quadrants"
    tables: tuple[tuple[set[str], Sectors], ...] = (
        ({"left", "right"}, "sides"), ({"left", "right", "back"}, "sides_and_back"),
        ({"front", "back"}, "front_back"),
    )  # fmt: skip
    return next((sectors for words, sectors in tables if offered == words), None)


def _order(asked: _Asked) -> Expression:
    return Order(read_list(asked["l"]))


def _first_seen(asked: _Asked) -> Expression:
    last = asked["when"] in ("最后", "最晚")
    return Extreme(source=Or(read_list(asked["l"])), measure="first_seen", largest=last)


def _exists(asked: _Asked) -> Expression:
    found = read_set(asked["a"])
    if "r" not in asked.slots:
        return Exists(found)
    related = read_relation(found, asked["b"], asked["r"], view=asked.scenery.viewpoint)
    return Exists(Unique(related) if found != Select(None) else related)


def _is_related(asked: _Asked) -> Expression:
    view = asked.scenery.viewpoint
    return Exists(read_relation(asked.thing("a"), asked["b"], asked["r"], view=view))


def _what_is(asked: _Asked) -> Expression:
    kind = read_set(asked.slots.get("a") or "物体", many=True)
    return read_relation(kind, asked["b"], asked["r"], view=asked.scenery.viewpoint)


def _attribute(asked: _Asked) -> Expression:
    name = {"颜色": "color", "材质": "material", "材料": "material"}[asked["name"]]
    return Attribute(source=asked.thing("a"), name=name)


def _list_all(asked: _Asked) -> Expression:
    del asked
    return Select(None)


def _way(asked: _Asked) -> Expression:
    if "far" in asked.slots:
        tell = "length"
    else:
        tell = "possible" if re.search("能|可以", asked["tell"]) else "steps"
    unit = asked.unit if tell == "length" else None
    return Way(start=asked.thing("a"), goal=asked.thing("b"), tell=tell, unit=unit)  # type: ignore[arg-type]


_FAR = "(?P<far>(?:最|更|较|比较)(?:近|远|接近))"
_OF_THESE = (
    rf"(?:在)?(?:以下|下列|下面|这些|这几个|如下)?(?:的)?(?:几个|四个|三个|两个)?{ANYTHING}?(?:之?中|里)?"
    r"[(:,]*(?P<l>[^?()]+?)[)]*(?:这)?(?:些|几个|几样|两个|三个|四个)?"
    rf"{ANYTHING}?(?:之?中|里|当中)?[,:]*"
)
_FORMS: tuple[tuple[str, _Builder, tuple[str, ...]], ...] = (
    ("appearance order", _order, (
        r"(?:以下|下列|这些)?(?:类别|物体|东西)?(?:在视频(?:中|里))?(?:的)?(?:首次|第一次|最初|最先)?"
        r"(?:出现|被看到|现身)的?(?:先后)?(?:顺序|次序|先后)(?:是什么|是怎样的|如何|为何|是)?[:,?]*(?P<l>.+)",
        r"(?:在?视频(?:中|里),?)?(?:以下|下列|这些)?(?:类别|物体|东西)?[:(]*(?P<l>.+?)[)]*(?:这些类别|这几个类别|"
        r"这些物体|各自)?(?:在视频(?:中|里))?(?:的)?(?:首次|第一次|最初|最先)?(?:出现|被看到|现身)(?:的)?(?:先后)?"
        r"(?:顺序|次序|先后)(?:是什么|是怎样的|如何|是)?",
        r"按(?:照)?(?:首次|第一次|最初)?(?:出现|看到)的?(?:先后)?(?:顺序|次序|先后)?,?(?:给|把)?(?:以下|下列)?"
        r"(?:类别|物体)?(?:排列|排序|列出)?[:,]*(?P<l>.+?)(?:排序|排列)?",
    )),
    ("seen first", _first_seen, (
        rf"(?:视频(?:中|里),?)?(?P<l>.+?)(?:中|里|当中)?,?{_WHICH}(?:是)?(?P<when>最先|首先|最早|最后|最晚|先)"
        "(?:出现|被看到)的?",
    )),
    ("nearest option", _nearest, (
        rf"{_OF_THESE}{_WHICH}(?:是)?(?:离|距离?|与|和|跟)(?P<b>.+?)(?:的?距离)?(?:是)?{_FAR}的?",
        rf"(?:(?:以下|下列|下面|这些){ANYTHING}?(?:中|里)?,?)?{_WHICH}(?:是)?(?:离|距离?|与|和|跟)(?P<b>.+?)"
        rf"(?:的?距离)?{_FAR}[,:?(]+(?P<l>.+?)[)]?",
        rf"(?:离|距离?|与)(?P<b>.+?)(?:的?距离)?{_FAR}的(?:{ANYTHING})?是(?:以下|下列)?{_WHICH}?[,:?(]+(?P<l>.+?)[)]?",
    )),
    ("nearer of two", _nearer_of_two, (
        r"(?P<a>.+?)(?:是)?(?:离|距离?|与)(?P<b>.+?)(?P<far>(?:更|比较|较)?(?:近|远))(?:一些|一点)?,?还是"
        r"(?:离|距离?|与)?(?P<c>.+?)(?:更)?(?:近|远)?",
    )),
    ("nearest", _nearest, (
        rf"(?:以下|下列|下面|这些)?(?:{ANYTHING})?(?:中|里)?,?{_WHICH}(?:离|距离?|与)(?P<b>.+?)(?:的?距离)?{_FAR}的?",
        rf"(?:离|距离?|与)(?P<b>.+?)(?:的?距离)?{_FAR}的(?:{ANYTHING})?是{_WHICH}",
        rf"(?:离|距离?|与)(?P<b>.+?)(?:的?距离)?{_FAR}的(?P<a>.+?)(?:是{_WHICH}|在哪里?|在哪儿)?",
        rf"(?:哪|什么)(?:一|1)?{MEASURE_WORDS}(?P<a>.+?)(?:离|距离?|与)(?P<b>.+?)(?:的?距离)?{_FAR}",
    )),
    ("longest side", _size, (
        r"(?P<a>.+?)(?:的)?(?:[(]?长[度]?[、,]?宽[度]?[、,]?(?:或|和|以及|及|与)?高[度]?[)]?(?:中|之中|里|当中)?(?:的)?)?"
        r"最(?:长|大)(?:的)?(?:那)?(?:一)?(?:条)?(?:边长?|维度|尺寸|维|长度|侧)(?:[(].*[)])?(?:的长度)?"
        rf"{_IS}(?:多少|多长|几|多大)?",
        r"(?P<a>.+?)(?:最长|最大)(?:的地方|处)?(?:有|是)?多(?:长|少)",
    )),
    ("room size", _room, (
        rf"(?:请问)?{_ROOM}(?:的)?(?:总|地板|地面|室内|建筑|使用)?(?:面积|大小|尺寸|占地面积)?{_IS}(?:多大|多少|几)?"
        r"(?:面积|大)?",
        rf"{_ROOM}(?:有)?多大(?:面积)?",
        rf"(?:估计|估算|求|计算)?{_ROOM}(?:的)?(?:总)?(?:面积|大小)",
    )),
    ("elevation", _elevation, (
        rf"(?P<a>.+?)(?:离|距离?|高出)(?:地面|地板|地){_IS}(?:多高|多远|多少|几)",
        rf"(?P<a>.+?)的?(?:离地|距地)(?:面|板)?(?:的)?(?:高度|距离)?{_IS}(?:多高|多少|几)?",
    )),
    ("walking distance", _way, (
        r"从(?P<a>.+?)(?:走到|步行到|走去)(?P<b>.+?)(?:有|要走|需要走)?多(?P<far>远|少)",
    )),
    ("way", _way, (
        r"从(?P<a>.+?)(?P<tell>怎么走到|怎么去|如何走到|如何到达|怎样走到|怎样到|怎么到)(?P<b>.+?)",
        r"从(?P<a>.+?)到(?P<b>.+?)(?P<tell>怎么走|如何走|怎样走|的路线是什么|的路怎么走)",
        r"(?:我)?(?P<tell>能不能|能否|可以|是否可以|能)从(?P<a>.+?)(?:走|步行)到(?P<b>.+?)",
        r"从(?P<a>.+?)(?P<tell>能不能|能否|可以|能)(?:走|步行)到(?P<b>.+?)",
    )),
    ("distance", _distance, (
        rf"(?:从)?(?P<a>.+?){_AND}(?P<b>.+?)(?P<center>(?:的)?(?:中心|中点))(?:点)?(?:之?间)?(?:的)?距离?{_IS}(?:多远|多少|几)?",
        rf"(?:从)?(?P<a>.+?){_AND}(?P<b>.+?)(?:之?间|两者)?(?:的)?(?:最短|最近|最小|直线|直接|实际)?(?:的)?"
        rf"(?:距离|间距|间隔){_IS}(?:多远|多少|几|多大|多长)?",
        rf"(?:从)?(?P<a>.+?){_AND}(?P<b>.+?)(?:之?间)?(?:有|相距|相隔|隔着?|距离|离|差)*{_IS}(?:多远|多少|几)",
    )),
    ("direction, quadrants", _direction("quadrants"), (
        rf"(?P<a>.+?){_MY}{_QUARTER}(?:{_OR}{_QUARTER})+",
        rf"(?P<a>.+?){_MY}(?:哪个|哪一个|什么)象限",
    )),
    ("direction, with back", _direction("sides_and_back"), (
        rf"(?P<a>.+?){_MY}{_L}{_OR}{_R}{_OR}{_B}", rf"(?P<a>.+?){_MY}{_R}{_OR}{_L}{_OR}{_B}",
        rf"(?P<a>.+?){_MY}{_L}{_OR}{_B}{_OR}{_R}", rf"(?P<a>.+?){_MY}{_B}{_OR}{_L}{_OR}{_R}",
        rf"(?P<a>.+?){_MY}{_R}{_OR}{_B}{_OR}{_L}", rf"(?P<a>.+?){_MY}{_B}{_OR}{_R}{_OR}{_L}",
    )),
    ("direction, front or back", _direction("front_back"), (
        rf"(?P<a>.+?){_MY}{_F}{_OR}{_B}", rf"(?P<a>.+?){_MY}{_B}{_OR}{_F}",
    )),
    ("direction, sides", _direction("sides"), (
        rf"(?P<a>.+?){_MY}(?:{_L}{_OR}{_R}|{_R}{_OR}{_L})",
        rf"(?P<a>.+?)(?:是)?在(?P<b>(?!我|你).+?)(?:的)?(?:{_L}{_OR}{_R}|{_R}{_OR}{_L})",
        rf"(?P<a>.+?){_MY}(?:哪一?边|哪一?侧|左还是右)",
        r"(?P<a>.+?)(?:是)?在(?P<b>(?!我|你).+?)(?:的)?(?:哪一?边|哪一?侧)",
    )),
    ("direction", _direction(None), (
        rf"(?P<a>.+?){_MY}(?:什么|哪个|哪一个|何)(?:方向|方位|位置)",
        r"(?P<a>.+?)(?:是)?在(?P<b>(?!我|你).+?)(?:的)?(?:什么|哪个|哪一个|何)(?:方向|方位|位置)",
        r"(?P<a>.+?)(?:在|位于)(?:哪里|哪儿|何处|什么地方|哪)",
        r"(?P<a>.+?)的(?:位置|方位)(?:在哪里?|是什么|是哪里)?",
    )),
    ("colour", _attribute, (
        r"(?P<a>.+?)(?:是|的)(?:什么|哪种)?(?P<name>颜色|材质|材料)(?:的)?(?:是什么)?(?:做的)?",
    )),
    ("more or fewer", _more_than, (
        r"(?P<a>.+?)(?:的?数量)?比(?P<b>.+?)(?:更)?(?P<more>多|少)",
    )),
    ("bigger than", _bigger_than, (
        rf"(?P<a>.+?)(?:是否|是不是)?比(?P<b>.+?)(?:更|还)?(?P<most>{'|'.join(SUPERLATIVES)})",
    )),
    ("biggest of", _biggest, (
        rf"{_OF_THESE}{_WHICH}(?:是)?(?:更|最|比较)(?P<most>{'|'.join(SUPERLATIVES)})的?",
        rf"{_WHICH}(?:是)?(?:更|最)(?P<most>{'|'.join(SUPERLATIVES)})[,:?(]+(?P<l>.+?)[)]?",
    )),
    ("biggest", _biggest, (
        rf"最(?P<most>{'|'.join(SUPERLATIVES)})的(?P<a>.+?)(?:是{_WHICH}|在哪里?)?",
        rf"(?:{_PLACE})?(?:哪|什么)(?:一|1)?{MEASURE_WORDS}(?P<a>.+?)最(?P<most>{'|'.join(SUPERLATIVES)})",
        rf"{_WHICH}最(?P<most>{'|'.join(SUPERLATIVES)})",
    )),
    ("size", _size, (
        rf"{_NOT_A_ROOM}(?P<a>.+?){_IS}多(?P<size>高|宽|长|大|深|厚)",
        rf"{_NOT_A_ROOM}(?P<a>.+?)(?:的)?(?P<size>高度|宽度|长度|深度|厚度|尺寸|大小|体积|占地面积|面积)"
        rf"{_IS}(?:多少|几|多大|多高|多长|多宽|什么)?",
        rf"{_NOT_A_ROOM}(?P<a>.+?)(?P<size>高|宽|长){_IS}(?:多少|几)",
    )),
    ("count in relation", _count, (
        rf"(?:{_PLACE})(?P<b>.+?)(?:的)?(?P<r>{RELATION}){_TOTAL}{_SEE}{_HOW_MANY}(?P<a>.+?)",
        rf"{_PLACE}{_SEE}?{_HOW_MANY}(?P<a>.+?)(?:是)?在(?P<b>.+?)(?:的)?(?P<r>{RELATION})",
        rf"(?P<b>.+?)(?:的)?(?P<r>{RELATION})的(?P<a>.+?)(?:一共)?有(?:多少|几){MEASURE_WORDS}?",
    )),
    ("count", _count, (
        rf"{_PLACE},?{_TOTAL}{_SEE}{_TOTAL}{_HOW_MANY}(?P<a>.+?)(?:在{_PLACE})?",
        rf"{_PLACE}(?P<a>.+?){_TOTAL}有{_TOTAL}(?:多少|几){MEASURE_WORDS}?",
        rf"(?:数一?数|数数|统计|计算)(?:一下)?{_PLACE}(?:有(?:多少|几){MEASURE_WORDS}?)?(?P<a>.+?)(?:的(?:数量|个数|数目))?",
        rf"{_PLACE}(?P<a>.+?)的(?:数量|个数|数目|总数)(?:是多少|有多少|是几)?",
        rf"{_HOW_MANY}(?P<a>.+?)(?:在{_PLACE})?",
    )),
    ("what is there", _what_is, (
        rf"(?P<b>.+?)(?:的)?(?P<r>{RELATION})(?:都)?(?:有|是|放着|摆着|放了)(?:些)?(?:什么|哪些)(?:{ANYTHING}|(?P<a>.+))?",
        rf"(?:什么|哪些|哪个)(?:{ANYTHING}|(?P<a>[^在]+?))?(?:是)?在(?P<b>.+?)(?:的)?(?P<r>{RELATION})",
    )),
    ("exists in relation", _exists, (
        rf"(?P<b>.+?)(?:的)?(?P<r>{RELATION})(?:有没有|有无|是否有|有)(?P<a>.+?)",
    )),
    ("exists", _exists, (
        rf"{_PLACE}(?:有没有|有无|是否(?:有|存在)|存在)(?P<a>.+?)",
        rf"{_PLACE}(?:能看到|看得到|能看见|可以看到|有)(?P<a>(?!多少|几|什么|哪些).+?)",
        rf"(?P<a>.+?)(?:存在|在不在|在{_PLACE})",
    )),
    ("relation", _is_related, (
        rf"(?P<a>.+?)(?:是不是|是否|是)?(?:在不在|在|位于)(?P<b>.+?)(?:的)?(?P<r>{RELATION})",
    )),
    ("list", _list_all, (
        rf"{_PLACE}(?:都)?(?:有|能看到)(?:些)?(?:什么|哪些)(?:{ANYTHING})?",
        rf"(?:列出|说出)(?:所有|全部)?(?:的)?{ANYTHING}",
    )),
)  # fmt: skip


@functools.cache
def _compiled() -> tuple[tuple[str, _Builder, tuple[re.Pattern[str], ...]], ...]:
    """The forms, made when the first Chinese question comes."""
    return tuple(
        (name, build, tuple(re.compile(pattern) for pattern in patterns))
        for name, build, patterns in _FORMS
    )


def read_chinese(question: str, choices: Sequence[str] = ()) -> ChineseQuestion:
    """Turn a Chinese question into a query.

    Args:
        question: One question; options may stand behind it (`A. 左边 B. 右边`).
        choices: The options, if they are given apart.

    Raises:
        PhraseError: If no form fits or a thing is not known; the text, in Chinese, says what.

    Examples:
        >>> read_chinese("房间里有几把椅子？").expression
        Count(source=Select(phrase='chairs'))
        >>> read_chinese("床有多高？（单位：厘米）").expression.unit
        'cm'
    """
    text, found = split_options(simplify(question))
    offered = tuple(english_option(strip_letter(choice)) for choice in choices) or found
    if len(text) > _MOST:
        raise PhraseError(f"问题太长：{len(text)}个字，最多{_MOST}个")
    route = read_route(text, offered)
    if route is not None:
        return ChineseQuestion(expression=route, form="route", choices=offered, unit=None)
    text, unit = take_unit(core_of(text))
    text = core_of(text)
    scenery = take_viewpoint(text)
    unknown: UnknownNounError | None = None
    for name, build, patterns in _compiled():
        for pattern in patterns:
            match = pattern.fullmatch(scenery.text)
            if match is None:
                continue
            slots = {key: value for key, value in match.groupdict().items() if value}
            try:
                asked = _Asked(slots, scenery, unit, offered)
                expression = build(asked)
            except UnknownNounError as error:
                unknown = unknown or error
                continue
            except PhraseError:
                continue
            return ChineseQuestion(
                expression=expression, form=name, choices=offered, unit=unit
            )  # fmt: skip
    raise unknown or PhraseError("不是已知的问法")


def complaint(question: str, error: PhraseError, nouns: Iterable[str]) -> str:
    """Why a question was not read, and what may be asked: the known forms, or the known things.

    Args:
        question: As asked.
        error: What `read_chinese` raised.
        nouns: Labels of what is there, English.

    Examples:
        >>> complaint("独角兽有多高?", UnknownNounError("不认识物体“独角兽”"), ["sofa", "tv"])
        '没有听懂“独角兽有多高?”: 不认识物体“独角兽”；这里有沙发、电视'
    """
    shown = " ".join(question.split())
    shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
    if isinstance(error, UnknownNounError):
        known = "、".join(dict.fromkeys(map(chinese_noun, nouns)))
        return f"没有听懂“{shown}”: {error}{'；这里有' if known else ''}{known}"
    return f"没有听懂“{shown}”: {error}。可以这样问: {' | '.join(EXAMPLES)}"
