"""An explicit loop over a model of transformers: each token goes through it once.

A prompt is read alone, in one pass. After that its row goes on token by token, or reads several
tokens in one pass (what an expert found). Rows of unlike length share one cache where the family
tells positions, and keep one each where it does not; a row that waits costs no pass.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.language.cache import can_share, cut, entries, shared, taken
from groundplane.language.family import Family, Prepared

__all__ = ["Decoder", "Row", "Rows", "longest_context"]


@dataclass(slots=True, eq=False, kw_only=True)
class Row:
    """One text that a model goes on with.

    Attributes:
        length: Entries of its cache.
        shift: What its position is ahead of that; rotary positions of a picture are fewer than
            its tokens.
        logits: Scores of the next token, (v,).
        state: Last hidden state of the last token read, (d,), where states are kept.
        cache: None while it shares one.
        beside: What every pass takes beside tokens and cache.
    """

    length: int
    shift: int
    logits: Tensor
    state: Tensor | None = None
    cache: Any = None
    beside: Mapping[str, Any] = field(default_factory=dict)


class Decoder:
    """A model and how its family reads.

    Args:
        model: Of transformers, in evaluation mode.
        family: What is particular about it.
        states: Whether rows keep their hidden state.
    """

    def __init__(self, model: Any, family: Family, *, states: bool = False) -> None:
        self.model, self.family = model, family
        self._inner = family.inner(model)
        self._states = states
        self._lock = threading.Lock()
        self._takes = {
            id(module): frozenset(inspect.signature(module.forward).parameters)
            for module in (model, self._inner)
        }
        self._turning = [m for m in model.modules() if hasattr(m, "rope_deltas")]
        weights = next(iter(model.parameters()))
        self.device, self._dtype = weights.device, weights.dtype

    @torch.inference_mode()
    def begin(self, prepared: Prepared) -> Row:
        """Read a prompt.

        Args:
            prepared: Its inputs, batch of 1.

        Returns:
            The row that goes on behind it.
        """
        inputs = {name: self._here(value) for name, value in prepared.inputs.items()}
        if "inputs_embeds" in inputs:
            inputs.pop("input_ids")  # a model takes one of them; the ids tell how long it is
        with self._lock:  # the deltas of rotary positions are kept on the module
            for module in self._turning:
                module.rope_deltas = None
            output = self._pass(self.model, inputs, fresh=True)
            turned = [m.rope_deltas for m in self._turning if m.rope_deltas is not None]
        cache = _within(output, "past_key_values")
        if cache is None:
            raise InputError(
                f"model of the family {self.family.name!r}: its forward pass gave no cache; "
                "groundplane runs models that keep one"
            )
        shift = self.family.first
        if turned:
            shift += int(turned[0].reshape(-1)[0])
        row = Row(
            length=entries(cache),
            shift=shift,
            logits=_within(output, "logits")[0, -1],
            cache=cache,
            beside=self._beside(prepared, output),
        )
        row.state = self._state(output, 0)
        return row

    @torch.inference_mode()
    def read(self, row: Row, ids: Sequence[int]) -> None:
        """Let a row that shares no cache read tokens, all in one pass.

        Args:
            row: Its scores and its state are then those behind the last token.
            ids: At least one.
        """
        tokens = torch.tensor([list(ids)], dtype=torch.long, device=self.device)
        output = self._go_on(tokens, row.cache, [row], [row.length])
        row.length += len(ids)
        row.logits, row.state = _within(output, "logits")[0, -1], self._state(output, 0)

    def cut(self, row: Row, count: int) -> None:
        """Take the last entries of a row that shares no cache away.

        Its scores are then stale: it must read something next.

        Raises:
            InputError: If the cache cannot go back.
        """
        cut(row.cache, count)
        row.length -= count

    def _pass(self, module: Any, inputs: Mapping[str, Any], *, fresh: bool = False) -> Any:
        takes = self._takes[id(module)]
        given = dict(inputs)
        if fresh and "logits_to_keep" in takes:
            given["logits_to_keep"] = 1
        if self._states:
            given["output_hidden_states"] = True
        return module(**given, use_cache=True, return_dict=True)

    def _go_on(
        self,
        tokens: Int[Tensor, "b t"],
        cache: Any,
        rows: Sequence[Row],
        lengths: Sequence[int],
    ) -> Any:
        """A pass behind a cache of `max(lengths)` entries a row, the last of them its own."""
        family, most, more = self.family, max(lengths), tokens.shape[1]
        name = "decoder_input_ids" if rows[0].beside else "input_ids"
        given: dict[str, Any] = {name: tokens, "past_key_values": cache, **rows[0].beside}
        # Without gaps no mask is needed, and a model that gets one looks at all of it on the host.
        if not rows[0].beside and (family.places == "own" or min(lengths) < most):
            given["attention_mask"] = self._mask(lengths, most + more)
        if family.places != "own":
            behind = torch.arange(more, device=tokens.device)
            firsts = [row.length + row.shift for row in rows]
            places = torch.tensor(firsts, device=tokens.device)[:, None] + behind
            if family.places == "rope":
                places = places.expand(3, *places.shape)
            given["position_ids"] = places
        return self._pass(self._inner, given)

    def _mask(self, lengths: Sequence[int], width: int) -> Int[Tensor, "b w"]:
        most = max(lengths)
        mask = torch.ones(len(lengths), width, dtype=torch.long, device=self.device)
        for index, length in enumerate(lengths):
            if length < most:
                mask[index, : most - length] = 0
        return mask

    def _beside(self, prepared: Prepared, output: Any) -> Mapping[str, Any]:
        """Of an encoder-decoder: what the encoder said, once."""
        if not self.family.encoder_decoder or "decoder_input_ids" not in prepared.inputs:
            return {}
        library = importlib.import_module("transformers.modeling_outputs")
        encoded = _within(output, "encoder_last_hidden_state")
        return {"encoder_outputs": library.BaseModelOutput(last_hidden_state=encoded)}

    def _state(self, output: Any, row: int) -> Tensor | None:
        if not self._states:
            return None
        kept = _within(output, "hidden_states")
        kept = _within(output, "decoder_hidden_states") if kept is None else kept
        state: Tensor = kept[-1][row, -1].clone()
        return state

    def _here(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.to(self.device, self._dtype if value.is_floating_point() else None)


class Rows:
    """Rows that go on together, a token each a pass.

    Args:
        decoder: What runs them.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._rows: list[Row] = []
        self._cache: Any = None

    @torch.inference_mode()
    def step(self, rows: Sequence[Row], tokens: Int[Tensor, " b"]) -> Float[Tensor, "b v"]:
        """Let each row read its next token.

        Args:
            rows: Those that go on, at least one; rows that are not among them leave.
            tokens: One a row.

        Returns:
            Scores of the token after that.
        """
        if len(rows) == 1 or not all(self._shares(row) for row in rows):
            self._gather([])
            return torch.stack([self._alone(row, tokens[i]) for i, row in enumerate(rows)])
        self._gather(list(rows))
        decoder = self._decoder
        lengths = [row.length for row in rows]
        output = decoder._go_on(tokens[:, None], self._cache, rows, lengths)
        logits: Tensor = _within(output, "logits")[:, -1]
        for index, row in enumerate(rows):
            row.length += 1
            row.logits, row.state = logits[index], decoder._state(output, index)
        return logits

    def leave(self, row: Row) -> None:
        """A row goes its own way: it waits, reads more than a token, or has ended."""
        if any(one is row for one in self._rows):
            self._gather([one for one in self._rows if one is not row])

    def _alone(self, row: Row, token: Int[Tensor, ""]) -> Float[Tensor, " v"]:
        decoder = self._decoder
        output = decoder._go_on(token[None, None], row.cache, [row], [row.length])
        row.length += 1
        row.logits, row.state = _within(output, "logits")[0, -1], decoder._state(output, 0)
        return row.logits

    def _shares(self, row: Row) -> bool:
        if self._decoder.family.places == "own" or row.beside:
            return False
        return row.cache is None or can_share(row.cache)

    def _gather(self, rows: list[Row]) -> None:
        """These rows share a cache; those that did and are not among them get their own."""
        if list(map(id, rows)) == list(map(id, self._rows)):
            return
        for index, row in enumerate(self._rows):
            row.cache = taken(self._cache, index, row.length)
        self._rows, self._cache = rows, None
        if len(rows) > 1:
            self._cache = shared([row.cache for row in rows], [row.length for row in rows])
            for row in rows:
                row.cache = None
        else:
            self._rows = []


def longest_context(config: Any) -> int | None:
    """How many tokens a model of a configuration can hold, or None where it does not say."""
    text = config.get_text_config(decoder=True)
    found = getattr(text, "max_position_embeddings", None)
    return int(found) if isinstance(found, int) and found > 0 else None


def _within(output: Any, name: str) -> Any:
    """A part of an output, or of that of the language model within."""
    found = getattr(output, name, None)
    if found is None and getattr(output, "language_model_outputs", None) is not None:
        found = getattr(output.language_model_outputs, name, None)
    return found
