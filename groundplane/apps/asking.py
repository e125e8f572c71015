"""`groundplane ask`: questions in, sentences or records out."""

from __future__ import annotations

import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from groundplane.apps.given import check_apart, check_file, check_picture, expert_options
from groundplane.apps.mapping_flags import known_sizes
from groundplane.apps.told import dump, one_line, quiet, quietly
from groundplane.apps.what_if import tell_flips
from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.errors import GroundplaneError, InputError
from groundplane.core.record import Recorder
from groundplane.core.regions import Regions
from groundplane.mapping.choosing import CaptureChoice
from groundplane.mapping.looking import phrases_from
from groundplane.mapping.terms import MapTerms
from groundplane.replies import Reply
from groundplane.spatial.chances.worlds import TOO_CLOSE, Caution
from groundplane.spatial.geometry.gap import closest_points
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import MapScene

__all__ = ["Job", "run"]

Point = tuple[float, float, float]
_MAX_QUESTIONS = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the command line asks for."""

    source: str
    question: str | None
    questions: Path | None
    as_json: bool
    picture: Path | None
    detector: str | None
    options: tuple[str, ...]
    device: str
    noise: float = 0.0
    too_close: float = TOO_CLOSE
    what_if: bool = False
    model: str = "planner"
    model_options: tuple[str, ...] = ()
    strategy: str | None = None
    record: Path | None = None
    segmenter: str | None = None
    geometry: str | None = None
    find: str | None = None
    layout: str | None = None
    every: int = 1
    keep: bool = True
    known: tuple[str, ...] = ()
    camera_height: float | None = None


def run(job: Job) -> int:
    """Answer and print.

    Returns:
        0 answered (or asked back); 2 if the one question cannot be answered for a fault in it or
        of the expert; 1 if some of many could not.

    Raises:
        InputError, SceneError, MediaError, PluginNotFoundError, OutputError: One line for stderr.
    """
    if (job.question is None) == (job.questions is None):
        raise InputError("give one question, or --questions FILE, not both and not neither")
    options = expert_options(job.options)
    choice = _choice(job)
    mapped = choice.applies(job.source)
    folder = os.path.isdir(job.source) and not mapped
    if folder and job.questions is not None:
        raise InputError(f"{job.source}: a folder of photos takes one question, not --questions")
    if job.picture is not None:
        _check_picture(job.picture, single=job.questions is None and not folder)
    if folder and job.what_if:
        raise InputError(f"{job.source}: --what-if needs a scene of boxes; photos have none")
    if job.record is not None:
        check_file("--record", job.record)
        check_apart("--record", job.record, (job.source, job.questions, job.picture))
    recorder = None if job.record is None else Recorder(job.model)
    with quiet():
        asker = Asker(
            job.source, detector=job.detector, capture=choice, options=options,
            device=job.device, noise=job.noise,
            caution=Caution(too_close=job.too_close), model=job.model, strategy=job.strategy,
            model_options=expert_options(job.model_options, flag="--model-option"),
            recorder=recorder,
        )  # fmt: skip
    if recorder is not None and asker.scene is None:
        recorder.experts = job.detector or "all installed"
    _check_known(job, mapped=asker.mapped)
    drawn = asker.mapped or asker.scene is not None or asker.image is not None
    if job.picture is not None and not folder and not drawn:
        raise InputError("--map: a story has no coordinates to draw; leave it out")
    try:
        return _answered(asker, job, folder=folder)
    finally:
        # What happened is kept whatever ends it.
        if recorder is not None and job.record is not None:
            recorder.record().save(job.record)


def _check_known(job: Job, *, mapped: bool) -> None:
    """What gives a depth its unit needs somebody who tells the depth."""
    if (job.known or job.camera_height is not None) and not mapped:
        raise InputError(
            "--known and --camera-height give an estimated depth its unit, and nobody estimates "
            "it here. Try: --geometry depth-anything --option depth-anything.weights=FOLDER"
        )


def _choice(job: Job) -> CaptureChoice:
    """How a capture is mapped."""
    return CaptureChoice(
        segmenter=job.segmenter,
        geometry=job.geometry,
        find=() if job.find is None else phrases_from(job.find),
        terms=MapTerms(
            layout=job.layout,
            every=job.every,
            scaling=known_sizes(job.known, camera_height=job.camera_height),
        ),
        keep=job.keep,
    )


def _answered(asker: Asker, job: Job, *, folder: bool) -> int:
    if job.questions is not None:
        return _many(asker, job.questions, what_if=job.what_if)
    question = job.question or ""
    if folder:
        return _folder(asker, question, job)
    return _one(asker, question, job)


def _check_picture(picture: Path, *, single: bool) -> None:
    """Before any work: the picture can be drawn at all."""
    if not single:
        raise InputError("--map draws one question on one source")
    check_picture("--map", picture)


def _one(asker: Asker, question: str, job: Job) -> int:
    with quiet():
        reply = asker.ask(question, what_if=job.what_if)
    if job.picture is not None and not reply.failed:
        _draw(asker, reply, job.picture)
    if job.as_json:
        sys.stdout.write(dump(reply.record(), indent=2) + "\n")
    elif not reply.failed:
        sys.stdout.write(_told(reply))
    if reply.failed:
        sys.stderr.write(f"groundplane: {' '.join(reply.text.split())}\n")
        sys.stderr.writelines(f"  note: {_harmless(one_line(n, 1000))}\n" for n in reply.notes)
    return 2 if reply.failed else 0


def _harmless(text: str) -> str:
    """A model's text without what a terminal would obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)


