"""The words of VSR: all of them, each with our relation or a reason."""

import json
from collections import Counter

import pytest

from groundplane.core.expressions import Relate
from groundplane.core.queries import nodes_of
from groundplane.spatial.questions.parser import parse_question
from groundplane.spatial.relations.definitions import DEFINITIONS
from groundplane.spatial.relations.vsr import VSR_WORDS

# How many words VSR's own list has in each class; `among` stands there twice.
CLASSES = {
    "adjacency": 10, "directional": 16, "orientation": 4, "projective": 12, "proximity": 5,
    "topological": 18, "unallocated": 5,
}  # fmt: skip


def test_all_words_of_the_list_are_there():
    assert Counter(word.category for word in VSR_WORDS.values()) == CLASSES
    assert sum(word.validated for word in VSR_WORDS.values()) == 66


def test_every_word_of_the_data_is_known(data_dir):
    lines = (data_dir / "vsr" / "zeroshot_dev.jsonl").read_text().splitlines()
    words = {json.loads(line)["relation"] for line in lines}

    assert len(words) == 40
    assert all(VSR_WORDS[word].validated for word in words)


@pytest.mark.parametrize("row", VSR_WORDS.values(), ids=lambda row: row.word)
def test_a_word_is_a_relation_or_says_why_not(row):
    assert all(name in DEFINITIONS for name in row.relations)
    assert row.relations or row.reason
    assert not row.negated or len(row.relations) == 1


# Words that a question must say otherwise: `not in`, `not touching`, `not on`, `near`, `facing`.
TOLD = {word for word, row in VSR_WORDS.items() if row.relations}
UNREAD = {
    "off", "toward", "away from", "along", "into", "down from", "detached from", "at", "out of",
    "outside", "between",
}  # fmt: skip


@pytest.mark.parametrize("word", sorted(TOLD - UNREAD))
def test_a_question_reads_a_word_as_the_table_does(word):
    row = VSR_WORDS[word]
    asked = f"Is the lamp {word} the sofa?".replace("Is the lamp contains", "Does the lamp contain")
    nodes = list(nodes_of(parse_question(asked).expression))

    assert tuple(node.relation for node in nodes if isinstance(node, Relate)) == row.relations


def test_most_words_are_told():
    told = [word for word in VSR_WORDS.values() if word.relations and word.validated]

    assert len(told) == 54
    assert VSR_WORDS["outside"].negated
    assert VSR_WORDS["outside"].relations == ("inside",)
    assert VSR_WORDS["along"].relations == ("parallel", "next_to")
