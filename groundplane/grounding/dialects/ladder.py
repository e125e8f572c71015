"""What is tried where a text holds nothing in its own dialect.

Each step says how else the text could be read: as which dialect, with which characters changed
for which (never added or taken away, so that offsets stay those of the text), and what is said
about it. The text is then scanned again, once a step, until something is found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from groundplane.core.locations import ProblemKind, Rung
from groundplane.grounding.dialects import dialect as named
from groundplane.grounding.dialects.grammar import (
    Convention,
    Dialect,
    Enclosed,
    Reading,
    Syntax,
)
from groundplane.grounding.dialects.payloads import any_object, bracketed, numbers, shapes_of
from groundplane.grounding.loose import Brackets, narrow, read_brackets

__all__ = ["ANY_NUMBERS", "BRACKETS", "OBJECTS", "STEPS", "Attempt", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """Another way to read a text.

    Attributes:
        dialect: The language to read it in.
        text: The text, of the same length.
        rung: What its locations state of how they were read.
        kind: The problem that is said where something is found so; None: nothing is wrong.
        message: The same in words.
        added: Characters put before the text.
    """

    dialect: Dialect
    text: str
    rung: Rung
    kind: ProblemKind | None
    message: str
    added: int = 0


Step = Callable[[str, Dialect], Attempt | None]

# What a text must hold to be tried as another dialect; the first that it holds is taken.
_SIGNS: tuple[tuple[str, str], ...] = (
    ("<patch_index_", "kosmos-2"),
    ("<|det|>", "deepseek-vl2"),
    ("<|begin_of_box|>", "glm-4.5v"),
    ("<|box_start|>(", "qwen2-vl"),
    ("<|box_start|><", "rex-omni"),
    ("<box>(", "qwen-vl"),
    ("<box>[", "internvl"),
    ("<box><", "locateanything"),
    ("<loc_", "florence-2"),
    ("<loc0", "paligemma"),
    ("<loc1", "paligemma"),
    ("<point ", "molmo"),
    ("<points ", "molmo"),
    ("{<", "minigpt-v2"),
    ('"box_2d"', "gemini"),
    ("'box_2d'", "gemini"),
)
# Of these the dialect knows which numbers are meant; of JSON keys it is said by the key alone.
_CELLS = 32


def _plain(language: Dialect) -> Convention | None:
    """The dialect's order and scale, for plain numbers; None where it has none."""
    convention = language.convention
    if convention.divisor == _CELLS:
        return None
    return Convention(
        order=convention.order,
        point_order=convention.point_order,
        divisor=convention.divisor,
        decimals=convention.decimals,
        frame=convention.frame,
    )


def _tags(language: Dialect) -> tuple[str, ...]:
    """All that is a tag in the dialect, and so no text in what is read as another one."""
    syntax = language.syntax
    pairs = [*syntax.phrases, *((kind.open, kind.close) for kind in syntax.enclosed)]
    tags = [tag for pair in pairs for tag in pair if tag[0] == "<" and tag[-1] == ">"]
    return tuple(dict.fromkeys((*syntax.ignored, *tags)))


def _wide(text: str, language: Dialect) -> Attempt | None:
    plain = narrow(text)
    if plain == text:
        return None
    return Attempt(
        dialect=language,
        text=plain,
        rung="brackets",
        kind=ProblemKind.BRACKETS,
        message="full-width signs were read as plain ones",
    )


def _other(text: str, language: Dialect) -> Attempt | None:
    for sign, name in _SIGNS:
        if sign in text and name != language.name:
            break
    else:
        return None
    other = named(name)
    if name == "molmo" and "coords" in text:
        other = named("molmo2")
    elif name == "molmo" and language.convention.divisor == 1000:
        # Qwen3-VL has been seen to write Molmo's elements on its own scale.
        other = replace(other, convention=replace(other.convention, divisor=1000))
    return Attempt(
        dialect=other,
        text=text,
        rung="json" if other.syntax.objects else "tokens",
        kind=ProblemKind.OTHER_DIALECT,
        message=f"read in the language of {other.name}",
    )


def _objects(text: str, language: Dialect) -> Attempt | None:
    convention = _plain(language)
    if convention is None or "{" not in narrow(text):
        return None
    # A dialect with y first names its boxes so that it can be told; under another name they are
    # another model's, with x first.
    made = Dialect(
        name=f"{language.name} as JSON",
        convention=replace(convention, order="xyxy", point_order="xy", phrase="label"),
        syntax=Syntax(objects=True, ignored=_tags(language)),
        read_object=any_object,
    )
    return Attempt(
        dialect=made,
        text=narrow(text),
        rung="json",
        kind=ProblemKind.OTHER_DIALECT,
        message="read as JSON objects with numbers on the dialect's own scale",
    )


