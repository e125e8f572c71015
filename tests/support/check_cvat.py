"""Reads an export for CVAT with datumaro, whose requirements differ from ours: run it apart.

    uv run --no-project --isolated --with datumaro python tests/support/check_cvat.py FILE

The pictures are expected in `images/` beside it. Prints what it found as JSON: of each picture
its name and its shapes.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from datumaro import Dataset
from datumaro.components.annotation import AnnotationType


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(file, folder)
        shutil.copytree(file.parent / "images", Path(folder) / "images")
        dataset = Dataset.import_from(folder, "cvat")
        names = [label.name for label in dataset.categories()[AnnotationType.label]]
        print(json.dumps([read(item, names) for item in dataset]))  # noqa: T201


def read(item, names):
    shapes = []
    for shape in item.annotations:
        box = shape.type == AnnotationType.bbox
        numbers = [shape.x, shape.y, shape.x + shape.w, shape.y + shape.h] if box else shape.points
        facts = {name: str(value) for name, value in shape.attributes.items()}
        kind = {"label": names[shape.label], "type": shape.type.name, "facts": facts}
        shapes.append({**kind, "numbers": [float(number) for number in numbers]})
    return {"name": item.id, "shapes": shapes}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
