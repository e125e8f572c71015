"""`groundplane serve-labels`: the experts beside an annotation tool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundplane.apps.ending import finish

__all__ = ["serve_labels"]


def serve_labels(  # noqa: PLR0913, PLR0917 - one a flag
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that pictures may be read from; repeat it. None: only uploads."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="The expert that looks, or several with commas; else all installed."),
    ] = None,
    segmenter: Annotated[
        str | None, typer.Option(help="The expert that makes masks, for brush labels.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", help="Option of an expert, key=value or NAME.key=value; repeat it."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where they run: auto, cpu, cuda, cuda:1.")] = "auto",
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:9090",
    token_env: Annotated[
        str | None,
        typer.Option(help="Environment variable that holds the token; else one is made."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further HOST[:PORT] that Label Studio may call by; repeat it."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="What each stage of a look may take.")] = 60.0,
) -> None:
    """Serve the experts as a machine learning backend of Label Studio."""
    from groundplane.apps.label_studio_backend import LabelsJob, LabelsTerms, run

    terms = LabelsTerms(
        roots=tuple(root or ()), detector=detector, segmenter=segmenter,
        options=tuple(option or ()), device=device, deadline=seconds,
    )  # fmt: skip
    allowed = tuple(allow_host or ())
    job = LabelsJob(terms=terms, address=http, token_env=token_env, allowed=allowed)
    raise typer.Exit(finish(lambda: run(job)))
