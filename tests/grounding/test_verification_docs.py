"""What docs/verification.md shows is what happens."""

import re
from pathlib import Path

import pytest

from groundplane.grounding.claims import read_claims
from groundplane.spatial.claim_relations import Wordings
from groundplane.verifying import verify

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")


def test_the_first_example_prints_what_its_comments_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    exec(compile(code, "docs/verification.md", "exec"), {"verify": verify})
    said = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.parametrize("kind", ["exists", "count", "attribute", "relation", "measurement"])
def test_every_example_of_a_kind_is_read_as_that_kind(kind: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {kind} |"))
    for example in re.findall(r"`([^`]+)`", row):
        claims = read_claims(example, relations=Wordings()).claims
        assert kind in [claim.kind for claim in claims], example
