"""Label Studio: tasks with predictions, and the labelling configuration that they fit.

Boxes are in percent of the upright picture, which is what a browser shows: it applies the EXIF
orientation. A mask is a brush region, nested in its box's region. Everything is checked against
the configuration before it is written, as Label Studio shows nothing of what does not fit.

Source: https://labelstud.io/guide/predictions and https://labelstud.io/tags; the run lengths of a
brush are those of the rle-pack of https://github.com/thi-ng/umbrella, read by label-studio-sdk.
"""

from __future__ import annotations

import colorsys
import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord, ClassTable
from groundplane.core.errors import InputError, OutputError, listing
from groundplane.core.exporting import ExportTarget, Feature, LossCounter, LossReport, Records
from groundplane.core.files import picture_ending
from groundplane.core.masks import RleMask, decode
from groundplane.core.output_folder import OutputNames
from groundplane.core.xml_text import distinct_names

__all__ = [
    "Control",
    "LabelConfig",
    "LabelStudioExporter",
    "LabelStudioOptions",
    "brush_bytes",
    "read_label_config",
    "region_results",
    "result_faults",
]

_WHO = "exporter 'label-studio'"
_MOST_CONFIG = 4 * 2**20
_KINDS = {"RectangleLabels": "rectanglelabels", "BrushLabels": "brushlabels"}
# Signs that XML cannot hold, those that are line ends to it, and what turns text around.
_STRANGE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
# Bits of a run's length, of which two bits choose one.
_LENGTHS = (3, 4, 8, 16)


# Configuration ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A tag of a labelling configuration that regions belong to.

    Attributes:
        name: What results call it in `from_name`.
        to_name: The image tag's name.
        kind: `rectanglelabels` or `brushlabels`.
        labels: Each label with the words that lead to it: its `predicted_values` (with commas
            between them), its `alias`, and itself.
    """

    name: str
    to_name: str
    kind: str
    labels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """What a labelling configuration says of an image.

    Attributes:
        image: Name of the image tag.
        value: The field of a task's data that holds the image's address.
        controls: Tags for boxes and brushes on this image.
    """

    image: str
    value: str
    controls: tuple[Control, ...]

    def control(self, kind: str) -> Control | None:
        """The first tag of a kind."""
        return next((control for control in self.controls if control.kind == kind), None)


def read_label_config(text: str) -> LabelConfig:
    """Read a labelling configuration.

    Raises:
        InputError: If it is no XML, is too long, or has no image or no labels for boxes and
            brushes.

    Examples:
        >>> config = read_label_config(
        ...     '<View><Image name="i" value="$picture"/><RectangleLabels name="r" toName="i">'
        ...     '<Label value="Car" alias="automobile"/></RectangleLabels></View>'
        ... )
        >>> config.value, config.controls[0].labels
        ('picture', {'Car': ('automobile', 'Car')})
        >>> read_label_config("<View/>")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: labelling configuration: expected an Image tag with \
