"""A model in this process as a session: it waits in mid-sentence and goes on with what it is told.

The prompts are read with the first step. A stretch that asks for something stops its sequence,
not the others; what comes of the request is read behind it in one pass, and nothing that was read
before is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from groundplane.core.errors import InputError, ProtocolError, ShapeError
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    Locate,
    Need,
    Prompt,
    Query,
    Resolved,
)
from groundplane.core.session_notes import Injected, Note
from groundplane.grounding.dialects.grammar import Dialect
from groundplane.language.cache import can_cut
from groundplane.language.constraints import Constraint
from groundplane.language.decoding import Decoder, Row, Rows
from groundplane.language.dialect_triggers import dialect_tags, place_signs
from groundplane.language.escaping import escaped
from groundplane.language.family import Prepared
from groundplane.language.sampling import Sampler, Sampling
from groundplane.language.spans import Detokeniser, Piece, State, encode, special_tokens
from groundplane.language.telling import Call, Inject, Telling
from groundplane.language.triggers import Told, Trigger

__all__ = ["Engine", "InProcessSession"]

Finish = Literal["complete", "length", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Engine:
    """What all sessions of a model share.

    Attributes:
        decoder: Runs it.
        tokenizer: Of transformers.
        prepare: From a prompt to the model's inputs.
        dialect: How its text says where things are; None: it does not.
        spelled: Whether the dialect's tags count where plain characters spell them.
        inject: Whether an expert's places stand behind a phrase (`append`), in the stead of the
            model's own (`replace`), or are not told to it (`none`).
        sampling: How tokens are chosen.
        ends: Tokens that end a text.
        banned: Tokens that are never said.
        context: Most tokens that the model can hold; None where it does not say.
        max_tokens: Most tokens of its own in an answer.
        chunk: Tokens a step at most.
        state_offset: The hidden state of a tag is the one at it (0) or before it (-1).
        triggers: Other stretches that ask for something.
        constrain: From a prompt to what its text may go on with.
    """

    decoder: Decoder
    tokenizer: Any
    prepare: Callable[[Prompt], Prepared]
    dialect: Dialect | None = None
    spelled: bool = True
    inject: Inject = "append"
    sampling: Sampling = field(default_factory=Sampling)
    ends: frozenset[int] = frozenset()
    banned: tuple[int, ...] = ()
    context: int | None = None
    max_tokens: int = 256
    chunk: int = 8
    state_offset: int = 0
    triggers: tuple[Trigger, ...] = ()
    constrain: Callable[[Prompt], Constraint | None] | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class _Guess:
    """A place of the model's own that an expert's may replace."""

    call: Call
    anchor: int
    mended: list[int]
    pieces: list[Piece] = field(default_factory=list)
    raw: str = ""
    closer: str = ""


@dataclass(slots=True, eq=False, kw_only=True)
class _Sequence:
    """Where one sequence is."""

    prompt: Prompt
    telling: Telling
    row: Row
    detokeniser: Detokeniser
    prepared: Prepared
    constraint: Constraint | None
    said: list[int] = field(default_factory=list)
    own: int = 0
    unread: list[int] = field(default_factory=list)
    mended: list[int] = field(default_factory=list)
    call: Call | None = None
    guess: _Guess | None = None
    outcomes: dict[str, Resolved | Failed] = field(default_factory=dict)
    finish: Finish | None = None
    silent: bool = False
    first_only: bool = False


class InProcessSession:
    """One batch of questions.

    Args:
        engine: The model and how it is run.
        prompts: What the sequences are asked.
    """

    def __init__(self, engine: Engine, prompts: Sequence[Prompt]) -> None:
        self._engine, self._prompts = engine, tuple(prompts)
        self._sequences: list[_Sequence] = []
        self._stopped: set[int] = set()
        self._rows = Rows(engine.decoder)
        self._sampler = Sampler(
            engine.sampling,
            count=len(self._prompts),
            device=engine.decoder.device,
            banned=engine.banned,
        )
        dialect = engine.dialect
        added = {token.content for token in engine.tokenizer.added_tokens_decoder.values()}
        self._tags = dialect_tags(dialect, added) if dialect is not None else frozenset[str]()
        self._places = place_signs(dialect) if dialect is not None else ()
        self._begun = False

    def step(self, resolutions: Sequence[Resolved | Failed]) -> list[Event]:
        """Take what was resolved and go on by some tokens, or to the next request."""
        if not self._begun:
            self._begun = True
            for index, prompt in enumerate(self._prompts):
                self._sequences.append(self._begin(index, prompt))
        for outcome in resolutions:
            self._sequences[outcome.sequence].outcomes[outcome.request] = outcome
        for sequence in self._sequences:
            if sequence.call is not None and sequence.finish is None:
                self._resume(sequence)
        events = self._told()
        for _ in range(self._engine.chunk):
            live = [s for s in self._sequences if s.finish is None and s.call is None]
            if not live:
                break
            self._advance(live)
            fresh = self._told()
            events += fresh
            if any(isinstance(event, Ground | Query | Done) for event in fresh):
                break
        return events

    def stop(self, sequence: int) -> None:
        """The sequence was ended from outside: it says nothing more."""
        self._stopped.add(sequence)
        if sequence < len(self._sequences):
            one = self._sequences[sequence]
            one.finish, one.silent = one.finish or "length", True
            self._rows.leave(one.row)

    def close(self) -> None:
        """The run is over: caches are let go."""
        for index in range(len(self._prompts)):
            self.stop(index)
        self._sequences = [s for s in self._sequences if not s.silent]
        self._begun, self._prompts = True, ()

    # The parts of a step ----------------------------------------------------------------------

    def _begin(self, index: int, prompt: Prompt) -> _Sequence:
        engine = self._engine
        prepared, refused = self._prepare(prompt)
        telling = Telling(
            index,
            prompt,
            dialect=engine.dialect,
            frames=prepared.frames,
            spelled=engine.spelled,
            inject=engine.inject,
            triggers=engine.triggers,
        )
        for line in prepared.dropped:
            telling.note("dropped", line)
        start = prepared.inputs.get("decoder_input_ids", prepared.inputs.get("input_ids"))
        length = 0 if start is None else start.shape[1]
        full = engine.context is not None and length >= engine.context
        unread = Row(length=0, shift=0, logits=torch.zeros(0)) if full or refused else None
        sequence = _Sequence(
            prompt=prompt,
            telling=telling,
            row=unread or engine.decoder.begin(prepared),
            detokeniser=Detokeniser(engine.tokenizer, tags=self._tags),
            prepared=prepared,
            constraint=engine.constrain(prompt) if engine.constrain is not None else None,
        )
        if full:
            telling.note("full", f"the prompt of {length} tokens fills the context of "
                         f"{engine.context}; nothing was answered")  # fmt: skip
            self._end(sequence, "length")
        elif refused:
            telling.note("refused", refused)
            self._end(sequence, "broken")
        if index in self._stopped:
            sequence.finish, sequence.silent = "length", True
        return sequence

    def _prepare(self, prompt: Prompt) -> tuple[Prepared, str]:
        """The inputs of a prompt, or why it cannot be asked: the others of the batch still are."""
        try:
            return self._engine.prepare(prompt), ""
        except (InputError, ShapeError) as error:
            return Prepared(inputs={}), " ".join(str(error).split())

    def _told(self) -> list[Event]:
        return [event for s in self._sequences if not s.silent for event in self._events(s)]

    def _events(self, sequence: _Sequence) -> list[Event]:
        events = sequence.telling.take()
        if not sequence.first_only and self._places_first_only(sequence, events):
            sequence.first_only = True
            detail = f"places are looked for in the first of {len(sequence.prompt.images)} pictures"
            index = sequence.telling.sequence
            events.insert(0, Note(sequence=index, name="pictures", detail=detail))
        if any(isinstance(event, Done) for event in events):
            sequence.silent = True
        return events

    def _places_first_only(self, sequence: _Sequence, events: Sequence[Event]) -> bool:
        """Whether a place is given or asked for, and there are pictures that it is not of."""
        if self._engine.dialect is None or len(sequence.prompt.images) < 2:
            return False
        return any(isinstance(one, Ground | Locate) and one.image == 0 for one in events)

    def _advance(self, live: Sequence[_Sequence]) -> None:
        """One token of every sequence that goes on."""
        allowed = [s.constraint.allowed(s.said) if s.constraint else None for s in live]
        scores = torch.stack([sequence.row.logits for sequence in live])
        indices = [sequence.telling.sequence for sequence in live]
        tokens = self._sampler.choose(scores, indices, allowed)
        on: list[int] = []
        for at, token in enumerate(tokens.tolist()):  # the only look of the host at a step
            may = allowed[at]
            if may is not None and not len(may):
                self._end(live[at], "complete")
            elif self._hear(live[at], token):
                on.append(at)
        rows = [live[at].row for at in on]
        if rows:
            self._rows.step(rows, tokens if len(on) == len(live) else tokens[on])
        for at in on:
            live[at].unread.clear()
            self._give_states(live[at])

    def _hear(self, sequence: _Sequence, token: int) -> bool:
        """Take a token; whether the model is to read it with the others."""
        if token < 0:
            raise ProtocolError(
                f"language model of the family {self._engine.decoder.family.name!r}, sequence "
                f"{sequence.telling.sequence}: its scores are NaN or infinite after "
                f"{len(sequence.said)} tokens of text. Try: another dtype, or other weights"
            )
        telling = sequence.telling
        telling.count()
        sequence.own += 1
        if token in self._engine.ends:
            self._end(sequence, "complete")
            return False
        sequence.said.append(token)
        sequence.unread.append(token)
        for piece in sequence.detokeniser.feed(token):
            self._take(sequence, piece)
        if telling.fresh and self._engine.state_offset < 0:
            self._give_states(sequence)
        if sequence.finish is None and sequence.call is None:
            self._check_room(sequence)
        if sequence.call is not None:
            self._rows.leave(sequence.row)
        # What a refused request was told stands behind the token, and both are read.
        return sequence.finish is None and sequence.call is None and bool(sequence.unread)

    def _check_room(self, sequence: _Sequence) -> None:
        context = self._engine.context
        if sequence.own >= self._engine.max_tokens:
            self._end(sequence, "length")
        elif context is not None and sequence.row.length + len(sequence.unread) >= context:
            sequence.telling.note("full", f"the context of {context} tokens is full")
            self._end(sequence, "length")

    def _take(self, sequence: _Sequence, piece: Piece) -> None:
        if sequence.guess is not None:
            self._guess(sequence, piece)
            return
        call = sequence.telling.hear(piece)
        while call is not None:
            mended = self._mend(sequence, piece, call)
            if self._wait(sequence, call, mended):
                return
            call = sequence.telling.go_on()

    def _mend(self, sequence: _Sequence, piece: Piece, call: Call) -> list[int] | None:
        """Where the last token says more than the sign: the tokens up to the sign instead."""
        rest = sequence.telling.rest
        if not rest or piece.tokens != 1 or not (call.trigger.waits or call.own):
            return None
        return encode(self._engine.tokenizer, piece.text[: -len(rest)], tags=self._tags)

    def _wait(self, sequence: _Sequence, call: Call, mended: list[int] | None) -> bool:
        """Whether the sequence takes no more text before the call is settled."""
        telling = sequence.telling
        if call.own and self._engine.inject == "replace":
            if can_cut(sequence.row.cache) if sequence.row.cache is not None else True:
                count = len(sequence.said) - (mended is not None)
                sequence.guess = _Guess(call=call, anchor=count, mended=mended or [])
                rest = telling.drop_rest()
                if rest:
                    self._guess(sequence, Piece(text=rest))
                return True
            telling.note("fallback", "the cache cannot go back: places are told, none replaced")
        if call.event is not None and not call.trigger.waits:
            return False
        if mended is not None:
            telling.drop_rest()
            sequence.said[-1:], sequence.unread[-1:] = mended, mended
            sequence.mended = mended
        elif telling.rest:
            telling.go_on()
        sequence.call = call
        if call.event is None:
            self._resume(sequence)
            return True
        telling.add(Need(sequence=telling.sequence, requests=(call.event.request,)))
        return True

    def _guess(self, sequence: _Sequence, piece: Piece) -> None:
        """More of what may be the model's own place behind a phrase."""
        guess = sequence.guess
        assert guess is not None
        guess.pieces.append(piece)
        guess.raw += piece.text
        raw = guess.raw.lstrip()
        if not guess.closer:
            for start, end in self._places:
                if raw.startswith(start):
                    guess.closer = end
        if not guess.closer and not any(start.startswith(raw) for start, _ in self._places):
            self._keep_guess(sequence, guess)
        elif guess.closer and guess.closer in raw and guess.call.event is not None:
            sequence.call = guess.call
            request = guess.call.event.request
            need = Need(sequence=sequence.telling.sequence, requests=(request,))
            sequence.telling.add(need)
        elif len(guess.raw) > 4096:
            self._keep_guess(sequence, guess)

    def _keep_guess(self, sequence: _Sequence, guess: _Guess) -> None:
        """What the model wrote stands."""
        sequence.guess = None
        if guess.closer:
            sequence.telling.trust(guess.call.event)
        for piece in guess.pieces:
            self._take(sequence, piece)

    def _resume(self, sequence: _Sequence) -> None:
        """Go on with what became of the call, where that is known."""
        call, guess = sequence.call, sequence.guess
        assert call is not None
        if call.event is None:
            text = f" ({self._as_data(call.refused)})"
        else:
            outcome = sequence.outcomes.pop(call.event.request, None)
            if outcome is None:
                return
            found = isinstance(outcome, Resolved) and bool(
                len(getattr(getattr(outcome.value, "regions", None), "boxes", ()))
            )
            if guess is not None and not found:
                sequence.call = None
                why = outcome.message if isinstance(outcome, Failed) else "nothing was found"
                sequence.telling.note("fallback", f"the model's own place stands: {why}")
                self._keep_guess(sequence, guess)
                self._read_rest(sequence)
                return
            frames = sequence.prepared.frames
            told = Told(event=call.event, outcome=outcome, prompt=sequence.prompt, frames=frames)
            text = call.trigger.tell(told)
        sequence.call = sequence.guess = None
        gone = self._cut(sequence, guess) if guess is not None else int(bool(sequence.mended))
        self._inject(sequence, call, text, cut=gone)

    def _as_data(self, text: str) -> str:
        """Words that may hold a model's own, or an expert's: no sign asks for anything in them."""
        engine = self._engine
        signs = [sign for one in engine.triggers for sign in (one.open, one.close)]
        signs += special_tokens(engine.tokenizer, self._tags).values()
        return escaped(text, dialect=engine.dialect, special=signs)

    def _cut(self, sequence: _Sequence, guess: _Guess) -> int:
        """Take the model's own place out of its cache; gives how many tokens it was."""
        self._rows.leave(sequence.row)
        gone = len(sequence.said) - guess.anchor
        read = gone - len(sequence.unread)
        if read > 0:
            self._engine.decoder.cut(sequence.row, read)
        sequence.said[guess.anchor :] = guess.mended
        sequence.unread, sequence.mended = list(guess.mended), guess.mended
        return gone

    def _inject(self, sequence: _Sequence, call: Call, text: str, *, cut: int) -> None:
        """Let the model read what it is told behind its own last token, in one pass."""
        engine, telling, row = self._engine, sequence.telling, sequence.row
        ids = encode(engine.tokenizer, text, tags=self._tags) if text else []
        context = engine.context
        if context is not None and row.length + len(sequence.unread) + len(ids) >= context:
            telling.note("dropped", f"{len(ids)} tokens do not fit the context of {context}: "
                         f"{text[:80]!r} was not told to the model")  # fmt: skip
            ids = []
        before = row.length
        sequence.said += ids
        if sequence.unread or ids:
            engine.decoder.read(row, [*sequence.unread, *ids])
            sequence.unread = []
        self._give_states(sequence)
        fed, sequence.mended = (*sequence.mended, *ids), []
        if fed:
            request = call.event.request if call.event is not None else ""
            telling.add(
                Injected(
                    sequence=telling.sequence,
                    request=request,
                    text=text,
                    tokens=fed,
                    before=before,
                    after=row.length,
                    cut=cut,
                )
            )
            for token in ids:
                for piece in sequence.detokeniser.feed(token):
                    telling.told(piece)
        self._check_room(sequence)

    def _read_rest(self, sequence: _Sequence) -> None:
        """The model reads its own last token alone: it had waited behind it."""
        if sequence.unread and sequence.call is None and sequence.finish is None:
            self._engine.decoder.read(sequence.row, sequence.unread)
            sequence.unread = []
            self._give_states(sequence)
            self._check_room(sequence)

    def _give_states(self, sequence: _Sequence) -> None:
        telling = sequence.telling
        fresh: list[State] = telling.fresh
        telling.fresh = []
        for state in fresh:
            value: Tensor | None = sequence.row.state
            telling.state(state, value)
        telling.settle()

    def _end(self, sequence: _Sequence, finish: Finish) -> None:
        """The text of a sequence is whole."""
        telling = sequence.telling
        guess, sequence.guess = sequence.guess, None
        self._rows.leave(sequence.row)
        sequence.finish = finish
        if guess is not None:
            telling.trust(guess.call.event)
        for piece in guess.pieces if guess is not None else ():
            telling.told(piece)
        for piece in sequence.detokeniser.close():
            telling.told(piece)
        if telling.fresh and sequence.unread:
            self._engine.decoder.read(sequence.row, sequence.unread)
            self._give_states(sequence)
        telling.close()
        telling.add(Done(sequence=telling.sequence, finish=finish))
