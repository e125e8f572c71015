"""Models that have no published way to write locations: their text is passed through.

MiniGPT-4 and Janus write captions and answers only; BuboGPT finds places by a pipeline outside
the language model. Of VILA, Kimi-VL, Phi-4-multimodal and Magma no literal format could be
confirmed in a published source, so none is guessed.
"""

from __future__ import annotations

from groundplane.grounding.dialects.grammar import Dialect

__all__ = ["DIALECTS"]

_NOTE = "Try: find the phrases of its text with a detector."

DIALECTS = tuple(
    Dialect(name=name, kind="nothing", note=_NOTE)
    for name in (
        "minigpt-4",
        "bubogpt",
        "janus",
        "vila",
        "kimi-vl",
        "phi-4-multimodal",
        "magma",
    )
)
