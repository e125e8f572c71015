"""The command line. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundplane import __version__
from groundplane.apps.cli_annotating import annotating_app
from groundplane.apps.cli_evaluating import evaluate_app
from groundplane.apps.cli_labelling import serve_labels
from groundplane.apps.cli_mapping import build
from groundplane.apps.cli_training import train_app
from groundplane.apps.cli_weights import weights_app
from groundplane.apps.ending import finish

__all__ = ["app"]

app = typer.Typer(
    name="groundplane",
    help="Ask where things are, in scenes and photos; get the answer with its evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(annotating_app)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(train_app, name="train")
app.add_typer(weights_app, name="weights")
app.command("serve-labels")(serve_labels)
app.command("map")(build)


_Noise = Annotated[
    float,
    typer.Option(
        help="Scenes: how far every box may be off, metres (one standard deviation of centre and "
        "sides). Answers then come with error bars."
    ),
]
_TooClose = Annotated[
    float,
    typer.Option(help="With error bars: what is less probable than this is too close to call."),
]
_WhatIf = Annotated[
    bool, typer.Option("--what-if", help="Scenes: which changes of the evidence flip the answer.")
]
_Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="Option of the expert, key=value or NAME.key=value; repeat it."),
]
_Model = Annotated[
    str, typer.Option(help="Who answers: the planner, or a language model by its plugin.")
]
_ModelOptions = Annotated[
    list[str] | None,
    typer.Option("--model-option", help="Option of the language model, key=value; repeat it."),
]
_Strategy = Annotated[
    str | None,
    typer.Option(help="What a language model is told of the scene: direct, map or query."),
]
_Record = Annotated[
    Path | None, typer.Option(help="Keep all that happens in a file, for `groundplane explain`.")
]
_AskSource = Annotated[
    str,
    typer.Argument(
        help="Scene file (file.json, file.json#scene-id), photo, folder of photos, story "
        "(file.txt), video, or folder of posed RGB-D."
    ),
]
_AskQuestions = Annotated[
    Path | None,
    typer.Option(
        "--questions", help="File with one question a line; gives one JSON record a line."
    ),
]
_AskSegmenter = Annotated[
    str | None,
    typer.Option("--segmenter", help="Captures: the expert that makes a mask of each thing found."),
]
_AskGeometry = Annotated[
    str | None,
    typer.Option(
        "--geometry",
        help="Captures and photos: who tells the depth and the poses that are not there, one "
        "after another: 'depth-pro,odometry'. A photo is then answered in metres.",
    ),
]
_AskFind = Annotated[
    str | None,
    typer.Option("--find", help="Captures: what to look for; else what the question speaks of."),
]
_AskLayout = Annotated[
    str | None,
    typer.Option("--layout", help="The folder is a capture of this layout, such as frames."),
]
_AskEvery = Annotated[
    int, typer.Option("--every", help="Captures: every how manieth frame is looked at.")
]
_AskKeep = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Captures: keep the map for the next question.")
]
_AskKnown = Annotated[
    list[str] | None,
    typer.Option(
        "--known",
        metavar="LABEL=METRES",
        help="How high a thing is, to give an estimated depth its unit: door=2.0; repeat it.",
    ),
]
_AskCameraHeight = Annotated[
    float | None,
    typer.Option(
        "--camera-height", help="How high the camera is above the floor, metres; likewise."
    ),
]
_EncoderOptions = Annotated[
    list[str] | None,
    typer.Option("--option", help="Option of an encoder, NAME.key=value; repeat it."),
]
_Device = Annotated[str, typer.Option(help="Where they run: auto, cpu, cuda, cuda:1.")]


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"groundplane {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Ask where things are, in scenes and photos; get the answer with its evidence."""


