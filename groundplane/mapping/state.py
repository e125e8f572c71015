"""What was found in the keyframes of a map that is being built: kept, so that a call can go on.

A log of JSON lines, the first of which says what is built. To look is what takes time; everything
after it is done again from the log, exactly as before. What was cut off at the end of the log, as
by a crash, is looked at again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from groundplane.core.errors import GroundplaneError, InputError, OutputError
from groundplane.core.files import one_line
from groundplane.core.masks import RleMask
from groundplane.core.regions import Regions

__all__ = ["FoundLog"]

_FORMAT, _VERSION = "groundplane-map-state", 1


class FoundLog:
    """The log of one map; a context that closes it.

    Args:
        path: The file; where there is none it is begun with what is kept first.
        job: What is built: its source, phrases, experts and options as JSON values.

    Raises:
        InputError: If the file is the state of another map, or none at all.
        OutputError: If it cannot be written.
    """

    def __init__(self, path: Path, *, job: Mapping[str, object]) -> None:
        self._path = path
        self._known: dict[int, tuple[Regions, dict[str, str]]] = {}
        head = {"format": _FORMAT, "version": _VERSION, "job": dict(job)}
        self._head = head
        self._file: IO[str] | None = None
        if not path.exists():
            return  # begun with what is found first, so that nothing is left of a call that fails
        try:
            kept = self._read(head)
            self._file = path.open("a", encoding="ascii")
            self._file.truncate(kept)
        except OSError as error:
            raise OutputError(f"{one_line(str(path))}: {error.strerror}") from error
        if not kept:
            self._append(head)

    def __enter__(self) -> FoundLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            # What could not be written was told when it was tried.
            with suppress(OSError):
                self._file.close()

    def __len__(self) -> int:
        """Keyframes that it holds."""
        return len(self._known)

    def found(self, frame: int) -> tuple[Regions, dict[str, str]] | None:
        """What was found in a frame, and which phrases nobody could look for; None if unknown."""
        return self._known.get(frame)

    def keep(self, frame: int, regions: Regions, cannot: Mapping[str, str]) -> None:
        """Write down what was found in a frame.

        Raises:
            OutputError: If it cannot be written.
        """
        self._append({"frame": frame, "cannot": dict(cannot), **_record(regions)})

    def _append(self, record: Mapping[str, object]) -> None:
        line = json.dumps(record, allow_nan=False) + "\n"
        try:
            if self._file is None:
                self._file = self._path.open("x", encoding="ascii")
                self._file.write(json.dumps(self._head) + "\n")
            self._file.write(line)
            self._file.flush()
        except FileExistsError as error:
            raise OutputError(
                f"{one_line(str(self._path))}: another call has begun this map meanwhile. "
                "Try: another --out, or wait for it"
            ) from error
        except OSError as error:
            raise OutputError(f"{one_line(str(self._path))}: {error.strerror}") from error

    def _read(self, head: Mapping[str, object]) -> int:
        """Read what is there; gives how many of its bytes are whole lines."""
        whole = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                if number == 0:
                    self._check(line, head)
                else:
                    try:
                        record = json.loads(line)
                        self._known[record["frame"]] = _regions(record), dict(record["cannot"])
                    except (ValueError, LookupError, TypeError, GroundplaneError):
                        break  # what is damaged is looked at again
                whole += len(line)
        return whole

    def _check(self, line: bytes, head: Mapping[str, object]) -> None:
        name = one_line(str(self._path))
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise InputError(f"{name}: it is no state of a map. Try: another --out")
        if found == json.loads(json.dumps(head)):
            return
        now, then = dict(head), found
        if isinstance(now["job"], dict) and isinstance(then.get("job"), dict):
            now, then = now["job"], then["job"]
        other = [key for key in now if now.get(key) != then.get(key)]
        raise InputError(
            f"{name}: it is the state of another map: its {', '.join(other) or 'job'} "
            f"{'is' if len(other) == 1 else 'are'} not the same. Try: delete it, or another --out"
        )


def _record(regions: Regions) -> dict[str, Any]:
    masks = regions.masks
    return {
        "ids": regions.ids,
        "boxes": regions.boxes.tolist(),
        "scores": regions.scores.tolist(),
        "phrases": regions.phrases,
        "phrase_ids": regions.phrase_ids.tolist(),
        "size": regions.image_size,
        "sources": regions.sources,
        "masks": None
        if masks is None
        else [(*mask.size, mask.counts.decode("ascii")) for mask in masks],
    }


def _regions(record: Mapping[str, Any]) -> Regions:
    masks = record["masks"]
    width, height = record["size"]
    return Regions(
        ids=tuple(record["ids"]),
        boxes=torch.tensor(record["boxes"], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(record["scores"], dtype=torch.float32),
        phrases=tuple(record["phrases"]),
        phrase_ids=torch.tensor(record["phrase_ids"], dtype=torch.int64),
        image_size=(width, height),
        sources=tuple(record["sources"]),
        masks=None
        if masks is None
        else tuple(RleMask(size=(h, w), counts=counts.encode("ascii")) for h, w, counts in masks),
    )
