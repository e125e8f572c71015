"""`groundplane map`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from groundplane.apps.ending import finish

__all__ = ["build"]

_Source = Annotated[
    str,
    typer.Argument(
        help="Video, photo, folder of frames, or posed RGB-D: TUM, ScanNet, ARKitScenes, "
        "COLMAP, nerfstudio."
    ),
]
_Find = Annotated[str, typer.Option(help="What to look for, with commas: 'sofa, tv, chair'.")]
_Out = Annotated[Path, typer.Option(help="The scene file that is written.")]
_Picture = Annotated[
    Path | None, typer.Option("--map", help="Draw the map from above: .svg or .png.")
]
_Export = Annotated[
    list[Path] | None,
    typer.Option("--export", help="Model to look at: .ply, .glb or .rrd; repeat it."),
]
_Detector = Annotated[
    str | None,
    typer.Option(help="The expert that looks, or several with commas; else all installed."),
]
_Segmenter = Annotated[
    str | None, typer.Option(help="The expert that makes a mask of each thing found.")
]
_Geometry = Annotated[
    str | None,
    typer.Option(
        help="Who tells depth and poses that the source has not, one after another: "
        "'depth-pro,odometry'."
    ),
]
_Option = Annotated[
    list[str] | None,
    typer.Option("--option", help="Option of an expert, key=value or NAME.key=value; repeat it."),
]
_Threshold = Annotated[
    list[str] | None,
    typer.Option(help="Least score: NUMBER for all phrases, or PHRASE=NUMBER; repeat it."),
]
_Layout = Annotated[str | None, typer.Option(help="The folder's layout, where it is not clear.")]
_Every = Annotated[int, typer.Option(help="Every how manieth frame is looked at.")]
_Limit = Annotated[int | None, typer.Option(help="So many keyframes at most.")]
_Fps = Annotated[float | None, typer.Option(help="Frames a second, where no times are stated.")]
_Intrinsics = Annotated[
    str | None, typer.Option(metavar="FX,FY,CX,CY", help="The lens, in pixels of the files.")
]
_DepthScale = Annotated[
    float | None, typer.Option(help="What one metre is in the depth files: 1000 for millimetres.")
]
_Longest = Annotated[int | None, typer.Option(help="Shrink pictures to so many pixels.")]
_Up = Annotated[
    str | None, typer.Option(metavar="X,Y,Z", help="Which way is up in the capture's own world.")
]
_Known = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LABEL=METRES",
        help="How high a thing is, to give an estimated depth its unit: door=2.0; repeat it.",
    ),
]
_CameraHeight = Annotated[
    float | None, typer.Option(help="How high the camera is above the floor, metres; likewise.")
]
_Poses = Annotated[
    Literal["check", "trust"], typer.Option(help="Whether poses are held against the depth.")
]
_Device = Annotated[str, typer.Option(help="Where experts run: auto, cpu, cuda, cuda:1.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted call.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="Tell nothing meanwhile.")]
_JsonLog = Annotated[
    str | None, typer.Option(metavar="FILE", help="Events as JSON lines; '-' for stderr.")
]


def build(  # noqa: PLR0913, PLR0917 - one a flag
    source: _Source,
    find: _Find,
    out: _Out,
    picture: _Picture = None,
    export: _Export = None,
    detector: _Detector = None,
    segmenter: _Segmenter = None,
    geometry: _Geometry = None,
    option: _Option = None,
    threshold: _Threshold = None,
    layout: _Layout = None,
    every: _Every = 1,
    limit: _Limit = None,
    fps: _Fps = None,
    intrinsics: _Intrinsics = None,
    depth_scale: _DepthScale = None,
    longest: _Longest = None,
    up: _Up = None,
    known: _Known = None,
    camera_height: _CameraHeight = None,
    poses: _Poses = "check",
    device: _Device = "auto",
    resume: _Resume = False,
    quiet: _Quiet = False,
    json_log: _JsonLog = None,
) -> None:
    """Build a map of a place from a video or posed RGB-D, to ask questions of."""
    from groundplane.apps import mapping
    from groundplane.apps.mapping_flags import capture_options, known_sizes
    from groundplane.mapping.terms import MapTerms

    def job() -> mapping.MapJob:
        terms = MapTerms(
            layout=layout, every=every, limit=limit, poses=poses,
            scaling=known_sizes(known or (), camera_height=camera_height),
            capture=capture_options(
                fps=fps, depth_scale=depth_scale, longest=longest, intrinsics=intrinsics, up=up
            ),
        )  # fmt: skip
        return mapping.MapJob(
            source=source, find=find, out=out, picture=picture, exports=tuple(export or ()),
            detector=detector, segmenter=segmenter, geometry=geometry,
            options=tuple(option or ()), thresholds=tuple(threshold or ()), terms=terms,
            device=device, resume=resume, quiet=quiet, json_log=json_log,
        )  # fmt: skip

    raise typer.Exit(finish(lambda: mapping.run(job())))
