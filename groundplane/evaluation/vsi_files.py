"""The files of VSI-Bench: questions as JSON lines or Parquet, meta files, and videos by scene."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from groundplane.captures.opening import layout_of
from groundplane.core.errors import InputError
from groundplane.core.files import one_line
from groundplane.core.hub import need_library
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scenes.files import open_scenes

__all__ = ["open_metas", "question_lines", "videos_by_scene"]

_COLUMNS = ("id", "scene", "scene_name", "question_type", "question", "options", "answer",
            "ground_truth")  # fmt: skip


def question_lines(path: Path) -> list[str]:
    """The lines of a file of questions, each one JSON object or empty.

    Args:
        path: JSON lines, or a Parquet file of the same columns.

    Raises:
        InputError: If the file cannot be read.
        PluginBrokenError: If it is a Parquet file and the extra `parquet` is missing.
    """
    where = f"questions {one_line(path.name)!r}"
    if path.suffix.lower() == ".parquet":
        return list(_rows(path, where))
    try:
        # Not splitlines, which also parts lines at marks that JSON texts may hold.
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 at byte {error.start}") from error


def _rows(path: Path, where: str) -> Iterator[str]:
    parquet = need_library("pyarrow.parquet", who="Parquet questions", extra="parquet")
    arrow = need_library("pyarrow", who="Parquet questions", extra="parquet")
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in _COLUMNS]
            rows = file.read(columns=columns).to_pylist()
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error
    except arrow.ArrowException as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"{where}: no Parquet file ({said})") from error
    for row in rows:
        yield json.dumps(row, default=str)


def open_metas(files: Sequence[str | Path]) -> Mapping[str, Callable[[], CognitiveMap]]:
    """The scenes of one or several meta files, each made when it is called for.

    Raises:
        SceneError: If a file is none.
        InputError: If two files hold a scene of one name.
    """
    known: dict[str, Callable[[], CognitiveMap]] = {}
    for file in files:
        own = open_scenes(file)
        if twice := known.keys() & own.keys():
            raise InputError(
                f"scene {min(twice)!r} is in {one_line(Path(file).name)!r} and in a file before it"
            )
        known |= own
    return known


def videos_by_scene(folder: Path) -> Mapping[str, Sequence[Path]]:
    """Videos and other captures of a folder, and of its folders, by the name of their scene.

    A video is called by its name without the ending, a folder of posed RGB-D by its own.

    Raises:
        InputError: If there is no such folder.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _within(folder):
        layout = layout_of(path)
        if layout == "video":
            found[path.stem].append(path)
        elif layout not in (None, "frames"):
            found[path.name].append(path)
        elif path.is_dir():
            for inner in _within(path):
                if layout_of(inner) not in (None, "frames"):
                    found[inner.name if inner.is_dir() else inner.stem].append(inner)
    return found


def _within(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except OSError as error:
        raise InputError(f"videos {str(folder)!r}: {error.strerror}") from error