def _told(reply: Reply) -> str:
    """The sentence, and what it rests on."""
    lines = [_harmless(reply.text)]
    if reply.choice is not None:
        lines.append(f"  choice: {reply.choice}")
    if reply.evidence:
        lines.append(f"  rests on: {', '.join(reply.evidence)}")
    if reply.answer.measure:
        lines.append(f"  measure: {reply.answer.measure}")
    if reply.frame is not None:
        lines.append(f"  frame of reference: {reply.frame}")
    lines += [f"  note: {_harmless(one_line(note, 1000))}" for note in reply.notes]
    if reply.what_if is not None:
        lines += tell_flips(reply.what_if, reply.value)
    return "\n".join(lines) + "\n"


def _many(asker: Asker, path: Path, *, what_if: bool) -> int:
    failed = total = 0
    for reply in quietly(asker.ask_many(_lines(path), what_if=what_if)):
        total += 1
        failed += reply.failed
        sys.stdout.write(dump(reply.record()) + "\n")
        sys.stdout.flush()
    if failed:
        sys.stderr.write(f"groundplane: {failed} of {total} questions could not be answered\n")
    return 1 if failed else 0


def _lines(path: Path) -> list[str]:
    """One question a line; a last empty line is none."""
    try:
        if path.stat().st_size > _MAX_QUESTIONS:
            raise InputError(f"questions {path.name!r}: more than {_MAX_QUESTIONS // 2**20} MB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"questions {path.name!r}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"questions {path.name!r}: not UTF-8 at byte {error.start}") from error
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise InputError(f"questions {path.name!r}: there are none in it")
    return [line.rstrip("\r") for line in lines]


def _folder(asker: Asker, question: str, job: Job) -> int:
    """One answer a photo; a photo that cannot be read is an error record."""
    bad = total = 0
    counted: list[float] = []
    for outcome in quietly(asker.ask_all(question)):
        total += 1
        if isinstance(outcome, Reply):
            bad += outcome.failed
            if outcome.unit == "count" and isinstance(outcome.value, int | float):
                counted.append(outcome.value)
            line = (
                dump(outcome.record())
                if job.as_json
                else f"{outcome.source}: {_harmless(one_line(outcome.text, 2000))}"
            )
        else:
            bad += 1
            line = _error_line(*outcome, as_json=job.as_json, question=question)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if counted and not job.as_json:
        who = f"All {total}" if len(counted) == total else f"{len(counted)} of {total}"
        sys.stdout.write(f"{who} photos together: {sum(counted):g}\n")
    if bad:
        sys.stderr.write(f"groundplane: {bad} of {total} photos gave no answer\n")
    return 1 if bad else 0


