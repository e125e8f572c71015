"""How sure an answer is, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from groundplane.core.answer import Answer, Status, Value
from groundplane.core.errors import listing
from groundplane.spatial.units import UNIT_WORDS, format_number

__all__ = ["Piece", "hedge_after", "hedge_before", "hedged", "percent", "shown"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a sentence; `refers` are the objects it speaks of."""

    text: str
    refers: tuple[str, ...] = ()


def hedged(pieces: tuple[Piece, ...], answer: Answer) -> tuple[Piece, ...]:
    """A sentence with how sure its answer is, where the answer carries that.

    Examples:
        >>> answer = Answer(value=2.6, unit="m", interval=(2.519, 2.688))
        >>> "".join(piece.text for piece in hedged((Piece("It is "), Piece("2.60 m.")), answer))
        'It is 2.60 m (2.52 to 2.69 m with 90 % probability).'
    """
    before, after = hedge_before(answer), hedge_after(answer)
    if after:
        end = replace(pieces[-1], text=f"{pieces[-1].text.removesuffix('.')}{after}.")
        pieces = (*pieces[:-1], end)
    return (Piece(before), *pieces) if before else pieces


def hedge_before(answer: Answer) -> str:
    """What a sentence begins with where its answer is too close to call; else nothing.

    Examples:
        >>> from groundplane.core.answer import RunnerUp
        >>> close = Answer(
        ...     value=True, status=Status.TOO_CLOSE, probability=0.62,
        ...     runner_up=RunnerUp(value=False, probability=0.38),
        ... )
        >>> hedge_before(close)
        'Too close to call: yes with 62 % probability, no with 38 %. As the boxes are: '
        >>> hedge_before(Answer(value=True))
        ''
    """
    if answer.status is not Status.TOO_CLOSE or answer.probability is None:
        return ""
    chance = f"{percent(answer.probability)} probability"
    if answer.interval is not None:
        return f"Too close to call which objects are meant; with {chance}: "
    rival = ""
    if answer.runner_up is not None and not _is_long(answer.runner_up.value):
        rival = f", {shown(answer.runner_up.value)} with {percent(answer.runner_up.probability)}"
    told = "just these" if _is_long(answer.value) else shown(answer.value)
    return f"Too close to call: {told} with {chance}{rival}. As the boxes are: "


def hedge_after(answer: Answer) -> str:
    """What stands at the end of a sentence, in brackets; nothing for an answer without error bars.

    Examples:
        >>> hedge_after(Answer(value=2.6, unit="m", interval=(2.519, 2.688)))
        ' (2.52 to 2.69 m with 90 % probability)'
        >>> hedge_after(Answer(value=True, probability=0.97)), hedge_after(Answer(value=True))
        (' (97 % probability)', '')
    """
    close = answer.status is Status.TOO_CLOSE
    parts = []
    if answer.interval is not None:
        low, high = (format_number(end, answer.unit) for end in answer.interval)
        low = low.removesuffix(f" {UNIT_WORDS.get(answer.unit or '', answer.unit)}")
        parts.append(f"{low} to {high} with 90 % probability")
    if answer.probability is not None and not close:
        what = "of the right objects with " if parts else ""
        parts.append(f"{what}{percent(answer.probability)}{'' if parts else ' probability'}")
    return f" ({', '.join(parts)})" if parts else ""


def percent(share: float) -> str:
    """A share of worlds in words: a limited number of them never makes certain.

    Examples:
        >>> percent(0.62), percent(1.0), percent(0.001)
        ('62 %', 'over 99 %', 'under 1 %')
    """
    if share > 0.99:
        return "over 99 %"
    return "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def shown(value: Value) -> str:
    """A value as people read it.

    Examples:
        >>> shown(True), shown(None), shown(("a", "b")), shown(()), shown(2)
        ('yes', 'no answer', 'a, b', 'nothing', '2')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "no answer"
    if isinstance(value, tuple):
        return listing(value, limit=8) if value else "nothing"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _is_long(value: Value) -> bool:
    """Whether a set is told better by its members in doubt."""
    return isinstance(value, tuple) and len(value) > 3
