"""What an expert can be asked with, what it gives, and what a look costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groundplane.core.errors import InputError

__all__ = ["Capabilities", "PromptKind"]

PromptKind = Literal["text", "vocabulary", "exemplar", "box", "point", "embedding"]

_KINDS = ("text", "vocabulary", "exemplar", "box", "point", "embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an expert takes and gives, known without loading its weights.

    Attributes:
        prompts: How it can be asked: free `text`, the words of its `vocabulary`, an `exemplar`
            (a box around one such thing), a `box`, a `point`, or an `embedding` of a model.
        masks: Whether its regions carry masks.
        cost: Work of one image at the usual size, in billions of floating-point operations,
            about; 0 for one that computes nothing. The router asks the cheapest that can.
        joint: Whether what it finds for a phrase depends on the phrases that are asked along, as
            where text and image are fused. The router then joins no requests of unlike phrases.
        licence: Of the weights, as their publisher names it; empty where there are none.
        embedding_width: Numbers of an embedding that it can be asked with; 0 where it takes none,
            or says so only once its weights are read.

    Raises:
        InputError: If a kind of prompt is unknown, the cost or the width is negative, or there is
            a width but no `embedding` among the prompts.
    """

    prompts: frozenset[PromptKind]
    masks: bool = False
    cost: float = 0.0
    joint: bool = False
    licence: str = ""
    embedding_width: int = 0

    def __post_init__(self) -> None:
        strange = sorted(set(self.prompts) - set(_KINDS))
        if strange or not self.prompts:
            raise InputError(f"capabilities: expected prompts among {_KINDS}, got {strange}")
        if not self.cost >= 0:
            raise InputError(f"capabilities: expected a cost of 0 or more, got {self.cost}")
        if self.embedding_width < 0 or (self.embedding_width and "embedding" not in self.prompts):
            raise InputError(
                f"capabilities: expected a width of embeddings of 0 or more, and embedding among "
                f"the prompts where there is one, got {self.embedding_width}"
            )