def _error_line(name: str, error: GroundplaneError, *, as_json: bool, question: str) -> str:
    if not as_json:
        return f"{name}: error: {error}"
    empty = dict.fromkeys(
        ("value", "unit", "choice", "interval", "probability", "runner_up", "frame", "path")
    ) | {"what_if": None}
    return dump(
        {
            "question": question, "source": name, "status": Status.CANNOT_DETECT.value,
            "text": str(error), **empty, "measure": "", "evidence": [],
            "regions": None, "notes": [], "trace": [],
        }
    )  # fmt: skip


def _draw(asker: Asker, reply: Reply, path: Path) -> None:
    from groundplane.spatial.rendering import draw_map, draw_photo

    if asker.scene is not None:
        draw_map(
            asker.scene, path, evidence=reply.evidence, title=reply.text,
            viewpoint=_viewpoint(asker.scene, reply), line=_line(asker.scene, reply),
            way=reply.answer.path,
        )  # fmt: skip
    elif asker.image is not None:
        places = _places(reply, asker.image.size)
        draw_photo(asker.image, places, path, evidence=reply.evidence, title=reply.text)


def _places(reply: Reply, size: tuple[int, int]) -> Regions:
    """All that experts found, and what the model placed itself, which has no score."""
    found = reply.regions or Regions.empty(phrases=(), image_size=size)
    own = [one for one in reply.record()["regions"] or () if one["score"] is None]
    if not own:
        return found
    phrases = (*found.phrases, *(one["label"] for one in own))
    numbers = torch.arange(len(found.phrases), len(phrases))
    return Regions(
        ids=(*found.ids, *(one["id"] for one in own)),
        boxes=torch.cat([found.boxes.cpu(), torch.tensor([one["box"] for one in own])]),
        scores=torch.cat([found.scores.cpu(), torch.full((len(own),), torch.nan)]),
        phrases=phrases,
        phrase_ids=torch.cat([found.phrase_ids.cpu(), numbers]),
        image_size=size,
    )


def _viewpoint(scene: CognitiveMap, reply: Reply) -> tuple[Point, Point] | None:
    """Where the answer's viewer stands, and a point that the viewer looks at."""
    frame = reply.answer.frame
    if frame is None or frame.kind != "viewpoint" or frame.facing is None:
        return None
    look = scene.objects.centers[scene.ids.index(frame.facing), :2]
    here = MapScene(scene).middle()
    if frame.origin is not None:
        here = scene.objects.centers[scene.ids.index(frame.origin), :2]
    cos, sin = math.cos(frame.turn), math.sin(frame.turn)
    dx, dy = (look - here).tolist()
    x, y = here.tolist()
    return (x, y, 0.0), (x + cos * dx - sin * dy, y + sin * dx + cos * dy, 0.0)


def _line(scene: CognitiveMap, reply: Reply) -> tuple[Point, Point] | None:
    """The closest points of the two objects of a distance."""
    if "closest points" not in reply.answer.measure or len(reply.evidence) < 2:
        return None
    rows = [torch.tensor([scene.ids.index(name)]) for name in reply.evidence[:2]]
    first, second, _ = closest_points(scene.objects[rows[0]], scene.objects[rows[1]])
    if bool(first.isnan().any()):
        return None
    (ax, ay, az), (bx, by, bz) = first[0].tolist(), second[0].tolist()
    return (ax, ay, az), (bx, by, bz)
