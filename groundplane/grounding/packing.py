"""Phrases packed into prompts of a detector that reads text, and the tokens that each became.

A region is told by the tokens that it answers, never by decoding them into words: each phrase
knows where it stands in the prompt, and its tokens are those that begin and end there. So phrases
that share words, or contain one another, cannot merge.

Source: Liu et al., Grounding DINO, 2023, section 3.4: phrases of a prompt are parted by dots, and
tokens attend only within their phrase.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundplane.core.errors import InputError, ProtocolError

__all__ = ["Encoded", "PackedPrompts", "PhraseTokens", "Prompt", "Tokenize", "pack_phrases"]

# Dots and question marks part phrases for the model, so a phrase can have none of its own.
_PARTING = re.compile(r"[.?]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A text as token ids.

    Attributes:
        ids: All of them, those that frame the text too.
        spans: For each the characters of the text that it stands for, begin and end; the same
            twice for a token that stands for none.
        unknown: The id that stands for whatever the vocabulary lacks; -1 if there is none.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    unknown: int = -1

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.spans):
            raise ProtocolError(
                f"encoded text: {len(self.ids)} token ids but {len(self.spans)} spans"
            )


Tokenize = Callable[[str], Encoded]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseTokens:
    """Where a phrase stands in a prompt.

    Attributes:
        phrase: Index into the phrases asked.
        tokens: Positions of its tokens in the prompt's `ids`, at least one, rising.
    """

    phrase: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the model is given in one pass.

    Attributes:
        text: The prompt.
        ids: Its token ids.
        phrases: The phrases that it asks for, in the order asked; alike ones share tokens.
    """

    text: str
    ids: tuple[int, ...]
    phrases: tuple[PhraseTokens, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPrompts:
    """All passes of a list of phrases.

    Attributes:
        prompts: One a pass.
        refused: For each phrase that cannot be asked its index, and why.
    """

    prompts: tuple[Prompt, ...]
    refused: dict[int, str]


def pack_phrases(
    phrases: Sequence[str], tokenize: Tokenize, *, limit: int, apart: bool = False
) -> PackedPrompts:
    """Put phrases into as few prompts as take them in their order.

    Phrases are written in small letters, with single spaces, and without dots and question marks.
    Those that then read the same are asked once. A phrase is refused where nothing is left of
    it, where it is longer than a whole prompt, and where the vocabulary knows no part of it.

    Args:
        phrases: In any script.
        tokenize: The model's own tokenizer.
        limit: Most tokens of a prompt, those that frame it included.
        apart: Give each phrase a prompt of its own.

    Raises:
        InputError: If the limit is below 4: no word fits beside the marks.

    Examples:
        >>> def letters(text):  # a tokenizer for show: one token a letter
        ...     spans = [(0, 0), *((i, i + 1) for i, c in enumerate(text) if c != " "), (0, 0)]
        ...     return Encoded(ids=tuple(range(len(spans))), spans=tuple(spans))
        >>> packed = pack_phrases(["Cat", "cat dog", "."], letters, limit=20)
        >>> [(p.text, [t.tokens for t in p.phrases]) for p in packed.prompts]
        [('cat. cat dog.', [(1, 2, 3), (5, 6, 7, 8, 9, 10)])]
        >>> packed.refused
        {2: "'.' has no letter or digit that can be looked for"}
        >>> pack_phrases([], letters, limit=20).prompts
        ()
    """
    if limit < 4:
        raise InputError(f"prompt: expected a limit of 4 tokens or more, got {limit}")
    texts = [_cleaned(phrase) for phrase in phrases]
    alone = {text: tokenize(f"{text}.") for text in dict.fromkeys(texts)}
    reasons = {text: _reason_against(text, found, limit=limit) for text, found in alone.items()}
    refused = {
        index: f"{phrases[index].strip()[:80]!r} {reasons[text]}"
        for index, text in enumerate(texts)
        if reasons[text]
    }
    wanted: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if not reasons[text]:
            wanted.setdefault(text, []).append(index)
    # Two tokens of each frame it when it stands alone, and frame the whole prompt only once.
    costs = {text: len(alone[text].ids) - 2 for text in wanted}
    groups = [[text] for text in wanted] if apart else _grouped(costs, room=limit - 2)
    prompts = [p for group in groups for p in _prompts(group, wanted, tokenize, limit=limit)]
    return PackedPrompts(prompts=tuple(prompts), refused=refused)


def _grouped(costs: dict[str, int], *, room: int) -> list[list[str]]:
    """Cut a list, in its order, into as few parts as fit."""
    groups: list[list[str]] = []
    left = 0
    for text, cost in costs.items():
        if cost > left or not groups:
            groups.append([])
            left = room
        groups[-1].append(text)
        left -= cost
    return groups


def _cleaned(phrase: str) -> str:
    return " ".join(_PARTING.sub(" ", phrase.lower()).split())


def _joined(texts: Sequence[str]) -> str:
    """As the processor of transformers joins a list of labels."""
    return ". ".join(texts) + "."


def _reason_against(text: str, alone: Encoded, *, limit: int) -> str:
    """Why a phrase cannot be asked; empty where it can."""
    tokens = _within(alone, 0, len(text))
    if not tokens or not text:
        return "has no letter or digit that can be looked for"
    if len(alone.ids) > limit:
        return f"has {len(tokens)} tokens, and only {limit} fit into a prompt with its marks"
    if all(alone.ids[token] == alone.unknown for token in tokens):
        return "is in no script that the expert's vocabulary has"
    return ""


def _within(encoded: Encoded, begin: int, end: int) -> tuple[int, ...]:
    """The tokens of a part of the text."""
    return tuple(i for i, (a, b) in enumerate(encoded.spans) if begin <= a < b <= end)


def _prompts(
    texts: Sequence[str], wanted: dict[str, list[int]], tokenize: Tokenize, *, limit: int
) -> list[Prompt]:
    """One prompt, or two halves where the whole has more tokens than its parts."""
    text = _joined(texts)
    encoded = tokenize(text)
    if len(encoded.ids) > limit and len(texts) > 1:
        middle = len(texts) // 2
        halves = (texts[:middle], texts[middle:])
        return [p for half in halves for p in _prompts(half, wanted, tokenize, limit=limit)]
    found: list[PhraseTokens] = []
    begin = 0
    for phrase in texts:
        tokens = _within(encoded, begin, begin + len(phrase))
        if not tokens:
            raise ProtocolError(f"tokenizer: it gave {phrase!r} no token within {text[:200]!r}")
        found += (PhraseTokens(phrase=index, tokens=tokens) for index in wanted[phrase])
        begin += len(phrase) + len(". ")
    ordered = tuple(sorted(found, key=lambda entry: entry.phrase))
    return [Prompt(text=text, ids=encoded.ids, phrases=ordered)]
