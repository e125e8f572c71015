"""Scene files: groundplane's own format, read strictly, and written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import shapely
import torch
from jaxtyping import Float

from groundplane.core.errors import SceneError, did_you_mean, listing
from groundplane.core.files import one_line, write_whole
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scenes import clevr as scene_clevr
from groundplane.spatial.scenes import vsi as scene_vsi
from groundplane.spatial.scenes.fields import (
    OBJECT_LIMIT,
    Field,
    Rows,
    array,
    boxes,
    check_keys,
    check_size,
    counts,
    direction,
    make_ids,
    mapping,
    number,
    numbers,
    optional,
    positive,
    shown,
    text,
    vectors,
)
from groundplane.spatial.scenes.noise import NOISE_KEYS, covariances

__all__ = ["from_bytes", "from_record", "load", "open_scenes", "save", "scenes"]

FORMAT, VERSION = "groundplane-map", 1
FILE_LIMIT = 256 * 2**20
# What a file may hold in all: it is refused before the memory for it is spent.
RECORD_LIMIT, VALUE_LIMIT = 400_000, 10_000_000
POLYGON_LIMIT = 10_000
NOTE_LIMIT, NOTE_LENGTH = 100, 2000
HEADER_KEYS = frozenset({"format", "version"})
SCENE_KEYS = frozenset({"name", "scale", "floor", "view", "room", "objects", "counts", "notes"})
OBJECT_KEYS = frozenset(
    ("id", "label", "center", "size", "axes", "yaw", "front", "score", "attributes", "first_seen")
) | {"regions", *NOISE_KEYS}


def load(path: str | Path, *, scene: str | None = None) -> CognitiveMap:
    """Read a scene; see `CognitiveMap.load`."""
    file, scene = _split(os.fspath(path), scene)
    at = Field(one_line(file))
    return _choose(_scenes_of(_read(file, at), at, one_line(Path(file).stem)), at, scene)


def scenes(path: str | Path) -> tuple[str, ...]:
    """The ids of the scenes in a file; see `CognitiveMap.scenes`."""
    return tuple(open_scenes(path))


def open_scenes(path: str | Path) -> Mapping[str, Callable[[], CognitiveMap]]:
    """Read a file once; each of its scenes is made when it is called for.

    Raises:
        SceneError: If the file cannot be read or is no scene file; by a call, if that scene is
            malformed.
    """
    file = os.fspath(path)
    at = Field(one_line(file))
    return _scenes_of(_read(file, at), at, one_line(Path(file).stem))


def from_record(record: Mapping[str, object], *, source: str) -> CognitiveMap:
    """Make a map from what a file with one scene holds; see `CognitiveMap.from_record`."""
    at = Field(one_line(source))
    return _choose(_scenes_of(record, at, at.source), at, None)


def from_bytes(data: bytes, *, source: str, scene: str | None = None) -> CognitiveMap:
    """Make a map from the bytes of a scene file that is called `source`; see `load`.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
        >>> from_bytes(scene.to_json().encode(), source="room.json").labels
        ('chair',)
    """
    at = Field(one_line(source))
    if len(data) > FILE_LIMIT:
        raise SceneError(f"{at.source}: expected at most {FILE_LIMIT // 2**20} MB")
    return _choose(_scenes_of(_parse(data, at), at, one_line(Path(source).stem)), at, scene)


def save(scene: CognitiveMap, path: str | Path) -> None:
    """Write the map; see `CognitiveMap.save`."""
    write_whole(path, scene.to_json().encode())


def _split(path: str, scene: str | None) -> tuple[str, str | None]:
    """Take `file.json#id` apart; a file whose own name holds `#` is taken as it is."""
    if "#" not in path or os.path.exists(path):
        return path, scene
    parts = path.split("#")
    cuts = ("#".join(parts[:i]) for i in range(1, len(parts)))
    file = next((cut for cut in cuts if os.path.isfile(cut)), parts[0])
    part = path[len(file) + 1 :]
    if scene not in (None, part):
        raise SceneError(f"{one_line(path)}: names one scene, but {scene!r} is asked for too")
    return file, part


def _read(path: str, at: Field) -> object:
    """The JSON value in a file."""
    try:
        info = os.stat(path)
        if stat.S_ISREG(info.st_mode) and info.st_size <= FILE_LIMIT:
            return _parse(Path(path).read_bytes(), at)
    except FileNotFoundError as error:
        raise SceneError(f"{at.source}: there is no such file.{_near_files(path)}") from error
    except OSError as error:
        raise SceneError(f"{at.source}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError(f"{at.source}: expected a file name, got one that no file has") from error
    if not stat.S_ISREG(info.st_mode):
        kind = "a folder" if stat.S_ISDIR(info.st_mode) else "no regular file"
        raise SceneError(f"{at.source}: expected a JSON file, got {kind}")
    raise SceneError(
        f"{at.source}: expected at most {FILE_LIMIT // 2**20} MB, got "
        f"{info.st_size / 2**20:.0f} MB; split the scenes over several files"
    )


def _near_files(path: str) -> str:
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return f" Nor is there a folder {folder!r}."
    try:
        return did_you_mean(name, os.listdir(folder or "."))
    except PermissionError:
        return f" The folder {folder!r} may not be listed."


def _parse(data: bytes, at: Field) -> object:
    """Parse JSON, which must be UTF-8, must not repeat a key and must not be too much."""
    if (values := data.count(b",") + data.count(b"[")) > VALUE_LIMIT:
        raise SceneError(f"{at.source}: expected at most {VALUE_LIMIT} values, got some {values}")
    records = _Records(at)
    try:
        value: object = json.loads(data.decode("utf-8-sig"), object_pairs_hook=records.add)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SceneError(
            f"{at.source}: expected UTF-8 text, got byte 0x{data[error.start]:02x} in line {line}"
        ) from error
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        raise SceneError(
            f"{at.source}: expected JSON, got an error in line {error.lineno}, column "
            f"{error.colno}: {error.msg}{' (the file ends too early)' if cut else ''}"
        ) from error
    except RecursionError as error:
        raise SceneError(f"{at.source}: expected a scene, got JSON nested too deeply") from error
    except ValueError as error:
        if isinstance(error, SceneError):
            raise
        # Python refuses to read longer whole numbers, since that takes quadratic time.
        raise SceneError(f"{at.source}: expected numbers, got one of over 4300 digits") from error
    for made, key in records.repeated:
        place = _find(value, made, at)[key]
        raise SceneError(f"{at.source}: {place.path}: expected each key once, got it twice or more")
    return value


class _Records:
    """Makes the objects of a JSON text, counts them, and notes a key that is there twice."""

    def __init__(self, at: Field) -> None:
        self.repeated: list[tuple[dict[str, object], str]] = []
        self._at = at
        self._left = RECORD_LIMIT

    def add(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        self._left -= 1
        if self._left < 0:
            raise SceneError(
                f"{self._at.source}: expected at most {OBJECT_LIMIT} objects in a scene and "
                f"{RECORD_LIMIT} JSON objects in a file, got more; split the file"
            )
        made = dict(pairs)
        if len(made) != len(pairs) and not self.repeated:
            keys = Counter(key for key, _ in pairs)
            self.repeated.append((made, next(key for key, n in keys.items() if n > 1)))
        return made


def _find(value: object, wanted: object, at: Field) -> Field:
    """Where in a document an object stands; a stack, since the document may be deep."""
    stack = [(value, at)]
    while stack:
        item, place = stack.pop()
        if item is wanted:
            return place
        parts = item.items() if isinstance(item, dict) else enumerate(cast(list[object], item))
        stack += [(part, place[key]) for key, part in parts if isinstance(part, dict | list)]
    return at


def _scenes_of(document: object, at: Field, name: str) -> dict[str, Callable[[], CognitiveMap]]:
    """The scenes of a document by id, each read only when it is called for."""
    if not isinstance(document, dict):
        raise at.error("a JSON object at the top", document)
    if "format" in document:
        _check_header(document, at)
        if "scenes" not in document:
            name = text(document["name"], at["name"]) if "name" in document else name
            body = {key: document[key] for key in document if key not in HEADER_KEYS}
            return {name: lambda: _own(body, at, name)}
        check_keys(document, at, allowed=HEADER_KEYS | {"scenes"})
        at = at["scenes"]
        own = mapping(document["scenes"], at, "scenes by id")
        return {text(key, at): partial(_own, own[key], at[key], key) for key in own}
    if scene_clevr.is_file(document):
        at = at["scenes"]
        listed = array(document["scenes"], at, None)
        names = enumerate(scene_clevr.names_of(listed, at))
        return {key: partial(scene_clevr.parse, listed[i], at[i], key) for i, key in names}
    if scene_clevr.is_scene(document):
        return {name: lambda: scene_clevr.parse(document, at, name)}
    if scene_vsi.is_scene(document):
        return {name: lambda: scene_vsi.parse(document, at, name)}
    if any(map(scene_vsi.is_scene, document.values())):
        rows = document.items()
        return {text(key, at): partial(scene_vsi.parse, row, at[key], key) for key, row in rows}
    meant = next(
        (f" Is {key!r} 'format'?" for key in document if did_you_mean(key, ["format"])), ""
    )
    raise SceneError(
        f"{at.source}: expected a scene with 'format': {FORMAT!r}, VSI-Bench scenes with "
        "'object_bbox' or CLEVR scenes with '3d_coords', got the keys "
        f"{listing(map(shown, document), limit=5)}.{meant}"
    )


def _check_header(document: Mapping[str, object], at: Field) -> None:
    if document["format"] != FORMAT:
        raise at["format"].error(f"{FORMAT!r}", document["format"])
    check_keys(document, at, allowed=document.keys(), required=("version",))
    version = document["version"]
    if type(version) is int and version > VERSION:
        got = f"version {shown(version)}, which is newer; update groundplane"
        raise SceneError(f"{at.source}: version: expected at most {VERSION}, got {got}")
    if type(version) is not int or version != VERSION:
        raise at["version"].error(f"the number {VERSION}", version)


def _choose(
    found: Mapping[str, Callable[[], CognitiveMap]], at: Field, scene: str | None
) -> CognitiveMap:
    if not found:
        raise SceneError(f"{at.source}: expected at least one scene, got none")
    if scene is None and len(found) > 1:
        raise SceneError(
            f"{at.source}: holds {len(found)} scenes; name one, such as "
            f"{at.source}#{next(iter(found))}; there are: {listing(found, limit=6)}"
        )
    name = next(iter(found)) if scene is None else scene
    if name not in found:
        raise SceneError(
            f"{at.source}: there is no scene {shown(name)}; there are: "
            f"{listing(found, limit=6)}.{did_you_mean(name, found)}"
        )
    return found[name]()


def _own(record: object, at: Field, name: str) -> CognitiveMap:
    """A scene in groundplane's own format."""
    record = mapping(record, at, "a scene")
    check_keys(record, at, allowed=SCENE_KEYS, required=("objects",))
    row = at["objects"].__getitem__
    stated = array(record["objects"], at["objects"], None)
    notes = _notes(record.get("notes", []), at["notes"])
    if not notes:  # a map that says why may be empty
        check_size(stated, at["objects"])
    items = [mapping(item, row(i), "an object") for i, item in enumerate(stated)]
    for i, item in enumerate(items):
        check_keys(item, row(i), allowed=OBJECT_KEYS, required=("label", "center", "size"))
    labels = tuple(text(item["label"], row(i)["label"]) for i, item in enumerate(items))
    ids = make_ids(labels, _given_ids(items, row))
    regions = {
        key: tuple(_texts(item["regions"], row(i)["regions"]))
        for i, (key, item) in enumerate(zip(ids, items, strict=True))
        if "regions" in item
    }
    room, area = _room(record.get("room", {}), at["room"])
    return CognitiveMap(
        name=text(record["name"], at["name"]) if "name" in record else name,
        ids=ids,
        objects=replace(
            boxes(
                vectors([item["center"] for item in items], lambda i: row(i)["center"], 3),
                vectors([item["size"] for item in items], lambda i: row(i)["size"], 3),
                _axes(items, row),
                at=row,
            ),
            covariance=covariances(items, row),
        ),
        labels=labels,
        scores=optional(items, row, "score", fill=1.0, most=1.0),
        attributes=tuple(_attributes(item, row(i)) for i, item in enumerate(items)),
        fronts=_fronts(items, row),
        counts=counts(record.get("counts", {}), at["counts"]),
        first_seen=optional(items, row, "first_seen", fill=float("nan")),
        room=room,
        room_area=area,
        floor=number(record["floor"], at["floor"]) if "floor" in record else None,
        scale=_scale(record.get("scale", "metric"), at["scale"]),
        view=direction(record["view"], at["view"]) if "view" in record else None,
        provenance={key: names for key, names in regions.items() if names},
        notes=notes,
    )


