"""DeepSeek-VL: padded pictures of one size, as many tokens each as its processor states.

It has no location language: what it says is grounded by experts afterwards.

Source: Lu et al., DeepSeek-VL, 2024; `DeepseekVLImageProcessor` and `DeepseekVLProcessor` of
transformers.
"""

from __future__ import annotations

from functools import partial

from groundplane.language.family import Family
from groundplane.language.preparing import one_size

__all__ = ["FAMILIES"]

_WHO = "language model 'deepseek_vl'"


FAMILIES = (
    Family(
        name="deepseek_vl",
        systems=("DeepSeek-VL",),
        prepare=partial(one_size, who=_WHO),
        notes="Any number of pictures, as many tokens each as its processor states.",
    ),
)
