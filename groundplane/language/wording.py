"""The words of a prompt as a family hands them to its processor.

What a user writes is text: a sign that the tokenizer would read as one of the model's own marks
(an image, the end of a turn) is taken apart by a blank, and the prompt says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from groundplane.core.errors import InputError, ShapeError
from groundplane.core.session import Prompt

__all__ = ["conversation", "marks", "need_images", "pictures", "question", "without_marks"]


def marks(processor: Any, *also: str) -> tuple[str, ...]:
    """The signs that the tokenizer of a processor reads as marks, longest first.

    Args:
        processor: Of a model; or its tokenizer.
        *also: Signs of the family that its tokenizer does not count among its special ones.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {str(token) for token in added.values() if token.special}
    special |= set(tokenizer.all_special_tokens) | set(also)
    # Signs of one character, or of blanks, are plain text in every question.
    return tuple(sorted((s for s in special if len(s.strip()) > 1), key=lambda s: (-len(s), s)))


def without_marks(prompt: Prompt, signs: Sequence[str]) -> tuple[Prompt, tuple[str, ...]]:
    """A prompt whose texts hold none of a model's signs, and what was taken apart.

    Args:
        prompt: As asked.
        signs: Of `marks`.

    Returns:
        The prompt, and one line a sign that it spelled.

    Examples:
        >>> asked, told = without_marks(Prompt(text="Is <image> a cat?"), ["<image>"])
        >>> asked.text, told
        ('Is < image> a cat?', ("'<image>' in the prompt is text, no mark of the model",))
        >>> without_marks(Prompt(text=""), ["<image>"])[1]
        ()
    """
    if not signs:
        return prompt, ()
    pattern = re.compile("|".join(map(re.escape, sorted(signs, key=len, reverse=True))))
    found: dict[str, None] = {}

    def apart(match: re.Match[str]) -> str:
        sign = match.group()
        found[sign] = None
        return f"{sign[0]} {sign[1:]}"

    def cleaned(text: str) -> str:
        for _ in range(8):  # a part may be a sign as well, such as '</s>' within '<</s>>'
            text, count = pattern.subn(apart, text)
            if not count:
                return text
        raise InputError(f"prompt: {text[:60]!r} cannot be told from the model's own marks")

    safe = replace(
        prompt,
        text=cleaned(prompt.text),
        system=cleaned(prompt.system),
        choices=tuple(map(cleaned, prompt.choices)),
    )
    told = (f"{sign!r} in the prompt is text, no mark of the model" for sign in found)
    return safe, tuple(told)


def question(prompt: Prompt) -> str:
    """The question with its options, each on a line of its own.

    Examples:
        >>> question(Prompt(text="Which?", choices=("A. cup", "B. dog")))
        'Which?\\nA. cup\\nB. dog'
        >>> question(Prompt(text=""))
        ''
    """
    return "\n".join([prompt.text, *prompt.choices])


def conversation(prompt: Prompt) -> list[dict[str, Any]]:
    """The turns of a prompt as a chat template takes them, pictures before the question.

    Examples:
        >>> [turn["role"] for turn in conversation(Prompt(text="Why?", system="Be brief."))]
        ['system', 'user']
        >>> conversation(Prompt(text=""))[0]["content"]
        [{'type': 'text', 'text': ''}]
    """
    told = [{"role": "system", "content": [{"type": "text", "text": prompt.system}]}]
    asked = [{"type": "image"} for _ in prompt.images]
    content = [*asked, {"type": "text", "text": question(prompt)}]
    return [*(told if prompt.system else []), {"role": "user", "content": content}]


def need_images(prompt: Prompt, who: str, *, least: int = 0, most: int | None = None) -> None:
    """Refuse a prompt with fewer or more pictures than a model takes.

    Args:
        prompt: As asked.
        who: Names the model in the message.
        least: Fewest pictures.
        most: Most; None: any number.

    Raises:
        InputError: If there are too few or too many, or one has no pixels.
    """
    count = len(prompt.images)
    if count < least or (most is not None and count > most):
        wanted = (
            f"{least}" if least == most else f"{least} to {most}" if most else f"{least} or more"
        )
        raise InputError(
            f"{who}: expected {wanted} pictures with a question, got {count}. Try: a family that "
            "takes as many, or one question a picture"
        )
    for image in prompt.images:
        if min(image.size) < 1:
            raise ShapeError(f"{who}: image {image.source.name!r} has no pixels: {image.size}")


def pictures(prompt: Prompt) -> list[Any]:
    """The pictures of a prompt as Pillow's.

    Of a bare array of 3 rows a processor of transformers takes the rows for colours.
    """
    from PIL import Image

    return [Image.fromarray(np.ascontiguousarray(image.pixels)) for image in prompt.images]
