"""`groundplane blind-pairs`: pictures of a folder that one encoder cannot tell apart."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundplane.apps.encoders import load_pair
from groundplane.apps.given import check_picture
from groundplane.apps.told import one_line, quiet
from groundplane.core.blind_pairs import BlindPairs, PairRule, find_blind_pairs
from groundplane.core.errors import OutputError
from groundplane.core.feature_cache import STORE
from groundplane.core.feature_store import FeatureStore
from groundplane.core.files import write_whole
from groundplane.core.host import choose_device
from groundplane.core.media import list_images
from groundplane.core.summaries import Summaries, summarise

__all__ = ["BlindPairsJob", "pair_records", "run"]

# How many pairs are printed, and drawn.
_TOLD, _DRAWN = 10, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindPairsJob:
    """What the command line asks for.

    Attributes:
        folder: Of pictures.
        encoders: Names of the first and the second.
        options: `NAME.key=value`.
        rule: Which pairs are blind.
        out: The pairs and the errors, JSON lines.
        sheet: A picture of the best pairs, or None.
        store: The feature store; None: the one that the environment names, else beside `out`.
        batch: Pictures that are encoded together.
    """

    folder: Path
    encoders: tuple[str, str]
    options: tuple[str, ...]
    rule: PairRule
    out: Path
    sheet: Path | None
    store: Path | None
    batch: int
    device: str


def run(job: BlindPairsJob) -> int:
    """Encode what is not encoded yet, search, write, tell.

    Returns:
        0, or 1 if a picture could not be read or encoded.

    Raises:
        InputError, MediaError, PluginNotFoundError, OutputError: One line for stderr.
    """
    _check_out(job)
    paths = [path for path in list_images(job.folder) if not _is_sheet(path, job)]
    with quiet():
        encoders = load_pair(job.encoders, job.options, device=job.device)
        with FeatureStore(_store_of(job)) as store:
            seen = summarise(paths, encoders, store, batch=job.batch, told=_teller(len(paths)))
    place = choose_device(job.device)
    first, second = (rows.to(place) for rows in seen.rows)
    found = find_blind_pairs(first, second, job.rule)
    lines = [_line(record) for record in pair_records(job.folder, seen, found)]
    write_whole(job.out, "".join(lines).encode("utf-8"))
    if job.sheet is not None:
        from groundplane.apps.pair_sheet import draw_pairs

        draw_pairs(_drawn(seen, found), job.sheet, names=job.encoders)
    sys.stdout.write("\n".join(_told(job, seen, found)) + "\n")
    for path, reason in seen.failed:
        sys.stderr.write(f"groundplane: {_name(job.folder, path)}: {one_line(reason, 400)}\n")
    return 1 if seen.failed else 0


def pair_records(folder: Path, seen: Summaries, found: BlindPairs) -> Iterator[dict[str, Any]]:
    """The pairs, widest gap first, and then what failed, as plain JSON values."""
    first, second = found.first.tolist(), found.second.tolist()
    for (a, b), one, other in zip(found.pairs.tolist(), first, second, strict=True):
        yield {
            "pictures": [_name(folder, seen.paths[a]), _name(folder, seen.paths[b])],
            "first": round(one, 6),
            "second": round(other, 6),
        }
    for path, reason in seen.failed:
        yield {"picture": _name(folder, path), "error": reason}


def _check_out(job: BlindPairsJob) -> None:
    """Before hours of encoding: what comes of it can be written."""
    if job.sheet is not None:
        check_picture("--sheet", job.sheet)
    if job.out.is_dir() or not os.path.isdir(os.path.dirname(os.path.realpath(job.out))):
        raise OutputError(f"--out {str(job.out)!r}: expected a file in a folder that exists")


def _is_sheet(path: Path, job: BlindPairsJob) -> bool:
    """Whether it is what an earlier run drew into the folder itself."""
    return job.sheet is not None and os.path.realpath(path) == os.path.realpath(job.sheet)


def _store_of(job: BlindPairsJob) -> Path:
    if job.store is not None:
        return job.store
    named = os.environ.get(STORE, "").strip()
    return Path(named) if named else job.out.with_name(f"{job.out.name}.features")


def _teller(total: int) -> Callable[[int], None] | None:
    """Tells a terminal how far it is; a file of messages is not filled with it."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int) -> None:
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r{done} of {total} pictures{end}")
        sys.stderr.flush()

    return tell


def _name(folder: Path, path: Path) -> str:
    """A file's way from the folder, in letters that UTF-8 can write."""
    name = path.relative_to(folder).as_posix()
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _line(record: dict[str, Any]) -> str:
    # Not `told.dump`: that writes letters that stdout can.
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace(
        "\x85", "\\u0085"
    ) + "\n"  # fmt: skip


def _drawn(seen: Summaries, found: BlindPairs) -> list[tuple[Path, Path, float, float]]:
    pairs = found.pairs[:_DRAWN].tolist()
    first, second = found.first.tolist(), found.second.tolist()
    return [(seen.paths[a], seen.paths[b], first[i], second[i]) for i, (a, b) in enumerate(pairs)]


def _told(job: BlindPairsJob, seen: Summaries, found: BlindPairs) -> Iterable[str]:
    rule, (first, second) = job.rule, job.encoders
    total = len(seen.paths)
    yield (
        f"{total} pictures, {seen.num_encoded} of them encoded now; "
        f"{len(seen.copies)} copies left out, {len(seen.failed)} not read"
    )
    kept = "" if found.num_found == len(found) else f", the {len(found)} widest kept"
    yield (
        f"{found.num_found} pairs with {first} at {rule.min_first:g} or more and {second} at "
        f"{rule.max_second:g} or less{kept}"
    )
    for record in list(pair_records(job.folder, seen, found))[: min(_TOLD, len(found))]:
        names = "  ".join(map(one_line, record["pictures"]))
        yield f"  {record['first']:.3f}  {record['second']:6.3f}  {names}"
