"""Reads an export with label-studio-sdk, whose requirements differ from ours: run it apart.

    uv run --no-project --isolated --with label-studio-sdk python tests/support/check_label_studio.py FOLDER

Prints how many tasks, boxes and brushes it took, and ends with an error at the first that it
refuses. Beside the export lies `masks.json`: for each task the pixels of each brush.
"""  # noqa: E501

import json
import sys
from pathlib import Path

from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface


def main(folder: Path) -> None:
    config = LabelInterface((folder / "config.xml").read_text(encoding="utf-8"))
    config.validate()
    expected = json.loads((folder / "masks.json").read_text())
    boxes = brushes = 0
    tasks = [
        t for path in sorted(folder.glob("tasks-*.json")) for t in json.loads(path.read_text())
    ]
    for task, masks in zip(tasks, expected, strict=True):
        # With predictions in the task, version 2 of the library calls itself wrongly.
        assert config.validate_task({"data": task["data"]}), task
        for made in task["predictions"]:
            assert config.validate_prediction(made), made
            for result in made["result"]:
                if result["type"] == "rectanglelabels":
                    boxes += 1
                    continue
                brushes += 1
                width, height = result["original_width"], result["original_height"]
                alpha = decode_rle(result["value"]["rle"]).reshape(height, width, 4)[..., 3]
                assert (alpha > 0).astype(int).tolist() == masks[result["id"]], result["id"]
    print(f"tasks {len(tasks)} boxes {boxes} brushes {brushes}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