@app.command()
def ask(  # noqa: PLR0913, PLR0917 - one a flag
    source: _AskSource,
    question: Annotated[str | None, typer.Argument(help="One question.")] = None,
    questions: _AskQuestions = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the record (docs/record.md).")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--map", help="Draw the scene or photo with the evidence: .svg or .png."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Photos and captures: the expert that looks, or several with commas; else all "
            "installed."
        ),
    ] = None,
    option: _Options = None,
    model: _Model = "planner",
    model_option: _ModelOptions = None,
    strategy: _Strategy = None,
    record: _Record = None,
    device: _Device = "auto",
    noise: _Noise = 0.0,
    too_close: _TooClose = 0.8,
    what_if: _WhatIf = False,
    segmenter: _AskSegmenter = None,
    geometry: _AskGeometry = None,
    find: _AskFind = None,
    layout: _AskLayout = None,
    every: _AskEvery = 1,
    keep: _AskKeep = True,
    known: _AskKnown = None,
    camera_height: _AskCameraHeight = None,
) -> None:
    """Answer a spatial question, with what the answer rests on."""
    from groundplane.apps import asking

    job = asking.Job(
        source=source, question=question, questions=questions, as_json=as_json, picture=picture,
        detector=detector, options=tuple(option or ()), device=device, noise=noise,
        too_close=too_close, what_if=what_if, model=model,
        model_options=tuple(model_option or ()), strategy=strategy, record=record,
        segmenter=segmenter, geometry=geometry, find=find, layout=layout, every=every, keep=keep,
        known=tuple(known or ()), camera_height=camera_height,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: asking.run(job)))


@app.command()
def explain(
    record: Annotated[Path, typer.Argument(help="What `groundplane ask --record FILE` wrote.")],
    question: Annotated[
        int | None, typer.Option(help="Which question of the record, from 1; else all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the run: .svg or .png.")] = None,
    photo: Annotated[
        Path | None, typer.Option(help="With --out: the photo, shown with what was found.")
    ] = None,
) -> None:
    """Tell how an answer came about: who was asked what, what came back, when; replay it."""
    from groundplane.apps import explaining

    job = explaining.ExplainJob(record=record, photo=photo, out=out, sequence=question)
    raise typer.Exit(finish(lambda: explaining.run(job)))


@app.command()
def find(  # noqa: PLR0913, PLR0917 - one a flag
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    phrases: Annotated[str, typer.Argument(help="What to find, with commas: 'red cup, chair'.")],
    detector: Annotated[
        str | None,
        typer.Option(help="The expert that looks, or several with commas; else all installed."),
    ] = None,
    segmenter: Annotated[
        str | None, typer.Option(help="The expert that makes a mask of each thing found.")
    ] = None,
    option: _Options = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="Least score: NUMBER for all phrases, or PHRASE=NUMBER; repeat it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Draw what was found: .svg or .png.")] = None,
    device: _Device = "auto",
) -> None:
    """Find things in a photo by phrases: boxes, scores, masks."""
    from groundplane.apps import finding

    job = finding.FindJob(
        photo=photo, phrases=phrases, detector=detector, segmenter=segmenter,
        options=tuple(option or ()), device=device, thresholds=tuple(threshold or ()),
        as_json=as_json, out=out,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: finding.run(job)))


@app.command()
def verify(
    source: Annotated[str, typer.Argument(metavar="PHOTO", help="The photo, or a scene file.")],
    text: Annotated[str, typer.Argument(help="What is said of it, in English.")],
    detector: Annotated[
        str | None,
        typer.Option(help="The expert that looks, or several with commas; else all installed."),
    ] = None,
    option: _Options = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Draw the evidence: .svg or .png.")] = None,
    device: _Device = "auto",
) -> None:
    """Check what a text says of a photo: supported, contradicted, or not to be told."""
    from groundplane.apps import verifying

    job = verifying.VerifyJob(
        source=source, text=text, detector=detector, options=tuple(option or ()), device=device,
        as_json=as_json, out=out,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: verifying.run(job)))


@app.command()
def parse(
    dialect: Annotated[str, typer.Option(help="The model's location language, such as qwen-vl.")],
    source: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="The model's text; stdin if none is named.")
    ] = "-",
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of the picture, pixels.")
    ] = None,
    seen: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size that the model saw, if it was resized.")
    ] = None,
    classes: Annotated[str | None, typer.Option(help="Keep only these phrases: 'cat,dog'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (docs/finding.md).")] = False,
    on: Annotated[
        Path | None, typer.Option(help="The photo; it says the size, and is drawn on.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The drawing: .svg or .png.")] = None,
) -> None:
    """Read a model's text: what it says of places, in pixels of the picture."""
    from groundplane.apps import parsing

    job = parsing.ParseJob(
        source=source, dialect=dialect, size=size, seen=seen, classes=classes, as_json=as_json,
        photo=on, out=out,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: parsing.run(job)))