def _given_ids(items: Sequence[Mapping[str, object]], row: Rows) -> dict[int, str]:
    """The ids that the file states, by row; each may be there once."""
    given: dict[int, str] = {}
    seen: dict[str, int] = {}
    for i, item in enumerate(items):
        if "id" in item:
            given[i] = text(item["id"], row(i)["id"])
            first = seen.setdefault(given[i], i)
            if first != i:
                raise row(i)["id"].error(f"an id that {row(first).path} has not", given[i])
    return given


def _axes(items: Sequence[Mapping[str, object]], row: Rows) -> Float[np.ndarray, "n 3 3"]:
    """Rows are the axes: as stated, or turned by a yaw about z, or the world's."""
    axes = np.tile(np.eye(3), (len(items), 1, 1))
    stated = [i for i, item in enumerate(items) if "axes" in item]
    if both := [i for i in stated if "yaw" in items[i]]:
        raise row(both[0])["yaw"].error("either 'axes' or 'yaw'", "both")
    lines: list[object] = []
    for i in stated:
        lines += array(items[i]["axes"], row(i)["axes"], 3)
    if stated:
        at = [row(i)["axes"] for i in stated]
        axes[stated] = vectors(lines, lambda k: at[k // 3][k % 3], 3).reshape(-1, 3, 3)
    turned = [i for i, item in enumerate(items) if "yaw" in item]
    yaw = np.radians(numbers([items[i]["yaw"] for i in turned], lambda k: row(turned[k])["yaw"]))
    axes[turned, 0, 0] = axes[turned, 1, 1] = np.cos(yaw)
    axes[turned, 0, 1], axes[turned, 1, 0] = np.sin(yaw), -np.sin(yaw)
    return axes


def _fronts(items: Sequence[Mapping[str, object]], row: Rows) -> Float[torch.Tensor, "n 3"]:
    fronts = np.full((len(items), 3), np.nan)
    given = [i for i, item in enumerate(items) if "front" in item]
    rows = vectors([items[i]["front"] for i in given], lambda k: row(given[k])["front"], 3)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    for k in np.flatnonzero(length < 1e-9)[:1].tolist():
        raise row(given[k])["front"].error("a direction", items[given[k]]["front"])
    fronts[given] = rows / length
    return torch.from_numpy(fronts)


def _texts(value: object, at: Field) -> list[str]:
    return [text(item, at[i]) for i, item in enumerate(array(value, at, None))]


def _notes(value: object, at: Field) -> tuple[str, ...]:
    notes = array(value, at, None)
    if len(notes) > NOTE_LIMIT:
        raise at.error(f"at most {NOTE_LIMIT} notes", value)
    return tuple(text(note, at[i], most=NOTE_LENGTH) for i, note in enumerate(notes))


def _attributes(item: Mapping[str, object], at: Field) -> dict[str, str]:
    if "attributes" not in item:
        return {}
    at = at["attributes"]
    pairs = mapping(item["attributes"], at, "an object of texts")
    return {text(key, at): text(value, at[key]) for key, value in pairs.items()}


def _scale(value: object, at: Field) -> Literal["metric", "relative"]:
    if value == "metric":
        return "metric"
    if value == "relative":
        return "relative"
    raise at.error("'metric' or 'relative'", value)


def _room(value: object, at: Field) -> tuple[shapely.Polygon | None, float | None]:
    record = mapping(value, at, "an object with 'polygon' or 'area'")
    check_keys(record, at, allowed={"polygon", "area"})
    area = positive(record["area"], at["area"]) if "area" in record else None
    if "polygon" not in record:
        return None, area
    at = at["polygon"]
    points = array(record["polygon"], at, None)
    if not 3 <= len(points) <= POLYGON_LIMIT:
        raise at.error(f"3 to {POLYGON_LIMIT} points [x, y]", points)
    polygon = shapely.Polygon(vectors(points, lambda i: at[i], 2))
    if not (polygon.is_valid and polygon.area > 0):
        raise at.error("an outline that does not cross itself and has an area", points)
    return polygon, area
