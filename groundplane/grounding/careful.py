"""Asking an expert that is trusted in nothing: a request that fails fails alone, and by name."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch

from groundplane.core.errors import DetectorError, GroundplaneError, listing
from groundplane.core.feature_cache import shared_cache
from groundplane.core.image import Image
from groundplane.grounding.checking import BreachError

__all__ = ["Attempt", "ask_once", "halve", "in_halves", "ran_out_of_memory"]

_log = logging.getLogger(__name__)

# Of errors that led to an error, so many are looked at.
_MAX_CHAIN = 10


@runtime_checkable
class Asked(Protocol):
    """A request to an expert: it is about an image."""

    @property
    def image(self) -> Image:
        """The image."""
        ...


Q = TypeVar("Q", bound=Asked)
A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt(Generic[A]):
    """What came of asking a batch once.

    Attributes:
        answers: One a request: the answer, or why there is none.
        halves: Of the requests that failed together, the two halves to ask again, as indices.
            Those that ask the very same are never parted.
    """

    answers: list[A | DetectorError]
    halves: list[tuple[list[int], list[int]]]


def halve(groups: Sequence[Sequence[int]]) -> list[tuple[list[int], list[int]]]:
    """Part groups of requests, which ask the same, into two halves; nothing to part gives none.

    Examples:
        >>> halve([[0, 2], [1], [3]])
        [([0, 2], [1, 3])]
        >>> halve([[0, 1]])
        []
    """
    if len(groups) < 2:
        return []
    middle = len(groups) // 2
    return [(list(chain(*groups[:middle])), list(chain(*groups[middle:])))]


def ask_once(
    requests: Sequence[Q],
    ask: Callable[[list[Q]], object],
    check: Callable[[object, Q], A],
    *,
    who: str,
) -> list[A | DetectorError]:
    """Ask an expert once and check what it returns.

    Args:
        requests: What is asked.
        ask: The expert's method. It gets a list of its own.
        check: Gives one result of it, or raises `BreachError`.
        who: What messages call the expert, such as `detector 'owlv2'`.

    Returns:
        One a request: its answer, or the error of one whose result breaks the contract.

    Raises:
        DetectorError: If the expert raises, exits, or gives another number of results.
    """
    try:
        given: object = ask(list(requests))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # Even SystemExit and types of its own: an expert must not end the user's program.
        _free_memory(error)
        raise _failure(error, requests, who=who) from error
    if not isinstance(given, list | tuple) or len(given) != len(requests):
        got = len(given) if isinstance(given, list | tuple) else type(given).__name__
        raise DetectorError(
            f"{who} broke its contract: expected a list of {len(requests)} results, got {got}"
        )
    return [
        _checked(result, request, check, who=who)
        for result, request in zip(given, requests, strict=True)
    ]


def in_halves(
    requests: Sequence[Q],
    attempt: Callable[[Sequence[Q]], Attempt[A]],
    *,
    who: str,
    end: float = float("inf"),
) -> list[A | DetectorError]:
    """Ask a batch; where requests fail together, ask each half of them again, down to one.

    So a request that an expert cannot stand costs its neighbours a few more calls and nothing
    else, and a batch too large for the device's memory shrinks until it fits.

    Args:
        requests: The batch.
        attempt: Asks some requests once.
        who: What messages call the expert.
        end: Time of `time.monotonic` from which on nothing is asked again.

    Returns:
        One a request, in order: its answer, or the error that it alone ends with.
    """
    answers: list[A | DetectorError | None] = [None] * len(requests)
    todo = [list(range(len(requests)))] if requests else []
    while todo:
        rows = todo.pop()
        made = attempt([requests[row] for row in rows])
        for row, answer in zip(rows, made.answers, strict=True):
            answers[row] = answer
        for halves in made.halves:
            again = [[rows[i] for i in half] for half in halves]
            cause = answers[again[0][0]]
            if time.monotonic() >= end:
                for row in chain(*again):
                    answers[row] = _late(requests[row].image, cause, who=who)
                continue
            count = sum(map(len, again))
            _log.warning("a batch of %d failed and is asked again in halves: %s", count, cause)
            todo += reversed(again)
    return [answer for answer in answers if answer is not None]


def _checked(
    result: object, request: Q, check: Callable[[object, Q], A], *, who: str
) -> A | DetectorError:
    try:
        return check(result, request)
    except Exception as breach:  # noqa: BLE001 - a class of the expert's may fail at any look
        said = str(breach) if isinstance(breach, BreachError) else _said(breach)
        error = DetectorError(f"{who} broke its contract on {request.image.source.name!r}: {said}")
        error.__cause__ = breach
        return error


def _failure(error: BaseException, requests: Sequence[Q], *, who: str) -> DetectorError:
    text = " ".join(str(error).split())
    if isinstance(error, GroundplaneError):
        return DetectorError(text if text.startswith(who) else f"{who}: {text}")
    names = listing(dict.fromkeys(repr(request.image.source.name) for request in requests))
    return DetectorError(f"{who} failed on {names}: {_said(error)}")


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _late(image: Image, cause: object, *, who: str) -> DetectorError:
    late = DetectorError(
        f"{who} was not asked again about {image.source.name!r}: its time was over when the batch "
        f"failed with: {cause}"
    )
    late.__cause__ = cause if isinstance(cause, BaseException) else None
    return late


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether the memory did not do, of the machine or of its card."""
    # The CPU's allocator has no type of its own.
    typed = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return typed or "allocate memory" in str(error)


def _free_memory(error: BaseException) -> None:
    """Let go of what a failed call held, and where memory ran out of what is cached too."""
    # An error lives as long as its result does, and its frames would keep their tensors alive.
    link: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if link is not None:
            traceback.clear_frames(link.__traceback__)
            link = link.__cause__ or link.__context__
    if ran_out_of_memory(error):
        shared_cache().clear()
        torch.cuda.empty_cache()
