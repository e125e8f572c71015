"""Phrases packed into prompts, by a real tokenizer with a made-up vocabulary."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError, ProtocolError
from groundplane.grounding.packing import Encoded, pack_phrases
from groundplane.testing.checkpoints import WORDS, word_pieces


@pytest.fixture(scope="module")
def bert():
    return pytest.importorskip("transformers").BertTokenizer(vocab=word_pieces())


@pytest.fixture(scope="module")
def tokenize(bert):
    def encode(text):
        found = bert(text, return_offsets_mapping=True)
        spans = tuple(map(tuple, found["offset_mapping"]))
        return Encoded(ids=tuple(found["input_ids"]), spans=spans, unknown=bert.unk_token_id)

    return encode


def words_of(packed, bert):
    """For each phrase the pieces that its tokens stand for."""
    found = {}
    for prompt in packed.prompts:
        for entry in prompt.phrases:
            found[entry.phrase] = bert.convert_ids_to_tokens([prompt.ids[t] for t in entry.tokens])
    return found


def test_phrases_that_share_words_do_not_merge(tokenize, bert):
    packed = pack_phrases(["cat dog", "cat", "dog", "cat dog cat"], tokenize, limit=256)
    assert [prompt.text for prompt in packed.prompts] == ["cat dog. cat. dog. cat dog cat."]
    assert words_of(packed, bert) == {
        0: ["cat", "dog"],
        1: ["cat"],
        2: ["dog"],
        3: ["cat", "dog", "cat"],
    }
    taken = [t for entry in packed.prompts[0].phrases for t in entry.tokens]
    assert len(taken) == len(set(taken))


def test_pieces_of_a_word_belong_to_its_phrase(tokenize, bert):
    packed = pack_phrases(["umbrellas", "tri", "t-shirt"], tokenize, limit=64)
    found = words_of(packed, bert)
    assert found[0] == ["umbrella", "##s"]
    assert found[1] == ["t", "##r", "##i"]
    assert found[2][:3] == ["t", "-", "s"]


def test_dots_commas_and_case_stay_within_the_phrase(tokenize, bert):
    packed = pack_phrases(["St. Bernard", "man, woman", "  Red\n CAR "], tokenize, limit=64)
    assert packed.prompts[0].text == "st bernard. man, woman. red car."
    assert words_of(packed, bert)[1] == ["man", ",", "woman"]
    assert words_of(packed, bert)[2] == ["red", "car"]


def test_marks_of_the_model_written_by_a_user_are_words(tokenize):
    packed = pack_phrases(["cat [SEP] dog [CLS]", "cup"], tokenize, limit=64)
    ids = packed.prompts[0].ids
    assert (ids.count(101), ids.count(102)) == (1, 1)


def test_alike_phrases_are_asked_once_and_answered_each(tokenize, bert):
    packed = pack_phrases(["cat", "dog", "Cat.", "cat"], tokenize, limit=64)
    assert packed.prompts[0].text == "cat. dog."
    assert words_of(packed, bert) == {0: ["cat"], 1: ["dog"], 2: ["cat"], 3: ["cat"]}
    assert [entry.phrase for entry in packed.prompts[0].phrases] == [0, 1, 2, 3]


@pytest.mark.parametrize("phrase", ["", "  ", "...", "?", "\u200b", "\u0301", "\x00", "\n\t"])
def test_what_leaves_nothing_to_look_for_is_refused(tokenize, phrase):
    packed = pack_phrases(["cat", phrase, "dog"], tokenize, limit=64)
    assert set(packed.refused) == {1}
    assert "can be looked for" in packed.refused[1]
    assert [entry.phrase for entry in packed.prompts[0].phrases] == [0, 2]


@pytest.mark.parametrize("phrase", ["猫", "кошка", "🪑", "赤い椅子"])
def test_a_script_that_the_vocabulary_lacks_is_refused(tokenize, phrase):
    assert "in no script" in pack_phrases([phrase], tokenize, limit=64).refused[0]
    # With a word that it knows, the model has something to go on.
    assert pack_phrases([f"red {phrase}"], tokenize, limit=64).refused == {}


def test_a_phrase_longer_than_a_prompt_is_refused_and_others_are_asked(tokenize):
    packed = pack_phrases(["cat " * 300, "cup"], tokenize, limit=256)
    assert packed.refused[0].endswith(
        "has 300 tokens, and only 256 fit into a prompt with its marks"
    )
    assert [prompt.text for prompt in packed.prompts] == ["cup."]


def test_a_prompt_is_filled_to_its_last_token(tokenize):
    packed = pack_phrases(["cat"] * 1 + [w for w in WORDS if w != "cat"], tokenize, limit=12)
    lengths = [len(prompt.ids) for prompt in packed.prompts]
    assert lengths[:-1] == [12] * (len(lengths) - 1)


def test_apart_gives_each_its_own_prompt(tokenize):
    packed = pack_phrases(["cat", "dog", "cat"], tokenize, limit=64, apart=True)
    assert [prompt.text for prompt in packed.prompts] == ["cat.", "dog."]


def test_no_phrases_give_no_prompts(tokenize):
    assert pack_phrases([], tokenize, limit=64).prompts == ()


def test_a_limit_without_room_is_refused(tokenize):
    with pytest.raises(InputError, match="4 tokens or more"):
        pack_phrases(["cat"], tokenize, limit=3)


def test_a_text_longer_than_its_parts_is_cut_in_halves():
    def greedy(text):  # as long as the square of its words
        words = text.split()
        spans = [(0, 0)]
        at = 0
        for word in words:
            at = text.index(word, at)
            spans.append((at, at + len(word) - 1))
            at += len(word)
        spans += [(0, 0)] * len(words) ** 2
        return Encoded(ids=tuple(range(len(spans))), spans=tuple(spans))

    packed = pack_phrases(["a", "b", "c", "d"], greedy, limit=8)
    assert [prompt.text for prompt in packed.prompts] == ["a. b.", "c. d."]


def test_a_tokenizer_that_loses_a_phrase_is_named():
    def forgetful(text):
        return Encoded(ids=(0, 1, 2), spans=((0, 0), (0, 1), (0, 0)))

    with pytest.raises(ProtocolError, match="tokenizer: it gave 'b' no token"):
        pack_phrases(["a", "b"], forgetful, limit=64)


def test_spans_must_match_ids():
    with pytest.raises(ProtocolError, match="2 token ids but 1 spans"):
        Encoded(ids=(1, 2), spans=((0, 0),))


@st.composite
def _phrases(draw):
    word = st.one_of(st.sampled_from(WORDS), st.text(max_size=12))
    phrase = st.lists(word, max_size=6).map(" ".join)
    return draw(st.lists(phrase, max_size=40))


@given(phrases=_phrases(), limit=st.integers(8, 64), apart=st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_phrase_is_asked_once_or_refused(tokenize, phrases, limit, apart):
    packed = pack_phrases(phrases, tokenize, limit=limit, apart=apart)
    asked = [entry.phrase for prompt in packed.prompts for entry in prompt.phrases]
    assert sorted([*asked, *packed.refused]) == list(range(len(phrases)))
    for prompt in packed.prompts:
        assert len(prompt.ids) <= limit
        assert prompt.ids == tokenize(prompt.text).ids
        for entry in prompt.phrases:
            assert entry.tokens == tuple(sorted(set(entry.tokens)))
            assert 0 < entry.tokens[0] <= entry.tokens[-1] < len(prompt.ids) - 1
    firsts = [prompt.phrases[0].phrase for prompt in packed.prompts]
    assert firsts == sorted(firsts)


@given(phrases=_phrases())
@settings(max_examples=60, deadline=None)
def test_a_phrase_has_the_tokens_that_it_has_alone(tokenize, phrases):
    packed = pack_phrases(phrases, tokenize, limit=256)
    for prompt in packed.prompts:
        for entry in prompt.phrases:
            alone = pack_phrases([phrases[entry.phrase]], tokenize, limit=256).prompts[0]
            ids = [alone.ids[t] for t in alone.phrases[0].tokens]
            assert [prompt.ids[t] for t in entry.tokens] == ids


def test_packing_is_the_same_every_time(tokenize):
    phrases = random.Random(0).choices([f"{a} {b}" for a in WORDS for b in WORDS], k=300)
    assert pack_phrases(phrases, tokenize, limit=256) == pack_phrases(phrases, tokenize, limit=256)
