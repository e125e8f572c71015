"""What differs from one family of multimodal models to the next: all else is written once.

A family is a declaration: how a prompt becomes the model's inputs, which canvas its pictures are
seen on, how its positions are counted, which location language it was trained to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from groundplane.core.frames import Frame
from groundplane.core.session import Prompt

__all__ = ["Family", "Inputs", "Places", "Prepared", "as_given", "extended", "whole"]

Inputs = Mapping[str, Any]

# How the position of a token is told to the model: `given` as position ids of shape (b, t);
# `rope` as those of the rotary embedding in three axes, (3, b, t), text position plus the
# `rope_deltas` that the model found with the prompt; `own` where the model counts by itself, from
# the length of its cache, so that sequences of unlike length cannot share one.
Places = Literal["given", "rope", "own"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """One prompt as its model takes it.

    Attributes:
        inputs: What the model's forward pass takes for this one sequence, batch of 1, on the CPU:
            `input_ids` (1, n), `attention_mask` (1, n), pixels and what belongs to them; of an
            encoder-decoder also `decoder_input_ids` (1, m), what its text starts from. With
            `inputs_embeds` (1, n, d) the model reads these rows; `input_ids` then tell n alone.
        frames: One an image: from the image to the canvas that the model writes places on.
        dropped: What of the prompt did not reach the model, in words, one line each.
    """

    inputs: Inputs
    frames: tuple[Frame, ...] = ()
    dropped: tuple[str, ...] = ()


def extended(inputs: Inputs, ids: Int[Tensor, "1 t"]) -> Inputs:
    """The inputs of a pass over prompt and text at once, without a cache.

    Every mask and row of kinds of token that is as long as `input_ids` grows with it: masks by
    ones, kinds by zeros (text). Of an encoder-decoder the decoder's row alone grows.

    Args:
        inputs: Of `Prepared`.
        ids: The tokens that follow.
    """
    longer = dict(inputs)
    if "decoder_input_ids" in inputs:
        start = inputs["decoder_input_ids"]
        longer["decoder_input_ids"] = torch.cat([start, ids.to(start.device)], dim=1)
        return longer
    length = inputs["input_ids"].shape[1]
    ids = ids.to(inputs["input_ids"].device)
    for name, value in inputs.items():
        if not isinstance(value, Tensor) or tuple(value.shape) != (1, length):
            continue
        if name == "input_ids":
            more = ids
        elif name == "attention_mask":
            more = torch.ones_like(ids, dtype=value.dtype)
        else:
            more = torch.zeros_like(ids, dtype=value.dtype)
        longer[name] = torch.cat([value, more], dim=1)
    return longer


def whole(model: Any) -> Any:
    """The model itself: tokens behind a prompt go through the forward pass of the prompt."""
    return model


def as_given(processor: Any, dialect: str) -> Any:
    """The processor as it was loaded, whatever is asked for."""
    del dialect
    return processor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """A family of models.

    Attributes:
        name: `model_type` of its configuration, such as `qwen2_5_vl`.
        systems: The names that people know its models by.
        prepare: From its processor, its model and a prompt to its inputs. Raises `InputError`
            where the prompt cannot be asked of it, and says what it dropped.
        dialect: The location language that it was trained to write; empty: none.
        grounded: The question as it was trained to be asked for places, with `{question}`.
        places: See `Places`.
        seeing: From its processor and the dialect that its places are to be read in (empty:
            none) to the processor to prepare with: one that shows pictures as the model was
            trained to write such places of. It is a copy where it is another.
        first: Position of the first token of a prompt, where positions are given.
        encoder_decoder: The prompt is encoded and the text is decoded from start tokens, by all of
            its models or by some: by those whose inputs hold `decoder_input_ids`.
        inner: The module that takes tokens behind a prompt, with the cache: the model itself, or
            the language model within, where the whole wants a picture with every pass.
        extend: The inputs of a pass over prompt and text without a cache; the measure of what
            decoding with a cache must give.
        ends: Tokens that end a text besides those of its generation configuration.
        notes: What is particular about it, for the table of models.
    """

    name: str
    systems: tuple[str, ...]
    prepare: Callable[[Any, Any, Prompt], Prepared]
    dialect: str = ""
    grounded: str = "{question}"
    places: Places = "given"
    seeing: Callable[[Any, str], Any] = as_given
    first: int = 0
    encoder_decoder: bool = False
    inner: Callable[[Any], Any] = whole
    extend: Callable[[Inputs, Int[Tensor, "1 t"]], Inputs] = field(default=extended)
    ends: tuple[str, ...] = ()
    notes: str = ""
