"""CVAT's own client loads the auto-annotation function and asks it; run it apart:

uv run --no-sync --with cvat-cli python tests/support/check_cvat_cli.py
"""

import argparse

from cvat_cli._internal import common
from cvat_sdk.auto_annotation import driver
from PIL import Image

GIVEN = [
    "prompts=str:face: head, eye",
    "detector=str:opencv",
    "device=str:cpu",
    "deadline=float:60",
]
GIVEN += ["skip_failures=bool:true", "options=str:min_score=0.4"]


def main() -> None:
    parser = argparse.ArgumentParser()
    common.configure_function_implementation_arguments(parser)
    pairs = [part for pair in GIVEN for part in ("-p", pair)]
    given = parser.parse_args(["--function-module", "groundplane.apps.cvat_function", *pairs])
    loader = common.FunctionLoader(given.function_module, None, given.function_parameters)
    function = loader.load()
    context = driver._DetectionFunctionContextImpl(frame_name="grey.png")
    shapes = function.detect(context, Image.new("RGB", (64, 64), "grey"))
    print([label.name for label in function.spec.labels], shapes)  # noqa: T201


if __name__ == "__main__":
    main()
