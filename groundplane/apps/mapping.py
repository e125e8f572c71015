"""`groundplane map`: from a video or posed RGB-D to a scene file."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from groundplane import __version__
from groundplane.annotation.signals import drained_by_signals
from groundplane.apps.given import check_apart, check_file, check_picture, expert_options
from groundplane.apps.mapping_flags import least_scores
from groundplane.apps.mapping_telling import summary_lines, telling
from groundplane.apps.told import counted, quiet
from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import one_line
from groundplane.mapping.building import make_mapper
from groundplane.mapping.events import MapSummary
from groundplane.mapping.fingerprints import fingerprint, option_fingerprints
from groundplane.mapping.looking import phrases_from
from groundplane.mapping.mapper import Mapper
from groundplane.mapping.state import FoundLog
from groundplane.mapping.terms import MapTerms
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.models3d import ENDINGS, save_model

__all__ = ["MapJob", "run"]

# As a shell has it after SIGINT.
_INTERRUPTED = 130
# Coloured points of an exported model, at most.
_POINTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MapJob:
    """What the command line asks for.

    Attributes:
        source: The video or folder.
        find: Phrases with commas between them.
        out: The scene file; what was found is kept beside it until it is written.
        picture: A drawing of the map, or None.
        exports: Models to look at, by their endings.
        detector, segmenter, geometry: The experts by name.
        options: Their options, `key=value`.
        thresholds: Least scores: a number for all phrases, or `PHRASE=NUMBER`.
        terms: How the map is built.
        device: Where the experts run.
        resume: Whether to go on with what an interrupted call left.
        quiet: Whether nothing is told meanwhile.
        json_log: Where events go as JSON lines.
    """

    source: str
    find: str
    out: Path
    picture: Path | None = None
    exports: tuple[Path, ...] = ()
    detector: str | None = None
    segmenter: str | None = None
    geometry: str | None = None
    options: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    terms: MapTerms = field(default_factory=MapTerms)
    device: str = "auto"
    resume: bool = False
    quiet: bool = False
    json_log: str | None = None

    @property
    def state(self) -> Path:
        """Where what was found is kept until the map is written."""
        return self.out.with_name(f"{self.out.name}.state")


def run(job: MapJob) -> int:
    """Build, write, draw, say what became of it.

    Returns:
        0 if the map is written, be it empty; 130 after Ctrl-C.

    Raises:
        InputError, MediaError, OutputError, DetectorError, PluginNotFoundError,
        PluginBrokenError: One line for stderr.
    """
    phrases = phrases_from(job.find)
    _check_outputs(job)
    done: MapSummary | None = None
    try:
        with (
            telling(sys.stderr, quiet=job.quiet, json_log=job.json_log) as told,
            FoundLog(job.state, job=_identity(job, phrases)) as log,
            quiet(),
        ):
            mapper = _mapper(job, phrases, log)
            with drained_by_signals(mapper):
                for event in mapper.words():
                    for teller in told:
                        teller.tell(event)
                    done = event if isinstance(event, MapSummary) else done
    except KeyboardInterrupt:
        done = None
    if done is None or done.ended == "interrupted":
        return _interrupted(job)
    scene = mapper.map()
    _write(job, scene, mapper)
    sys.stdout.write(f"{one_line(str(job.out))}: " + "\n".join(summary_lines(scene, done)) + "\n")
    return 0


def _check_outputs(job: MapJob) -> None:
    """Before any work: everything can be written, and nothing is replaced that is read."""
    check_file("--out", job.out)
    if job.out.exists():
        raise OutputError(f"--out {str(job.out)!r} is there already; name another file")
    if job.picture is not None:
        check_picture("--map", job.picture)
    for path in job.exports:
        if path.suffix.lower() not in ENDINGS:
            raise OutputError(
                f"--export {str(path)!r}: the ending must be {' or '.join(sorted(ENDINGS))}"
            )
        check_file("--export", path)
    _check_each_once(job)
    if job.resume and not job.state.exists():
        raise InputError(f"--resume: there is no {str(job.state)!r} to go on with; leave it out")
    if job.state.exists() and not job.resume:
        raise InputError(
            f"{str(job.state)!r} holds what an interrupted call found: --resume goes on with it; "
            "or delete it"
        )


def _check_each_once(job: MapJob) -> None:
    """No two outputs are one file, and none is the source."""
    log = None if job.json_log in (None, "-") else job.json_log
    written: dict[str, str] = {}
    for flag, path in (
        ("--out", job.out),
        ("--out", job.state),
        ("--map", job.picture),
        *(("--export", path) for path in job.exports),
        ("--json-log", log),
    ):
        if path is None:
            continue
        check_apart(flag, Path(path), (job.source,))
        place = os.path.realpath(path)
        if place in written:
            raise OutputError(
                f"{flag} {str(path)!r} is what {written[place]} writes; name another file"
            )
        written[place] = flag


def _identity(job: MapJob, phrases: Sequence[str]) -> dict[str, object]:
    """What the things that are found depend on."""
    return {
        "groundplane": __version__,
        "source": fingerprint(job.source),
        "phrases": list(phrases),
        "detector": job.detector,
        "segmenter": job.segmenter,
        "options": option_fingerprints(expert_options(job.options)),
        "thresholds": sorted(job.thresholds),
        "layout": job.terms.layout,
        "longest": job.terms.capture.longest,
        "intrinsics": job.terms.capture.intrinsics,
    }


def _mapper(job: MapJob, phrases: Sequence[str], log: FoundLog) -> Mapper:
    terms = replace(
        job.terms,
        thresholds=least_scores(job.thresholds, phrases),
        cloud=_POINTS if job.exports else 0,
    )
    return make_mapper(
        job.source, phrases, detector=job.detector, segmenter=job.segmenter,
        geometry=job.geometry, options=expert_options(job.options), device=job.device,
        terms=terms, log=log,
    )  # fmt: skip


def _write(job: MapJob, scene: CognitiveMap, mapper: Mapper) -> None:
    if job.picture is not None:
        from groundplane.spatial.rendering import draw_map

        draw_map(scene, job.picture, title=scene.name)
    for path in job.exports:
        save_model(scene, path, cloud=mapper.cloud(), cameras=mapper.cameras())
    # Last, since it is what a call with --resume must not find.
    scene.save(job.out)
    job.state.unlink(missing_ok=True)


def _interrupted(job: MapJob) -> int:
    sys.stdout.flush()
    if not job.state.exists():
        sys.stderr.write("groundplane: interrupted before anything was looked at\n")
        return _INTERRUPTED
    with FoundLog(job.state, job=_identity(job, phrases_from(job.find))) as log:
        found = counted(len(log), "keyframe")
    sys.stderr.write(
        f"groundplane: interrupted; what was found in {found} is kept in "
        f"{shlex.quote(os.fspath(job.state))}; the same call with --resume goes on from there\n"
    )
    return _INTERRUPTED
