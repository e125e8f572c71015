"""Which option of a multiple-choice question an answer in words chooses.

A letter (`(a)`, `a`, `A) open`, `the answer is b`) or the text of an option (`Open.`, `The wings
are open`) is a choice. An answer that chooses none, several, a letter with another option's text,
or only says what is not so (`not (a)`, `option b is wrong`), cannot be read; nothing is guessed.
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
# What stands after an option and says that it is not so.
_REFUSED = re.compile(
    r"[\s)*\"']*(?:isn't|(?:is|was|would be)\s+(?:(?:the|an?)\s+)?(?:not|wrong|incorrect|false))\b"
)
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
    if letters is None or len(letters) > 1:
        return None
    if letters:
        letter = letters.pop()
        return letter if not named or letter in named else None
    first = _first(said, options)
    if first is not None:
        return first
    return named.pop() if len(named) == 1 else None


def _letters(said: str, options: dict[str, str]) -> set[str] | None:
    """Letters that are stated as a choice; None where letters are only denied."""
    stated = [(match[match.lastgroup or 0], match) for match in _STATED.finditer(said)]
    if meant := [letter for letter, match in stated if _chosen(letter, match, options)]:
        return {meant[-1]}  # the last word on it counts
    leading = _ALONE.fullmatch(said) or _LEADING.match(said)
    marks = [*_MARK.finditer(said), *([leading] if leading else [])]
    found = {match[1] for match in marks} & options.keys()
    kept = {match[1] for match in marks if _chosen(match[1], match, options)}
    return None if found and not kept else kept


def _chosen(letter: str, match: re.Match[str], options: dict[str, str]) -> bool:
    """Whether a letter is an option's, and is not denied before or after it."""
    if letter not in options or _denied(match):
        return False
    text = re.compile(rf"\W*{_pattern(options[letter])}").match(match.string, match.end())
    return not _REFUSED.match(match.string, (text or match).end())


def _denied(match: re.Match[str]) -> bool:
    start = match.start()
    return _DENIED.search(match.string, max(0, start - _BEFORE), start) is not None


def _named(said: str, options: dict[str, str]) -> set[str]:
    """Options whose text stands in the answer and is not denied there."""
    found = set()
    # The longest first, so that `not open` or `dark red` is not read as `open` or `red` too.
    for letter, text in sorted(options.items(), key=lambda pair: -len(pair[1])):
        for match in re.finditer(_pattern(text), said):
            if not _denied(match):
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
    if plain[:1].isdigit():
        begin += r"(?<!\d[-.,:/])"
    if plain[-1:].isdigit():
        end += r"(?![-.,:/]\d)"  # `2` is not in `2.5`
    return begin + r"\s+".join(map(re.escape, plain.split())) + end


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'").strip()
