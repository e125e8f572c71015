from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_language import make_tokenizer

from groundplane.core.errors import InputError
from groundplane.training.conversations import IGNORED, Conversations
from groundplane.training.samples import Sample, Turn


def talk(*texts, system=None):
    first = (Turn("system", system),) if system else ()
    roles = ["user", "assistant"] * len(texts)
    return first + tuple(Turn(role, text) for role, text in zip(roles, texts, strict=False))


def sample(turns, pictures=0):
    return Sample(name="data 'x': [0]", turns=turns, images=(Path("a.png"),) * pictures)


def make(chat=False, image_tokens=4, **options):
    tokenizer = make_tokenizer(chat)
    token = tokenizer.convert_tokens_to_ids("<image>")
    return Conversations(
        tokenizer=tokenizer, image_token_id=token, image_tokens=image_tokens, **options
    )


def learnt(conversations, encoded):
    """The pieces of text that have labels."""
    pieces, run = [], []
    for label in [*encoded.labels.tolist(), IGNORED]:
        if label != IGNORED:
            run.append(label)
        elif run:
            pieces.append(conversations.tokenizer.decode(run))
            run = []
    return pieces


def test_vicuna_is_written_as_llava_writes_it():
    rendered = make().render(talk("<image>\nA dog?", "Yes.", "Red?", "No."))
    assert rendered.text.endswith(
        "polite answers to the user's questions. USER: <image>\nA dog? ASSISTANT: Yes.</s>"
        "USER: Red? ASSISTANT: No.</s>"
    )
    assert [rendered.text[a:b] for a, b in rendered.answers] == [" Yes.</s>", " No.</s>"]


def test_a_system_turn_takes_the_place_of_vicunas():
    text = make().render(talk("Hi", "Ho", system="Be brief.")).text
    assert text == "Be brief. USER: Hi ASSISTANT: Ho</s>"


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("answer", ["A red cup.", "杯子 👩‍🚀é", "ASSISTANT: </p>", "a"])
def test_only_answers_are_learnt_with_the_mark_that_ends_them(chat, answer):
    conversations = make(chat)
    encoded = conversations.encode(sample(talk("<image> what?", answer, "and?", "left"), 1))
    ends = "<|im_end|>" if chat else "</s>"
    lead = "" if chat else " "
    assert learnt(conversations, encoded) == [f"{lead}{answer}{ends}", f"{lead}left{ends}"]


def test_a_prompt_ends_where_the_first_label_stands():
    conversations = make()
    encoded = conversations.encode(sample(talk("Where?", "left")))
    first = int((encoded.labels != IGNORED).nonzero()[0])
    prompt = conversations.tokenizer.decode(encoded.ids[:first])
    assert prompt.endswith("USER: Where? ASSISTANT:")


def test_a_picture_takes_its_tokens_and_none_is_learnt():
    conversations = make(image_tokens=5)
    encoded = conversations.encode(sample(talk("<image><image> a", "b"), 2))
    is_image = encoded.ids == conversations.image_token_id
    assert int(is_image.sum()) == 10
    assert bool((encoded.labels[is_image] == IGNORED).all())


def test_text_has_the_ids_that_the_tokenizer_gives_it():
    conversations = make()
    turns = talk("a dog on the table", "left of a cup")
    encoded = conversations.encode(sample(turns))
    text = conversations.render(turns).text
    assert encoded.ids.tolist() == conversations.tokenizer(text)["input_ids"]


def test_what_is_too_long_is_cut_and_said_to_be():
    conversations = make()
    turns = talk("a", "b " * 200)
    whole = conversations.encode(sample(turns))
    short = make(max_length=len(whole.ids) - 10).encode(sample(turns))
    assert (whole.cut, short.cut) == (False, True)
    assert torch.equal(short.ids, whole.ids[:-10])


@pytest.mark.parametrize(
    ("turns", "pictures", "length", "expected"),
    [
        (talk("a", "b"), 0, 2, "nothing of its answers is left within max_length = 2"),
        (talk("<image>", "b"), 1, 130, "pictures take 400 tokens and do not fit"),
        (talk("<image> <image>", "b"), 1, 2000, "expected <image> 1 times in its text, got it 2"),
    ],
)
def test_a_sample_that_cannot_be_learnt_is_named(turns, pictures, length, expected):
    with pytest.raises(InputError, match=rf"^data 'x': \[0\]: .*{expected}"):
        make(image_tokens=400, max_length=length).encode(sample(turns, pictures))


def test_the_chat_template_is_taken_only_where_it_is_wanted():
    assert make(chat=True).uses_chat
    assert not make(chat=True, template="vicuna").uses_chat
    assert not make(chat=False).uses_chat
    with pytest.raises(InputError, match="has no chat template; use 'vicuna'"):
        make(template="chat")


def test_a_template_that_rewrites_earlier_turns_is_refused():
    conversations = make(chat=True)
    conversations.tokenizer.chat_template = (
        "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(InputError, match="does not write turns one after the other"):
        conversations.render(talk("a", "b", "c", "d"))


def test_a_template_that_fails_is_refused():
    conversations = make(chat=True)
    conversations.tokenizer.chat_template = "{{ raise_exception('no system\nplease') }}"
    with pytest.raises(InputError, match="chat template fails: no system please"):
        conversations.render(talk("a", "b"))


def test_a_tokenizer_that_lacks_what_it_takes_is_refused():
    tokenizer = make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="no end-of-text token"):
        Conversations(tokenizer=tokenizer, image_token_id=0, image_tokens=1)
    with pytest.raises(InputError, match="expected a fast tokenizer"):
        Conversations(tokenizer=object(), image_token_id=0, image_tokens=1)


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text.strip() and not set("<|>") & set(text)
)


@given(texts=st.lists(_TEXTS, min_size=2, max_size=6).filter(lambda t: len(t) % 2 == 0))
@settings(max_examples=40, deadline=None)
def test_labels_are_the_ids_and_hold_every_answer(texts):
    conversations = make()
    encoded = conversations.encode(sample(talk(*texts)))
    inside = encoded.labels != IGNORED
    assert torch.equal(encoded.labels[inside], encoded.ids[inside])
    said = "".join(learnt(conversations, encoded))
    assert said == "".join(f" {answer}</s>" for answer in texts[1::2])
