"""Experts in a process of their own, which may die: what it was asked then is asked again.

A look that ends the process, or that outlasts its deadline by so much that the process is ended,
concerns one picture as a rule. So its pictures are asked again one by one, in a new process: the
one that ends that as well fails, and the others are right. That takes two starts, however many
pictures there are; halving would take as many as the batch has halves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from groundplane.annotation.codec import decode_record
from groundplane.annotation.expert_child import Child, EndedError, Start
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import LookTerms, failed_record
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import DetectorError, InputError, OutputError
from groundplane.core.files import one_line

__all__ = ["ProcessLooker"]

_log = logging.getLogger(__name__)

_TERMS = LookTerms()
# Calls that hang in a thread of the process each; with more of them it is replaced.
_STUCK = 4
# A call that hangs holds one of a router's four threads, and so does each of its pictures when it
# is asked alone: with so many late ones some were only waiting.
_CROWDED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    """What came of asking: the records, and how many calls hang in the process."""

    records: tuple[AnnotationRecord, ...]
    stuck: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Work:
    """A look that is under way.

    Attributes:
        todo: Batches to ask for, as indices of pictures, the next one last.
        records: What is done.
        guilty: Pictures that ended the process alone.
        crowds: Batches that took too much memory in a new process.
    """

    todo: list[list[int]]
    records: dict[int, AnnotationRecord] = field(default_factory=dict)
    guilty: set[int] = field(default_factory=set)
    crowds: list[list[int]] = field(default_factory=list)


class ProcessLooker:
    """Looks at pictures with experts that run apart; it is a `Looker`.

    Args:
        spec: What is looked for, and by whom; experts are named.
        terms: On what terms.
        slots: The files of a decode pool's slots; pixels that lie in them are not copied.

    Raises:
        PluginNotFoundError, PluginBrokenError, InputError: If an expert cannot be made, or nobody
            can look for any of the prompts.
        DetectorError: If the process ends while it starts.

    Attributes:
        restarts: How often the process was replaced.

    Examples:
        >>> import numpy as np
        >>> from groundplane.core.annotation import AnnotationPrompt, ClassTable
        >>> face = AnnotationPrompt(text="face", class_id=0)
        >>> classes = ClassTable(names=("face",), prompts=(face,))
        >>> spec = JobSpec(source="photos", classes=classes, detector="opencv")
        >>> looker = ProcessLooker(spec, terms=LookTerms(device="cpu"))
        >>> grey = Picture(path="a.png", content_hash="0", pixels=np.zeros((40, 60, 3), np.uint8))
        >>> [record] = looker.look([grey])
        >>> record.outcomes, looker.look([]), looker.close()
        (('none',), [], None)
    """

    def __init__(
        self,
        spec: JobSpec,
        *,
        terms: LookTerms = _TERMS,
        slots: Sequence[int] = (),
    ) -> None:
        if spec.detector is not None and spec.detector.startswith("object:"):
            raise InputError(
                f"annotation: the detector {spec.detector.removeprefix('object:')} is an object, "
                "which cannot run in a process of its own"
            )
        self._start = Start(spec=spec, terms=terms, slots=tuple(slots))
        self._spent: dict[str, float] = {}
        self._largest: int | None = None
        self._in_a_row = 0
        self._said = ""
        self._closed = False
        self._looking = threading.Lock()
        self.restarts = 0
        self._child: Child | None = Child(self._start)
        self._who = self._child.who
        self._lacking = self._child.lacking

    @property
    def who(self) -> str:
        """What messages call those who detect."""
        return self._who

    @property
    def lacking(self) -> Mapping[str, str]:
        """The prompts that no expert can look for, and why."""
        return dict(self._lacking)

    @property
    def seconds(self) -> Mapping[str, float]:
        """What each stage has taken so far."""
        now = self._child.seconds if self._child is not None else {}
        stages = dict.fromkeys([*self._spent, *now])
        return {name: self._spent.get(name, 0.0) + now.get(name, 0.0) for name in stages}

    @property
    def largest(self) -> int | None:
        """The most pictures at a time that are worth trying, once memory ran out; else None."""
        return self._largest

    def print_to(self, log: Path) -> None:
        """Add what experts print to a file from here on, not to stderr.

        The file is kept at a few megabytes. The last line is told when a process ends.

        Raises:
            OutputError: If it cannot be written.
        """
        with self._looking:
            try:
                if self._child is not None:
                    self._child.print_to(log)
            except OSError as error:
                raise OutputError(f"{one_line(str(log))}: cannot be written: {error}") from error
            self._start = replace(self._start, log=log)

    def look(self, pictures: Sequence[Picture]) -> list[AnnotationRecord]:
        """One record a picture, in order; the fault of a picture is its record's failure.

        Raises:
            DetectorError: If the process ended too often without an answer, or cannot be
                started any more.
        """
        with self._looking:
            work = _Work(todo=[list(range(len(pictures)))] if pictures else [])
            while work.todo:
                rows = work.todo.pop()
                if self._largest is not None and len(rows) > self._largest:
                    work.todo += [rows[self._largest :], rows[: self._largest]]
                else:
                    self._step(work, rows, [pictures[row] for row in rows])
            self._learn(work)
            return [work.records[row] for row in range(len(pictures))]

    def close(self) -> None:
        """End the process; may be called from another thread while it looks."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()  # whoever looks notices, and lets go of it
        with self._looking:
            self._let_go()

    def _step(self, work: _Work, rows: list[int], pictures: list[Picture]) -> None:
        """Ask for some pictures; they are done then, or to be asked for again."""
        fresh = self._child is None or not self._child.served
        try:
            answer = self._ask(pictures)
        except EndedError as end:
            self._count(end, pictures)
            if end.memory and not fresh:
                work.todo.append(rows)  # others may have left the memory full
            elif len(rows) == 1:
                work.guilty.update(rows)
                work.records[rows[0]] = self._without(pictures[0], end)
            else:
                work.todo += [[row] for row in reversed(rows)]
                if end.memory:
                    work.crowds.append(rows)
            return
        failed = [row for row, one in zip(rows, answer.records, strict=True) if one.failure]
        if len(rows) > 1 and answer.stuck and len(failed) >= _CROWDED:
            work.todo += [[row] for row in reversed(failed)]
        work.records |= dict(zip(rows, answer.records, strict=True))

    def _learn(self, work: _Work) -> None:
        """Of a batch that took too much memory, and whose pictures alone do not, so many go."""
        for rows in work.crowds:
            if not work.guilty.intersection(rows):
                self._largest = max(min(self._largest or len(rows), len(rows)) // 2, 1)
                _log.warning("%s: from now on batches of at most %d", self._who, self._largest)

    def _ask(self, pictures: Sequence[Picture], *, captions: bool = True) -> _Answer:
        """Ask the process, started anew where there is none.

        Raises:
            EndedError: If it ended over that.
        """
        if self._closed:
            raise DetectorError(f"{self._who}: it was closed")
        if self._child is None:
            self.restarts += 1
            self._child = Child(self._start)
        try:
            answer = self._child.look(pictures, captions=captions)
            records = tuple(decode_record(data)[0] for data in answer.records)
        except BaseException:
            # Whatever came between, an answer to this may still come, and must not be taken for
            # one to what is asked next.
            self._let_go()
            raise
        self._in_a_row = 0
        if answer.largest is not None:
            self._largest = min(self._largest or answer.largest, answer.largest)
        if answer.stuck >= _STUCK or self._child.too_large():
            self._let_go()
        return _Answer(records=records, stuck=answer.stuck)

    def _let_go(self) -> None:
        if self._child is not None:
            self._spent = dict(self.seconds)
            self._child.end()
            self._said = self._child.said()
            self._child = None

    def _count(self, end: EndedError, pictures: Sequence[Picture]) -> None:
        if self._closed:
            raise DetectorError(f"{self._who}: it was closed") from end
        self._in_a_row += 1
        _log.warning("%s: its process was replaced: %s%s", self._who, end, self._said)
        if self._in_a_row >= self._start.terms.deaths:
            raise DetectorError(
                f"{self._who}: its process ended {self._in_a_row} times in a row without an "
                f"answer, at last on {pictures[0].path!r}: {end}{self._said}. What is done is kept"
            ) from end

    def _without(self, picture: Picture, end: EndedError) -> AnnotationRecord:
        """What becomes of a picture that ends the process alone."""
        spec = self._start.spec
        if end.stage != "caption":
            who = f"segmenter {spec.segmenter!r}" if end.stage == "segment" else self._who
            message = f"{who} failed on {picture.path!r}: its process ended: {end}"
            return failed_record(picture, end.stage, message)
        try:
            [record] = self._ask([picture], captions=False).records
        except EndedError as again:
            self._count(again, [picture])
            return failed_record(picture, again.stage, f"{self._who}: its process ended: {again}")
        told = f"no description: language model {spec.captioner!r}: its process ended: {end}"
        return replace(record, note=f"{record.note}; {told}" if record.note else told)
