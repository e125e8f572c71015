"""`groundplane find`: where in a photo the things are that phrases name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.apps.given import check_picture, expert_options
from groundplane.apps.told import dump, one_line, quiet
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.errors import InputError, did_you_mean
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.grounding.router import Terms
from groundplane.grounding.setup import make_router

__all__ = ["FindJob", "find_record", "run"]

# Commas and line ends of the scripts that people list things in.
_BETWEEN = re.compile(r"[,;\n\uff0c\u3001\uff1b]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindJob:
    """What the command line asks for.

    Attributes:
        phrases: Phrases with commas between them.
        detector: The experts to choose among, with commas between them; None for all.
        segmenter: Who makes masks; None for no masks but those that the detector makes anyway.
        thresholds: Least scores: a number for all phrases, or `PHRASE=NUMBER`.
    """

    photo: Path
    phrases: str
    detector: str | None
    segmenter: str | None
    options: tuple[str, ...]
    device: str
    thresholds: tuple[str, ...]
    as_json: bool
    out: Path | None


def run(job: FindJob) -> int:
    """Look, print, draw.

    Returns:
        0 where an expert looked, whether it found anything or not; 2 if no expert can look for
        any of the phrases.

    Raises:
        InputError, MediaError, DetectorError, PluginNotFoundError, OutputError: One line for
            stderr.
    """
    phrases = _phrases(job.phrases)
    least = _thresholds(job.thresholds, phrases)
    if job.out is not None:
        check_picture("--out", job.out)
    image = read_image(job.photo)
    request = DetectRequest(image=image, phrases=phrases, thresholds=least)
    with quiet():
        router = make_router(
            job.detector,
            segmenter=job.segmenter,
            options=expert_options(job.options),
            device=job.device,
            terms=Terms(masks=job.segmenter is not None),
        )
        (result,) = router.detect([request])
    if job.out is not None:
        from groundplane.apps.marking import draw_marks, marks_of

        draw_marks(image, marks_of(result.regions), job.out)
    if job.as_json:
        sys.stdout.write(dump(find_record(image, result), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_table(result)) + "\n")
    if not _hopeless(result):
        return 0
    sys.stderr.write(f"groundplane: {one_line(result.note, 2000) or _WITHOUT[Outcome.CANNOT]}\n")
    return 2


def find_record(image: Image, result: DetectResult) -> dict[str, Any]:
    """What was found as plain JSON values; boxes are `xyxy`, pixels of the upright photo."""
    rows = _rows(result)
    presence = result.presence or (None,) * len(result.outcomes)
    return {
        "image": image.source.name,
        "size": list(image.size),
        "phrases": [
            {
                "phrase": phrase,
                "outcome": outcome.value,
                "presence": chance,
                "regions": [row for row in rows if row["phrase_id"] == index],
            }
            for index, (phrase, outcome, chance) in enumerate(
                zip(result.regions.phrases, result.outcomes, presence, strict=True)
            )
        ],
        "note": result.note,
        "steps": [{"name": s.name, "detail": s.detail, "seconds": s.seconds} for s in result.steps],
    }


def _passed_over(result: DetectResult) -> list[str]:
    """Why each expert could not look for the first phrase that nobody could look for."""
    phrase = result.regions.phrases[result.outcomes.index(Outcome.CANNOT)]
    steps = [step.detail for step in result.steps if step.name == "passed over"]
    return [detail for detail in steps if repr(phrase) in detail]


def _hopeless(result: DetectResult) -> bool:
    """Whether no expert could look for any of the phrases."""
    return set(result.outcomes) == {Outcome.CANNOT}


def _rows(result: DetectResult) -> list[dict[str, Any]]:
    """One record a region, best first."""
    regions = result.regions
    boxes, scores = regions.boxes.tolist(), regions.scores.tolist()
    owners: list[int] = regions.phrase_ids.tolist()
    rows = []
    for place in sorted(range(len(regions)), key=lambda i: -scores[i]):
        row: dict[str, Any] = {
            "id": regions.ids[place],
            "phrase_id": owners[place],
            "box": [round(edge, 2) for edge in boxes[place]],
            "score": round(scores[place], 4),
            "source": regions.sources[place] if regions.sources else "",
        }
        if regions.masks is not None:
            mask = regions.masks[place]
            row["mask"] = {"size": list(mask.size), "counts": mask.counts.decode("ascii")}
        rows.append(row)
    return rows


def _table(result: DetectResult) -> Iterable[str]:
    """A line a region, and one for each phrase without any."""
    rows = _rows(result)
    names = [one_line(phrase, 40) for phrase in result.regions.phrases]
    wide = max(map(len, names))
    for index, (name, outcome) in enumerate(zip(names, result.outcomes, strict=True)):
        mine = [row for row in rows if row["phrase_id"] == index]
        for row in mine:
            box = ", ".join(f"{edge:.1f}" for edge in row["box"])
            mask = "  mask" if "mask" in row else ""
            yield f"{name:<{wide}}  {row['score']:.2f}  {box}  {one_line(row['source'], 40)}{mask}"
        if not mine:
            yield f"{name:<{wide}}  {_WITHOUT[outcome]}"
    if Outcome.CANNOT in result.outcomes:
        yield from (f"  {one_line(reason, 300)}" for reason in _passed_over(result))
    if result.note and not _hopeless(result):
        yield f"note: {one_line(result.note, 2000)}"


_WITHOUT: Mapping[Outcome, str] = {
    Outcome.FOUND: "found, without a place",
    Outcome.NONE: "none found",
    Outcome.CANNOT: "no expert can look for it",
}


def _phrases(text: str) -> tuple[str, ...]:
    """What to look for, each once."""
    names = dict.fromkeys(" ".join(part.split()) for part in _BETWEEN.split(text))
    phrases = tuple(name for name in names if name)
    if not phrases:
        raise InputError('find: name what to look for, such as "red cup, chair"')
    return phrases


def _thresholds(given: Iterable[str], phrases: tuple[str, ...]) -> tuple[float, ...] | None:
    """The least score of each phrase; None leaves it to the experts."""
    general: float | None = None
    named: dict[str, float] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise InputError(f"--threshold {text!r}: expected NUMBER or PHRASE=NUMBER") from error
        if not 0 <= value <= 1:  # NaN is not either
            raise InputError(f"--threshold {text!r}: expected a number from 0 to 1")
        phrase = " ".join(name.split())
        if not equals:
            general = value
        elif phrase in phrases:
            named[phrase] = value
        else:
            raise InputError(
                f"--threshold {text!r}: {phrase!r} is none of the phrases."
                f"{did_you_mean(phrase, phrases)}"
            )
    if general is None and not named:
        return None
    if general is None and (missing := [phrase for phrase in phrases if phrase not in named]):
        raise InputError(
            f"--threshold: {missing[0]!r} has none; give --threshold NUMBER for all the others"
        )
    return tuple(named.get(phrase, general if general is not None else 0.0) for phrase in phrases)