@app.command()
def disagree(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    encoders: Annotated[
        str, typer.Option(help="Two encoders with a comma between them.")
    ] = "clip,dinov2",
    option: _EncoderOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, all cells.")] = False,
    out: Annotated[Path | None, typer.Option(help="Draw it on the photo: .svg or .png.")] = None,
    device: _Device = "auto",
) -> None:
    """Show where in a photo two encoders see different things."""
    from groundplane.apps import disagreeing

    job = disagreeing.DisagreeJob(
        photo=photo, encoders=encoders, options=tuple(option or ()), as_json=as_json, out=out,
        device=device,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: disagreeing.run(job)))


@app.command("blind-pairs")
def blind_pairs(  # noqa: PLR0913, PLR0917 - one a flag
    folder: Annotated[Path, typer.Argument(help="The folder of photos; all below it too.")],
    out: Annotated[Path, typer.Option(help="The pairs and the errors, JSON lines.")],
    first: Annotated[str, typer.Option(help="The encoder that takes pairs for alike.")] = "clip",
    second: Annotated[str, typer.Option(help="The encoder that tells them apart.")] = "dinov2",
    min_first: Annotated[float, typer.Option(help="Least cosine of the first.")] = 0.95,
    max_second: Annotated[float, typer.Option(help="Greatest cosine of the second.")] = 0.6,
    most: Annotated[int, typer.Option(help="How many pairs are kept, of widest gap.")] = 1000,
    sheet: Annotated[Path | None, typer.Option(help="Draw the best pairs: .svg or .png.")] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps encodings for the next run; else OUT.features."),
    ] = None,
    option: _EncoderOptions = None,
    batch: Annotated[int, typer.Option(help="Photos that are encoded together.")] = 32,
    device: _Device = "auto",
) -> None:
    """Find pairs of photos that one encoder takes for alike and another tells apart."""
    from groundplane.apps import blind_pairs as mined
    from groundplane.core.blind_pairs import PairRule

    job = mined.BlindPairsJob(
        folder=folder, encoders=(first, second), options=tuple(option or ()),
        rule=PairRule(min_first=min_first, max_second=max_second, most=most), out=out,
        sheet=sheet, store=store, batch=batch, device=device,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: mined.run(job)))


@app.command()
def plugins(
    check: Annotated[
        bool, typer.Option("--check", help="Load each plugin in a process of its own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed plugins: from where, whether they load, what they need."""
    from groundplane.apps import plugins as listed

    raise typer.Exit(finish(lambda: listed.run(check=check, as_json=as_json)))


@app.command()
def mcp(  # noqa: PLR0913, PLR0917 - one a flag
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that files may be read from; repeat it. None: no files."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder that masks and drawings are written to.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="The expert that looks, or several with commas; else all installed."),
    ] = None,
    segmenter: Annotated[str | None, typer.Option(help="The expert that makes masks.")] = None,
    option: _Options = None,
    device: _Device = "auto",
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Serve over HTTP instead of stdio.")
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(help="Environment variable that holds the token; else one is made."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further HOST[:PORT] that HTTP clients may call by; repeat it."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="What a call may take.")] = 60.0,
    calls: Annotated[int, typer.Option(help="Calls that are worked on at a time.")] = 4,
) -> None:
    """Serve finding, measuring, asking and checking as tools of an assistant (MCP)."""
    from groundplane.apps.mcp import serving
    from groundplane.apps.mcp.plan import Plan

    plan = Plan(
        roots=tuple(map(str, root or ())), out=str(out) if out is not None else None,
        detector=detector, segmenter=segmenter, options=tuple(option or ()), device=device,
        seconds=seconds, calls=calls,
    )  # fmt: skip
    terms = serving.http_terms(http, token_env=token_env, allowed=tuple(allow_host or ()))
    raise typer.Exit(finish(lambda: serving.run(serving.McpJob(plan=plan, http=terms))))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at Python, torch, CUDA and the optional libraries; say what is broken and the fix."""
    from groundplane.apps import doctor as examined

    raise typer.Exit(finish(lambda: examined.run(as_json=as_json)))
