"""Texts generated some tokens at a time, so that what is done with them can begin at once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from groundplane.mof.checking import check_features
from groundplane.mof.modeling import MofForConditionalGeneration

__all__ = ["Decoding"]


class Decoding:
    """Greedy generation of a batch that can be stopped and gone on with.

    The pictures are encoded once, when it is made, and the keys and values of all tokens are
    kept.

    Args:
        model: In evaluation mode.
        batch: What `MofProcessor` gives, padded on the left, on the model's device.

    Raises:
        ShapeError: If placeholders and pictures do not fit.
        InputError: If a tower's features are not finite.
    """

    @torch.inference_mode()
    def __init__(self, model: MofForConditionalGeneration, batch: Mapping[str, Tensor]) -> None:
        self._language = model.language_model
        takes = inspect.signature(self._language.forward).parameters
        self._placed = "position_ids" in takes
        self._mask = batch["attention_mask"]
        pixels = batch.get("pixel_values")
        features = None if pixels is None else model.encode(pixels)
        if features is not None:
            check_features(features, model.tower_names)
        embedded, _, _ = model.embed(batch["input_ids"], features, self._mask.bool())
        places = (self._mask.cumsum(1) - 1).clamp(min=0)
        self._place = places[:, -1:]
        self._read(places, inputs_embeds=embedded)

    def _read(self, places: Int[Tensor, "b t"], **given: Any) -> None:
        """Let the language model read on; remember what it says next."""
        if self._placed:
            given["position_ids"] = places
        output = self._language(attention_mask=self._mask, use_cache=True, **given)
        self._cache = output.past_key_values
        self._next = output.logits[:, -1:].argmax(dim=-1)

    @torch.inference_mode()
    def advance(self, count: int) -> Int[Tensor, "b c"]:
        """The next tokens of every text, on the model's device; nothing is copied to the host.

        Args:
            count: How many, at least 1.
        """
        said = []
        for _ in range(count):
            said.append(self._next)
            self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
            self._place = self._place + 1
            self._read(self._place, input_ids=self._next, past_key_values=self._cache)
        return torch.cat(said, dim=1)
