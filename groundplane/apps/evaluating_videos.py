"""`groundplane evaluate vsibench`: on published boxes, or on maps that are built of the videos."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from groundplane import __version__
from groundplane.apps.evaluating import check_out, run_vsibench
from groundplane.apps.given import expert_options
from groundplane.apps.mapping_flags import capture_options
from groundplane.apps.rooms_log import RoomsLog
from groundplane.apps.rooms_told import misses_of, table_of, tell_done
from groundplane.apps.told import quiet
from groundplane.core.errors import InputError
from groundplane.core.files import write_whole
from groundplane.evaluation.rooms_plots import draw_plan
from groundplane.evaluation.rooms_records import VIDEOS, RoomRecord
from groundplane.evaluation.rooms_report import Report, write_report
from groundplane.evaluation.rooms_result import RoomsResult
from groundplane.evaluation.vsi_experts import Crew
from groundplane.evaluation.vsi_truth import laid_over
from groundplane.evaluation.vsi_videos import SceneOutcome, VideosJob
from groundplane.mapping.fingerprints import fingerprint
from groundplane.mapping.terms import MapTerms

__all__ = ["VsiFlags", "run"]

_PAGE, _MAPS, _PLANS = "index.html", "maps", "plans"
_MOST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class VsiFlags:
    """What the command line says.

    Attributes:
        questions: The benchmark's questions.
        scenes: Its meta files.
        videos: The folder of its videos; None to ask the boxes of the meta files.
        folder: Where page and maps go, and what a run goes on from.
        detector, segmenter, geometry, options, device: The experts, see `build_map`.
        every: Every how manieth frame of a video is looked at.
        longest: To how many pixels pictures are shrunk.
    """

    questions: Path
    scenes: tuple[Path, ...] = ()
    videos: Path | None = None
    folder: Path | None = None
    detector: str | None = None
    segmenter: str | None = None
    geometry: str | None = None
    options: tuple[str, ...] = ()
    every: int = 1
    longest: int | None = None
    device: str = "auto"

    def job(self, videos: Path) -> VideosJob:
        """What is evaluated of videos.

        Raises:
            InputError, SceneError: If a file or an option is malformed.
        """
        crew = Crew(
            detector=self.detector,
            segmenter=self.segmenter,
            geometry=self.geometry,
            options=expert_options(self.options),
            device=self.device,
            terms=MapTerms(every=self.every, capture=capture_options(longest=self.longest)),
        )
        return VideosJob.of(videos, self.questions, crew=crew, metas=self.scenes)

    def settings(self, job: VideosJob) -> dict[str, object]:
        """What must be the same for a run to go on."""
        return {
            "groundplane": __version__,
            "questions": fingerprint(self.questions),
            "scenes": [fingerprint(path) for path in self.scenes],
            **job.crew.record(),
        }


def run(flags: VsiFlags, *, out: Path | None, distance: str, misses: int) -> int:
    """Evaluate, print the table and the misses, write page and JSON.

    Args:
        flags: What is evaluated.
        out: Where the JSON goes.
        distance: How distances of boxes are measured; those of videos are sampled.
        misses: How many misses to print.

    Returns:
        0; 1 where a scene has no video or could not be mapped.

    Raises:
        InputError: If flags do not go together, a file is malformed, or there is no video.
        OutputError: If nothing can be written.
    """
    if flags.videos is None:
        _check_boxes(flags)
        return run_vsibench(
            flags.scenes, flags.questions, out=out, distance=distance, misses=misses
        )
    if distance != "sampled":
        raise InputError("--distance: with --videos distances are sampled, as the benchmark does")
    if out is not None:
        check_out(out)
    return _Run(flags, flags.job(flags.videos)).whole(out, misses)


def _check_boxes(flags: VsiFlags) -> None:
    if not flags.scenes:
        raise InputError(
            "give --scenes FILE, the benchmark's boxes, or --videos FOLDER, its videos, or both"
        )
    for_videos = {
        "--out": flags.folder, "--detector": flags.detector, "--segmenter": flags.segmenter,
        "--geometry": flags.geometry, "--option": flags.options, "--longest": flags.longest,
    }  # fmt: skip
    if given := [name for name, value in for_videos.items() if value]:
        raise InputError(f"{given[0]} is for --videos FOLDER, which is not given")


class _Run:
    """A run over all scenes."""

    def __init__(self, flags: VsiFlags, job: VideosJob) -> None:
        self._flags, self._job = flags, job
        self._log = None
        if flags.folder is not None:
            self._log = RoomsLog(flags.folder, flags.settings(job))
        self._records: list[RoomRecord] = []
        self._failures: dict[str, str] = {}

    def whole(self, out: Path | None, misses: int) -> int:
        """All scenes, then what came of them."""
        begun = time.monotonic()
        for number, name in enumerate(self._job.scenes):
            self._scene(number, name)
            tell_done(number + 1, len(self._job.scenes), begun, what="scenes")
        result = RoomsResult(records=tuple(self._records))
        if out is not None:
            record = result.record() | {"failures": self._failures}
            write_whole(out, (json.dumps(record, indent=1) + "\n").encode())
        if self._flags.folder is not None:
            self._write_page(self._flags.folder, result)
        told = "".join(f"  {name}: {why}\n" for name, why in self._failures.items())
        if told:
            told = f"\n{len(self._failures)} of {len(self._job.scenes)} scenes not mapped:\n{told}"
        sys.stdout.write(table_of(result) + misses_of(result, misses) + told)
        return 1 if self._failures else 0

    def _scene(self, number: int, name: str) -> None:
        """One scene, unless an earlier run did it; a failed one is tried again."""
        made = None if self._log is None else self._log.known(number)
        if made is None:
            with quiet():
                outcome = self._job.evaluate(number)
            made = list(outcome.records)
            if outcome.failure:
                self._failures[name] = outcome.failure
            if self._log is not None and made and not outcome.failure:
                self._keep(name, outcome)
                self._log.add(made)
        self._records += made

    def _keep(self, name: str, outcome: SceneOutcome) -> None:
        """The map as a scene file to ask, and its plan where the boxes are known."""
        folder = self._flags.folder
        if folder is None or outcome.scene is None:
            return
        for part in (_MAPS, _PLANS):
            (folder / part).mkdir(exist_ok=True)
        outcome.scene.save(folder / _MAPS / f"{name}.json")
        if outcome.truth is not None:
            plan = draw_plan(outcome.truth, laid_over(outcome.scene, outcome.truth))
            write_whole(folder / _PLANS / f"{name}.svg", plan)

    def _told(self) -> dict[str, object]:
        """How it was run, as far as users said it."""
        crew = self._job.crew.record()
        del crew["terms"]
        sizes = {"every": self._flags.every, "longest": self._flags.longest}
        return {name: value for name, value in (crew | sizes).items() if value}

    def _write_page(self, folder: Path, result: RoomsResult) -> None:
        files: Mapping[str, Path] = {
            each.room: folder / _PLANS / f"{each.room}.svg" for each in result.worst(VIDEOS, _MOST)
        }
        report = Report(
            title=f"VSI-Bench, {len(self._job.scenes)} scenes",
            result=result,
            settings=self._told(),
            plans={name: file.read_bytes() for name, file in files.items() if file.is_file()},
            failures=self._failures,
            most=_MOST,
        )
        write_whole(folder / _PAGE, write_report(report).encode())
