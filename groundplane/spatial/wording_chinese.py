"""Answers as Chinese sentences, in pieces that know which objects they speak of.

The value, the evidence, the measure and the note are those of the English answer; only the sentence
is Chinese. A note is given as it is.
"""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from groundplane.core.answer import Answer, FrameOfReference, Status
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Relate,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
    Route,
    Way,
)
from groundplane.spatial.chances.hedging import Piece, percent
from groundplane.spatial.questions.chinese_words import COLORS, chinese_noun, measure_word
from groundplane.spatial.routes.ways import NO_WAY
from groundplane.spatial.units import format_number

__all__ = ["word_chinese"]

_LISTED = 20
_UNITS = {
    "m": "米", "cm": "厘米", "mm": "毫米", "ft": "英尺", "in": "英寸", "px": "像素",
    "m2": "平方米", "cm2": "平方厘米", "ft2": "平方英尺", "px2": "平方像素", "m3": "立方米",
    "ft3": "立方英尺", "px3": "立方像素",
}  # fmt: skip
_DIRECTIONS = {
    "left": "左边", "right": "右边", "front": "前面", "back": "后面", "behind": "后面",
    "front-left": "左前方", "front-right": "右前方", "back-left": "左后方",
    "back-right": "右后方",
}  # fmt: skip
# The steps of a way, as they are told in English.
_STEPS = (
    (re.compile(r"start at (.+) and stay: (.+) is within reach"), "就在{0}旁，{1}触手可及"),
    (re.compile(r"start at (.+) facing (.+)"), "从{0}旁出发，面向{1}"),
    (
        re.compile(r"start at (.+) heading (\d+) degrees counter-clockwise from the x axis"),
        "从{0}旁出发，朝x轴逆时针{1}度的方向",
    ),
    (re.compile(r"go forward ([\d.]+) m until (.+)"), "向前走{0}米到{1}"),
    (re.compile(r"go forward ([\d.]+) m"), "向前走{0}米"),
    (re.compile(r"turn back round (.+)"), "绕过{0}掉头"),
)
_TURNS = {"turn left": "左转", "turn right": "右转", "turn back": "向后转"}
_RELATIONS = {
    "left_of": "左边", "right_of": "右边", "in_front_of": "前面", "behind": "后面",
    "above": "上方", "on": "上", "under": "下面", "below": "下方", "inside": "里面",
    "next_to": "旁边", "near": "附近",
}  # fmt: skip
_MEASURES = {
    "height": "高", "width": "宽", "depth": "深", "size": "最长边", "length": "长",
    "volume": "体积", "floor_area": "占地面积", "elevation": "离地高度", "top": "顶部离地高度",
}  # fmt: skip
_MORE = {
    "volume": ("大", "小"), "height": ("高", "矮"), "size": ("长", "短"), "width": ("宽", "窄"),
    "depth": ("厚", "薄"), "distance": ("远", "近"), "floor_area": ("大", "小"),
}  # fmt: skip
_PLACES = {"on": "上", "under": "下面", "in": "里", "next to": "旁边", "near": "附近"}
_PLACE = re.compile(rf"({'|'.join(_PLACES)}) (?:the )?(.+)")
# The two sides of a comparison, as its measure tells them.
_NUMBER = re.compile(r"(\d[\d.e+-]*) (\w+)\b")
_NO_VALUE = {
    Status.UNKNOWN_OBJECT: "没有找到要问的物体", Status.NEEDS_VIDEO: "需要视频才能回答",
    Status.CANNOT_DETECT: "无法检测", Status.AMBIGUOUS: "无法确定",
    Status.NOT_UNDERSTOOD: "没有听懂问题", Status.TOO_CLOSE: "难以判断",
}  # fmt: skip


