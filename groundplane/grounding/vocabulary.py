"""Whether an expert of few words can look for a phrase, and what to say if it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from groundplane.core.errors import listing
from groundplane.core.lexicon import match_phrase, near_labels

__all__ = ["cannot_note", "known_words", "look_up"]


def known_words(phrase: str, vocabulary: Sequence[str]) -> str:
    """The words that an expert knows, those near a phrase first.

    Examples:
        >>> known_words("eyes", ["face", "eye"])
        'eye, face'
        >>> known_words("sofa", [])
        'none'
    """
    return listing(dict.fromkeys([*near_labels(phrase, vocabulary), *vocabulary]))


def cannot_note(phrase: str, vocabulary: Sequence[str]) -> str:
    """Say that an expert cannot look for a phrase, and what it knows, near words first.

    Examples:
        >>> cannot_note("sofa", ["face", "eye"])
        "this expert cannot look for 'sofa'; it knows: face, eye"
    """
    return f"this expert cannot look for {phrase!r}; it knows: {known_words(phrase, vocabulary)}"


def look_up(phrase: str, vocabulary: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Find the words of an expert's vocabulary that a phrase names.

    Returns:
        The words, none where the expert cannot look for the phrase, and a note: why it cannot,
        or what the phrase was taken for.

    Examples:
        >>> look_up("faces", ["face", "eye"])
        (('face',), '')
        >>> look_up("blue chair", ["chair"])
        ((), "this expert cannot check 'blue' in 'blue chair'; it can look for: chair")
        >>> look_up("table", ["dining table"])
        (('dining table',), "'table' was taken as: dining table")
    """
    match = match_phrase(phrase, vocabulary)
    if match is None:
        return (), cannot_note(phrase, vocabulary)
    if match.how == "part":
        unsure, known = " ".join(match.modifiers), listing(match.labels)
        return (), (f"this expert cannot check {unsure!r} in {phrase!r}; it can look for: {known}")
    note = f"{phrase!r} was taken as: {listing(match.labels)}" if match.how == "kind" else ""
    return match.labels, note
