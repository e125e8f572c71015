"""`groundplane annotate --dry-run`: what would be done, before anything is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from groundplane.annotation.manifest import differences
from groundplane.annotation.run import Run
from groundplane.annotation.sources import Source
from groundplane.annotation.spec import JobSpec
from groundplane.apps.annotating.page_rows import readable
from groundplane.apps.told import counted, one_line
from groundplane.core import host
from groundplane.core.annotation import ClassTable
from groundplane.core.errors import PluginNotFoundError, did_you_mean, listing

__all__ = ["plan_told", "size_told"]

# Bytes of a record of COCO's pictures, 13 regions and as many candidates; and of their masks
# (docs/scale.md).
_RECORD, _MASKS = 1_200, 1_700
_MOST = 40


def plan_told(spec: JobSpec, source: Source, *, out: Path, formats: Sequence[str]) -> str:
    """The plan in lines.

    Raises:
        MediaError: If the source holds nothing.
        PluginNotFoundError: If an expert is not installed.
    """
    num_items, num_bytes = 0, 0
    for item in source.items():
        num_items += 1
        num_bytes += item.stamp[0] if item.stamp is not None else 0
    lines = [f"source: {one_line(readable(spec.source), 1000)}", f"  {source.tally.told()}"]
    if num_bytes:
        lines.append(f"  {size_told(num_bytes)}")
    lines += _classes(spec.classes)
    lines += _experts(spec)
    lines += _run(spec, out)
    log = num_items * (_RECORD + _MASKS * (spec.segmenter is not None))
    lines.append(
        f"disk: the log about {size_told(log)} (of a video for each frame), "
        f"{size_told(_room(out))} are free"
    )
    if formats:
        lines.append(f"exports: {', '.join(formats)}; formats that hold pictures copy them")
    return "\n".join(lines) + "\n"


def _classes(table: ClassTable) -> Iterator[str]:
    yield f"classes: {len(table.names):,}"
    for number, name in enumerate(table.names[:_MOST]):
        asked = [prompt for prompt in table.prompts if prompt.class_id == number]
        told = ", ".join(_prompt(prompt.text, prompt.threshold) for prompt in asked)
        yield f"  {number} {readable(name)}" + (f": asked for as {told}" if told else ": no prompt")
    if len(table.names) > _MOST:
        yield f"  and {len(table.names) - _MOST:,} more"
    if unmapped := [p for p in table.prompts if p.class_id < 0]:
        told = ", ".join(_prompt(prompt.text, prompt.threshold) for prompt in unmapped[:_MOST])
        yield f"  without a class: {told}"
    yield f"prompts: {len(table.prompts):,}"


def _prompt(text: str, threshold: float | None) -> str:
    return repr(readable(text)) + (f" from {threshold:g}" if threshold is not None else "")


def _experts(spec: JobSpec) -> Iterator[str]:
    """Each expert with its distribution, that one's version and licence."""
    for role, kind, given in (
        ("detector", "detectors", spec.detector),
        ("segmenter", "segmenters", spec.segmenter),
        ("captioner", "language_models", spec.captioner),
    ):
        if given is None:
            if role == "detector":
                yield "detector: the cheapest installed one that can look for a prompt"
            continue
        for name in given.split(","):
            yield f"{role}: {_expert(kind, name.strip())}"
    if spec.options:
        yield "options: " + ", ".join(f"{key}={value}" for key, value in spec.options)
    yield "licences of weights are told where the weights come from; they are not checked here"


def _expert(kind: str, name: str) -> str:
    known = host.available(kind, read=False)
    found = [info for info in known if name in (info.name, info.qualified)]
    if not found:
        names = [info.name for info in known]
        raise PluginNotFoundError(
            f"{kind.removesuffix('s')} {name!r} is not installed; available: {listing(names)}."
            f"{did_you_mean(name, names)}"
        )
    info = found[0]
    return f"{info.name}, of {info.distribution} {info.version}{_licence(info.distribution)}"


def _licence(distribution: str) -> str:
    told = metadata.metadata(distribution)
    names = [told[key] for key in ("License-Expression", "License") if key in told]
    return f" ({one_line(names[0], 60)})" if names else ""


def _run(spec: JobSpec, out: Path) -> Iterator[str]:
    """What stands in the run's folder already."""
    if not Run.exists(out):
        yield f"run: {out}, new"
        return
    opened = Run.open(out)
    changes = differences(opened.spec, spec)
    if changes:
        yield f"run: {out} holds another job: {'; '.join(changes)}; it would be refused"
        return
    there = opened.summary()
    yield f"run: {out} goes on: {counted(there.done, 'picture')} done, {there.failed:,} failed"


def _room(out: Path) -> int:
    place = Path(out).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def size_told(num_bytes: int) -> str:
    """Bytes for people.

    Examples:
        >>> size_told(512), size_told(1_500_000), size_told(0)
        ('512 B', '1.5 MB', '0 B')
    """
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
