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

    Raises:
        InputError: If a kind of prompt is unknown or the cost is negative.
    """

    prompts: frozenset[PromptKind]
    masks: bool = False
    cost: float = 0.0
    joint: bool = False
    licence: str = ""

    def __post_init__(self) -> None:
        strange = sorted(set(self.prompts) - set(_KINDS))
        if strange or not self.prompts:
            raise InputError(f"capabilities: expected prompts among {_KINDS}, got {strange}")
        if not self.cost >= 0:
            raise InputError(f"capabilities: expected a cost of 0 or more, got {self.cost}")
