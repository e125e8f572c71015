"""The list of forms in the docs is the code's."""

from pathlib import Path

import pytest

from groundplane.spatial.questions.parser import FORMS, parse_question

PAGE = Path(__file__).resolve().parents[2] / "docs" / "questions.md"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_is_listed_with_an_example_that_it_reads(form):
    assert f"| {form.name} | {form.example} |" in PAGE.read_text()
    assert parse_question(form.example).form in {other.name for other in FORMS}


def test_no_form_is_listed_that_is_not_there():
    table = PAGE.read_text().split("## Names")[0]
    listed = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    assert listed - {"form"} == {form.name for form in FORMS}
