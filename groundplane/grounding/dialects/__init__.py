"""The location languages of language models, by name.

Each family has a module of its own, imported when one of its dialects is asked for. A module
holds `DIALECTS`: declarations, and the few functions that are particular to them.
"""

from __future__ import annotations

import importlib

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.grounding.dialects.grammar import Dialect

__all__ = ["dialect", "dialects"]

# Module: its dialects, each with its other names.
_FAMILIES: dict[str, dict[str, tuple[str, ...]]] = {
    "florence": {
        "florence-2": ("florence2", "florence"),
        "florence-2-ocr": (),
        "florence-2-outlines": (),
    },
    "gemini": {
        "gemini": (
            *(f"gemini-{n}" for n in ("2.0", "2.5", "3", "3.0", "3.5", "3.6", "3.7")),
            *(f"google-gemini-{n}" for n in ("2.0", "2.5", "3.5", "3.6", "3.7")),
        )
    },
    "indices": {
        "gpt-4o": ("gpt-4v", "set-of-mark", "som"),
        "groma": (),
        "rexseek": ("chatrex", "rex-seek"),
        "spatialrgpt": (),
    },
    "inline": {
        "cogvlm": ("cogagent", "cogvlm-grounding"),
        "ferret": ("ferret-v1",),
        "llava-1.5": ("llava", "llava1.5"),
        "shikra": (),
    },
    "kosmos": {"kosmos-2": ("kosmos2",)},
    "points": {"molmo": (), "molmo2": ("molmo-2",)},
    "providers": {"claude": ("claude-3",), "moondream": ("moondream2", "moondream3")},
    "paligemma": {"paligemma": ("paligemma-2", "paligemma2")},
    "qwen": {"qwen-vl": ("qwenvl", "qwen-vl-chat"), "qwen2-vl": ("qwen-2-vl",)},
    "qwen_json": {
        "qwen2.5-vl": ("qwen2-5-vl", "qwen-2.5-vl", "qwen-2-5-vl"),
        "qwen3-vl": ("qwen-3-vl",),
    },
    "silent": {
        "bubogpt": (),
        "janus": ("janus-pro",),
        "kimi-vl": (),
        "magma": (),
        "minigpt-4": ("minigpt4",),
        "phi-4-multimodal": ("phi-4",),
        "vila": ("nvila",),
    },
    "states": {
        "glamm": (),
        "lisa": (),
        "llava-grounding": (),
        "next-chat": (),
        "pixellm": ("pixel-lm",),
    },
    "tags": {
        "deepseek-vl2": ("deepseek-vl-2", "deepseek-ocr"),
        "glm-4.5v": ("glm-4.1v", "glm-4.6v", "glm-4v"),
        "internvl": ("internvl2", "internvl2.5", "internvl3", "mono-internvl"),
        "locateanything": ("locateanything-3b",),
        "minigpt-v2": ("minigpt-2",),
        "rex-omni": (),
    },
}

_HOMES = {name: module for module, family in _FAMILIES.items() for name in family}
_ALIASES = {
    alias: name
    for family in _FAMILIES.values()
    for name, aliases in family.items()
    for alias in aliases
}


def _bare(name: str) -> str:
    """A name without capitals and the marks between its parts."""
    return "".join(char for char in name.casefold() if char.isalnum())


_NAMES = {_bare(alias): name for alias, name in _ALIASES.items()}
_NAMES |= {_bare(name): name for name in _HOMES}


def dialects() -> tuple[str, ...]:
    """The names of all dialects, sorted; imports none of them.

    Examples:
        >>> "kosmos-2" in dialects()
        True
    """
    return tuple(sorted(_HOMES))


def dialect(name: str) -> Dialect:
    """The dialect of a name.

    Args:
        name: One of `dialects()`, or another name of one; capitals and the marks between its
            parts do not count.

    Raises:
        InputError: If there is none of that name.

    Examples:
        >>> dialect("Kosmos_2").name, dialect("GEMINI_2_5").name
        ('kosmos-2', 'gemini')
    """
    plain = _NAMES.get(_bare(name), "")
    home = _HOMES.get(plain)
    if home is None:
        raise InputError(
            f"dialect {name!r} is not known; there are {listing(dialects(), limit=60)}."
            f"{did_you_mean(name.strip().lower(), [*_HOMES, *_ALIASES])}"
        )
    module = importlib.import_module(f"{__name__}.{home}")
    family: tuple[Dialect, ...] = module.DIALECTS
    return next(found for found in family if found.name == plain)