name and value
    """
    who = "labelling configuration"
    if len(text) > _MOST_CONFIG or "<!" in text.replace("<!--", ""):
        raise InputError(f"{who}: too long, or with declarations, which none needs")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise InputError(f"{who}: expected XML: {' '.join(str(error).split())[:200]}") from error
    images = [tag for tag in root.iter("Image") if tag.get("name") and tag.get("value")]
    if not images:
        raise InputError(f"{who}: expected an Image tag with name and value")
    image = images[0].get("name", "")
    controls = [
        Control(
            name=tag.get("name", ""), to_name=image, kind=_KINDS[tag.tag], labels=_labels_of(tag)
        )
        for tag in root.iter()
        if tag.tag in _KINDS and image in tag.get("toName", "").split(",") and tag.get("name")
    ]
    if not any(control.labels for control in controls):
        raise InputError(f"{who}: expected RectangleLabels or BrushLabels on the image {image!r}")
    return LabelConfig(
        image=image, value=images[0].get("value", "").removeprefix("$"), controls=tuple(controls)
    )


def _labels_of(tag: ElementTree.Element) -> dict[str, tuple[str, ...]]:
    labels = {}
    for label in tag.iter("Label"):
        value = label.get("value", "")
        words = [*label.get("predicted_values", "").split(","), label.get("alias", ""), value]
        if value:
            labels[value] = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    return labels


# Results ---------------------------------------------------------------------------------------


def region_results(
    regions: AnnotatedRegions,
    *,
    config: LabelConfig,
    labels: Sequence[str | None],
    size: tuple[int, int],
) -> Iterator[dict[str, Any]]:
    """Regions as entries of a prediction's `result`.

    Args:
        regions: What was found.
        config: Where they go: a box for each, and a brush region in it for a mask, as far as the
            configuration has tags for them that know the label.
        labels: The label of each region; None leaves it out.
        size: Width and height of the upright picture, pixels.

    Examples:
        >>> config = read_label_config(
        ...     '<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i">'
        ...     '<Label value="Car"/></BrushLabels></View>'
        ... )
        >>> list(region_results(AnnotatedRegions.empty(), config=config, labels=[], size=(4, 3)))
        []
    """
    box_tag, brush_tag = config.control("rectanglelabels"), config.control("brushlabels")
    scale = 100 / np.array([*size, *size], dtype=np.float64)
    for row, label in enumerate(labels):
        x0, y0, x1, y1 = (regions.boxes[row] * scale).tolist()
        mask = regions.masks[row] if regions.masks else None
        whole = {
            "to_name": config.image, "original_width": size[0], "original_height": size[1],
            "image_rotation": 0, "score": float(regions.scores[row]),
        }  # fmt: skip
        nested = {}
        if box_tag is not None and label in box_tag.labels:
            value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0}
            yield {
                "id": f"r{row}", "type": "rectanglelabels", "from_name": box_tag.name, **whole,
                "value": {**value, "rectanglelabels": [label]},
            }  # fmt: skip
            nested = {"parentID": f"r{row}"}
        if mask is not None and brush_tag is not None and label in brush_tag.labels:
            rle = list(brush_bytes(mask))
            yield {
                "id": f"m{row}", "type": "brushlabels", "from_name": brush_tag.name, **whole,
                **nested, "value": {"format": "rle", "rle": rle, "brushlabels": [label]},
            }  # fmt: skip


def brush_bytes(mask: RleMask) -> bytes:
    """A mask as Label Studio's brush keeps it: all four channels of each pixel, row by row.

    After the number of values (32 bits), the bits of a value less one (5) and those of the four
    kinds of lengths less one (4 each) come the runs: a one, which kind of length (2 bits), the
    length less one, the value.

    Examples:
        >>> brush_bytes(RleMask(size=(1, 1), counts=b"01")).hex()
        '00000004391bfc7fe0'
    """
    flat = decode(mask).ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([np.zeros(min(flat.size, 1), dtype=np.int64), turns])
    runs, values = np.diff(starts, append=flat.size) * 4, flat[starts]
    # A run that no length can hold is several of the longest.
    pieces = -(-runs // 2**16)
    lengths = np.full(int(pieces.sum()), 2**16)
    lengths[np.cumsum(pieces) - 1] = runs - (pieces - 1) * 2**16
    ones = np.repeat(values, pieces)
    kind = np.searchsorted(2 ** np.array(_LENGTHS), lengths)
    bits = np.array(_LENGTHS)[kind]
    words = (((4 + kind) << bits | (lengths - 1)) << 8) | np.where(ones, 255, 0)
    head = (flat.size * 4 << 21) | (7 << 16) | 0x237F
    return np.packbits(
        np.concatenate([_bits(np.array([head]), np.array([53])), _bits(words, bits + 11)])
    ).tobytes()


def _bits(words: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """The lowest bits of each word, the highest of them first."""
    ends = np.cumsum(widths)
    down = np.repeat(ends, widths) - 1 - np.arange(int(widths.sum()))
    return ((np.repeat(words, widths) >> down) & 1).astype(np.uint8)


def result_faults(results: Sequence[Mapping[str, Any]], config: LabelConfig) -> list[str]:
    """Why Label Studio would not show results as they are meant; empty where it would.

    Examples:
        >>> config = read_label_config(
        ...     '<View><Image name="i" value="$i"/><RectangleLabels name="b" toName="i">'
        ...     '<Label value="Car"/></RectangleLabels></View>'
        ... )
        >>> result_faults([{"id": "r", "from_name": "tag", "type": "rectanglelabels"}], config)
        ["result 0: from_name 'tag' is none of: b"]
        >>> result_faults([], config)
        []
    """
    faults = []
    controls = {control.name: control for control in config.controls}
    ids = [str(result.get("id")) for result in results]
    for number, result in enumerate(results):
        control = controls.get(str(result.get("from_name")))
        if control is None:
            named = f"from_name {result.get('from_name')!r} is none of: {listing(controls)}"
            faults.append(f"result {number}: {named}")
            continue
        found = _faults_of(result, control)
        if ids.count(ids[number]) > 1:
            found.append(f"id {ids[number]!r} stands twice")
        if result.get("parentID") not in (None, *ids):
            found.append(f"parentID {result.get('parentID')!r} is no region's")
        faults += [f"result {number}: {fault}" for fault in found]
    return faults


def _faults_of(result: Mapping[str, Any], control: Control) -> list[str]:
    faults = []
    value = result.get("value") or {}
    if result.get("type") != control.kind:
        faults.append(f"type {result.get('type')!r} is not {control.kind!r}")
    if result.get("to_name") != control.to_name:
        faults.append(f"to_name {result.get('to_name')!r} is not {control.to_name!r}")
    chosen = value.get(control.kind)
    if not isinstance(chosen, list) or not chosen or not set(chosen) <= set(control.labels):
        faults.append(f"{control.kind} {chosen!r}: not labels of {control.name!r}")
    width, height = result.get("original_width", 0), result.get("original_height", 0)
    if min(width, height) < 1:
        faults.append("original_width and original_height are not there")
    if control.kind == "rectanglelabels":
        numbers = [value.get(name) for name in ("x", "y", "width", "height", "rotation")]
        if not all(isinstance(n, int | float) and np.isfinite(n) for n in numbers):
            faults.append("x, y, width, height and rotation are not all numbers")
    elif int.from_bytes(bytes(value.get("rle", ())[:4])) != width * height * 4:
        faults.append("rle is of another size than the picture")
    return faults


# Export ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStudioOptions:
    """Options of `LabelStudioExporter`.

    Attributes:
        prefix: What stands before a picture's path in its address. The default is that of local
            files, whose path is relative to Label Studio's document root.
        images: Whether pictures are linked, or copied to `images/` below the prefix; the frames
            of a video have an address only when they are copied.
        masks: Whether masks go out as brush regions.
        shard: Pictures a file.

    Raises:
        InputError: If the shard is below 1.
    """

    prefix: str = "/data/local-files/?d="
    images: Literal["link", "copy"] = "link"
    masks: bool = True
    shard: int = 10_000

    def __post_init__(self) -> None:
        if self.shard < 1:
            raise InputError(f"{_WHO}: option shard: expected 1 or more")


class LabelStudioExporter:
    """Writes `config.xml` and `tasks-00000.json` and so on.

    Args:
        options: See `LabelStudioOptions`.
        device: Not used.
        dtype: Not used.
    """

    Options = LabelStudioOptions

    def __init__(
        self, options: LabelStudioOptions, *, device: str = "cpu", dtype: object | None = None
    ) -> None:
        self._options = options

    @property
    def holds(self) -> frozenset[Feature]:
        """All but failures, outcomes, regions without a class, and how a picture was stored."""
        masks = {Feature.MASKS, Feature.MASK_PARTS, Feature.MASK_HOLES}
        lacks = {Feature.FAILURES, Feature.OUTCOMES, Feature.UNMAPPED, Feature.TURNED}
        return frozenset(Feature) - lacks - (set() if self._options.masks else masks)

    def export(self, records: Records, target: ExportTarget) -> LossReport:
        """Write all records.

        Raises:
            OutputError: If something cannot be written, or a task would not fit the configuration.
            MediaError: If pictures are copied and one cannot be read.
            InputError: If pictures are to be copied and cannot be had.
        """
        if self._options.images == "copy" and target.read is None:
            raise InputError(f"{_WHO}: option images: the pictures of these records cannot be had")
        counter = LossCounter("label-studio", holds=self.holds)
        labels = _labels(target.classes, counter)
        config = _config(labels, masks=self._options.masks)
        target.folder.write("config.xml", config.encode())
        known = read_label_config(config)
        copies = records if self._options.images == "copy" else ()
        names = OutputNames(record.path for record in copies)
        tasks = self._tasks(records, target, counter, labels=labels, config=known, names=names)
        task = next(tasks, None)
        number = 0
        while task is not None or not number:
            with target.folder.open(f"tasks-{number:05d}.json") as file:
                file.write(b"[")
                for place in range(self._options.shard):
                    if task is None:
                        break
                    line = json.dumps(task, ensure_ascii=False, separators=(",", ":"))
                    file.write((",\n" if place else "\n").encode() + line.encode())
                    task = next(tasks, None)
                file.write(b"\n]\n")
            number += 1
        return counter.report()

    def _tasks(
        self,
        records: Records,
        target: ExportTarget,
        counter: LossCounter,
        *,
        labels: Sequence[str],
        config: LabelConfig,
        names: OutputNames,
    ) -> Iterator[dict[str, Any]]:
        for record in records:
            classes = record.regions.class_ids.tolist()
            counter.see(record, regions=sum(class_id >= 0 for class_id in classes))
            if record.status == "failed" or record.size is None:
                continue
            given = [labels[class_id] if class_id >= 0 else None for class_id in classes]
            results = list(
                region_results(record.regions, config=config, labels=given, size=record.size)
            )
            for result in results:
                row = int(result["id"][1:])
                result["meta"] = {"text": _facts(record.regions, row, target.classes)}
            faults = result_faults(results, config)
            if faults:
                raise OutputError(f"{_WHO}: {ascii(record.path)[:200]}: {faults[0]}")
            address = self._address(record, target, counter, names)
            yield _task(record, results, address=address, title=target.title)

    def _address(
        self,
        record: AnnotationRecord,
        target: ExportTarget,
        counter: LossCounter,
        names: OutputNames,
    ) -> str:
        """Where Label Studio finds a picture."""
        path = record.path
        if self._options.images == "copy" and target.read is not None:
            data = target.read(record)
            path = f"images/{names.of(record.path)}.{picture_ending(data)}"
            target.folder.write(path, data)
        elif record.frame is not None:
            counter.lose("addresses of the frames of videos", why="copy them: images=copy")
        return self._options.prefix + urllib.parse.quote(_encoded(path))


def _encoded(path: str) -> bytes:
    """A path's bytes; of a name that is no UTF-8 those that it has on disk."""
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")