def word_chinese(expression: Expression, answer: Answer) -> tuple[Piece, ...]:
    """Say an answer in a Chinese sentence.

    Examples:
        >>> pieces = word_chinese(Count(Select("chairs")), Answer(value=3, unit="count"))
        >>> "".join(piece.text for piece in pieces)
        '有3把椅子。'
        >>> word_chinese(Count(Select("cup")), Answer(value=None, status=Status.NEEDS_VIDEO))
        (Piece(text='需要视频才能回答。', refers=()),)
    """
    note = answer.note.rstrip(".")
    if answer.value is None:
        lead = _NO_VALUE.get(answer.status, "没有答案")
        return (Piece(f"{lead}：{note}。" if note else f"{lead}。"),)
    makers: dict[type, Callable[..., tuple[Piece, ...]]] = {
        Count: _count, Exists: _exists, Measure: _measure, Compare: _compare,
        Direction: _direction, Order: _order, Route: _route, Attribute: _attribute, Way: _way,
    }  # fmt: skip
    pieces = makers.get(type(expression), _objects)(expression, answer)
    told = [*pieces, *_hedges(answer), Piece("。")]
    if note:
        lead = "尚不确定" if answer.status is Status.AMBIGUOUS else "注"
        told.append(Piece(f"（{lead}：{note}）"))
    return tuple(told)


def _hedges(answer: Answer) -> list[Piece]:
    """How sure the answer is, where that is known."""
    told = []
    if answer.interval is not None:
        low, high = (_amount(end, answer.unit) for end in answer.interval)
        told.append(f"90%区间为{low}到{high}")
    if answer.status is Status.TOO_CLOSE:
        told.append("相差太小，难以判断")
    if answer.probability is not None:
        share = percent(answer.probability).replace("over ", "超过").replace("under ", "不到")
        told.append(f"概率{share}")
    return [Piece(f"（{'，'.join(told)}）")] if told else []


def _amount(value: float, unit: str | None) -> str:
    number = format_number(value, unit).split(" ")[0]
    return f"{number}{_UNITS.get(unit or '', '')}"


def _name(value: str) -> str:
    """A label or an id in Chinese: `chair-2` is `椅子-2`."""
    label, dash, number = value.rpartition("-")
    if dash and number.isdigit():
        return f"{chinese_noun(label)}-{number}"
    return chinese_noun(value)


def _noun(node: SetExpression) -> str:
    """What a set is called."""
    if isinstance(node, Select):
        return "物体" if node.phrase is None else chinese_noun(node.phrase)
    if isinstance(node, Unique):
        return _noun(node.source)
    if isinstance(node, Extreme):
        anchor = _noun(node.anchor) if node.anchor is not None else "我"
        if node.measure == "distance":
            return f"离{anchor}最{'远' if node.largest else '近'}的{_noun(node.source)}"
        more, less = _MORE.get(node.measure, ("大", "小"))
        return f"最{more if node.largest else less}的{_noun(node.source)}"
    if isinstance(node, Relate):
        return f"{_where(node)}的{_noun(node.source)}"
    if isinstance(node, Filter):
        return f"{node.value}{_noun(node.source)}"
    if isinstance(node, And | Or):
        return ("且" if isinstance(node, And) else "或").join(map(_noun, node.sources))
    if isinstance(node, Except):
        return f"除{_noun(node.excluded)}外的{_noun(node.source)}"
    return _noun(node.source)


def _where(node: Relate) -> str:
    anchor = _noun(node.anchor) if node.anchor is not None else "你"
    return f"{anchor}{_RELATIONS.get(node.relation, node.relation)}"


def _head(node: SetExpression) -> str:
    """The English name of what is counted, for its measure word."""
    while not isinstance(node, Select):
        node = node.sources[0] if isinstance(node, And | Or) else node.source
    return node.phrase or ""


def _seen_from(frame: FrameOfReference | None) -> str:
    if frame is None or frame.kind == "world":
        return ""
    return "从图中看，" if frame.kind == "image" else "从这个视角看，"


