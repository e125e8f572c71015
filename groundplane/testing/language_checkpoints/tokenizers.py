"""Byte-level tokenizers of tiny models: any text is read, and the marks of a family are tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groundplane.core.weights import need_library
from groundplane.testing.checkpoints import byte_pairs

__all__ = ["WHO", "byte_tokenizer", "token_ids"]

WHO = "groundplane.testing"


def byte_tokenizer(
    kind: str = "GPT2Tokenizer",
    *,
    marks: Sequence[str] = (),
    places: Sequence[str] = (),
    template: str = "",
    names: Mapping[str, str] | None = None,
    **settings: Any,
) -> Any:
    """A tokenizer of a class of transformers over bytes and `WORDS`.

    Args:
        kind: The class, a byte-level one.
        marks: Special tokens of the family beside the padding, beginning and end of a text.
        places: Tokens of the family that are text, such as those of locations.
        template: Its chat template.
        names: Names of marks that its processor asks for, such as `image_token`.
        **settings: Of the class; `pad_token` (id 0), `eos_token` and `bos_token` unless stated.

    Returns:
        The tokenizer; ids of marks come behind those of bytes and words.

    Examples:
        >>> tokenizer = byte_tokenizer(marks=["<image>"])
        >>> tokenizer.decode(tokenizer.encode("ein süßer 狗 <image>"))
        'ein süßer 狗 <image>'
        >>> tokenizer.encode(""), len(tokenizer.encode("<image>"))
        ([], 1)
    """
    library = need_library("transformers", who=WHO, extra="models")
    own = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"} | settings
    own.setdefault("unk_token", own["pad_token"])
    first = dict.fromkeys(own[f"{name}_token"] for name in ("pad", "bos", "eos", "unk"))
    first.pop(None, None)
    tokens, merges = byte_pairs(start="Ġ")
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*first, *tokens]))}
    tokenizer = getattr(library, kind)(
        vocab=vocabulary, merges=merges, extra_special_tokens=dict(names or {}), **own
    )
    tokenizer.add_tokens(list(marks), special_tokens=True)
    tokenizer.add_tokens(list(places))
    tokenizer.chat_template = template or None
    return tokenizer


def token_ids(tokenizer: Any, **signs: str) -> dict[str, int]:
    """The ids of signs, by the names that a configuration asks for.

    Examples:
        >>> token_ids(byte_tokenizer(), pad_token_id="<pad>", eos_token_id="</s>")
        {'pad_token_id': 0, 'eos_token_id': 2}
    """
    return {name: int(tokenizer.convert_tokens_to_ids(sign)) for name, sign in signs.items()}