def _task(
    record: AnnotationRecord, results: list[dict[str, Any]], *, address: str, title: str
) -> dict[str, Any]:
    data: dict[str, Any] = {"image": address, "path": _shown(record.path)}
    for name in ("content_hash", "caption", "note"):
        if getattr(record, name):
            data[name] = _shown(getattr(record, name))
    if record.frame is not None:
        frame = record.frame
        data |= {"video": _shown(frame.video), "frame": frame.index, "time": frame.time}
    scores = record.regions.scores
    mean = round(float(scores.mean()), 4) if len(scores) else 0.0
    made = {"model_version": _shown(title), "score": mean, "result": results}
    return {"data": data, "predictions": [made] if results else []}


def _facts(regions: AnnotatedRegions, row: int, classes: ClassTable) -> list[str]:
    """What an annotator reads of a region beside its label."""
    facts: dict[str, object] = {"region": regions.ids[row]}
    prompt = int(regions.prompt_ids[row])
    if prompt >= 0:
        facts["prompt"] = classes.prompts[prompt].text
    if regions.sources and regions.sources[row]:
        facts["found by"] = regions.sources[row]
    if regions.track_ids is not None and regions.track_ids[row] >= 0:
        facts["track"] = int(regions.track_ids[row])
    if regions.attributes:
        facts |= regions.attributes[row]
    return [f"{_shown(str(name))}: {_shown(str(value))}" for name, value in facts.items()]


