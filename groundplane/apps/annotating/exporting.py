"""`groundplane export`: a run in another format, and what that format lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groundplane.annotation.exporting import export_run
from groundplane.annotation.run import Run
from groundplane.annotation.sending import send_export
from groundplane.annotation.sources.addresses import check_address
from groundplane.apps.annotating.opening import open_run
from groundplane.apps.given import expert_options
from groundplane.apps.plugins import table
from groundplane.apps.told import counted
from groundplane.core import host
from groundplane.core.errors import (
    InputError,
    MediaError,
    PluginNotFoundError,
    did_you_mean,
    listing,
)
from groundplane.core.exporting import LossReport

__all__ = ["ExportJob", "check_formats", "export_all", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What the command line asks for.

    Attributes:
        run: Folder of the run.
        formats: Names of exporters.
        out: Where the exports go, each in a folder of its format's name; a single one goes there
            itself. None for `exports` in the run.
        options: Of the exporters, `key=value` or `FORMAT.key=value`.
        source: The pictures, if they lie elsewhere by now.
        to: Address of a folder in an object store that the exports are copied to as well.
    """

    run: Path
    formats: tuple[str, ...]
    out: Path | None = None
    options: tuple[str, ...] = ()
    source: str | None = None
    to: str | None = None


def run(job: ExportJob) -> int:
    """Write the formats and print what each lost.

    Raises:
        InputError: If it is no run, or a format or an option is unknown.
        OutputError: If an export cannot be written.
        MediaError: If a picture is needed and cannot be read.
    """
    if not job.formats:
        raise InputError(f"export: name a format with --format: {listing(format_names())}")
    if job.to is not None:
        check_address(job.to)
    check_formats(job.formats, options=job.options)
    opened = open_run(job.run, source=job.source)
    try:
        reports = export_all(opened, job.formats, out=job.out, options=job.options)
    except MediaError as error:
        if job.source is not None:
            raise
        raise MediaError(
            f"{error}; if the pictures lie elsewhere by now: --source FOLDER"
        ) from error
    sys.stdout.write(losses_told(reports))
    for folder, report in reports if job.to is not None else ():
        address = f"{str(job.to).rstrip('/')}/{report.format}"
        count = send_export(folder, address)
        sys.stdout.write(f"{report.format}: {count:,} files in {address}\n")
    return 0


def format_names() -> tuple[str, ...]:
    """What formats there are."""
    return tuple(info.name for info in host.available("exporters", read=False))


def check_formats(formats: Sequence[str], *, options: Sequence[str] = ()) -> None:
    """Before any work: each format is there, once, with its library and its options.

    Raises:
        PluginNotFoundError, PluginBrokenError: If one is not.
        InputError: If one stands twice, or an option is unknown or malformed.
    """
    if twice := sorted({name for name in formats if formats.count(name) > 1}):
        raise InputError(f"--format {twice[0]!r} is given twice")
    known = format_names()
    for name in formats:
        if name not in known and ":" not in name:
            raise PluginNotFoundError(
                f"--format {name!r}: there is no such format; there are {listing(known)}."
                f"{did_you_mean(name, known)}"
            )
        host.prepare("exporters", name, _options_of(name, formats, options)).make(device="cpu")


def export_all(
    opened: Run,
    formats: Sequence[str],
    *,
    out: Path | None = None,
    options: Sequence[str] = (),
) -> list[tuple[Path, LossReport]]:
    """Write a run in several formats.

    Returns:
        For each the folder and what was lost.
    """
    exports = []
    for name in formats:
        folder = opened.exports / name if out is None else out
        if out is not None and len(formats) > 1:
            folder = out / name
        wanted = _options_of(name, formats, options)
        exports.append((folder, export_run(opened, name, folder=folder, options=wanted)))
    return exports


def losses_told(exports: Sequence[tuple[Path, LossReport]]) -> str:
    """A table of what went out and what did not."""
    lines = []
    for folder, report in exports:
        lines.append(
            f"{report.format}: {counted(report.pictures, 'picture')}, "
            f"{counted(report.regions, 'region')} in {folder}"
        )
        if report.losses:
            rows = [(f"  {loss.what}", f"{loss.count:,}", loss.why) for loss in report.losses]
            lines.append(table([("  NOT IN IT", "COUNT", "WHY"), *rows]))
    return "\n".join(lines) + "\n"


def _options_of(name: str, formats: Sequence[str], given: Sequence[str]) -> dict[str, object]:
    """The options that are meant for a format: those that name it, and those that name none."""
    options: dict[str, object] = {}
    for key, value in expert_options(given).items():
        owner, dot, own = key.partition(".")
        if dot and owner not in formats:
            raise InputError(
                f"--option {key!r}: {owner!r} is none of the formats.{did_you_mean(owner, formats)}"
            )
        if not dot and len(formats) > 1:
            raise InputError(
                f"--option {key!r}: with several formats write whose it is: {formats[0]}.{key}=..."
            )
        if not dot or owner == name:
            options[own if dot else key] = value
    return options