def _read_rows(payload: str) -> Reading | None:
    rows = bracketed(payload) or []
    # The last one may be cut off, and then that is to be said.
    rows = [row for row in rows[:-1] if row] + rows[-1:]
    return shapes_of(rows) if any(len(row) == 4 for row in rows) else None


_ROWS = Syntax(enclosed=(Enclosed(open="{", close="}", chars="0123456789.,;-+ \t\n[]"),))


def _in_brackets(text: str, language: Dialect) -> Attempt | None:
    convention = _plain(language)
    text = narrow(text)
    found = _four_each(list(read_brackets(text)), text)
    if convention is None or not found:
        return None
    signs = list(text)
    for start, end, whole, pairs in found:
        # One kind of bracket stands for all, so that one syntax reads them.
        inner = "".join(signs[start + 1 : end - whole]).translate(_GONE if pairs else _INNER)
        signs[start : end - whole] = ["{", *inner]
        if whole:
            signs[end - 1] = "}"
    made = Dialect(
        name=f"{language.name} in brackets",
        convention=replace(convention, phrase="before"),
        syntax=replace(_ROWS, ignored=_tags(language)),
        read=_read_rows,
    )
    # Boxes in plain brackets are what some models write in prose: nothing is wrong with that.
    usual = language.syntax.objects
    return Attempt(
        dialect=made,
        text="".join(signs),
        rung="brackets",
        kind=None if usual else ProblemKind.BRACKETS,
        message="numbers in brackets were read as boxes on the dialect's own scale",
    )


_INNER = str.maketrans("(){}<>", "[][][]")
_GONE = dict.fromkeys(map(ord, "(){}<>[]"), " ")


def _four_each(found: Sequence[Brackets], text: str) -> list[tuple[int, int, bool, bool]]:
    """Brackets with rows of four numbers; two pairs, `(x,y),(x,y)`, are one.

    Returns:
        Of each its characters, whether it is closed, and whether it is two pairs.
    """
    spans: list[tuple[int, int, bool, bool]] = []
    k = 0
    while k < len(found):
        this, after = found[k], found[k + 1] if k + 1 < len(found) else None
        if any(len(group) == 4 for group in this.groups):
            spans.append((*this.span, this.whole, False))
        elif after is not None and _is_pair(this) and _is_pair(after):
            between = text[this.span[1] : after.span[0]]
            if not between.strip(" ,"):
                spans.append((this.span[0], after.span[1], True, True))
                k += 1
        k += 1
    return spans


def _is_pair(bracket: Brackets) -> bool:
    one = len(bracket.groups) == 1 and len(bracket.groups[0]) == 2
    return one and bracket.opening == "(" and bracket.whole


def _read_any(payload: str) -> Reading | None:
    row = numbers(payload)
    return shapes_of([row]) if row is not None and len(row) == 4 else None


def _any_four(text: str, language: Dialect) -> Attempt | None:
    """Any four numbers with commas or blanks between them: only where the caller asks for it."""
    convention = _plain(language)
    if convention is None:
        return None
    # A blank at each end, so that there is room for brackets around every run.
    signs = [" ", *narrow(text), " "]
    for start, end in _runs("".join(signs)):
        row = ",".join("".join(signs[start:end]).replace(",", " ").split())
        signs[start - 1 : end + 1] = ["{", *row.ljust(end - start), "}"]
    made = Dialect(
        name=f"{language.name} as numbers",
        convention=replace(convention, phrase="before"),
        syntax=Syntax(enclosed=(Enclosed(open="{", close="}", chars="0123456789., "),)),
        read=_read_any,
    )
    return Attempt(
        dialect=made,
        text="".join(signs),
        rung="numbers",
        kind=ProblemKind.OTHER_DIALECT,
        message="four numbers in a row were taken for a box, as was asked",
        added=1,
    )


def _runs(text: str) -> list[tuple[int, int]]:
    """Stretches of exactly four numbers that no letter touches."""
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        if not text[at].isdigit():
            at += 1
            continue
        end = at
        while end < len(text) and (text[end].isdigit() or text[end] in "., "):
            end += 1
        stretch = text[at:end].rstrip(" .,")
        last = at + len(stretch)
        alone = not (text[at - 1].isalnum() or text[last].isalnum())
        if alone and len(stretch.replace(",", " ").split()) == 4:
            runs.append((at, last))
        at = end
    return runs


STEPS: tuple[Step, ...] = (_wide, _other, _objects, _in_brackets)
OBJECTS: Step = _objects
BRACKETS: Step = _in_brackets
ANY_NUMBERS: Step = _any_four
