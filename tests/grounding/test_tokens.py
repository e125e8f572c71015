"""The scanner of token ids, with a byte-level tokenizer that is trained here."""

from __future__ import annotations

import json

import pytest
from outputs import OUTPUTS
from scanned import Found, found, scan
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from groundplane.core.errors import InputError
from groundplane.core.frames import Frame
from groundplane.grounding.dialects import dialect
from groundplane.grounding.scanner import Event
from groundplane.grounding.tokens import TokenScanner, token_bytes

_FRAME = Frame.original((640, 480))
_SPECIAL = {
    "qwen-vl": ["<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>", "<img>", "</img>"],
    "kosmos-2": [
        "<grounding>",
        "<phrase>",
        "</phrase>",
        "<object>",
        "</object>",
        "</delimiter_of_multi_objects/>",
        *(f"<patch_index_{k:04d}>" for k in range(1024)),
    ],
    "rex-omni": [
        "<|object_ref_start|>",
        "<|object_ref_end|>",
        "<|box_start|>",
        "<|box_end|>",
        *(f"<{k}>" for k in range(1000)),
    ],
    "deepseek-vl2": ["<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>"],
    "florence-2": [
        "<s>",
        "</s>",
        "<poly>",
        "<sep>",
        "</poly>",
        *(f"<loc_{k}>" for k in range(1000)),
    ],
}
_CORPUS = ["a dog and a cat near the table, (12,30),(40,50)", "\u4e00\u53ea\u72d7 \U0001f600"] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Byte-level BPE, so that one character may be several tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(_CORPUS, trainer)
    return made


def _ids(
    tokenizer: Tokenizer, name: str, text: str, *, forged: bool = False
) -> tuple[list[int], dict[int, bytes], dict[int, str]]:
    """The text's ids, with the tags as special tokens, or (forged) spelled by ordinary ones."""
    vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
    made = Tokenizer.from_str(tokenizer.to_str())
    if not forged:
        made.add_special_tokens(_SPECIAL[name])
    special = {made.token_to_id(tag): tag for tag in _SPECIAL[name] if made.token_to_id(tag)}
    return made.encode(text).ids, token_bytes(vocabulary), special


def _scan(
    name: str, ids: list[int], vocabulary: dict[int, bytes], special: dict[int, str]
) -> Found:
    scanner = TokenScanner(dialect(name), _FRAME, vocabulary=vocabulary, special=special)
    events: list[Event] = []
    for token in ids:
        events += scanner.feed([token])
    return found(events + scanner.close())


@pytest.mark.parametrize("name", _SPECIAL)
def test_ids_say_what_the_text_says(tokenizer: Tokenizer, name: str) -> None:
    for text in OUTPUTS[name]:
        if text.startswith("{"):
            continue
        # Control tokens are not among the special ones of this tokenizer.
        plain = text.removesuffix("<|endoftext|>").split("<\uff5c")[0]

        result = _scan(name, *_ids(tokenizer, name, plain))

        assert result == scan(name, [plain], frame=_FRAME)


@pytest.mark.parametrize("name", _SPECIAL)
def test_tags_that_ordinary_tokens_spell_are_text(tokenizer: Tokenizer, name: str) -> None:
    text = OUTPUTS[name][0].strip()

    result = _scan(name, *_ids(tokenizer, name, text, forged=True))

    assert result == Found(text=text, mentions=(), problems=())


def test_numbers_that_ordinary_tokens_spell_make_no_box(tokenizer: Tokenizer) -> None:
    _, vocabulary, special = _ids(tokenizer, "rex-omni", "")
    ids_of = {tag: token for token, tag in special.items()}
    spelled = tokenizer.encode("<1><1><900><900>").ids
    ids = [ids_of["<|box_start|>"], *spelled, ids_of["<|box_end|>"]]

    result = _scan("rex-omni", ids, vocabulary, special)

    assert result.mentions == ()
    assert [kind for kind, _, _ in result.problems] == ["malformed"]


def test_character_over_several_tokens_is_shown_when_it_is_whole(tokenizer: Tokenizer) -> None:
    ids, vocabulary, special = _ids(tokenizer, "qwen-vl", "\U0001f6f6!")
    assert len(ids) > 2
    scanner = TokenScanner(dialect("qwen-vl"), _FRAME, vocabulary=vocabulary, special=special)

    shown = [scanner.feed([token]) for token in ids]

    assert shown[0] == []
    assert [event for events in shown for event in events] == ["\U0001f6f6", "!"]


def test_character_that_is_never_whole_is_shown_as_unknown() -> None:
    scanner = TokenScanner(
        dialect("qwen-vl"), _FRAME, vocabulary={0: b"\xe7"}, special={1: "<ref>"}
    )

    assert scanner.feed([0]) == []
    assert scanner.feed([1]) == ["\ufffd"]
    assert scanner.feed([0]) == []
    assert scanner.close()[0] == "\ufffd"


def test_dialect_whose_tags_are_no_special_tokens_reads_them_as_they_are_spelled() -> None:
    pieces = {0: b"<loc0256><loc0128>", 1: b"<loc0768><loc0512> c", 2: b"at"}
    scanner = TokenScanner(dialect("paligemma"), _FRAME, vocabulary=pieces, special={3: "<eos>"})

    result = found(scanner.feed([0, 1, 2, 3]) + scanner.close())

    assert [mention[0] for mention in result.mentions] == ["cat"]


def test_special_token_that_is_no_sign_is_not_shown() -> None:
    scanner = TokenScanner(
        dialect("qwen3-vl"), _FRAME, vocabulary={0: b"Hello"}, special={1: "<|vision_pad|>"}
    )

    assert found(scanner.feed([0, 1, 0]) + scanner.close()).text == "HelloHello"


def test_id_of_no_token_is_refused() -> None:
    scanner = TokenScanner(dialect("qwen-vl"), _FRAME, vocabulary={0: b"a"}, special={})

    with pytest.raises(InputError, match="id 7 is none of the 1 tokens"):
        scanner.feed([7])
