"""Which option of a multiple-choice question an answer in words chooses.

A letter (`(a)`, `a`, `A) open`, `the answer is b`) or the text of an option (`Open.`, `The wings
are open`) is a choice. An answer that chooses none, several, or a letter with another option's
text, cannot be read; nothing is guessed for it.
"""

from __future__ import annotations

import re
import unicodedata

from groundplane.core.errors import InputError

__all__ = ["read_choice", "read_options"]

_MARK = re.compile(r"\(\s*([a-z])\s*\)")
_ALONE = re.compile(r"\W*([a-z])\W*")
_LEADING = re.compile(r"\W{0,4}([a-z])\s?[.):](?=\W|\s|$)")
# Of bare letters `a` is a word too: it needs an end after it.
_STATED = re.compile(
    r"\b(?:answer|option|choice)(?:\s+is|:|\s+would be)*[\s*]*(?:\(\s*(?P<marked>[a-z])\s*\)|"
    r"(?P<bare>[b-z](?![\w'])|a(?=[\s*]*(?:[.,:;)\n]|$))))"
)
_THOUGHT = "</think>"
# What stands before an option's text and turns it into its opposite.
_DENIED = re.compile(r"(?:\b(?:not|never|neither|nor|without|isn't|aren't)|n't)\s+(?:\w+\s+)?$")
# So far before an option's text a denial of it begins, letters.
_BEFORE = 40
# No answer about one picture is longer; it bounds the matching.
_LONGEST = 20_000
# Scripts from here on put no spaces between words.
_UNSPACED = "\u2e80"


def read_options(text: str) -> dict[str, str]:
    """Options by their letters, from one line: `(a) Open (b) Closed`.

    Raises:
        InputError: If there are not two or more, each with a text and a letter of its own.

    Examples:
        >>> read_options("(a) Open (b) Closed")
        {'a': 'Open', 'b': 'Closed'}
        >>> read_options("")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: options: expected '(a) ... (b) ...', got ''
    """
    parts = re.split(r"\(\s*([A-Za-z])\s*\)", text)
    letters = [letter.lower() for letter in parts[1::2]]
    texts = [option.strip(" \t\r\n,;") for option in parts[2::2]]
    alike = len(set(letters)) < len(letters) or len({_plain(t) for t in texts}) < len(texts)
    if parts[0].strip() or len(letters) < 2 or not all(texts) or alike:
        raise InputError(f"options: expected '(a) ... (b) ...', got {text[:80]!r}")
    return dict(zip(letters, texts, strict=True))


def read_choice(answer: str, options: dict[str, str]) -> str | None:
    """The letter that an answer chooses, or None where it cannot be read.

    Args:
        answer: What was said. Of an answer with `</think>` only what follows counts.
        options: See `read_options`.

    Examples:
        >>> options = read_options("(a) Open (b) Closed")
        >>> [read_choice(said, options) for said in ("(A)", "b", "A) open", "They are closed.")]
        ['a', 'b', 'a', 'b']
        >>> [read_choice(said, options) for said in ("", "(a) or (b)", "(a) Closed", "maybe")]
        [None, None, None, None]
    """
    said = _plain(answer.rpartition(_THOUGHT)[2])[:_LONGEST]
    letters = _letters(said, options)
    named = _named(said, options)
    if len(letters) > 1:
        return None
    if letters:
        letter = letters.pop()
        return letter if not named or letter in named else None
    first = _first(said, options)
    if first is not None:
        return first
    return named.pop() if len(named) == 1 else None


def _letters(said: str, options: dict[str, str]) -> set[str]:
    """Letters that are stated as a choice."""
    stated = [match["marked"] or match["bare"] for match in _STATED.finditer(said)]
    if meant := [letter for letter in stated if letter in options]:
        return {meant[-1]}  # the last word on it counts
    alone = _ALONE.fullmatch(said)
    leading = alone or _LEADING.match(said)
    found = set(_MARK.findall(said)) | ({leading[1]} if leading else set())
    return found & options.keys()


def _named(said: str, options: dict[str, str]) -> set[str]:
    """Options whose text stands in the answer and is not denied there."""
    found = set()
    # The longest first, so that `not open` or `dark red` is not read as `open` or `red` too.
    for letter, text in sorted(options.items(), key=lambda pair: -len(pair[1])):
        for match in re.finditer(_pattern(text), said):
            if not _DENIED.search(said, max(0, match.start() - _BEFORE), match.start()):
                found.add(letter)
                break
        said = re.sub(_pattern(text), lambda match: "\0" * len(match[0]), said)
    return found


def _first(said: str, options: dict[str, str]) -> str | None:
    """The option whose text is the first clause: `No, it is not open` of yes and no."""
    for letter, text in options.items():
        if re.match(rf"\W*{_pattern(text)}\s*(?:[.,;:!\n]|$)", said):
            return letter
    return None


def _pattern(text: str) -> str:
    plain = _plain(text).strip(" .!?\"'")
    begin = r"(?<!\w)" if plain[:1] < _UNSPACED else ""
    end = r"(?!\w)" if plain[-1:] < _UNSPACED else ""
    return begin + r"\s+".join(map(re.escape, plain.split())) + end


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'").strip()
