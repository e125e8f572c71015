"""Dialects whose locations are hidden states: the text marks where, an expert decodes what.

A mention carries the tokens and how many of them came before, which is what the expert needs to
pick the states. Sources, each the model's own repository: LISA, groundingLMM (GLaMM), PixelLM,
NExT-Chat, LLaVA-Grounding.
"""

from __future__ import annotations

from groundplane.grounding.dialects.grammar import Convention, Dialect, Syntax

__all__ = ["DIALECTS"]

_WRAPPED, _BARE = Convention(phrase="wrapped"), Convention(phrase="none")
_NOTE = "Its locations are hidden states, which no text can write."

DIALECTS = (
    Dialect(
        name="glamm",
        kind="states",
        convention=_WRAPPED,
        syntax=Syntax(
            phrases=(("<p>", "</p>"),), states=("[SEG]",), ignored=("<bbox>", "<s>", "</s>")
        ),
        note=_NOTE,
    ),
    Dialect(
        name="lisa",
        kind="states",
        convention=_BARE,
        syntax=Syntax(states=("[SEG]",), ignored=("<s>", "</s>")),
        note=_NOTE,
    ),
    Dialect(
        name="pixellm",
        kind="states",
        convention=_BARE,
        # Three tokens at each of two scales are one object; with one of each it is plain `[SEG]`.
        syntax=Syntax(states=("[SEG]", *(f"[SEG{k}]" for k in range(6))), ignored=("<s>", "</s>")),
        note=_NOTE,
    ),
    Dialect(
        name="next-chat",
        kind="states",
        convention=Convention(phrase="before"),
        syntax=Syntax(states=("<boxes>",), joins=("<at>",), ignored=("<s>", "</s>")),
        note=_NOTE,
    ),
    Dialect(
        name="llava-grounding",
        kind="states",
        convention=_WRAPPED,
        syntax=Syntax(phrases=(("<g_s>", "<g_e>"),), states=("<seg>",), ignored=("<s>", "</s>")),
        note=_NOTE,
    ),
)
