"""The orchestrator: it runs a language model and answers what it asks while it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from groundplane.core.answer import GroundedText
from groundplane.core.budget import Budget
from groundplane.core.progress import Finished, Update
from groundplane.core.running import Run
from groundplane.core.session import LanguageModel, Prompt
from groundplane.core.workers import Call, Resolver, Resolvers, WorkerPool

__all__ = [
    "Budget",
    "Call",
    "Finished",
    "Orchestrator",
    "Resolver",
    "Resolvers",
    "Update",
]

_DEFAULT_BUDGET = Budget()


class Orchestrator:
    """Runs a language model; finds and computes what it asks for while it goes on.

    Args:
        model: The language model.
        resolvers: Who answers its requests.
        budget: What a run may use.
        workers: How many batches of requests run at a time. Threads whose call hangs past its
            deadline are replaced, up to four times this number.

    Raises:
        InputError: If `workers` is less than 1.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        resolvers: Resolvers,
        budget: Budget = _DEFAULT_BUDGET,
        workers: int = 4,
    ) -> None:
        self._model = model
        self._resolvers = resolvers
        self._budget = budget
        self._pool = WorkerPool(workers)

    def run(self, prompts: Sequence[Prompt]) -> list[GroundedText]:
        """Answer prompts.

        Returns:
            One text a prompt, in order.

        Raises:
            ProtocolError: If the model breaks the session protocol. What the model itself
                raises passes through.
        """
        results: dict[int, GroundedText] = {}
        for update in self.stream(prompts):
            if isinstance(update, Finished):
                results[update.sequence] = update.result
        return [results[index] for index in range(len(prompts))]

    def stream(self, prompts: Sequence[Prompt]) -> Iterator[Update]:
        """Answer prompts and tell what happens as it happens.

        Yields:
            The model's events, each request's `Resolved` or `Failed`, and one `Finished` a
            prompt, which is the last of its sequence. Closing the iterator ends the run.

        Raises:
            ProtocolError: As for `run`.
        """
        run = Run(
            self._model,
            prompts,
            resolvers=self._resolvers,
            budget=self._budget,
            pool=self._pool,
        )
        yield from run.updates()
