"""The folder of a run: what it was started with, how far it is, and what came out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from groundplane.core.errors import InputError, OutputError
from groundplane.core.files import digest_of, one_line, write_whole
from groundplane.training.configuration import TrainConfig

__all__ = ["RunFolder"]

_RUN = "run.json"


class RunFolder:
    """Files of one run. Nothing of another run is ever written over.

    Args:
        config: Of the run; its `output` is the folder.
        resume: Go on with the run that is there, or begin where there is none.

    Raises:
        InputError: If the folder holds another run, or this one and `resume` is not given, or
            something that is no run; or a data file has changed since.
        OutputError: If the folder cannot be made.
    """

    def __init__(self, config: TrainConfig, *, resume: bool = False) -> None:
        self.path = config.output
        told = {"config": config.to_json(), "data": dict(_digests(config))}
        told["config"].pop("output")  # the folder may have been moved
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            inside = sorted(place.name for place in self.path.iterdir())
            # A kill may leave the draft of a file behind.
            inside = [name for name in inside if not name.startswith(".")]
        except OSError as error:
            raise OutputError(
                f"{one_line(str(self.path))}: cannot be made: {error.strerror or error}"
            ) from error
        if _RUN in inside:
            self._check_same(told, resume=resume)
        elif inside:
            raise InputError(
                f"output: {one_line(str(self.path))} holds other files, such as {inside[0]!r}; "
                "name an empty folder, or one that is not there yet"
            )
        else:
            self.write(_RUN, told)

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        place = self.path / name
        place.mkdir(exist_ok=True)
        return place

    def read(self, name: str) -> Any:
        """A table that was written, or None.

        Raises:
            InputError: If it is damaged.
        """
        place = self.path / name
        try:
            return json.loads(place.read_text("utf-8")) if place.is_file() else None
        except ValueError as error:
            raise InputError(
                f"output: {one_line(str(place))} is damaged ({error}); delete the folder"
            ) from error

    def write(self, name: str, table: object) -> None:
        """Write a table in one step."""
        text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(self.path / name, f"{text}\n".encode())

    def _check_same(self, told: dict[str, Any], *, resume: bool) -> None:
        here, old = f"output: {one_line(str(self.path))}", self.read(_RUN)
        changed = sorted(_differences(old, json.loads(json.dumps(told))))
        if changed:
            raise InputError(f"{here} holds another run: {changed[0]} differs; name another folder")
        if not resume:
            raise InputError(
                f"{here} holds this run already; go on with it by --resume, or name another folder"
            )


def _digests(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """SHA-256 of every file of samples or text."""
    for rule in config.stages.values():
        files = [rule.data, rule.held_out, rule.replay.file if rule.replay else None, config.text]
        for file in files:
            if file is not None:
                yield str(file), _digest(file)


def _digest(file: Path) -> str:
    try:
        return digest_of(file)
    except OSError as error:
        raise InputError(
            f"data {one_line(file.name)!r}: cannot be read: {error.strerror or error}"
        ) from error


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
    elif old != new:
        yield f"{place} ({old!r:.60} before, {new!r:.60} now)"
