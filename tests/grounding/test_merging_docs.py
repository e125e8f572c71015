"""The pages on merging and on the remote expert run, and state the options as they are."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from groundplane.core.detection import DetectRequest
from groundplane.grounding.remote_protocol import read_info, read_requests, read_results
from groundplane.plugins.ensemble import EnsembleOptions
from groundplane.plugins.gated import GatedOptions
from groundplane.plugins.remote import RemoteOptions
from groundplane.testing.detectors import make_image

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("merging", "remote")}


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)


@pytest.mark.parametrize(
    ("page", "number"), [(page, i) for page in PAGES for i in range(len(blocks(page, "python")))]
)
def test_every_example_runs(page, number):
    exec(compile(blocks(page, "python")[number], f"docs/{page}.md", "exec"), {})


@pytest.mark.parametrize(
    ("page", "title", "options"),
    [
        ("merging", "## Several experts", EnsembleOptions),
        ("merging", "## What is not there", GatedOptions),
        ("remote", "# A detector", RemoteOptions),
    ],
)
def test_tables_name_every_option(page, title, options):
    section = PAGES[page].split(title, 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.MULTILINE)
    told = {}
    for names, defaults in rows:
        words = re.findall(r"`(\w+)`", names)
        values = defaults.split(", ") if len(words) > 1 else [defaults]
        told |= dict(zip(words, values * len(words), strict=False))
    fields = {field.name: field.default for field in dataclasses.fields(options)}
    assert told.keys() == fields.keys()
    for name, default in fields.items():
        if isinstance(default, float | int) and not isinstance(default, bool):
            assert float(told[name].split(" ")[0]) == default, name


def test_the_protocol_is_as_the_page_shows_it():
    info, asked, replied = (json.loads(text) for text in blocks("remote", "json"))
    assert read_info(json.dumps(info).encode()).name == "owlv2"
    image = make_image(np.zeros((480, 640, 3), np.uint8))
    asked["images"][0]["data"] = one_picture()
    [request] = read_requests(json.dumps(asked).encode())
    assert request.exemplars == ((10, 10, 50, 60), None)
    replied["results"][0]["regions"]["masks"][0]["counts"] = "PP\\9"  # nothing is on
    request = DetectRequest(image=image, phrases=("red cup", "dog"))
    [result] = read_results(json.dumps(replied).encode(), [request], source="there")
    assert result.regions.labels() == ("red cup",)


def one_picture():
    from groundplane.grounding.remote_protocol import write_requests

    dark = make_image(np.zeros((80, 80, 3), np.uint8))
    body = json.loads(write_requests([DetectRequest(image=dark, phrases=())]))
    return body["images"][0]["data"]
