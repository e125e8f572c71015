"""Answers in Chinese."""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import pytest

from groundplane.asking import Asker
from groundplane.core.answer import Answer, Status
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Attribute, Count, Exists, Measure, Order, Route, Way
from groundplane.spatial.wording_chinese import word_chinese
from groundplane.testing.scenes import SceneBuilder

SOFA, TV = Unique(Select("sofa")), Unique(Select("tv"))


def say(expression, **answer):
    return "".join(piece.text for piece in word_chinese(expression, Answer(**answer)))


@pytest.fixture(scope="module")
def asker():
    scene = (
        SceneBuilder()
        .add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1))
        .add("chair", at=(3, 0, 0.5), size=(0.5, 0.5, 1))
        .add("tv", at=(0, 3, 1), size=(1, 0.1, 0.6))
        .add("sofa", at=(3, 3, 0.5), size=(2, 1, 1))
        .add("table", at=(1.5, 1.5, 0.35), size=(1, 1, 0.7))
        .add("cup", at=(1.5, 1.5, 0.75), size=(0.1, 0.1, 0.1))
        .build()
    )
    return Asker(scene)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("有几把椅子？", "有2把椅子。"),
        ("桌子上有几把椅子？", "桌子上没有椅子。"),
        ("有灯吗？", "没有灯。"),
        ("有沙发吗？", "有沙发。"),
        ("沙发有多高？", "沙发的高是1.00米。"),
        ("沙发有多高，用厘米表示？", "沙发的高是100厘米。"),
        ("桌子上有什么？", "桌子上有：杯子。"),
        ("杯子在桌子上吗？", "是的，杯子在桌子上。"),
        ("杯子在沙发上吗？", "不，杯子不在沙发上。"),
        ("椅子、桌子和沙发中哪个离电视最近？", "桌子离电视最近。"),
        ("沙发和桌子哪个更大？", "沙发更大。"),
        ("沙发比桌子高吗？", "是的，沙发比桌子高（1.00米对0.70米）。"),
        ("椅子比桌子多吗？", "是的，椅子比桌子多（2对1）。"),
        (
            "我站在沙发旁边面向电视，桌子在我的左边还是右边？",
            "站在沙发旁面向电视时，桌子在你的左边。",
        ),
        (
            "我站在沙发旁边背对电视，桌子在我的左边还是右边？",
            "站在沙发旁背对电视时，桌子在你的右边。",
        ),
        ("房间里有什么？", "物体：椅子-1、椅子-2、电视、沙发、桌子、杯子。"),
        ("杯子在哪里？", "杯子在桌子上。"),
        ("最大的物体是什么？", "沙发最大。"),
    ],
)
def test_each_kind_of_answer_has_its_sentence(asker, question, text):
    reply = asker.ask(question)

    assert reply.text.partition("（注")[0].partition("（尚")[0] == text


def test_what_is_named_is_tied_to_its_object(asker):
    reply = asker.ask("杯子在桌子上吗？")

    (start, end) = reply.mentions[0].span
    assert reply.text[start:end] == "杯子"
    assert reply.mentions[0].ids == ("cup",)


def test_turns_and_orders_are_told():
    route = Route(start=SOFA, facing=TV, stops=(TV,), turns=("?",))

    assert say(route, value=("turn left", "turn back")) == "左转，然后向后转。"
    assert say(Order((SOFA, TV)), value=("tv", "sofa")) == "首次出现的顺序是：电视、沙发。"


def test_error_bars_are_told():
    distance = Measure(name="distance", of=(SOFA, TV))

    told = say(distance, value=2.6, unit="m", interval=(2.519, 2.688), probability=0.995)
    assert told == "沙发和电视之间的距离是2.60米（90%区间为2.52米到2.69米，概率超过99 %）。"
    close = say(Exists(Select("cup")), value=True, status=Status.TOO_CLOSE, probability=0.6)
    assert close == "有杯子（相差太小，难以判断，概率60 %）。"


@pytest.mark.parametrize(
    ("status", "lead"),
    [(Status.UNKNOWN_OBJECT, "没有找到"), (Status.NEEDS_VIDEO, "需要视频"),
     (Status.CANNOT_DETECT, "无法检测"), (Status.AMBIGUOUS, "无法确定")],
)  # fmt: skip
def test_no_answer_is_told_by_its_kind_with_the_note(status, lead):
    told = say(Count(Select("cup")), value=None, status=status, note="why it is so.")

    assert told.startswith(lead)
    assert told.endswith("：why it is so。")


def test_a_way_and_a_colour_are_told():
    assert say(Way(start=SOFA, goal=TV), value=3.25, unit="m") == "从沙发走到电视要走3.25米。"
    assert say(Way(start=SOFA, goal=TV, tell="possible"), value=False) == "不能从沙发走到电视。"
    assert say(Way(start=SOFA, goal=TV), value="no way") == "没有从沙发走到电视的路。"
    assert say(Attribute(source=SOFA, name="color"), value="red") == "沙发是红色的。"


def test_the_steps_of_a_way_are_told_in_chinese(asker):
    walk = asker.ask("从沙发怎么走到电视？")

    assert walk.text.startswith("从沙发到电视：从沙发旁出发，")
    assert "向前走" in walk.text
    told = walk.text.partition("（")[0]
    assert not any(word in told for word in ("start", "forward", "turn", "the "))


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("start at chair-2 and stay: the tv is within reach", "就在椅子-2旁，电视触手可及"),
        ("start at the sofa heading 90 degrees counter-clockwise from the x axis",
         "从沙发旁出发，朝x轴逆时针90度的方向"),
        ("turn back", "向后转"), ("go forward 1.20 m", "向前走1.20米"),
        ("go forward 1.20 m until the coffee table", "向前走1.20米到茶几"),
    ],
)  # fmt: skip
def test_each_step_is_told_in_chinese(step, told):
    assert say(Way(start=SOFA, goal=TV, tell="steps"), value=(step,)).endswith(f"：{told}。")
