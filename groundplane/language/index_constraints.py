"""Inside the signs of a pick, a model can only write indices of regions that are there.

Text alone may name region 240 of 12, or break off in mid-list; choosing among the live indices
cannot. Outside the signs nothing is held back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundplane.core.errors import InputError
from groundplane.grounding.dialects.grammar import Dialect, Enclosed

__all__ = ["IndexConstraint", "index_constraint"]

# Tokens before the last one in which a sign may be spelled.
_BACK = 16


@dataclass(frozen=True, slots=True)
class _Way:
    """One way on through a pick.

    Attributes:
        picked: Which indices it has picked, by their place among the choices.
        rest: Tokens that it still takes.
        choice: The choice that these tokens end in; -1 where they end the pick.
    """

    picked: frozenset[int]
    rest: tuple[int, ...]
    choice: int


class IndexConstraint:
    """Holds one sequence to live indices between an opening and a closing sign; a `Constraint`.

    A pick holds at least one index and none twice, so it ends by itself. Whatever else is put
    there from outside ends it as well.

    Args:
        choices: The tokens of each live index.
        open: Tokens of the sign before them.
        close: Tokens of the sign behind them.
        between: Tokens between two of them; None: a pick holds one alone.
        spell: Gives the text of tokens; with it a sign is known however it is cut into tokens.
        sign: The opening sign as text, for `spell`.

    Raises:
        InputError: If there is no choice, or a choice or sign has no tokens.

    Examples:
        >>> held = IndexConstraint([(10,), (11,)], open=(1,), close=(2,), between=())
        >>> held.allowed([5, 7]) is None, held.allowed([5, 1]), held.allowed([5, 1, 11])
        (True, (10, 11), (2, 10))
        >>> held.allowed([5, 1, 11, 2]) is None, held.allowed([]) is None
        (True, True)
    """

    def __init__(
        self,
        choices: Sequence[Sequence[int]],
        *,
        open: Sequence[int],
        close: Sequence[int],
        between: Sequence[int] | None = (),
        spell: Callable[[Sequence[int]], str] | None = None,
        sign: str = "",
    ) -> None:
        if not choices:
            raise InputError("index constraint: there is no live index to choose; hold nothing")
        if not all([*choices, open, close]):
            raise InputError("index constraint: an index or sign has no tokens")
        self._choices = tuple(tuple(choice) for choice in choices)
        self._open, self._close = tuple(open), tuple(close)
        self._between = None if between is None else tuple(between)
        self._spell = spell if sign else None
        self._sign = sign
        self._said: list[int] = []
        self._ways: tuple[_Way, ...] = ()

    def allowed(self, said: Sequence[int]) -> tuple[int, ...] | None:
        """The only tokens that may come next, rising; None for any."""
        known = len(self._said)
        if list(said[:known]) != self._said:  # something was cut from the text
            self._said, self._ways, known = [], (), 0
        for token in said[known:]:
            self._said.append(token)
            self._step(token)
        return tuple(sorted({way.rest[0] for way in self._ways})) or None

    def _step(self, token: int) -> None:
        if not self._ways:
            if self._opened():
                self._ways = self._begun(frozenset(), ())
            return
        ways: list[_Way] = []
        for way in self._ways:
            if way.rest[0] != token:
                continue
            if len(way.rest) > 1:
                ways.append(_Way(way.picked, way.rest[1:], way.choice))
            elif way.choice < 0:
                self._ways = ()
                return
            else:
                picked = way.picked | {way.choice}
                ways.append(_Way(picked, self._close, -1))
                if self._between is not None:
                    ways += self._begun(picked, self._between)
        self._ways = tuple(ways)

    def _begun(self, picked: frozenset[int], before: tuple[int, ...]) -> tuple[_Way, ...]:
        """The ways into each index that was not picked yet."""
        return tuple(
            _Way(picked, before + tokens, choice)
            for choice, tokens in enumerate(self._choices)
            if choice not in picked
        )

    def _opened(self) -> bool:
        if tuple(self._said[-len(self._open) :]) == self._open:
            return True
        return self._spell is not None and self._spell(self._said[-_BACK:]).endswith(self._sign)


def index_constraint(
    dialect: Dialect,
    live: Sequence[int],
    *,
    encode: Callable[[str], Sequence[int]],
    spell: Callable[[Sequence[int]], str] | None = None,
) -> IndexConstraint:
    """What holds a model to the live indices, in a dialect that picks regions.

    Args:
        dialect: Of the kind `indices`; its own way of writing gives the signs.
        live: The indices that may be picked: places in the list of regions, from 0.
        encode: From text to tokens, nothing added.
        spell: From tokens to text, for signs that are no single token.

    Raises:
        InputError: If the dialect picks no indices, or there is no live one.

    Examples:
        >>> from groundplane.grounding.dialects import dialect
        >>> def letters(text: str) -> list[int]:
        ...     return [ord(letter) for letter in text]
        >>> held = index_constraint(dialect("gpt-4o"), [0, 11], encode=letters)
        >>> [chr(token) for token in held.allowed(letters("the cup [1"))]
        [',', '2', ']']
        >>> held.allowed(letters("the cup")) is None
        True
    """
    signs = next((one for one in dialect.syntax.enclosed), None)
    if dialect.kind != "indices" or dialect.write is None or signs is None:
        raise InputError(
            f"index constraint: dialect {dialect.name!r} does not pick regions by their index"
        )
    pieces = {index: _within(dialect.write(None, [(float(index),)]), signs) for index in live}
    pair = _within(dialect.write(None, [(1.0,), (2.0,)]), signs)
    one, two = (_within(dialect.write(None, [(place,)]), signs) for place in (1.0, 2.0))
    middle = pair[len(one) : len(pair) - len(two)] if pair.endswith(two) and pair != one else None
    return IndexConstraint(
        [encode(piece) for piece in pieces.values()],
        open=encode(signs.open),
        close=encode(signs.close),
        between=None if middle is None else encode(middle) if middle else (),
        spell=spell,
        sign=signs.open,
    )


def _within(text: str, signs: Enclosed) -> str:
    """What stands between the first pair of signs."""
    begin = text.index(signs.open) + len(signs.open)
    return text[begin : text.index(signs.close, begin)]
