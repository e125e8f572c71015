"""What a text may go on with, where not every token will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["Constraint"]


@runtime_checkable
class Constraint(Protocol):
    """Says which tokens may come next; one a sequence."""

    def allowed(self, said: Sequence[int]) -> Sequence[int] | None:
        """The only tokens that may come next.

        Args:
            said: Every token of the answer so far, those that were injected among them.

        Returns:
            Token ids; None for any; empty where the text must end.
        """
        ...
