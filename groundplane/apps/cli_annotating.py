"""`groundplane annotate`, and what is done with its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundplane.apps.ending import finish

__all__ = ["annotating_app"]

annotating_app = typer.Typer(rich_markup_mode=None)

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that annotate wrote.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Formats = Annotated[
    list[str] | None,
    typer.Option("--format", help="Format to export: coco, yolo, voc, csv, ...; repeat it."),
]
_Source = Annotated[
    str | None, typer.Option("--source", help="Where the pictures lie now, if they were moved.")
]


# The flags of annotate.
_From = Annotated[
    str,
    typer.Argument(
        help="Folder of pictures and videos, one of them, a list of files (.txt, .jsonl, "
        ".csv), a .tar or .parquet, or an address such as s3://bucket/photos."
    ),
]
_Out = Annotated[
    Path, typer.Option(metavar="RUN", help="Folder of the run; the same call goes on there.")
]
_Find = Annotated[
    str | None,
    typer.Option(help="What to look for: 'dog, red car, person: pedestrian' (prompt: class)."),
]
_Classes = Annotated[
    Path | None, typer.Option(help="File of classes or prompts: .txt, .json, .yaml.")
]
_Detector = Annotated[
    str | None,
    typer.Option(help="The expert that looks, or several with commas; else all installed."),
]
_Segmenter = Annotated[
    str | None, typer.Option(help="The expert that makes a mask of each thing found.")
]
_Option = Annotated[
    list[str] | None,
    typer.Option("--option", help="Option of an expert, key=value or NAME.key=value."),
]
_Threshold = Annotated[
    list[str] | None,
    typer.Option(help="Least score: NUMBER for all, or PROMPT=NUMBER; repeat it."),
]
_Floor = Annotated[float, typer.Option(help="What scores less is not even kept for `rethreshold`.")]
_Merge = Annotated[
    bool, typer.Option(help="Make one of what several prompts of a class found at one place.")
]
_Tracks = Annotated[bool, typer.Option("--tracks", help="Follow things through videos.")]
_FrameStep = Annotated[int, typer.Option(help="Of a video, every how manieth frame.")]
_Column = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of a list or table that has the pictures."),
]
_AllowHttp = Annotated[
    bool, typer.Option("--allow-http", help="Read addresses of the web (https://...) too.")
]
_Caption = Annotated[
    str | None, typer.Option(metavar="MODEL", help="The language model that describes.")
]
_CaptionOption = Annotated[
    list[str] | None,
    typer.Option("--caption-option", help="Option of the language model, key=value."),
]
_CaptionPrompt = Annotated[
    str, typer.Option(metavar="TEXT", help="What the language model is asked.")
]
_CaptionRegions = Annotated[
    bool, typer.Option("--caption-regions", help="Have it describe each region as well.")
]
_Device = Annotated[str, typer.Option(help="Where experts run: auto, cpu, cuda.")]
_Batch = Annotated[int, typer.Option(help="Pictures that experts get at a time.")]
_Workers = Annotated[int | None, typer.Option(help="Processes that decode; else one a core.")]
_Limit = Annotated[int | None, typer.Option(help="So many items at most.")]
_Deadline = Annotated[
    float, typer.Option(metavar="SECONDS", help="What experts may take for a batch.")
]
_InProcess = Annotated[
    bool,
    typer.Option(
        "--in-process",
        help="Experts in this process, which ends if they crash.",
    ),
]
_MaxFailures = Annotated[int | None, typer.Option(help="Give up after more failed pictures.")]
_RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")]
_New = Annotated[bool, typer.Option("--new", help="Begin another run, RUN-2, if RUN is taken.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Tell nothing meanwhile.")]
_JsonLog = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Events as JSON lines; '-' for stderr."),
]
_Ray = Annotated[bool, typer.Option("--ray", help="Run on a Ray cluster (docs/scale.md).")]
_RayAddress = Annotated[str, typer.Option(help="Its address; else RAY_ADDRESS, else this machine.")]
_RayActors = Annotated[int, typer.Option(help="Processes of it that annotate.")]
_RayCpus = Annotated[float, typer.Option(help="Cores of each.")]
_RayGpus = Annotated[float, typer.Option(help="Devices of each, or a part of one.")]


@annotating_app.command()
def annotate(  # noqa: PLR0913, PLR0917 - one a flag
    source: _From,
    out: _Out,
    find: _Find = None,
    classes: _Classes = None,
    formats: _Formats = None,
    detector: _Detector = None,
    segmenter: _Segmenter = None,
    option: _Option = None,
    threshold: _Threshold = None,
    floor: _Floor = 0.1,
    merge: _Merge = True,
    tracks: _Tracks = False,
    frame_step: _FrameStep = 1,
    column: _Column = None,
    allow_http: _AllowHttp = False,
    caption: _Caption = None,
    caption_option: _CaptionOption = None,
    caption_prompt: _CaptionPrompt = "Describe the picture in one sentence.",
    caption_regions: _CaptionRegions = False,
    device: _Device = "auto",
    batch: _Batch = 16,
    workers: _Workers = None,
    limit: _Limit = None,
    deadline: _Deadline = 120.0,
    in_process: _InProcess = False,
    max_failures: _MaxFailures = None,
    retry_failed: _RetryFailed = False,
    new: _New = False,
    dry_run: _DryRun = False,
    quiet: _Quiet = False,
    json_log: _JsonLog = None,
    ray: _Ray = False,
    ray_address: _RayAddress = "",
    ray_actors: _RayActors = 1,
    ray_cpus: _RayCpus = 1.0,
    ray_gpus: _RayGpus = 0.0,
) -> None:
    """Find things in many pictures and videos; keep all in a run that can be resumed."""
    flags = dict(locals())
    from groundplane.apps.annotating import annotating

    raise typer.Exit(finish(lambda: annotating.run(annotating.job_of(flags))))


@annotating_app.command()
def export(
    run: _Run,
    formats: _Formats = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; else RUN/exports/FORMAT.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of a format, key=value or FORMAT.key=value."),
    ] = None,
    source: _Source = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Folder in an object store to copy it to, s3://..."),
    ] = None,
) -> None:
    """Write a run in other formats; say what each cannot hold."""
    from groundplane.apps.annotating import exporting

    job = exporting.ExportJob(
        run=run, formats=tuple(formats or ()), out=out, options=tuple(option or ()),
        source=source, to=to,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: exporting.run(job)))


@annotating_app.command()
def status(run: _Run, as_json: _Json = False) -> None:
    """Tell how far a run is, what it found, what failed and why."""
    from groundplane.apps.annotating import status as told

    raise typer.Exit(finish(lambda: told.run(run, as_json=as_json)))


@annotating_app.command()
def show(
    run: _Run,
    out: Annotated[Path | None, typer.Option(help="Folder of the page; else RUN/page.")] = None,
    limit: Annotated[int | None, typer.Option(help="So many pictures at most.")] = None,
    source: _Source = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Make a page of a run: all pictures, filters, each with its regions. Needs no server."""
    from groundplane.apps.annotating import showing

    job = showing.ShowJob(run=run, out=out, limit=limit, source=source, open=open_it)
    raise typer.Exit(finish(lambda: showing.run(job)))


@annotating_app.command()
def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN1", help="A run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN2", help="Another one.")],
    as_json: _Json = False,
) -> None:
    """Compare two runs: which pictures and regions came, went or moved."""
    from groundplane.apps.annotating import differing

    raise typer.Exit(finish(lambda: differing.run(first, second, as_json=as_json)))


@annotating_app.command()
def rethreshold(
    run: _Run,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="Least score: NUMBER for all, or PROMPT=NUMBER or CLASS=NUMBER; repeat it. "
            "Without any: as the run began."
        ),
    ] = None,
) -> None:
    """Set least scores anew, without a model: candidates come in, regions go out."""
    from groundplane.apps.annotating import rethresholding

    raise typer.Exit(finish(lambda: rethresholding.run(run, tuple(threshold or ()))))
