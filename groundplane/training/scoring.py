"""How well a model knows a text, or the answers of samples, without being trained on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.training.conversations import IGNORED

__all__ = ["Score", "score_answers", "score_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of tokens that a model was to foresee.

    Attributes:
        tokens: How many.
        loss: Mean cross-entropy, nats a token.
        accuracy: Share that were the most probable one.
    """

    tokens: int
    loss: float
    accuracy: float

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; infinite where that is too large for a number."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def to_json(self) -> dict[str, Any]:
        """As a table that JSON can hold."""
        return {**asdict(self), "perplexity": self.perplexity if self.loss < 700 else None}


def score_text(language_model: Any, tokenizer: Any, text: str, *, window: int = 1024) -> Score:
    """Perplexity of a language model on plain text.

    The text is cut into windows that do not overlap; in each, every token but the first is to be
    foreseen from those before it.

    Args:
        language_model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        text: Anything.
        window: Tokens of a window, at least 2.

    Raises:
        InputError: If the text has less than two tokens.
    """
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) < 2:
        raise InputError(f"perplexity: expected a text of at least 2 tokens, got {len(ids)}")
    parts = [torch.tensor([ids[at : at + window]]) for at in range(0, len(ids), window)]
    batches = [{"input_ids": part, "labels": part} for part in parts if part.shape[1] > 1]
    return _score(language_model, batches)


def score_answers(model: Any, batches: Iterable[Mapping[str, Any]]) -> Score:
    """How well a model foresees the answers of samples, each token from the true ones before it.

    Args:
        model: Takes a batch as `forward` does.
        batches: As `Collator` makes them.

    Raises:
        InputError: If there are no labels.
    """
    return _score(model, batches)


@torch.no_grad()
def _score(model: Any, batches: Iterable[Mapping[str, Any]]) -> Score:
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    tokens, right = 0, torch.zeros((), dtype=torch.long, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    for batch in batches:
        inputs = {name: _to(value, device) for name, value in batch.items() if name != "labels"}
        labels = batch["labels"][:, 1:]
        counted = labels != IGNORED
        tokens += int(counted.sum())
        logits = model(**inputs).logits[:, :-1][counted.to(device)].float()
        wanted = labels[counted].to(device)
        loss += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").double()
        right += (logits.argmax(dim=-1) == wanted).sum()
    model.train(was_training)
    if not tokens:
        raise InputError("score: expected at least one token to be foreseen, got none")
    return Score(tokens=tokens, loss=float(loss) / tokens, accuracy=float(right) / tokens)


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return [_to(item, device) for item in value]