def _count(node: Count, answer: Answer) -> tuple[Piece, ...]:
    number = answer.value
    source = node.source.source if isinstance(node.source, Unique) else node.source
    place = _where(source) if isinstance(source, Relate) else ""
    thing = _noun(source.source if isinstance(source, Relate) else source)
    if number == 0:
        return (Piece(f"{place}没有{thing}"),)
    refers = answer.evidence[: int(number)] if isinstance(number, int | float) else ()
    return (Piece(f"{place}有"), Piece(f"{number}{measure_word(_head(source))}{thing}", refers))


def _exists(node: Exists, answer: Answer) -> tuple[Piece, ...]:
    yes, source = bool(answer.value), node.source
    lead = Piece("是的，" if yes else "不，")
    if isinstance(source, Relate) and isinstance(source.source, Unique):
        be = "在" if yes else "不在"
        seen = _seen_from(answer.frame)
        return (
            lead, Piece(seen), Piece(_noun(source.source), answer.evidence[:1]),
            Piece(f"{be}{_where(source)}"),
        )  # fmt: skip
    refers = answer.evidence if yes else ()
    return (Piece("有" if yes else "没有"), Piece(_noun(source), refers))


def _measure(node: Measure, answer: Answer) -> tuple[Piece, ...]:
    if isinstance(answer.value, tuple):
        return _listed(answer.value, answer.evidence)
    if isinstance(answer.value, bool) or not isinstance(answer.value, int | float):
        return (Piece(str(answer.value)),)
    amount = _amount(float(answer.value), answer.unit)
    if node.name == "room_area":
        return (Piece(f"房间的面积是{amount}"),)
    first = Piece(_noun(node.of[0]), answer.evidence[:1])
    if node.name in ("distance", "center_distance"):
        between = "中心之间" if node.name == "center_distance" else "之间"
        second = Piece(_noun(node.of[1]), answer.evidence[1:2])
        return (first, Piece("和"), second, Piece(f"{between}的距离是{amount}"))
    return (first, Piece(f"的{_MEASURES.get(node.name, node.name)}是{amount}"))


def _compare(node: Compare, answer: Answer) -> tuple[Piece, ...]:
    lead = "是的" if answer.value else "不是"
    detail = _NUMBER.sub(
        lambda found: _amount(float(found[1]), found[2]), answer.measure.rpartition(": ")[2]
    ).replace(" against ", "对")
    shown = f"（{detail}）" if detail else ""
    if not isinstance(node.left, Measure) or not isinstance(node.right, Measure):
        left = _noun(node.left.source) if isinstance(node.left, Count) else ""
        right = _noun(node.right.source) if isinstance(node.right, Count) else node.right
        word = {"more": "多", "fewer": "少", "equal": "一样多"}[node.operator]
        link = "和" if node.operator == "equal" else "比"
        no = "" if answer.value else "并不"
        return (Piece(f"{lead}，{left}{no}{link}{right}{word}{shown}"),)
    more, less = _MORE.get(node.left.name, ("大", "小"))
    word = more if node.operator == "more" else less
    first = Piece(_noun(node.left.of[0]), answer.evidence[:1])
    no = "" if answer.value else "并不"
    return (Piece(f"{lead}，"), first, Piece(f"{no}比{_noun(node.right.of[0])}{word}{shown}"))


def _direction(node: Direction, answer: Answer) -> tuple[Piece, ...]:
    where = _DIRECTIONS.get(str(answer.value), str(answer.value))
    target = Piece(_noun(node.target), answer.evidence[:1])
    anchored = node.anchor is not None and (
        node.viewpoint is None or node.viewpoint.facing != node.anchor
    )
    whose = _noun(node.anchor) if anchored and node.anchor is not None else "你"
    whose = "画面中间" if answer.frame is not None and answer.frame.kind == "image" else whose
    view = node.viewpoint
    lead = ""
    if view is not None:
        stand = f"站在{_noun(view.origin)}旁" if view.origin is not None else ""
        lead = f"{stand}{'背对' if view.turn else '面向'}{_noun(view.facing)}时，"
    return (Piece(lead), target, Piece(f"在{whose}的{where}"))


