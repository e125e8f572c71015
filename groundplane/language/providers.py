"""What is known of the models that only their providers run: how each is best asked for places.

A provider's model is told by its name, with or without the provider before it, so that it is known
behind a proxy too. What is not known is asked with Set-of-Mark, which needs no words for places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from groundplane.core.errors import InputError
from groundplane.language.routes import Route

__all__ = ["PROVIDERS", "Provider", "instruction_of", "provider_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How the models of one kind are asked.

    Attributes:
        name: What people call them.
        models: A pattern of their names, in small letters, without the provider before it.
        route: Who finds the places by default.
        dialect: How the model writes places of its own, if it is to; empty: it has no way.
        frame: What its numbers refer to, in words.
        native: Whether boxes of its own are relied on; if not, they are read only on request.
        structured: Whether an answer can be held to a JSON schema.
        resumes: Whether an answer that broke off is gone on with: whether a message of the
            assistant's at the end is taken as the beginning of the answer.
        key_env: The environment variable that holds the key.
    """

    name: str
    models: str
    route: Route = "marks"
    dialect: str = ""
    frame: str = "none"
    native: bool = False
    structured: bool = False
    resumes: bool = False
    key_env: str = ""


# The first that fits counts. Sources: google-gemini/cookbook (boxes of 2.x on a scale of 1000, y
# first); the provider's page on coordinates as quoted in public (Claude: pixels of the picture as
# it resized it; the models of 2024 predate it); QwenLM's issues 676, 721 and 866 (pixels of the
# picture on the grid of patches: sent at such a size, it stays as it is); Set-of-Mark prompting
# (Yang et al., 2023) for GPT-4V.
PROVIDERS = (
    Provider(
        name="Gemini",
        models=r"gemini-(?:[2-9]|\d\d)",
        route="own",
        dialect="gemini",
        frame="thousandths of the picture, y first",
        native=True,
        structured=True,
        key_env="GEMINI_API_KEY",
    ),
    Provider(name="Gemini 1", models=r"gemini", structured=True, key_env="GEMINI_API_KEY"),
    Provider(
        name="Claude 3",
        models=r"claude-(?:3|instant|2)",
        dialect="claude",
        frame="pixels of the picture as the provider resizes it",
        key_env="ANTHROPIC_API_KEY",
    ),
    Provider(
        name="Claude",
        models=r"claude",
        route="own",
        dialect="claude",
        frame="pixels of the picture as the provider resizes it",
        native=True,
        key_env="ANTHROPIC_API_KEY",
    ),
    Provider(
        name="Qwen3-VL",
        models=r"qwen-?3(?:\.\d+)?-vl",
        route="own",
        dialect="qwen3-vl",
        frame="thousandths of the picture",
        native=True,
        key_env="DASHSCOPE_API_KEY",
    ),
    Provider(
        name="Qwen-VL-Max",
        models=r"qwen-vl-(?:max|plus)|qwen-?2\.5-vl",
        route="own",
        dialect="qwen2.5-vl",
        frame="pixels of the picture on a grid of 28",
        native=True,
        key_env="DASHSCOPE_API_KEY",
    ),
    Provider(
        name="GPT-4V",
        models=r"gpt-4-(?:turbo|vision|\d)|gpt-4v",
        dialect="gpt-4o",
        frame="numbers of marks",
        key_env="OPENAI_API_KEY",
    ),
    Provider(
        name="GPT-4o",
        models=r"gpt-|chatgpt|o\d",
        dialect="gpt-4o",
        frame="numbers of marks",
        structured=True,
        key_env="OPENAI_API_KEY",
    ),
)
_UNKNOWN = Provider(name="unknown", models="")

# How a model is asked to write places that its dialect can be read from. A list without end is a
# known failure of all of them, so each is capped.
_INSTRUCTIONS = {
    "gemini": (
        'as a JSON list of objects such as {"label": "cup", "box_2d": [ymin, xmin, ymax, xmax]}, '
        "the numbers from 0 to 1000 whatever the size of the picture"
    ),
    "claude": (
        'as a JSON list of objects such as {"label": "cup", "bbox": [x1, y1, x2, y2]}, the numbers '
        "in pixels of the picture"
    ),
    "qwen2.5-vl": (
        'as a JSON list of objects such as {"bbox_2d": [x1, y1, x2, y2], "label": "cup"}, the '
        "numbers in pixels of the picture"
    ),
    "qwen3-vl": (
        'as a JSON list of objects such as {"bbox_2d": [x1, y1, x2, y2], "label": "cup"}, the '
        "numbers from 0 to 1000 whatever the size of the picture"
    ),
}


def provider_of(model: str) -> Provider:
    """What is known of a model.

    Args:
        model: Its name, with or without its provider: `gemini/gemini-2.5-pro`, `gpt-4o`.

    Raises:
        InputError: If there is no name.

    Examples:
        >>> provider_of("gemini/gemini-2.5-flash").dialect, provider_of("openai/gpt-4o").route
        ('gemini', 'marks')
        >>> provider_of("anthropic/claude-3-opus-20240229").native, provider_of("x/y").name
        (False, 'unknown')
    """
    last = model.strip().lower().rpartition("/")[2]
    if not last:
        raise InputError(
            f"provider: expected a model's name such as 'gemini/gemini-2.5-pro', got {model!r}"
        )
    return next((p for p in PROVIDERS if re.match(p.models, last)), _UNKNOWN)


def instruction_of(dialect: str) -> str:
    """What a model is told so that it writes places in a dialect; empty where it knows by itself.

    Args:
        dialect: Its name, as `Provider` has it.

    Examples:
        >>> instruction_of("gemini")[:52]
        'Answer the question in words. Then write where the t'
        >>> instruction_of("qwen-vl")
        ''
    """
    how = _INSTRUCTIONS.get(dialect)
    if how is None:
        return ""
    return (
        "Answer the question in words. Then write where the things are that you named, 25 at "
        f"most, {how}. Give an empty list where there are none."
    )
