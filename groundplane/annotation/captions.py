"""What a language model says of pictures and of regions."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from groundplane.core.errors import DetectorError, GroundplaneError, InputError
from groundplane.core.host import load
from groundplane.core.image import Image
from groundplane.core.orchestrator import Budget, Orchestrator
from groundplane.core.session import LanguageModel, Prompt
from groundplane.core.workers import Resolvers, WorkerPool
from groundplane.grounding.careful import Attempt, ask_once, halve, in_halves
from groundplane.grounding.checking import BreachError
from groundplane.grounding.deadlines import Job, run_all

__all__ = ["Captioner"]

_NO_OPTIONS: Mapping[str, object] = {}
_MOST_LETTERS = 10_000
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ask:
    """A picture to be described."""

    image: Image


class Captioner:
    """Asks a language model about pictures, each by itself.

    Args:
        model: A plugin's name, or a model that is made already.
        question: What it is asked.
        options: Options of a model that is given by its name.
        device: Where it runs.
        deadline: Seconds for all pictures of a call; None for as long as it takes.

    Raises:
        PluginNotFoundError, PluginBrokenError, InputError: If the model cannot be made.
    """

    def __init__(
        self,
        model: str | LanguageModel,
        question: str,
        *,
        options: Mapping[str, object] = _NO_OPTIONS,
        device: str = "auto",
        deadline: float | None = None,
    ) -> None:
        if isinstance(model, str):
            self._model: LanguageModel = load("language_models", model, device=device, **options)
            self._who = f"language model {model!r}"
        elif isinstance(model, LanguageModel):
            if options:
                raise InputError("caption options belong to a model that is given by its name")
            self._model, self._who = model, f"language model {type(model).__name__!r}"
        else:
            raise InputError(
                f"captioner: expected the name of a language model or an object with `open`, got "
                f"{type(model).__name__}"
            )
        self._question = question
        self._deadline = deadline
        seconds = deadline or _DAY
        budget = Budget(calls=0, seconds=seconds, deadline=seconds, text=_MOST_LETTERS)
        self._orchestrator = Orchestrator(self._model, resolvers=Resolvers(), budget=budget)
        # One at a time: nothing says that a model may be asked from several threads.
        self._pool = WorkerPool(1)

    def describe(self, images: Sequence[Image]) -> list[str | GroundplaneError]:
        """What the model says of each picture, or why it says nothing.

        Examples:
            >>> import numpy as np
            >>> from groundplane.core.session import Done, Text
            >>> from groundplane.testing.detectors import make_image
            >>> from groundplane.testing.language_models import ScriptedModel
            >>> model = ScriptedModel([[Text(sequence=0, text="All grey."), Done(sequence=0)]])
            >>> grey = make_image(np.zeros((30, 40, 3), np.uint8))
            >>> Captioner(model, "Describe it.").describe([grey])
            ['All grey.']
            >>> Captioner(model, "Describe it.").describe([])
            []
        """
        start = time.monotonic()
        end = math.inf if self._deadline is None else start + self._deadline
        asks = tuple(_Ask(image=image) for image in images)
        job = Job(who=self._who, requests=asks, ask=partial(self._ask, end=end))
        [answers] = run_all([job], pool=self._pool, start=start, seconds=self._deadline)
        return answers

    def _ask(self, asks: Sequence[_Ask], *, end: float) -> list[str | GroundplaneError]:
        return [*in_halves(asks, self._attempt, who=self._who, end=end)]

    def _attempt(self, asks: Sequence[_Ask]) -> Attempt[str]:
        try:
            return Attempt(answers=ask_once(asks, self._run, _said, who=self._who), halves=[])
        except DetectorError as error:
            rows = [[row] for row in range(len(asks))]
            return Attempt(answers=[error] * len(asks), halves=halve(rows))

    def _run(self, asks: list[_Ask]) -> list[str]:
        prompts = [Prompt(text=self._question, images=(ask.image,)) for ask in asks]
        return [told.text for told in self._orchestrator.run(prompts)]


def _said(text: object, ask: _Ask) -> str:
    if not isinstance(text, str):
        raise BreachError(f"expected a text, got {type(text).__name__}")
    if not text.strip():
        raise BreachError("expected a description, got an empty text")
    return text.strip()