def _listed(names: Sequence[str], ids: Sequence[str]) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    for i, name in enumerate(names[:_LISTED]):
        pieces += [Piece("、")] * bool(i)
        pieces.append(Piece(_name(name), tuple(ids[i : i + 1])))
    left = len(names) - _LISTED
    return (*pieces, Piece(f"等另外{left}个")) if left > 0 else tuple(pieces)


def _values(answer: Answer) -> tuple[str, ...]:
    value = answer.value
    return tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)


def _order(node: Order, answer: Answer) -> tuple[Piece, ...]:
    del node
    return (Piece("首次出现的顺序是："), *_listed(_values(answer), answer.evidence))


def _route(node: Route, answer: Answer) -> tuple[Piece, ...]:
    del node
    return (Piece("，然后".join(_TURNS.get(turn, turn) for turn in _values(answer))),)


def _way(node: Way, answer: Answer) -> tuple[Piece, ...]:
    start, goal = _noun(node.start), _noun(node.goal)
    if isinstance(answer.value, bool):
        can = "可以" if answer.value else "不能"
        return (Piece(f"{can}从{start}走到{goal}"),)
    if answer.value == NO_WAY:
        return (Piece(f"没有从{start}走到{goal}的路"),)
    if isinstance(answer.value, int | float):
        return (Piece(f"从{start}走到{goal}要走{_amount(float(answer.value), answer.unit)}"),)
    return (Piece(f"从{start}到{goal}：{'；'.join(map(_step, _values(answer)))}"),)


def _step(step: str) -> str:
    """A step of a way; a place without a name stays a pair of numbers."""
    for pattern, told in _STEPS:
        if found := pattern.fullmatch(step):
            return told.format(*(_name(part.removeprefix("the ")) for part in found.groups()))
    return _TURNS.get(step, step)


def _attribute(node: Attribute, answer: Answer) -> tuple[Piece, ...]:
    subject = Piece(_noun(node.source), answer.evidence[:1])
    if isinstance(answer.value, tuple):
        return _listed(answer.value, answer.evidence)
    color = next((f"{name}色" for name, word in COLORS.items() if word == answer.value), None)
    if node.name == "color" and color is not None:
        return (subject, Piece(f"是{color}的"))
    place = _PLACE.fullmatch(str(answer.value))
    if node.name == "place" and place is not None:
        return (subject, Piece(f"在{_name(place[2])}{_PLACES[place[1]]}"))
    return (subject, Piece(f"：{answer.value}"))


def _objects(node: SetExpression, answer: Answer) -> tuple[Piece, ...]:
    inner = node.source if isinstance(node, Unique) else node
    names = _values(answer)
    if isinstance(inner, Extreme):
        return _chosen(inner, answer)
    if isinstance(inner, Relate):
        place = f"{_seen_from(answer.frame)}{_where(inner)}"
        if not names:
            return (Piece(f"{place}没有{_noun(inner.source)}"),)
        return (Piece(f"{place}有："), *_listed(names, answer.evidence))
    if not names:
        return (Piece(f"没有{_noun(node)}"),)
    return (Piece(f"{_noun(node)}："), *_listed(names, answer.evidence))


def _chosen(node: Extreme, answer: Answer) -> tuple[Piece, ...]:
    chosen = Piece("、".join(map(_name, _values(answer))), answer.evidence[:1])
    if node.measure == "first_seen":
        return (chosen, Piece(f"{'最后' if node.largest else '最先'}出现"))
    two = isinstance(node.source, Or) and len(node.source.sources) == 2 and node.rank == 1
    degree = "更" if two else "最" if node.rank == 1 else f"第{node.rank}"
    if node.measure == "distance" and node.anchor is not None:
        far = "远" if node.largest else "近"
        anchor = Piece(_noun(node.anchor), answer.evidence[1:2])
        return (chosen, Piece("离"), anchor, Piece(f"{degree}{far}"))
    more, less = _MORE.get(node.measure, ("大", "小"))
    return (chosen, Piece(f"{degree}{more if node.largest else less}"))
