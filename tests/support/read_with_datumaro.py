"""Run apart, with datumaro: a data set's boxes and masks as JSON on standard output.

python read_with_datumaro.py FOLDER FORMAT [OPTION=VALUE ...]
"""

from __future__ import annotations

import json
import sys

import datumaro
import numpy as np


def described(annotation: datumaro.Annotation, names: list[str]) -> dict:
    """A box by its corners; a mask by its area and the sum of its pixels' places."""
    kind = type(annotation).__name__
    said = {"kind": kind, "label": names[annotation.label]}
    if kind == "Bbox":
        x, y, w, h = annotation.get_bbox()
        return {**said, "box": [x, y, x + w, y + h]}
    if kind == "RleMask":
        places = np.flatnonzero(np.asarray(annotation.image))
        return {**said, "area": len(places), "places": int(places.sum())}
    return {**said, "points": list(annotation.points)}


def main(folder: str, form: str, *pairs: str) -> None:
    options = dict(pair.split("=", 1) for pair in pairs)
    data = datumaro.Dataset.import_from(folder, form, **options)
    names = [label.name for label in data.categories()[datumaro.AnnotationType.label]]
    items = {}
    for item in data:
        found = sorted(item.annotations, key=lambda annotation: annotation.id)
        items[item.id] = [described(annotation, names) for annotation in found]
    print(json.dumps(items))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
