"""Chinese questions: the queries of the English ones, and the same answers."""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections import defaultdict

import pytest
from chinese_writer import Writer

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.lexicon import canonical
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question
from groundplane.spatial.scenes.files import open_scenes
from groundplane.testing.scenes import SceneBuilder

FUZZ = int(os.environ.get("GROUNDPLANE_FUZZ", "300"))
EVERY = 1 if "GROUNDPLANE_CASES" in os.environ else 12
WORDS = """
椅子 桌子 门 床 和 、 的 在 我 离 最近 最 大 高 有 几 把 多少 米 平方米 左边 右边 还是 ？ 吗 哪个
站在 面向 旁边 ， 从 到 是 房间里 里 上 视频中 出现 顺序 TV sofa A. B. 1. 机器人 什么 距离 比 所有
红色
"""

# Chinese, and the English question that has the same query.
PAIRS = (
    ("房间里有几把椅子？", "How many chairs are there?"),
    ("这个房间里一共有多少张桌子？", "How many tables are in this room?"),
    ("椅子有几把？", "How many chairs are there?"),
    ("数一数房间里的椅子。", "Count the chairs"),
    ("桌子附近有几把椅子？", "How many chairs are near the table?"),
    ("床的最长边是多少厘米？", "What is the longest side of the bed, in cm?"),
    ("床的长、宽、高中最长的一边有多少厘米？", "What is the longest side of the bed, in cm?"),
    ("冰箱有多高？", "How tall is the refrigerator?"),
    ("桌子的宽度是多少英寸？", "How wide is the table, in inches?"),
    ("沙发有多长，用英尺表示？", "How long is the sofa, in feet?"),
    ("床的占地面积是多少平方米？", "How much floor space does the bed take up, in square meters?"),
    ("窗户离地面有多高？", "How high above the floor is the window?"),
    ("这个房间有多大？", "How big is this room?"),
    ("房间的面积是多少平方英尺？", "How big is this room, in square feet?"),
    ("房间有多少平米？如果显示多个房间，请估计总面积。",
     "How big is this room, in square meters?"),
    ("从最近点测量，电视和床之间的距离是多少米？", "How far is the tv from the bed, in meters?"),
    ("沙发离电视有多远？", "How far is the sofa from the tv?"),
    ("从沙发到电视有多少英尺？", "How far is the sofa from the tv, in feet?"),
    ("沙发和电视的中心之间的距离是多少？",
     "What is the distance between the centres of the sofa and the tv?"),
    ("椅子、凳子和沙发中哪个离电视最近？",
     "Which is closest to the tv: the chair, the stool or the sofa?"),
    ("以下物体中哪个离门最远：椅子、凳子？",
     "Which is farthest from the door: the chair, the stool?"),
    ("沙发离电视近还是离桌子近？", "Is the sofa closer to the tv or to the table?"),
    ("哪把椅子离门最近？", "Which chair is closest to the door?"),
    ("离门最近的物体是什么？", "What is closest to the door?"),
    ("我站在床旁边面向电视，桌子在我的左边、右边还是后面？",
     "If I am standing by the bed and facing the tv, is the table to my left, right, or back?"),
    ("如果我站在床旁边，面向电视，桌子在电视的左边还是右边？",
     "Standing by the bed and facing the tv, is the table to the left or the right of the tv?"),
    ("站在电视旁边面对着床的时候，桌子是在我的左前方、右前方、左后方还是右后方？",
     "At the tv, facing the bed: is the table front-left, front-right, back-left or back-right?"),
    ("面向床站在电视旁边时，门在我前面还是后面？",
     "Standing by the tv facing the bed, is the door in front of me or behind me?"),
    ("我站在沙发旁边，背对电视，灯在哪个方向？",
     "Standing at the sofa with my back to the tv, where is the lamp?"),
    ("灯在沙发的什么方向？", "Where is the lamp relative to the sofa?"),
    ("灯、杯子、门在视频中首次出现的顺序是什么？",
     "In what order do the lamp, the cup and the door appear?"),
    ("视频中灯和门哪个先出现？", "Which appears first, the lamp or the door?"),
    ("房间里有没有灯？", "Is there a lamp?"),
    ("有灯吗？", "Is there a lamp?"),
    ("灯在桌子上吗？", "Is the lamp on the table?"),
    ("桌子上有什么？", "What is on the table?"),
    ("沙发和床哪个更大？", "Which is bigger, the sofa or the bed?"),
    ("床比沙发长吗？", "Is the bed longer than the sofa?"),
    ("椅子比桌子多吗？", "Are there more chairs than tables?"),
    ("最高的物体是什么？", "What is the tallest object?"),
    ("沙发是什么颜色的？", "What color is the sofa?"),
    ("房间里有什么？", "What objects are there?"),
    ("灯在哪里？", "Where is the lamp?"),
    ("从沙发怎么走到电视？", "How do I get from the sofa to the tv?"),
    ("能从沙发走到电视吗？", "Can I walk from the sofa to the tv?"),
    ("从沙发走到电视有多远？", "How far is it to walk from the sofa to the tv?"),
    ("从每个物体的最近点测量，沙发和电视之间的直接距离是多少（以米为单位）？",
     "What is the distance between the sofa and the tv in meters?"),
    ("杯子在不在桌子上？", "Is the cup on the table?"),
    ("這個房間裡有幾張桌子？", "How many tables are there?"),
    ("TV离sofa有多远？", "How far is the tv from the sofa?"),
    ("离门最近的椅子有多高？", "How tall is the chair closest to the door?"),
)  # fmt: skip


