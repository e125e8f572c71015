"""Decoding by hand: greedily with a cache, and without one, to hold each family's inputs against.

Nothing here is shared with the package but the family's own declaration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, DynamicCache
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from groundplane.core.image import Image
from groundplane.testing.detectors import make_image


class ByHand:
    """One sequence: one pass for the prompt, one a token, one for all that is put in."""

    def __init__(self, family: Any, model: Any, prepared: Any) -> None:
        self.family, self.model, self.inputs = family, model, dict(prepared.inputs)
        self.ids: list[int] = []
        self.logits: list[torch.Tensor] = []  # those that each id of `ids` was chosen by
        self.chosen: list[bool] = []
        self.cache: Any = DynamicCache()
        if "decoder_input_ids" in self.inputs:
            self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        turning = [part for part in self.model.modules() if hasattr(part, "rope_deltas")]
        for part in turning:
            part.rope_deltas = None  # of the prompt before
        with torch.no_grad():
            told = self.model(**self.inputs, past_key_values=self.cache, use_cache=True)
        turned = [part.rope_deltas for part in turning if part.rope_deltas is not None]
        self.turn = int(turned[0]) if turned else 0
        self.encoded = _encoded(told)
        self.next = told.logits[0, -1]
        self.seen = _start(self.inputs).shape[1]

    def greedy(self, count: int) -> ByHand:
        """Choose so many tokens."""
        for _ in range(count):
            self._put([int(self.next.argmax())], chosen=True)
        return self

    def inject(self, ids: list[int]) -> ByHand:
        """Put tokens in with one pass."""
        self._put(ids, chosen=False)
        return self

    def _put(self, ids: list[int], *, chosen: bool) -> None:
        self.logits.append(self.next)
        more = torch.tensor([ids])
        inner = self.family.inner(self.model)
        asked: dict[str, Any] = {"past_key_values": self.cache, "use_cache": True}
        length = self.seen + len(ids)
        if self.encoded is not None:
            encoded = BaseModelOutput(last_hidden_state=self.encoded)
            asked |= {"decoder_input_ids": more, "encoder_outputs": encoded}
            asked["attention_mask"] = self.inputs["attention_mask"]
        else:
            asked |= {"input_ids": more, "attention_mask": torch.ones(1, length, dtype=torch.long)}
        if self.family.places != "own":
            places = torch.arange(self.seen, length)[None] + self.family.first + self.turn
            turning = self.family.places == "rope"
            asked["position_ids"] = places.expand(3, 1, -1) if turning else places
        with torch.no_grad():
            logits = inner(**asked).logits[0]
        self.logits += list(logits[:-1])
        self.next = logits[-1]
        self.seen = length
        self.ids += ids
        self.chosen += [chosen] * len(ids)


def without_cache(family: Any, model: Any, prepared: Any, ids: list[int]) -> torch.Tensor:
    """The logits that each of the ids, and one more, is chosen by, from one pass over all."""
    start = _start(prepared.inputs).shape[1]
    inputs = family.extend(prepared.inputs, torch.tensor([ids]))
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs, use_cache=False).logits[0]
    return logits[start - 1 :]


def assert_as_without_cache(
    family: Any, model: Any, processor: Any, prompt: Any, *, first: int = 6, then: int = 6
) -> list[int]:
    """Greedy, some ids put in, greedy again: the same as cache-free passes over all of it."""
    prepared = family.prepare(processor, model, prompt)
    put_in = processor.tokenizer(" the red cup", add_special_tokens=False)["input_ids"]
    said = ByHand(family, model, prepared).greedy(first).inject(put_in).greedy(then)
    plain = without_cache(family, model, prepared, said.ids)
    with_cache = torch.stack([*said.logits, said.next])
    # Sums of float32 in another order.
    torch.testing.assert_close(with_cache, plain, atol=1e-4, rtol=1e-4)
    greedy = [i for i, chosen in enumerate(said.chosen) if chosen]
    assert plain.argmax(-1)[greedy].tolist() == [said.ids[i] for i in greedy]
    return said.ids


def load(folder: Any) -> tuple[Any, Any]:
    """Model and processor as users load them."""
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return model, AutoProcessor.from_pretrained(folder)


def noise(width: int, height: int, seed: int = 0) -> Image:
    """A picture that no other seed gives."""
    rng = np.random.default_rng(seed)
    return make_image(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def _start(inputs: Any) -> torch.Tensor:
    found: torch.Tensor = inputs.get("decoder_input_ids", inputs["input_ids"])
    return found


def _encoded(told: Any) -> Any:
    inner = getattr(told, "language_model_outputs", None)
    told = told if inner is None else inner
    return getattr(told, "encoder_last_hidden_state", None)
