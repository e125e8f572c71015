import contextlib
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.expressions import Or, Relate, Select, Viewpoint
from groundplane.core.queries import Count, Direction, Measure, describe
from groundplane.language.query_forms import FORMS, NODE_KINDS, VIEWPOINT, Form, op_of
from groundplane.language.spatial_queries import (
    LIMITS,
    query_schema,
    read_json,
    read_query,
    write_query,
)
from groundplane.spatial.questions.parser import known_forms, parse_question
from groundplane.spatial.units import UNIT_WORDS

TURNS = ["turn left", "turn right", "turn back"]
VALIDATOR = jsonschema.Draft202012Validator(query_schema())
WORDS = (
    "chair",
    "coffee table",
    "椅子",
    "🪑",
    'a "b"',
    "cafe\u0301",
    "\\",
    "<query>",
    "/etc/passwd",
)
CASES = int(os.environ.get("GROUNDPLANE_CASES", "400"))


def make(form: Form, rng: random.Random, depth: int) -> object:
    """A node of a form, made field by field by the kinds that the form states."""
    for _ in range(100):
        fields = {
            name: form.default(name)
            if form.optional(name) and rng.random() < 0.5
            else of_kind(kind, rng, depth)
            for name, kind in form.kinds.items()
        }
        try:
            return form.made(**fields)
        except InputError:  # a measure of the wrong number of things, two unlike measures
            continue
    raise AssertionError(f"no {form.made.__name__} was made")


def of_kind(kind: str | tuple[str, ...], rng: random.Random, depth: int) -> object:
    if isinstance(kind, tuple):
        return rng.choice(kind)
    kind = kind.removesuffix("?")
    some = range(rng.randint(0, 2))
    if kind in NODE_KINDS:
        if kind == "right" and rng.random() < 0.3:
            return rng.randint(0, 99)
        if kind == "set" and (depth <= 0 or rng.random() < 0.3):
            return Select(rng.choice([None, *WORDS]))
        return make(FORMS[rng.choice(NODE_KINDS[kind])], rng, depth - 1)
    plain: dict[str, Callable[[], object]] = {
        "text": lambda: rng.choice(WORDS),
        "unit": lambda: rng.choice(list(UNIT_WORDS)),
        "number": lambda: round(rng.uniform(0, 100), 3),
        "degrees": lambda: math.radians(rng.randint(-360, 360)),
        "rank": lambda: rng.randint(1, 9),
        "flag": lambda: rng.random() < 0.5,
        "turns": lambda: tuple(rng.choice([None, "?", *TURNS]) for _ in some),
        "options": lambda: tuple((rng.choice(TURNS),) for _ in some),
        "sets": lambda: tuple(of_kind("set", rng, depth) for _ in some),
        "viewpoint": lambda: make(VIEWPOINT, rng, depth - 1),
    }
    return plain[kind]()


def test_what_is_written_is_read_back_and_fits_the_schema() -> None:
    for case in range(CASES):
        rng = random.Random(case)
        ops = NODE_KINDS["query"]
        expression = make(FORMS[ops[case % len(ops)]], rng, 2)

        written = json.loads(json.dumps(write_query(expression), ensure_ascii=False))

        assert read_query(written) == expression, describe(expression)
        if case % 4 == 0:
            VALIDATOR.validate(written)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        read_query(text)
    with contextlib.suppress(InputError):
        read_query({"op": "count", "source": text})


def test_questions_of_the_benchmark_are_written_and_read_back(data_dir: Path) -> None:
    rows = map(json.loads, (data_dir / "vsi/qa.jsonl").read_text("utf-8").splitlines())
    asked = {row["question"]: tuple(row["options"] or ()) for row in rows}
    picked = [*list(asked.items())[::7], *((form, ()) for form in known_forms())]
    for question, choices in picked:
        expression = parse_question(question, choices=choices).expression
        assert read_query(json.dumps(write_query(expression))) == expression, question


def test_every_node_of_a_query_has_a_form() -> None:
    assert {form.made for form in FORMS.values()} >= {Count, Measure, Direction, Relate, Select}
    assert all(op_of(object()) is None for _ in FORMS)
    ops = {op for kinds in NODE_KINDS.values() for op in kinds}
    assert ops == set(FORMS)


def test_the_schema_is_one_and_is_closed() -> None:
    jsonschema.Draft202012Validator.check_schema(query_schema())
    objects = [d for d in query_schema()["$defs"].values() if d.get("type") == "object"]
    assert len(objects) == len(FORMS) + 1
    assert all(found["additionalProperties"] is False for found in objects)