@pytest.fixture
def scene():
    return (
        SceneBuilder()
        .add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1))
        .add("chair", at=(3, 0, 0.5), size=(0.5, 0.5, 1))
        .add("tv", at=(0, 3, 1), size=(1, 0.1, 0.6))
        .add("sofa", at=(3, 3, 0.5), size=(2, 1, 1))
        .build()
    )


class TestQueries:
    @pytest.mark.parametrize(("chinese", "english"), PAIRS, ids=[pair[1] for pair in PAIRS])
    def test_a_chinese_question_has_the_query_of_the_english_one(self, chinese, english):
        asked, meant = parse_question(chinese), parse_question(english)

        assert asked.expression == meant.expression
        assert asked.unit == meant.unit
        assert (asked.language, meant.language) == ("zh", "en")

    def test_a_route_has_its_landmarks_and_options(self):
        asked = parse_question(
            "你是一个机器人，从床开始，面向电视。你想去马桶。你将执行以下动作（对每个[请填写]，选“左转”"
            "或“右转”）：1. 向前走到电视 2. [请填写] 3. 往前走到淋浴 4. 左转 5. 直走到马桶。"
            "你已到达终点。",
            choices=["A. 左转", "B、向后转"],
        ).expression
        meant = parse_question(
            "You are a robot beginning at the bed facing the tv. You want to navigate to the "
            "toilet. You will perform the following actions: 1. Go forward until the tv 2. [please "
            "fill in] 3. Go forward until the shower 4. Turn left 5. Go forward until the toilet. "
            "You have reached the final destination.",
            choices=["A. Turn Left", "B. Turn Back"],
        ).expression

        assert asked == meant

    def test_options_stand_behind_the_question_or_apart(self):
        behind = parse_question("哪个离电视最近？A、椅子 B、沙发")
        apart = parse_question("哪个离电视最近？", choices=["A．椅子", "B. 沙发"])

        assert behind.choices == apart.choices == ("chair", "sofa")
        assert behind.expression == apart.expression
        assert behind.expression.source.sources[1].source.phrase == "sofa"