def _shown(text: str) -> str:
    """A text as databases hold it: no half of a surrogate pair, no NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _labels(classes: ClassTable, counter: LossCounter) -> list[str]:
    """The label of each class: its name where XML and a browser keep it as it is."""
    labels = distinct_names(classes.names, lambda name: _STRANGE.sub(" ", name).strip() or "label")
    changed = sum(map(str.__ne__, labels, classes.names))
    if changed:
        counter.lose("names of classes that XML cannot hold", changed, why="see config.xml")
    return labels


def _config(labels: Sequence[str], *, masks: bool) -> str:
    """A labelling configuration with a tag for boxes and one for brushes."""
    lines = ["<View>", '  <Image name="image" value="$image" zoom="true" zoomControl="true"/>']
    tags = [("RectangleLabels", "box"), *([("BrushLabels", "mask")] if masks else [])]
    for tag, name in tags:
        lines.append(f'  <{tag} name="{name}" toName="image">')
        for place, label in enumerate(labels):
            value = quoteattr(label)
            lines.append(f'    <Label value={value} background="{_colour(place)}"/>')
        lines.append(f"  </{tag}>")
    return "\n".join([*lines, "</View>", ""])


def _colour(place: int) -> str:
    """Colours apart from each other: hues by the golden ratio."""
    red, green, blue = colorsys.hls_to_rgb(place * 0.618033988749895 % 1, 0.5, 0.75)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