WRONG = {
    "no op": ('{"source": "chair"}', "'op' may be count"),
    "unknown op": ('{"op": "cuont", "source": "x"}', "Did you mean 'count'"),
    "an op that is no text": ('{"op": ["count"]}', "expected one of"),
    "a tool": ('{"op": "shell", "cmd": "rm -rf /"}', "expected one of"),
    "a field more": ('{"op": "count", "source": "x", "path": "/etc/passwd"}', "has no 'path'"),
    "a field less": ('{"op": "compare", "left": {}}', "needs operator, right"),
    "wrong place": ('{"op": "count", "source": {"op": "count", "source": "x"}}', "query.source.op"),
    "unknown relation": (
        '{"op": "relate", "source": "a", "relation": "left", "anchor": "b"}',
        "left_of",
    ),
    "unknown measure": ('{"op": "measure", "name": "weight", "of": ["a"]}', "expected one of"),
    "of too many": ('{"op": "measure", "name": "height", "of": ["a", "b"]}', "expected 1 objects"),
    "flag in words": (
        '{"op": "extreme", "source": "a", "measure": "height", "largest": "yes"}',
        "expected true or false",
    ),
    "a number in words": (
        '{"op": "measured", "source": "a", "measure": "height", "operator": "more", "limit": "2"}',
        "expected a number",
    ),
    "NaN": (
        '{"op": "measured", "source": "a", "measure": "top", "operator": "more", "limit": NaN}',
        "NaN is no number",
    ),
    "huge": (
        '{"op": "measured", "source": "a", "measure": "top", "operator": "more", "limit": 1e999}',
        "a number within",
    ),
    "rank 0": (
        '{"op": "extreme", "source": "a", "measure": "top", "largest": true, "rank": 0}',
        "1 to 1000",
    ),
    "a key twice": ('{"op": "count", "source": "a", "source": "b"}', "twice"),
    "cut off": ('{"op": "count", "source": "ch', "one JSON object"),
    "a list": ("[1]", "one JSON object"),
    "empty": ("", "one JSON object"),
    "an empty phrase": ('{"op": "count", "source": " "}', "1 to 120 characters"),
    "a long phrase": (json.dumps({"op": "count", "source": "x" * 121}), "got 121 characters"),
    "two lines": ('{"op": "count", "source": "a\\nb"}', "on one line"),
    "half a pair": ('{"op": "count", "source": "\\ud800"}', "on one line"),
    "turned text": ('{"op": "count", "source": "a\\u202eb"}', "on one line"),
    "brackets": ("[" * 7000, "too many brackets"),
    "too long": (" " * 8001, "at most 8000 characters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_queries_are_refused_in_words_that_help(name: str) -> None:
    text, says = WRONG[name]

    with pytest.raises(InputError, match=r"^query") as told:
        read_query(text)

    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 900


@pytest.mark.parametrize(
    "name",
    ["no op", "unknown op", "a tool", "a field more", "a field less", "wrong place",
     "unknown relation", "unknown measure", "flag in words", "rank 0", "a long phrase", "a list"],
)  # fmt: skip
def test_the_schema_refuses_what_the_reader_refuses(name: str) -> None:
    assert not VALIDATOR.is_valid(json.loads(WRONG[name][0]))


def test_depth_and_size_are_bounded() -> None:
    deep: object = "chair"
    for _ in range(LIMITS.depth + 1):
        deep = {"op": "unique", "source": deep}
    wide = {"op": "or", "sources": [{"op": "or", "sources": ["a"] * 16}] * 5}
    for query in ({"op": "count", "source": deep}, {"op": "count", "source": wide}):
        with pytest.raises(InputError, match="at most 64 nodes, 12 deep"):
            read_query(query)
    with pytest.raises(InputError, match="a list of at most 16"):
        read_query({"op": "order", "sources": ["a"] * 17})


@pytest.mark.parametrize("phrase", ["椅子", "🪑 chair", "cafe\u0301 table", "stuhl Ä", "a" * 120])
def test_phrases_of_any_script_are_kept(phrase: str) -> None:
    assert read_query({"op": "count", "source": phrase}) == Count(Select(phrase))


def test_a_fence_around_a_query_does_not_count() -> None:
    assert read_query('```json\n{"op": "count", "source": "a"}\n```') == Count(Select("a"))
    assert read_json("```{}```", what="x") == {}


def test_turns_are_written_in_degrees() -> None:
    asked = Direction(
        target=Select("a"),
        viewpoint=Viewpoint(origin=None, facing=Select("b"), turn=math.pi / 2),
    )

    assert write_query(asked)["viewpoint"] == {"facing": "b", "turn": 90.0}
    assert describe(read_query(write_query(asked))) == describe(asked)


def test_what_is_no_node_is_not_written() -> None:
    with pytest.raises(InputError, match="expected a node of a query, got object"):
        write_query(Count(Or((Select("a"), object()))))  # type: ignore[arg-type]
