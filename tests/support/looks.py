"""Jobs and pictures for tests of what looks at them."""

import numpy as np

from groundplane.annotation.items import Picture
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationPrompt, ClassTable


def job(*prompts, **fields):
    """A job that looks for prompts, each a text or a text and a threshold; one class each."""
    pairs = [(one, None) if isinstance(one, str) else one for one in prompts]
    classes = ClassTable(
        names=tuple(text for text, _ in pairs),
        prompts=tuple(
            AnnotationPrompt(text=text, class_id=index, threshold=threshold)
            for index, (text, threshold) in enumerate(pairs)
        ),
    )
    return JobSpec(source="photos", classes=classes, **fields)


def picture(path="a.png", level=0, size=(40, 30), **fields):
    """A grey picture; `size` is width and height."""
    pixels = np.full((size[1], size[0], 3), level, np.uint8)
    return Picture(path=path, content_hash=f"{hash(path):x}", pixels=pixels, **fields)


def told(record):
    """All that a record says of a picture, as plain values that can be compared."""
    regions = record.regions
    return (
        record.path,
        record.status,
        record.size,
        record.outcomes,
        regions.ids,
        regions.boxes.tolist(),
        regions.scores.tolist(),
        regions.prompt_ids.tolist(),
        regions.class_ids.tolist(),
        regions.kept.tolist(),
        regions.masks,
        tuple(map(dict, regions.attributes)),
        regions.sources,
        record.failure,
        record.frame,
        record.caption,
        record.note,
    )
