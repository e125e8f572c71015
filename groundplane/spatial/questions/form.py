"""What a form of question is, and the small language its patterns are written in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from groundplane.core.expressions import SetExpression, Viewpoint
from groundplane.core.queries import Expression
from groundplane.spatial.questions.phrases import NEAREST, SUPERLATIVES, PhraseError

__all__ = ["COMPARATIVES", "MACROS", "Context", "Form", "Slots", "make_form", "match_form"]

Slots = dict[str, str]

# Comparatives: the measure that is compared, and whether the larger one wins.
COMPARATIVES: dict[str, tuple[str, bool]] = {
    "bigger": ("volume", True), "larger": ("volume", True), "smaller": ("volume", False),
    "bulkier": ("volume", True), "tinier": ("volume", False), "taller": ("height", True),
    "higher": ("top", True), "shorter": ("height", False), "lower": ("elevation", False),
    "longer": ("size", True), "wider": ("width", True), "broader": ("width", True),
    "narrower": ("width", False), "deeper": ("depth", True), "thicker": ("depth", True),
    "thinner": ("depth", False),
}  # fmt: skip

# Pieces of patterns, written <NAME>; longer wordings first.
MACROS = {
    "CLOSE": "|".join(sorted(NEAREST, key=len, reverse=True)),
    "MORE": "|".join(COMPARATIVES),
    "MOST": "|".join(SUPERLATIVES),
    "ROOM": (
        r"(?:(?:this|the|my|our|whole|entire|full|total|combined) )*(?:living room|bedroom|"
        r"bathroom|kitchen|dining room|room|apartment|flat|house|space|scene|place|home|studio|"
        r"office|unit|area|hall)"
    ),
    "PICTURE": r"(?:the|this) (?:picture|image|photo|photograph|scene|video|map|frame|shot)",
    "SIDE": r"(?:(?:on|to|at|in|towards?) )?(?:my |the |your |its )?",
    "BE": r"(?:is|are|was|were|lies?|sits?|stands?|hangs?)",
    "THING": (
        r"(?: one| object| thing| item| piece of furniture| of them| of these| of those| "
        r"of these objects| of these things| of these items)?"
    ),
    "UNIT": r"(?:the )?",
}
MACROS["SCOPE"] = (
    rf"(?: (?:in|inside|within|of|around|throughout|across|on) (?:{MACROS['ROOM']}|here|it|"
    rf"{MACROS['PICTURE']})| here| visible| present| shown| there| around)*"
)
MACROS["SEE"] = (
    r"(?:(?:is|are)(?: there)?(?: (?:visible|present|shown|here|seen|around|available|placed|"
    r"located|standing|to be seen|to see|on display|in view))?|(?:do|can|could|did|does) "
    r"(?:i|you|we|one|it|they) (?:see|count|find|spot|have|make out|identify|detect|notice|own)|"
    rf"exist|can be (?:found|seen|spotted|counted)|(?:has|does|do|have) (?:{MACROS['ROOM']}|it|we|you) (?:have|contain|got|hold|include|"
    r"see|seen|found|spot)|have we got|there (?:are|is)|you (?:can )?see|we have)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What was taken out of the question before the forms are tried.

    Attributes:
        viewpoint: Who stands and looks, where both are said.
        origin: Where one stands, where only that is said.
        unit: The unit asked for.
    """

    viewpoint: Viewpoint | None = None
    origin: SetExpression | None = None
    unit: str | None = None

    @property
    def place(self) -> SetExpression | None:
        """Where the asker stands, if that is said."""
        return self.viewpoint.origin if self.viewpoint is not None else self.origin


Builder = Callable[[Slots, Context], Expression]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to ask.

    Attributes:
        name: The family, for traces and messages.
        example: A question of this form.
        patterns: Regular expressions over the whole rewritten question.
        build: Makes the query; raises `PhraseError` if a phrase cannot be read.
    """

    name: str
    example: str
    patterns: tuple[re.Pattern[str], ...]
    build: Builder


def make_form(name: str, example: str, build: Builder, *patterns: str) -> Form:
    """Compile a form.

    In a pattern `{a}` is a noun phrase and `<NAME>` a macro, besides named groups. A pattern
    of two phrases or more is tried with short first phrases, then with long ones, since `how far
    is the chair closest to the door from the tv` can be cut in two places.
    """
    compiled: list[re.Pattern[str]] = []
    for pattern in patterns:
        text = re.sub(r"(?<!P)<([A-Z]+)>", lambda found: MACROS[found[1]], pattern)
        slots = re.findall(r"\{([a-z])\}", text)
        for quantifier in (".+?", ".+") if len(slots) > 1 else (".+?",):
            filled = re.sub(r"\{([a-z])\}", rf"(?P<\1>{quantifier})", text)
            compiled.append(re.compile(f"^{filled}$"))
    return Form(name=name, example=example, patterns=tuple(compiled), build=build)


def match_form(form: Form, text: str, context: Context) -> Expression | None:
    """The query of the first pattern whose phrases can all be read."""
    for pattern in form.patterns:
        match = pattern.match(text)
        if match is None:
            continue
        slots = {name: value for name, value in match.groupdict().items() if value is not None}
        try:
            return form.build(slots, context)
        except PhraseError:
            continue
    return None
