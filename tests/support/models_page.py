"""docs/models.md, made of the table of systems: `python tests/support/models_page.py` writes it."""

from __future__ import annotations

from pathlib import Path

from groundplane.language.systems import models_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"

_BEFORE = """\
# Models

Every system here gives a grounded answer: text whose phrases are tied to regions of the picture.
The table is made of `groundplane.language.systems`, and the test of each row runs it in the way
that the row says: models of transformers as tiny ones of the true class with random weights, which
are made to say one sentence; models behind a server or a provider against a server on this machine
that answers as they do. What a test cannot show is how well a model answers.

## Routes

| route | who finds the places |
|---|---|
| `own` | the model, in its [dialect](dialects.md), or experts for the phrases that it marks |
| `after` | experts, for what each sentence names once it has closed; the model never waits |
| `marks` | experts first, for what the question names; the model picks numbers (Set-of-Mark) |
| `none` | nobody |

With `after`, phrases are read in English and Chinese; what names nothing that can be seen, and what
the experts do not find, stays text, and the trace says which. Where the experts know certain words
only, a phrase is looked for by its noun alone, and the trace says that too. A model whose numbers
cannot be trusted is best asked with `marks`: it writes no coordinates.

Keys of providers come from the environment (`GEMINI_API_KEY`, `OPENAI_API_KEY`,
`ANTHROPIC_API_KEY`, `DASHSCOPE_API_KEY`, or `key_env=NAME`), and are in no error and no trace.

## Systems

"""
_AFTER = """

## Limits

- Set-of-Mark needs a question that names things, experts with a list of words, or given regions;
  else the model sees the picture as it is, and the trace says so.
- How Claude's pictures are resized is known from quotations of its provider's page only.
- litellm hands on no text of a refusal that OpenAI sends in a field of its own; the answer is
  empty then, and the trace says so.
"""


def page():
    return f"{_BEFORE}{models_table()}{_AFTER}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
