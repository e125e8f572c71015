"""The page of language models in this process runs, and names every option."""

import dataclasses
import re
from pathlib import Path

from groundplane.language.routes import ROUTES
from groundplane.plugins.mof import MofOptions
from groundplane.plugins.transformers import TransformersOptions

PAGE = (Path(__file__).parents[2] / "docs" / "language-models.md").read_text()


def test_its_blocks_run():
    scope = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        exec(block, scope)
    assert scope["events"]


def test_every_option_and_route_is_named():
    options = {field.name for field in dataclasses.fields(TransformersOptions)}
    assert {name for name in (*options, *ROUTES) if f"`{name}`" not in PAGE} == set()
    more = {field.name for field in dataclasses.fields(MofOptions)}
    assert (more - options, options - more) == ({"encoders"}, {"state_offset"})
