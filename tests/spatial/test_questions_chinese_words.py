"""Chinese words."""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import json

import pytest

from groundplane.core.lexicon import canonical
from groundplane.spatial.questions.chinese_phrases import (
    UnknownNounError,
    read_list,
    read_noun,
    read_set,
)
from groundplane.spatial.questions.chinese_words import (
    chinese_noun,
    english_noun,
    english_option,
    is_chinese,
    measure_word,
    near_nouns,
    simplify,
)
from groundplane.spatial.questions.phrases import PhraseError


def test_every_label_of_vsi_has_a_chinese_name_that_leads_back(data_dir):
    scenes = json.loads((data_dir / "vsi" / "scenes.json").read_text(encoding="utf-8"))
    labels = {name for scene in scenes.values() for name in scene["object_counts"]}

    assert len(labels) > 50
    for label in labels:
        name = chinese_noun(label)
        assert is_chinese(name), label
        assert canonical(english_noun(name)) == canonical(label)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("椅子", "chair"), ("那把椅子", "chair"), ("一张桌子", "table"), ("所有的灯", "lamp"),
        ("红色的椅子", "red chair"), ("白色沙发", "white sofa"), ("这个物体", None), ("tv", "tv"),
        ("房间里的门", "door"), ("每一扇窗户", "window"),
    ],
)  # fmt: skip
def test_a_name_is_read_without_what_leads_it(text, name):
    assert read_noun(text) == name


def test_an_unknown_name_is_told_with_near_ones():
    with pytest.raises(UnknownNounError, match="不认识物体“冰厢”，是不是“冰箱”"):
        read_noun("冰厢")
    assert near_nouns("独角兽") == ()


def test_where_a_thing_is_restricts_it():
    found = read_set("桌子旁边的椅子")

    assert (found.source.relation, found.source.anchor.source.phrase) == ("next_to", "table")


def test_one_thing_is_no_list():
    with pytest.raises(PhraseError, match="两个"):
        read_list("椅子")


@pytest.mark.parametrize(
    ("option", "english"),
    [
        ("左边", "left"), ("在我的右侧", "right"), ("后面", "back"), ("身后", "back"),
        ("左前方", "front-left"), ("前右", "front-right"), ("右后", "back-right"),
        ("左转，右转", "turn left, turn right"), ("向后转", "turn back"), ("是", "yes"),
        ("没有", "no"), ("2.5米", "2.5 m"), ("约3平方米", "3 m2"), ("4把", "4"),
        ("书架、门", "bookshelf, door"),
        ("left", "left"), ("獨角馬", "独角马"),
    ],
)  # fmt: skip
def test_options_are_given_in_english(option, english):
    assert english_option(option) == english


def test_one_writing_for_all():
    assert simplify("　房間裡，有幾張 桌子？ TV 旁邊。") == "房间里,有几张桌子?tv旁边."
    assert simplify("") == ""


def test_things_are_counted_with_their_word():
    assert [measure_word(word) for word in ("chairs", "tv", "mug")] == ["把", "台", "个"]
