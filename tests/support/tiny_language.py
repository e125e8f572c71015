"""A tiny tokenizer and language model of the true classes of transformers, without training."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from groundplane.testing.checkpoints import byte_pairs, make_model

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(chat: bool = False) -> Any:
    """Byte-level, with `<image>` as one token."""
    tokens, merges = byte_pairs(start="Ġ")
    special = ["<s>", "</s>", "<image>", *(["<|im_start|>", "<|im_end|>"] if chat else [])]
    vocabulary = {token: i for i, token in enumerate([*tokens, *special])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        additional_special_tokens=special[2:],
    )
    if chat:
        tokenizer.chat_template = CHATML
    return tokenizer


def make_llama(seed: int = 0, vocabulary: int = 512) -> Any:
    """A Llama of two layers; its answers depend on all that it reads."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=None,
    )
    return make_model(LlamaForCausalLM, config, seed)


def save_language_model(folder: str | Path, *, chat: bool = False, seed: int = 0) -> Path:
    """Save both in a folder, as a hub publishes them."""
    tokenizer = make_tokenizer(chat)
    with contextlib.redirect_stderr(io.StringIO()):
        make_llama(seed, len(tokenizer)).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return Path(folder)
