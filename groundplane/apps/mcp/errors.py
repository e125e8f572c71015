"""What a client is told of an error: a code and one line; all else goes to the log."""

from __future__ import annotations

import re

from groundplane.apps.told import one_line
from groundplane.core.errors import (
    GroundplaneError,
    InputError,
    MediaError,
    OutputError,
    PluginBrokenError,
    PluginNotFoundError,
    SceneError,
    WeightsError,
)

__all__ = ["LINES", "ToolError", "harmless", "reveals", "told"]

# Every code, with what is said where there is nothing more exact that may be said.
LINES = {
    "bad_request": "the arguments do not fit the tool's schema",
    "bad_input": "what was asked cannot be done with what was given",
    "refused": "the file is not below a folder that this server may read",
    "not_found": "there is no such file below the folders that this server may read",
    "bad_picture": (
        "the picture is broken, too large, or of another format than JPEG, PNG, WebP, BMP, TIFF "
        "or GIF"
    ),
    "bad_scene": "the file holds no scene that can be read",
    "no_output": "this server was started without an output folder (--out)",
    "output_failed": "a file could not be written to the output folder",
    "expert_missing": "an expert of this server cannot be used; its log says why",
    "expert_failed": "an expert failed; the server's log says how",
    "expert_died": "an expert ended its process; the others are served on",
    "too_slow": "no result within the time that a call may take",
    "busy": "too many calls wait already; try again later",
    "cancelled": "the call was cancelled",
    "internal": "the server failed; its log says how",
}
_MOST = 300
# What no client learns: paths, addresses in memory or of machines, versions, and stacks.
_SECRET = re.compile(
    r"""[/\\] | 0x[0-9a-f]{4,} | <[^<>]*\ at\ [^<>]*> | \d+\.\d+\.\d+ | \b[a-z]:[/\\]
    | Traceback | File\ " | \bline\ \d+,\ in\b | \w://""",
    re.VERBOSE | re.IGNORECASE,
)


class ToolError(GroundplaneError):
    """A call ended without a result.

    Attributes:
        code: One of `LINES`.
        line: What the client is told.
    """

    def __init__(self, code: str, line: str = "") -> None:
        self.code = code
        self.line = line or LINES[code]
        super().__init__(f"{code}: {self.line}")


def told(error: BaseException) -> ToolError:
    """What a client is told of an error.

    Only messages about the client's own input are passed on, and of these only such that name
    nothing of this machine.

    Examples:
        >>> told(InputError("choices: expected a list of texts")).line
        'choices: expected a list of texts'
        >>> told(InputError("no folder '/srv/weights'")).line
        'what was asked cannot be done with what was given'
        >>> told(ValueError("secret")).code
        'internal'
    """
    if isinstance(error, ToolError):
        return error
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal")
    if code == "expert_failed" and "no result within" in str(error):
        code = "too_slow"
    if code not in ("bad_input", "bad_scene") or reveals(str(error)):
        return ToolError(code)
    return ToolError(code, harmless(str(error), _MOST))


def reveals(text: str) -> bool:
    """Whether a text names what no client should learn of this machine and its software.

    Examples:
        >>> reveals("cannot identify <_io.BytesIO object at 0x7f12>")
        True
        >>> reveals("there is no scene 'a'")
        False
    """
    return _SECRET.search(text) is not None


def harmless(text: str, most: int = 500) -> str:
    """What an expert says in words, on one line; nothing of it where it names what it should not.

    Examples:
        >>> harmless("this expert cannot\\nlook for 'griffin'")
        "this expert cannot look for 'griffin'"
        >>> harmless("RuntimeError: no /srv/weights")
        "the server's log says more"
    """
    line = one_line("".join(c if c.isprintable() else " " for c in text), most)
    return "the server's log says more" if reveals(line) else line


# The first that fits counts.
_CODES: tuple[tuple[type[BaseException], str], ...] = (
    (SceneError, "bad_scene"),
    (MediaError, "bad_picture"),
    (WeightsError, "expert_missing"),
    (PluginNotFoundError, "expert_missing"),
    (PluginBrokenError, "expert_missing"),
    (OutputError, "output_failed"),
    (InputError, "bad_input"),
    (GroundplaneError, "expert_failed"),
)
