"""What must hold of a model in this process that is told something in mid-sentence.

What it says is what it would say if it read prompt and text anew, without a cache; and no token
goes through it twice. An author of a family runs these on a tiny checkpoint:

    for run in run_counted(model.engine, [prompt], answer=answer):
        assert invariant_faults(model.engine, run) == []
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.session import Done, Event, Failed, Ground, Prompt, Query, Resolved
from groundplane.core.session_notes import Injected
from groundplane.language.in_process import Engine, InProcessSession

__all__ = ["Run", "invariant_faults", "run_counted", "scores_without_cache"]

Answers = Callable[[Ground | Query], Resolved | Failed]

# Sums of float32 in another order; scores are of the size of 1.
_TOLERANCE = 1e-4
_MOST_STEPS = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What one sequence said, and what it cost.

    Attributes:
        prompt: What it was asked.
        said: Tokens of its text, those that it was told among them.
        told: Which of them it was told: indices into `said`.
        free: Which of the others were chosen among all tokens.
        scores: By index into `said`: the scores that the token was chosen by, (v,).
        prompt_length: Entries of the cache before the text.
        read: How many tokens of `said` it has read; the last may need no reading.
        cut: Tokens that were taken back, whether they were read yet or not.
        passed: Tokens that went through the layers of the language model, of all sequences of the
            batch together.
        events: What was told of the sequence.
    """

    prompt: Prompt
    said: tuple[int, ...]
    told: frozenset[int]
    free: frozenset[int]
    scores: Mapping[int, Tensor]
    prompt_length: int
    read: int
    cut: int
    passed: int
    events: tuple[Event, ...]


def run_counted(engine: Engine, prompts: Sequence[Prompt], *, answer: Answers) -> tuple[Run, ...]:
    """Run prompts to their ends, and count what goes through the model.

    Args:
        engine: Of the model; it is to choose greedily.
        prompts: One a sequence of the batch.
        answer: What becomes of a request; it is given with the step after.

    Returns:
        What each sequence did.
    """
    session = InProcessSession(engine, prompts)
    watched = _Watched(session)
    session._sampler = watched  # type: ignore[assignment]
    handle = _first_layer(engine.decoder.model).register_forward_pre_hook(
        watched.passing, with_kwargs=True
    )
    try:
        events = _drive(session, len(prompts), answer)
    finally:
        handle.remove()
    return tuple(
        _run(session, index, watched, [e for e in events if e.sequence == index])
        for index in range(len(prompts))
    )


def scores_without_cache(
    engine: Engine, prompt: Prompt, said: Sequence[int]
) -> Float[Tensor, "n v"]:
    """Scores from one pass over prompt and text at once.

    Args:
        engine: Of the model.
        prompt: What is asked.
        said: Tokens of the text.

    Returns:
        Row i is what `said[i]` is to be chosen by; one row more than `said` has.
    """
    decoder = engine.decoder
    ids = torch.tensor([list(said)], dtype=torch.long)
    inputs = decoder.family.extend(engine.prepare(prompt).inputs, ids)
    weights = next(iter(decoder.model.parameters()))
    here = {
        name: value.to(weights.device, weights.dtype if value.is_floating_point() else None)
        if isinstance(value, Tensor)
        else value
        for name, value in inputs.items()
    }
    for module in decoder.model.modules():
        if hasattr(module, "rope_deltas"):
            module.rope_deltas = None  # those of another prompt
    with torch.inference_mode():
        output = decoder.model(**here, use_cache=False, return_dict=True)
    logits: Tensor = output.logits[0, -len(said) - 1 :]
    return logits.clone()


def invariant_faults(
    engine: Engine, run: Run, *, tolerance: float = _TOLERANCE, alone: bool = True
) -> list[str]:
    """What is wrong with a run, in words; nothing where all is well.

    Args:
        engine: That ran it.
        run: From `run_counted`.
        tolerance: How far scores may be from those of a pass without a cache.
        alone: Whether the sequence was the only one of its batch, so that its tokens are counted.

    Source: spec of the issue: greedy continuation after an injection gives exactly the tokens
        that decoding the same full text without a cache gives.
    """
    plain = scores_without_cache(engine, run.prompt, run.said)
    faults = []
    for index, scores in sorted(run.scores.items()):
        apart = float((scores - plain[index]).abs().max())
        if not apart <= tolerance:
            faults.append(f"token {index}: its scores are {apart:.2g} from those without a cache")
    allowed = plain.clone()
    allowed[:, list(engine.banned)] = -torch.inf
    best = allowed.argmax(dim=-1).tolist()
    faults += [
        f"token {index}: {run.said[index]} was said, without a cache it is {best[index]}"
        for index in sorted(run.free)
        if best[index] != run.said[index]
    ]
    once = run.prompt_length + run.read
    if alone and not once <= run.passed <= once + run.cut:
        faults.append(
            f"{run.passed} tokens went through the model; prompt and text are {once}, and "
            f"{run.cut} were taken back"
        )
    return faults


class _Watched:
    """A sampler that remembers the scores it was asked with, and a counter of tokens."""

    def __init__(self, session: InProcessSession) -> None:
        self._session, self._inner = session, session._sampler
        self.scores: dict[int, dict[int, Tensor]] = {}
        self.free: dict[int, set[int]] = {}
        self.passed = 0

    def choose(
        self,
        scores: Float[Tensor, "b v"],
        sequences: Sequence[int],
        allowed: Sequence[Sequence[int] | None] = (),
    ) -> Int[Tensor, " b"]:
        for row, index in enumerate(sequences):
            at = len(self._session._sequences[index].said)
            self.scores.setdefault(index, {})[at] = scores[row].clone()
            free = self.free.setdefault(index, set())
            free.discard(at)
            if not allowed or allowed[row] is None:
                free.add(at)
        return self._inner.choose(scores, sequences, allowed)

    def passing(self, module: Any, given: Sequence[Any], named: Mapping[str, Any]) -> None:
        del module
        states = given[0] if given else named["hidden_states"]
        self.passed += states.shape[0] * states.shape[1]


def _first_layer(model: Any) -> Any:
    """The first layer of the part that writes text."""
    part = model.get_decoder()
    while not hasattr(part, "layers"):
        part = getattr(part, "decoder", None) or part.model
    return part.layers[0]


def _drive(session: InProcessSession, count: int, answer: Answers) -> list[Event]:
    events: list[Event] = []
    given: list[Resolved | Failed] = []
    for _ in range(_MOST_STEPS):
        fresh = session.step(given)
        given = [answer(event) for event in fresh if isinstance(event, Ground | Query)]
        events += fresh
        if sum(isinstance(event, Done) for event in events) == count:
            return events
    raise AssertionError(f"not done after {_MOST_STEPS} steps: {events[-3:]}")


def _run(session: InProcessSession, index: int, watched: _Watched, events: Sequence[Event]) -> Run:
    sequence = session._sequences[index]
    said, read = sequence.said, len(sequence.said) - len(sequence.unread)
    base = sequence.row.length - read
    told: set[int] = set()
    cut = 0
    for event in events:
        if isinstance(event, Injected):
            end = (event.after or 0) - base
            told |= set(range(end - len(event.tokens), end))
            cut += event.cut
    own = set(range(len(said))) - told
    scores = watched.scores.get(index, {})
    return Run(
        prompt=sequence.prompt,
        said=tuple(said),
        told=frozenset(told),
        free=frozenset(own & watched.free.get(index, set())),
        scores={at: one for at, one in scores.items() if at in own},
        prompt_length=base,
        read=read,
        cut=cut,
        passed=watched.passed,
        events=tuple(events),
    )
