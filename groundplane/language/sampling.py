"""Which token comes next: the likeliest one, or one drawn by chance with a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.errors import InputError

__all__ = ["Sampler", "Sampling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        temperature: 0: always the likeliest token; else what scores are divided by.
        top_p: Only the likeliest tokens whose chances sum to it are drawn from; 1: all.
        top_k: Only so many of the likeliest tokens are drawn from; 0: all.
        seed: Every sequence draws from a row of numbers of its own that starts here, so its text
            does not depend on what shares the batch.

    Raises:
        InputError: If a value is out of range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise InputError(
                f"sampling: expected a temperature of 0 or more, got {self.temperature}"
            )
        if not 0 < self.top_p <= 1:
            raise InputError(f"sampling: expected top_p above 0 and at most 1, got {self.top_p}")
        if self.top_k < 0:
            raise InputError(f"sampling: expected top_k of 0 or more, got {self.top_k}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"sampling: expected a seed of 0 to 2**63 - 1, got {self.seed}")


class Sampler:
    """Chooses the next tokens of a batch of sequences.

    Args:
        sampling: How.
        count: How many sequences there are.
        device: Where their scores are.
        banned: Tokens that are never said, such as the placeholders of pictures.

    Examples:
        >>> sampler = Sampler(Sampling(), count=2, device=torch.device("cpu"))
        >>> sampler.choose(torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]]), [0, 1]).tolist()
        [1, 0]
        >>> sampler.choose(torch.tensor([[0.0, float("nan"), 1.0]]), [0]).tolist()
        [-1]
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        count: int,
        device: torch.device,
        banned: Sequence[int] = (),
    ) -> None:
        self._sampling = sampling
        self._banned = torch.tensor(sorted(set(banned)), dtype=torch.long, device=device)
        self._chances: list[torch.Generator] = []
        if sampling.temperature > 0:
            self._chances = [torch.Generator(device) for _ in range(count)]
            for chance in self._chances:
                chance.manual_seed(sampling.seed)

    def choose(
        self,
        scores: Float[Tensor, "b v"],
        sequences: Sequence[int],
        allowed: Sequence[Sequence[int] | None] = (),
    ) -> Int[Tensor, " b"]:
        """The next token of each row, on the scores' device; nothing is copied to the host.

        Args:
            scores: Of every token of the vocabulary.
            sequences: Which sequence each row is.
            allowed: For each row the only tokens that may come, or None for any; empty: any for
                all. Greedy and sampling both keep to it.

        Returns:
            Token ids; -1 where no score is a number that can be compared.
        """
        if len(self._banned) or any(ids is not None for ids in allowed):
            scores = scores.index_fill(1, self._banned, -torch.inf)
        for row, ids in enumerate(allowed):
            if ids is not None:
                scores[row] = _only(scores[row], ids)
        best, tokens = scores.max(dim=1)
        if self._chances:
            drawn = [
                self._draw(scores[row], self._chances[sequence])
                for row, sequence in enumerate(sequences)
            ]
            tokens = torch.stack(drawn)
        return torch.where(best.isfinite(), tokens, -1)

    def _draw(self, scores: Float[Tensor, " v"], chance: torch.Generator) -> Int[Tensor, ""]:
        told = self._sampling
        scores = scores.float() / told.temperature
        if 0 < told.top_k < len(scores):
            least = scores.topk(told.top_k).values[-1]
            scores = scores.masked_fill(scores < least, -torch.inf)
        if told.top_p < 1:
            scores = _nucleus(scores, told.top_p)
        # The largest of chances over exponential noise is a draw by those chances, and needs no
        # look at them on the host (Maddison et al., A* Sampling, 2014).
        noise = torch.empty_like(scores).exponential_(generator=chance)
        return (scores.softmax(dim=0) / noise.clamp(min=1e-30)).argmax()


def _only(scores: Float[Tensor, " v"], ids: Sequence[int]) -> Float[Tensor, " v"]:
    at = torch.tensor(list(ids), dtype=torch.long, device=scores.device)
    kept = torch.full_like(scores, -torch.inf)
    return kept.index_copy(0, at, scores[at])


def _nucleus(scores: Float[Tensor, " v"], share: float) -> Float[Tensor, " v"]:
    """Scores of the likeliest tokens whose chances sum to a share; at least one stays."""
    ordered, at = scores.sort(descending=True)
    chances = ordered.softmax(dim=0)
    ordered = ordered.masked_fill(chances.cumsum(dim=0) - chances >= share, -torch.inf)
    return torch.empty_like(scores).index_copy_(0, at, ordered)
