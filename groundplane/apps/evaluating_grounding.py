"""`groundplane evaluate coco|pope|chair|refcoco`: tables of what was found and what was said."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.apps.evaluating import check_out
from groundplane.apps.given import expert_options
from groundplane.apps.told import one_line, quiet
from groundplane.core.detection import Detector
from groundplane.core.errors import InputError, listing
from groundplane.core.files import write_whole
from groundplane.grounding.setup import make_router

__all__ = ["ExpressionFiles", "LookingJob", "run_chair", "run_coco", "run_pope", "run_refcoco"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookingJob:
    """A file of results, or the pictures and the expert that makes them.

    Attributes:
        results: The file.
        flag: What the command line calls it.
        images: Folder of the pictures.
        detector: Name of the expert, or several with commas between them.
        options: The experts' options, `key=value`.
        device: Where it runs.
        run: Folder of a run of annotation, instead of both.
    """

    results: Path | None
    flag: str
    images: Path | None
    detector: str | None
    options: tuple[str, ...] = ()
    device: str = "auto"
    run: Path | None = None

    def expert(self) -> tuple[Detector, str, Path] | None:
        """The expert, its name and the pictures; None if results or a run are given.

        Raises:
            InputError: If both or neither are given, or half of one.
            PluginNotFoundError, PluginBrokenError: If the expert cannot be made.
        """
        looks = self.detector is not None or self.images is not None
        if self.run is not None:
            if looks or self.results is not None or self.options:
                raise InputError(f"give a run, or {self.flag} FILE, or an expert; not two of them")
            return None
        if (self.results is not None) == looks:
            raise InputError(
                f"give {self.flag} FILE, or --images FOLDER with --detector NAME, "
                "not both and not neither"
            )
        if not looks:
            if self.options:
                raise InputError(f"--option is for an expert; {self.flag} takes none")
            return None
        if self.detector is None or self.images is None:
            raise InputError("--images FOLDER and --detector NAME belong together; one is missing")
        options = expert_options(self.options)
        with quiet():
            router = make_router(self.detector, options=options, device=self.device)
        return router, self.detector, self.images


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionFiles:
    """Expressions, and how the boxes of files are meant.

    Attributes:
        expressions: The file.
        annotations: COCO instances file, where the expressions name regions by id; or None.
        form: How a `bbox` of the expressions is meant; None where the file says it.
        predicted_form: How a `bbox` of the predictions is meant.
    """

    expressions: Path
    annotations: Path | None
    form: str | None
    predicted_form: str


def run_coco(job: LookingJob, annotations: Path, *, iou_type: str, out: Path | None) -> int:
    """Score detections, print the twelve numbers and the weakest categories.

    Raises:
        InputError, PluginBrokenError, OutputError: One line for stderr.
    """
    from groundplane.evaluation.coco import IouType, detect_coco, evaluate_coco, read_coco

    kind: IouType = _one_of("--iou-type", iou_type, ("bbox", "segm"))  # type: ignore[assignment]
    _check(out)
    expert = job.expert()
    truth = read_coco(annotations, iou_type=kind)
    detections: Any = job.results
    if job.run is not None:
        from groundplane.apps.evaluating_runs import run_entries

        detections = run_entries(job.run, truth, masks=kind == "segm")
    if expert is not None:
        made, name, images = expert
        with quiet():
            detections = detect_coco(truth, images, made, name=name, masks=kind == "segm")
    result = evaluate_coco(truth, detections, iou_type=kind)
    _write(out, result.record())
    lines = [f"{name:<7}{value:>10.6f}" for name, value in result.stats.items()]
    lines.append(
        f"{result.num_detections} detections, {result.num_annotations} annotations, "
        f"{result.num_images} pictures; {'boxes' if kind == 'bbox' else 'masks'}"
    )
    lines += _weakest(result.categories)
    sys.stdout.write("\n".join(lines) + "\n")
    if result.strangers:
        sys.stderr.write(
            f"groundplane: {sum(result.strangers.values())} detections are of categories that the "
            f"annotations lack and are not counted: {listing(map(str, result.strangers))}\n"
        )
    return 0


def run_pope(job: LookingJob, questions: Path, *, out: Path | None, misses: int) -> int:
    """Score yes and no, print POPE's five numbers and some misses.

    Raises:
        InputError, OutputError: One line for stderr.
    """
    from groundplane.evaluation.pope import detect_pope, evaluate_pope, read_answers, read_pope

    _check(out)
    expert = job.expert()
    asked = read_pope(questions)
    if expert is not None:
        made, name, images = expert
        with quiet():
            result = detect_pope(asked, images, made, name=name)
    else:
        result = evaluate_pope(asked, read_answers(job.results or questions, asked))
    _write(out, result.record())
    numbers = (
        ("accuracy", result.accuracy), ("precision", result.precision), ("recall", result.recall),
        ("f1", result.f1), ("yes ratio", result.yes_ratio),
    )  # fmt: skip
    lines = [f"{name:<10}{_shown(value)}" for name, value in numbers]
    unclear = (
        "that the expert cannot look for" if expert else "whose answer says neither yes nor no"
    )
    counted = "no" if expert else "yes"
    lines.append(f"{len(result.items)} questions; {result.unclear} {unclear}, counted as {counted}")
    wrong = [item for item in result.items if not item.right]
    told = [
        f"{item.question.id} ({item.question.image}): {item.question.text} "
        f"{item.question.label}, answered {item.verdict}: {one_line(item.said, 120)}"
        for item in wrong[:misses]
    ]
    sys.stdout.write("\n".join(lines) + "\n" + _list_misses(told, len(wrong)))
    return 0


def run_chair(
    captions: Path, annotations: Path, *, references: Path | None, out: Path | None, misses: int
) -> int:
    """Score captions, print CHAIR's numbers and what is hallucinated most.

    Raises:
        InputError, OutputError: One line for stderr.
    """
    from groundplane.evaluation.chair import evaluate_chair

    _check(out)
    result = evaluate_chair(captions, annotations, references=references)
    _write(out, result.record())
    numbers = (("CHAIR_i", result.chair_i), ("CHAIR_s", result.chair_s), ("recall", result.recall))
    lines = [
        f"{name:<9}{'       -' if value is None else f'{100 * value:>8.2f}'}"
        for name, value in numbers
    ]
    lines.append(f"{len(result.items)} captions; objects are named {result.num_mentions} times")
    wrong = [item for item in result.items if item.hallucinated]
    told = [
        f"{item.caption.image}: "
        + ", ".join(f"{m.words!r} ({m.category})" for m in item.hallucinated)
        + f": {one_line(item.caption.text, 120)}"
        for item in wrong[:misses]
    ]
    sys.stdout.write("\n".join(lines) + "\n" + _list_misses(told, len(wrong)))
    return 0


def run_refcoco(job: LookingJob, files: ExpressionFiles, *, out: Path | None, misses: int) -> int:
    """Score boxes of expressions, print accuracy and mean overlap.

    Raises:
        InputError, OutputError: One line for stderr.
    """
    from groundplane.evaluation import refcoco

    forms = ("xyxy", "xywh")
    meant: Any = None if files.form is None else _one_of("--box-form", files.form, forms)
    given: Any = _one_of("--predicted-form", files.predicted_form, forms)
    _check(out)
    expert = job.expert()
    asked = refcoco.read_expressions(files.expressions, form=meant, annotations=files.annotations)
    if expert is not None:
        made, name, images = expert
        with quiet():
            boxes = refcoco.detect_expressions(asked, images, made, name=name)
    else:
        boxes = refcoco.read_boxes(job.results or files.expressions, asked, form=given)
    result = refcoco.evaluate_expressions(asked, boxes)
    _write(out, result.record())
    lines = [f"{'':<20}{'n':>7}{'acc@0.5':>9}{'mean IoU':>10}{'no box':>8}"]
    lines += [
        f"{one_line(group, 18):<20}{row['n']:>7}{row['accuracy']:>9.4f}{row['mean_iou']:>10.4f}"
        f"{row['without_box']:>8}"
        for group, row in result.groups().items()
    ]
    wrong = [i for i, overlap in enumerate(result.overlaps) if overlap < 0.5]
    told = [
        f"{asked[i].id} ({asked[i].image}): {one_line(asked[i].text, 120)!r}: overlap "
        f"{result.overlaps[i]:.2f}" + ("" if boxes[i] is not None else ", no box")
        for i in wrong[:misses]
    ]
    sys.stdout.write("\n".join(lines) + "\n" + _list_misses(told, len(wrong)))
    return 0


def _one_of(flag: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise InputError(f"{flag}: expected {' or '.join(map(repr, choices))}, got {value!r}")
    return value


def _check(out: Path | None) -> None:
    if out is not None:
        check_out(out)


def _write(out: Path | None, record: Mapping[str, Any]) -> None:
    if out is not None:
        write_whole(out, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def _weakest(categories: Mapping[str, float], most: int = 5) -> list[str]:
    """The categories with the least AP of those that are there."""
    there = sorted((value, name) for name, value in categories.items() if value >= 0)
    if len(there) < 2:
        return []
    return ["weakest: " + ", ".join(f"{name} {value:.3f}" for value, name in there[:most])]


def _list_misses(told: Sequence[str], total: int) -> str:
    if not total:
        return ""
    lines = [f"\n{total} wrong", *(f"  {line}" for line in told)]
    if total > len(told):
        lines.append(f"  and {total - len(told)} more; all are in --json")
    return "\n".join(lines) + "\n"


def _shown(value: float | None) -> str:
    return "       -" if value is None else f"{value:>8.4f}"
