"""`groundplane evaluate`: one command a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from groundplane.apps.ending import finish

__all__ = ["evaluate_app"]

evaluate_app = typer.Typer(
    help="Score groundplane, an expert or a model on a benchmark's own files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Out = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON.")]
_Misses = Annotated[int, typer.Option(min=0, help="How many misses to print.")]
_Images = Annotated[
    Path | None, typer.Option(help="Folder of the pictures, for an expert that looks.")
]
_Detector = Annotated[
    str | None, typer.Option(help="The expert that looks, instead of a file of results.")
]
_Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="Option of the expert, key=value or NAME.key=value; repeat it."),
]
_Device = Annotated[str, typer.Option(help="Where the expert runs: auto, cpu, cuda, cuda:1.")]


@evaluate_app.command()
def vsibench(  # noqa: PLR0913, PLR0917 - one a flag
    questions: Annotated[Path, typer.Option(help="Questions, JSON lines or Parquet.")],
    scenes: Annotated[
        list[Path] | None,
        typer.Option(help="Scene file: the benchmark's meta information; repeat it."),
    ] = None,
    videos: Annotated[
        Path | None,
        typer.Option(help="Folder of the videos, by scene: maps are built of them and asked."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Of videos: folder of page and maps; a run goes on from it."),
    ] = None,
    detector: _Detector = None,
    segmenter: Annotated[
        str | None, typer.Option(help="Of videos: who makes a mask of each thing found.")
    ] = None,
    geometry: Annotated[
        str | None,
        typer.Option(help="Of videos: who tells depth and poses, such as 'depth-pro,odometry'."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            help="Option of an expert, NAME.key=value; {scene} stands for the scene; repeat it.",
        ),
    ] = None,
    every: Annotated[int, typer.Option(help="Every how manieth frame is looked at.")] = 1,
    longest: Annotated[
        int | None, typer.Option(help="Shrink pictures of videos to so many pixels.")
    ] = None,
    device: _Device = "auto",
    out: _Out = None,
    distance: Annotated[
        str, typer.Option(help="'sampled' as the benchmark measures, or 'exact'.")
    ] = "sampled",
    misses: Annotated[int, typer.Option(min=0, help="How many misses of each task to print.")] = 5,
) -> None:
    """VSI-Bench: the eight spatial tasks on scenes of boxes, or on maps of its videos."""
    from groundplane.apps import evaluating_videos as run

    job = run.VsiFlags(
        questions=questions, scenes=tuple(scenes or ()), videos=videos, folder=folder,
        detector=detector, segmenter=segmenter, geometry=geometry, options=tuple(option or ()),
        every=every, longest=longest, device=device,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: run.run(job, out=out, distance=distance, misses=misses)))


@evaluate_app.command()
def rooms(
    number: Annotated[int, typer.Option("--rooms", help="How many rooms.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the first room; the next has the next.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the page; a run that was ended goes on from it."),
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(help="A noise and its levels, depth=0.01,0.02; repeat it."),
    ] = None,
    per_task: Annotated[int, typer.Option(help="Questions of each task a room, at most.")] = 1,
    step: Annotated[int, typer.Option(help="Look at every so many poses; 30 are a second.")] = 10,
    out: _Out = None,
    misses: _Misses = 5,
) -> None:
    """Rooms whose truth is known: the eight tasks and the map, without noise and with."""
    from groundplane.apps import evaluating_rooms

    raise typer.Exit(
        finish(
            lambda: evaluating_rooms.run(
                evaluating_rooms.job_of(
                    number, seed=seed, noise=noise or (), per_task=per_task, step=step
                ),
                folder=folder,
                out=out,
                misses=misses,
            )
        )
    )


@evaluate_app.command()
def clevr(
    scenes: Annotated[Path, typer.Option(help="CLEVR scenes, JSON.")],
    questions: Annotated[Path, typer.Option(help="CLEVR questions, JSON.")],
    reading: Annotated[
        str,
        typer.Option("--from", help="'text': the English alone; 'program': every step of it."),
    ] = "text",
    out: _Out = None,
    misses: _Misses = 5,
) -> None:
    """CLEVR: compositional questions on scenes of plain solids."""
    from groundplane.apps import evaluating_clevr

    raise typer.Exit(
        finish(
            lambda: evaluating_clevr.run(scenes, questions, reading=reading, out=out, misses=misses)
        )
    )


@evaluate_app.command()
def stepgame(
    questions: Annotated[Path, typer.Option(help="Stories with their questions, JSON lines.")],
    out: _Out = None,
    misses: Annotated[
        int, typer.Option(min=0, help="How many disagreements to print with their derivation.")
    ] = 5,
) -> None:
    """StepGame: relations of two agents from stories of stated places."""
    from groundplane.apps import evaluating_stories

    raise typer.Exit(finish(lambda: evaluating_stories.run(questions, out=out, misses=misses)))


@evaluate_app.command()
def coco(  # noqa: PLR0913, PLR0917 - one a flag
    annotations: Annotated[
        Path, typer.Option("--annotations", "--truth", help="COCO instances file.")
    ],
    run_folder: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run of `groundplane annotate`.")
    ] = None,
    detections: Annotated[
        Path | None, typer.Option(help="Detections in COCO's results format.")
    ] = None,
    iou_type: Annotated[str, typer.Option(help="'bbox' compares boxes, 'segm' masks.")] = "bbox",
    images: _Images = None,
    detector: _Detector = None,
    option: _Options = None,
    device: _Device = "auto",
    out: _Out = None,
) -> None:
    """COCO: average precision and recall of boxes or masks, as pycocotools counts."""
    from groundplane.apps import evaluating_grounding as run

    job = run.LookingJob(
        results=detections, flag="--detections", images=images, detector=detector,
        options=tuple(option or ()), device=device, run=run_folder,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: run.run_coco(job, annotations, iou_type=iou_type, out=out)))


@evaluate_app.command()
def pope(
    questions: Annotated[Path, typer.Option(help="POPE questions, JSON lines.")],
    answers: Annotated[
        Path | None, typer.Option(help="A model's answers, JSON lines, in the same order.")
    ] = None,
    images: _Images = None,
    detector: _Detector = None,
    option: _Options = None,
    device: _Device = "auto",
    out: _Out = None,
    misses: _Misses = 5,
) -> None:
    """POPE: is a thing in the picture? Accuracy, precision, recall, F1 and the share of yes."""
    from groundplane.apps import evaluating_grounding as run

    job = run.LookingJob(
        results=answers, flag="--answers", images=images, detector=detector,
        options=tuple(option or ()), device=device,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: run.run_pope(job, questions, out=out, misses=misses)))


@evaluate_app.command()
def chair(
    captions: Annotated[Path, typer.Option(help="Captions: JSON of image_id and caption.")],
    annotations: Annotated[Path, typer.Option(help="COCO instances file of the pictures.")],
    references: Annotated[
        Path | None,
        typer.Option(help="Captions by people, whose objects count as there as well."),
    ] = None,
    out: _Out = None,
    misses: _Misses = 5,
) -> None:
    """CHAIR: objects that captions name and that are not in the picture."""
    from groundplane.apps import evaluating_grounding as run

    raise typer.Exit(
        finish(
            lambda: run.run_chair(
                captions, annotations, references=references, out=out, misses=misses
            )
        )
    )


@evaluate_app.command()
def refcoco(  # noqa: PLR0913, PLR0917 - one a flag
    expressions: Annotated[
        Path, typer.Option(help="Expressions with their boxes: JSON or JSON lines.")
    ],
    predictions: Annotated[
        Path | None, typer.Option(help="A model's boxes: JSON or JSON lines, in the same order.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="COCO instances file, where --expressions names regions.")
    ] = None,
    box_form: Annotated[
        str | None,
        typer.Option(help="How a 'bbox' of --expressions is meant, 'xyxy' or 'xywh'."),
    ] = None,
    predicted_form: Annotated[
        str, typer.Option(help="How a 'bbox' of --predictions is meant, 'xyxy' or 'xywh'.")
    ] = "xyxy",
    images: _Images = None,
    detector: _Detector = None,
    option: _Options = None,
    device: _Device = "auto",
    out: _Out = None,
    misses: _Misses = 5,
) -> None:
    """RefCOCO: the box that an expression means; accuracy at an overlap of 0.5."""
    from groundplane.apps import evaluating_grounding as run

    job = run.LookingJob(
        results=predictions, flag="--predictions", images=images, detector=detector,
        options=tuple(option or ()), device=device,
    )  # fmt: skip
    files = run.ExpressionFiles(
        expressions=expressions, annotations=annotations, form=box_form,
        predicted_form=predicted_form,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: run.run_refcoco(job, files, out=out, misses=misses)))


@evaluate_app.command()
def mmvp(  # noqa: PLR0913, PLR0917 - one a flag
    questions: Annotated[Path, typer.Option(help="The benchmark's Questions.csv.")],
    answers: Annotated[
        Path | None, typer.Option(help="A model's answers, JSON lines, as its script writes them.")
    ] = None,
    patterns: Annotated[
        Path | None, typer.Option(help="CSV of index and pattern, for a table of patterns.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the pictures, for --model.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The language model that answers, instead of --answers.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of the model, key=value; repeat it."),
    ] = None,
    device: _Device = "auto",
    out: _Out = None,
    misses: _Misses = 5,
) -> None:
    """MMVP: pairs of pictures that CLIP takes for one; both questions must be right."""
    from groundplane.apps import evaluating_mmvp as run

    job = run.MmvpJob(
        answers=answers, images=images, model=model, options=tuple(option or ()), device=device
    )
    raise typer.Exit(
        finish(lambda: run.run_mmvp(job, questions, patterns=patterns, out=out, misses=misses))
    )


@evaluate_app.command("mmvp-vlm")
def mmvp_vlm(
    folder: Annotated[Path, typer.Option(help="The published folder: Questions.csv, pictures.")],
    encoder: Annotated[
        str | None, typer.Option(help="The encoder of pictures and texts: clip, siglip.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Scores instead: the script's output.csv, or JSON lines.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Option of the encoder, key=value; repeat it."),
    ] = None,
    template: Annotated[str, typer.Option(help="What a caption is put in.")] = "a photo of {}",
    device: _Device = "auto",
    out: _Out = None,
) -> None:
    """MMVP-VLM: an encoder matches two captions to two alike pictures, in nine patterns."""
    from groundplane.apps import evaluating_mmvp as run

    job = run.VlmJob(
        encoder=encoder, scores=scores, options=tuple(option or ()), template=template,
        device=device,
    )  # fmt: skip
    raise typer.Exit(finish(lambda: run.run_mmvp_vlm(job, folder, out=out)))
