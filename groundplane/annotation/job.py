"""A job: what is to be annotated, by whom, and where it is kept; it runs as it is iterated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from groundplane.annotation.events import Finished, JobEvent, Summary
from groundplane.annotation.exporting import export_run
from groundplane.annotation.pipeline import Pipeline
from groundplane.annotation.run import Run
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import InputError
from groundplane.core.exporting import LossReport

__all__ = ["AnnotationJob"]

Word = AnnotationRecord | JobEvent


class AnnotationJob:
    """Runs once, as it is iterated, and can be ended at any time without loss.

    `groundplane.annotate` makes one.

    Args:
        pipeline: What runs it.
        parts: What is closed with it: processes, the log.
        run: Where records are kept; None where they are only handed out.
        show: What is handed out of a record.
        after: What is done when the source is at its end, before the job says so.
        lacking: Prompts that none of the experts can look for, and why.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        parts: ExitStack,
        run: Run | None = None,
        show: Callable[[AnnotationRecord], AnnotationRecord] | None = None,
        after: Callable[[], None] | None = None,
        lacking: Mapping[str, str] | None = None,
    ) -> None:
        self.lacking = dict(lacking or {})
        self._pipeline = pipeline
        self._parts = parts
        self._show = show
        self._after = after
        self._words: Iterator[Word] | None = None
        self._run = run

    @property
    def run(self) -> Run | None:
        """Where records are kept; its `records()` are those of earlier calls too."""
        return self._run

    @property
    def summary(self) -> Summary | None:
        """What this call did; None until it has ended."""
        return self._pipeline.summary

    def __iter__(self) -> Iterator[AnnotationRecord]:
        """Each record when it is kept, in the order in which they are done.

        Raises:
            InputError: If it has run already.
            OutputError: If a record cannot be kept; what is kept already is safe.
            DetectorError: If the experts cannot go on.
        """
        for word in self.words():
            if isinstance(word, AnnotationRecord):
                yield word

    def words(self) -> Iterator[Word]:
        """The records, and between them what there is to tell: see `events`.

        Raises:
            InputError, OutputError, DetectorError: As for the records.
        """
        if self._words is not None:
            raise InputError(
                "annotation: a job runs once; call annotate again with the same `out`, and it "
                "goes on where this one ended"
            )
        self._words = self._go()
        return self._words

    def finish(self) -> Summary:
        """Run to the end, and let the records go; they are in the run.

        Raises:
            InputError, OutputError, DetectorError: As for the records.
        """
        for word in self.words():
            if isinstance(word, Finished):
                return word.summary
        raise AssertionError("a job ends with its summary")

    def export(
        self, format: str, *, folder: str | Path | None = None, **options: object
    ) -> LossReport:
        """Write what the run holds in another format, as `groundplane export` does.

        Args:
            format: The exporter's name, such as `coco`.
            folder: Where to; None for `exports/FORMAT` in the run's folder.
            options: Options of the exporter.

        Raises:
            InputError: If the job keeps no run, or the records have not been taken yet.
            PluginNotFoundError, OutputError, MediaError: As `export_run`.
        """
        if self._run is None:
            raise InputError(
                "annotation: this job keeps no run to export; name a folder: annotate(..., out=...)"
            )
        if self.summary is None:
            raise InputError("annotation: the job has not ended; take its records, or finish()")
        return export_run(self._run, format, folder=folder, options=options)

    def drain(self, why: str = "interrupted") -> None:
        """Begin nothing new and finish what is decoded; for a signal's handler too."""
        self._pipeline.drain(why)

    def stop(self) -> None:
        """Give up at once what is not written; for a signal's handler too."""
        self._pipeline.stop()

    def close(self) -> None:
        """End it, wherever it is; what is written is brought to the disk."""
        if self._words is not None:
            self._words.close()  # type: ignore[attr-defined]
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _go(self) -> Iterator[Word]:
        with self._parts:
            for word in self._pipeline.run():
                if self._after is not None and _is_complete(word):
                    self._after()
                if isinstance(word, AnnotationRecord) and self._show is not None:
                    yield self._show(word)
                else:
                    yield word


def _is_complete(word: Word) -> bool:
    return isinstance(word, Finished) and word.summary.ended == "complete"
