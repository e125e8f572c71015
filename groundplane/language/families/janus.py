"""Janus: one encoder to understand pictures, another to make them; only the first is used here.

It has no location language: what it says is grounded by experts afterwards.

Source: Wu et al., Janus, 2024; `JanusImageProcessor` and `JanusProcessor` of transformers.
"""

from __future__ import annotations

from functools import partial

from groundplane.language.family import Family
from groundplane.language.preparing import one_size

__all__ = ["FAMILIES"]

_WHO = "language model 'janus'"


FAMILIES = (
    Family(
        name="janus",
        systems=("Janus", "Janus-Pro"),
        prepare=partial(one_size, who=_WHO),
        notes="Any number of pictures, as many tokens each as its processor states; the encoder, "
        "codes and head that make pictures are never run.",
    ),
)
