"""Who tells of a long command: a bar on a terminal, else lines, or JSON lines in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from groundplane.core.errors import OutputError

__all__ = ["Stream", "TellerKinds", "chosen_tellers"]

_Teller = TypeVar("_Teller")


@runtime_checkable
class Stream(Protocol):
    """Where to: what is needed of a text stream, such as stderr."""

    def write(self, text: str, /) -> object:
        """Write a text."""
        ...

    def flush(self) -> None:
        """Let it go out."""
        ...

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TellerKinds(Generic[_Teller]):
    """Makes the tellers of a command.

    Attributes:
        log: Makes who writes JSON lines.
        bar: Makes who moves a bar.
        lines: Makes who writes plain lines.
    """

    log: Callable[[Stream], _Teller]
    bar: Callable[[Stream], AbstractContextManager[_Teller]]
    lines: Callable[[Stream], _Teller]


@contextmanager
def chosen_tellers(
    kinds: TellerKinds[_Teller], stream: Stream, *, quiet: bool, json_log: str | None
) -> Iterator[list[_Teller]]:
    """Those who tell, as the flags of a command ask for them.

    Args:
        kinds: What there is to choose from.
        stream: For people: a bar if it is a terminal, else lines.
        quiet: Nothing for people.
        json_log: A file for JSON lines, which go on at its end; `-` for `stream` itself, which
            then holds nothing else.

    Raises:
        OutputError: If the file cannot be written.
    """
    with ExitStack() as stack:
        told: list[_Teller] = []
        if json_log == "-":
            told.append(kinds.log(stream))
        elif json_log is not None:
            try:
                file = stack.enter_context(Path(json_log).open("a", encoding="ascii"))
            except OSError as error:
                raise OutputError(f"--json-log {json_log!r}: {error.strerror}") from error
            told.append(kinds.log(file))
        if not quiet and json_log != "-":
            shown = kinds.bar(stream) if stream.isatty() else None
            told.append(kinds.lines(stream) if shown is None else stack.enter_context(shown))
        yield told