class TestAnswers:
    def test_every_question_of_vsi_has_the_answer_of_the_english_one(self, data_dir):
        lines = (data_dir / "vsi" / "qa.jsonl").read_text(encoding="utf-8").splitlines()
        by_scene = defaultdict(list)
        writer = Writer(random.Random(int(os.environ.get("GROUNDPLANE_CASES", "1"))))
        for row in map(json.loads, lines):
            by_scene[row["scene"]].append((row, writer.write(row["question"])))
        scenes = open_scenes(data_dir / "vsi" / "scenes.json")

        for name in list(by_scene)[::EVERY]:
            asker = Asker(scenes[name]())
            options = [row["options"] or [] for row, _ in by_scene[name]]
            english = asker.ask_many(
                [(row["question"], offered)
                 for (row, _), offered in zip(by_scene[name], options, strict=True)]
            )  # fmt: skip
            chinese = asker.ask_many(
                [(told, [writer.option(option) for option in offered])
                 for (_, told), offered in zip(by_scene[name], options, strict=True)]
            )  # fmt: skip
            for said, meant in zip(chinese, english, strict=True):
                assert _told(said) == _told(meant), (said.question, meant.question)

    def test_the_sentence_is_chinese_and_the_rest_is_the_same(self, scene):
        asker = Asker(scene)
        said, meant = asker.ask("电视离沙发有多远？"), asker.ask("How far is the tv from the sofa?")

        assert said.text == "电视和沙发之间的距离是1.50米。"
        assert (said.value, said.unit, said.evidence) == (meant.value, meant.unit, meant.evidence)
        assert {mention.ids for mention in said.mentions} == {("tv",), ("sofa",)}

    def test_a_choice_in_chinese_is_found(self, scene):
        reply = Asker(scene).ask("我站在沙发旁边面向电视，椅子在我的哪一边？A、左边 B、右边")

        assert (reply.value, reply.choice) == ("left", "A")


class TestBadInput:
    def test_an_unknown_noun_gives_a_suggestion_and_what_is_there(self, scene):
        reply = Asker(scene).ask("沙法有多高？")

        assert reply.status is Status.NOT_UNDERSTOOD
        assert "不认识物体“沙法”，是不是“沙发”" in reply.text
        assert reply.text.endswith("这里有椅子、电视、沙发")

    def test_a_known_noun_that_is_not_there_is_an_unknown_object(self, scene):
        reply = Asker(scene).ask("大象有多高？")

        assert reply.status is Status.UNKNOWN_OBJECT
        assert reply.text.startswith("没有找到要问的物体")

    @pytest.mark.parametrize(
        "question",
        ["今天天气怎么样？", "为什么？", "桌子", "左边还是右边？", "椅子" * 400, "在我左边吗？"],
    )
    def test_other_questions_are_not_understood_and_it_is_said_which_are(self, question):
        with pytest.raises(NotUnderstoodError, match=r"没有听懂.*(?:可以这样问|不认识)"):
            parse_question(question)

    def test_any_text_is_read_or_refused_in_good_time(self):
        rng, words = random.Random(5), WORDS.split()
        for _ in range(FUZZ):
            question = "".join(rng.choices(words, k=rng.randint(1, 60)))
            began = time.perf_counter()
            with contextlib.suppress(NotUnderstoodError):
                parse_question(question)
            assert time.perf_counter() - began < 5, question

    @pytest.mark.parametrize(
        "word", ["和", "的", "离门最近的", "我站在", "左边还是", "从", "面向", "机器人从在"]
    )
    def test_a_word_again_and_again_is_refused_in_good_time(self, word):
        began = time.perf_counter()
        with pytest.raises(NotUnderstoodError):
            parse_question((word * 600)[:600])
        assert time.perf_counter() - began < 5


def _told(reply):
    """The answer, whatever the word for it: a washer and a washing machine are one in Chinese."""
    value = canonical(reply.value) if isinstance(reply.value, str) else reply.value
    return value, reply.choice, reply.status, reply.unit, reply.evidence
