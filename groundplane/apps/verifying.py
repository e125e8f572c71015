"""`groundplane verify`: what a text says of a photo or a scene, claim for claim."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from groundplane.apps.given import check_picture, expert_options
from groundplane.apps.told import dump, one_line, quiet
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.media import is_picture_name, read_image
from groundplane.spatial.map import CognitiveMap
from groundplane.verifying import Verification, verify

__all__ = ["VerifyJob", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJob:
    """What the command line asks for; `source` is a photo or a scene file."""

    source: str
    text: str
    detector: str | None
    options: tuple[str, ...]
    device: str
    as_json: bool
    out: Path | None


def run(job: VerifyJob) -> int:
    """Check, print, draw what the findings rest on.

    Raises:
        InputError, MediaError, SceneError, DetectorError, PluginNotFoundError, OutputError: One
            line for stderr.
    """
    if job.out is not None:
        check_picture("--out", job.out)
    source: Image | CognitiveMap
    if is_picture_name(job.source):
        source = read_image(Path(job.source))
    else:
        source = CognitiveMap.load(job.source)
        if job.out is not None:
            raise InputError("--out draws a photo; leave it out for a scene")
    with quiet():
        checked = verify(
            source,
            job.text,
            detector=job.detector,
            options=expert_options(job.options) or None,
            device=job.device,
        )
    if job.out is not None and isinstance(source, Image) and checked.regions is not None:
        from groundplane.apps.marking import draw_marks, marks_of

        draw_marks(source, marks_of(checked.regions), job.out, title=checked.summary)
    if job.as_json:
        sys.stdout.write(dump(checked.record(), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(_told(checked)) + "\n")
    return 0


def _told(checked: Verification) -> Iterable[str]:
    """The marked text, a line a claim, what was not read, and the sum."""
    yield one_line(checked.marked(), 2000)
    for finding in checked.findings:
        claim = finding.claim
        rests = f" ({', '.join(finding.evidence)})" if finding.evidence else ""
        verdict = finding.verdict.value.replace("_", " ")
        yield f"  {verdict:<13} {claim.kind:<10} {one_line(claim.text)}"
        yield f"  {'':<13} {'':<10} {one_line(finding.reason, 400)}{rests}"
    for part in checked.unread:
        yield f"  {'not read':<13} {'':<10} {one_line(part.text)}: {one_line(part.reason)}"
    yield checked.summary
