"""From a question to its query: every form, VSI-Bench's own questions, refusals, robustness."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.errors import InputError
from groundplane.core.expressions import Extreme, Relate, Select
from groundplane.core.queries import (
    Compare,
    Count,
    Direction,
    Measure,
    Order,
    Route,
    describe,
    nodes_of,
)
from groundplane.spatial.questions.contrasting import CONTRASTING
from groundplane.spatial.questions.denying import DENYING
from groundplane.spatial.questions.identifying import IDENTIFYING
from groundplane.spatial.questions.pairing import PAIRING
from groundplane.spatial.questions.parser import (
    FORMS,
    NotUnderstoodError,
    ParsedQuestion,
    known_forms,
    parse_question,
)
from groundplane.spatial.questions.sighting import SIGHTING

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
QA = DATA / "vsi" / "qa.jsonl"

# `describe` in short: <sofa> is the one sofa, {chairs} are all chairs, * is anything.
SHORT = (
    (r"unique\(select\('([^']*)'\)\)", r"<\1>"),
    (r"select\('([^']*)'\)", r"{\1}"),
    (r"select\(\)", "*"),
    (r"measure='distance', largest=False", "nearest"),
    (r"measure='distance', largest=True", "farthest"),
    (r"measure\(name='(\w+)'(?:, of=)?", r"measure(\1 "),
    (r"viewpoint=viewpoint\(origin=", "view("),
    (r"source=|relation=|measure=|operator=|sectors=", ""),
    (r"anchor=", "to "),
    (r"turn=3\.14\d+", "back"),
)

# A form, then questions and their queries.
TABLE = """\
# appearance order
? In what order do the sofa, the tv and the door appear?
= order([<sofa>, <tv>, <door>])
? What is the appearance order of sofa, tv, door?
= order([<sofa>, <tv>, <door>])
# seen first
? What appears first, the sofa or the tv?
= extreme(or([<sofa>, <tv>]), 'first_seen', largest=False)
? Which of the lamp or the bed comes into view last?
= extreme(or([<lamp>, <bed>]), 'first_seen', largest=True)
# walking distance
? How far do I have to walk from the sofa to the door?
= way(start=<sofa>, goal=<door>)
? What is the walking distance between the bed and the tv, in feet?
= way(start=<bed>, goal=<tv>, unit='ft')
? Standing at the sofa, how far do I have to walk to the door?
= way(start=<sofa>, goal=<door>)
? How far must I go to reach the door from the sofa?
= way(start=<sofa>, goal=<door>)
# way possible
? Can I get from the sofa to the door?
= way(start=<sofa>, goal=<door>, tell='possible')
? Can a robot 80 cm wide drive from the bed to chair-1?
= way(start=<bed>, goal=<chair-1>, tell='possible', width=0.8)
? Is there a way from the sofa to the tv?
= way(start=<sofa>, goal=<tv>, tell='possible')
? Could somebody get to the tv from the bed?
= way(start=<bed>, goal=<tv>, tell='possible')
# way
? How would you get to the bed from the sofa?
= way(start=<sofa>, goal=<bed>, tell='steps')
? Which way should I go from the sofa to the door?
= way(start=<sofa>, goal=<door>, tell='steps')
? How do I get from the sofa to the door?
= way(start=<sofa>, goal=<door>, tell='steps')
? What is the shortest way from the chair nearest the tv to the door?
= way(start=unique(extreme({chair}, nearest, to <tv>)), goal=<door>, tell='steps')
? Give me directions from the sofa to the lamp on the table
= way(start=<sofa>, goal=unique(relate({lamp}, 'on', to <table>)), tell='steps')
# as many as
? Are there at least two chairs?
= compare(left=count({chairs}), 'more', right=1)
? Do you see exactly three cups?
= compare(left=count({cups}), 'equal', right=3)
# nearest option
? Which is closest to the door: the chair, the table or the tv?
= extreme(or([<chair>, <table>, <tv>]), nearest, to <door>)
? Of the chair, the table and the tv, which is nearest to the door?
= extreme(or([<chair>, <table>, <tv>]), nearest, to <door>)
? Chair, table, tv: which one is farthest from the door?
= extreme(or([<chair>, <table>, <tv>]), farthest, to <door>)
? Which of these objects (chair, stool, stove, sofa) is the closest to the tv?
= extreme(or([<chair>, <stool>, <stove>, <sofa>]), nearest, to <tv>)
? Which is second closest to the door: the chair, the table or the tv?
= extreme(or([<chair>, <table>, <tv>]), nearest, to <door>, rank=2)
# nearer of two
? Is the sofa closer to the tv or to the table?
= extreme(or([<tv>, <table>]), nearest, to <sofa>)
? Which is the sofa nearer to, the tv or the table?
= extreme(or([<tv>, <table>]), nearest, to <sofa>)
# closer than
? Is the tv closer to the sofa than the bed is?
= compare(left=measure(distance [<tv>, <sofa>]), 'fewer', right=measure(distance [<bed>, <sofa>]))
? Is the tv farther from the sofa than from the bed?
= compare(left=measure(distance [<tv>, <sofa>]), 'more', right=measure(distance [<tv>, <bed>]))
# biggest of
? Which is bigger, the sofa or the bed?
= extreme(or([<sofa>, <bed>]), 'volume', largest=True)
? Between the sofa and the bed, which is taller?
= extreme(or([<sofa>, <bed>]), 'height', largest=True)
? Which is the tallest of the lamp, the door and the fridge?
= extreme(or([<lamp>, <door>, <fridge>]), 'height', largest=True)
# bigger than
? Is the fridge taller than the stove?
= compare(left=measure(height [<fridge>]), 'more', right=measure(height [<stove>]))
? Does the lamp stand higher than the table?
= compare(left=measure(top [<lamp>]), 'more', right=measure(top [<table>]))
# longest side
? What is the longest side of the bed, in cm?
= measure(size [<bed>], unit='cm')
? What's the largest dimension of the sofa in metres?
= measure(size [<sofa>], unit='m')
# room size
? How big is this room?
= measure(room_area )
? What is the floor area of the apartment in square feet?
= measure(room_area , unit='ft2')
? How many square meters is the room?
= measure(room_area , unit='m2')
? How much floor space does this place have?
= measure(room_area )
# elevation
? How high above the floor is the window?
= measure(elevation [<window>])
? How high up is the picture?
= measure(elevation [<picture>])
# more floor
? Does the sofa take up more floor space than the bed?
= compare(left=measure(floor_area [<sofa>]), 'more', right=measure(floor_area [<bed>]))
# distance
? How far is the sofa from the tv?
= measure(distance [<sofa>, <tv>])
? How far apart are the sofa and the tv?
= measure(distance [<sofa>, <tv>])
? What's the distance between the sofa and the tv, in feet?
= measure(distance [<sofa>, <tv>], unit='ft')
? How many meters are there between the bed and the door?
= measure(distance [<bed>, <door>], unit='m')
? How close is the toilet to the table pls
= measure(distance [<toilet>, <table>])
? What is the distance from the centre of the sofa to the centre of the tv?
= measure(center_distance [<sofa>, <tv>])
? sofa to bookshelf, how far?
= measure(distance [<sofa>, <bookshelf>])
? How far apart are the windows?
= measure(distance [{windows}, {windows}])
? Standing at the sofa, how far is the tv from me?
= measure(distance [<tv>, <sofa>])
# size
? How tall is the refrigerator?
= measure(height [<refrigerator>])
? What is the height of the door in inches?
= measure(height [<door>], unit='in')
? The bookshelf, how wide is it?
= measure(width [<bookshelf>])
? What are the dimensions of the rug?
= measure(size [<rug>])
? How deep are the shelves?
= measure(depth [{shelves}])
# floor space
? How much floor space does the bed take up?
= measure(floor_area [<bed>])
# more or fewer
? Are there more chairs than tables?
= compare(left=count({chairs}), 'more', right=count({tables}))
? Are there as many lamps as windows in the room?
= compare(left=count({lamps}), 'equal', right=count({windows}))
? Do we have fewer chairs than lamps?
= compare(left=count({chairs}), 'fewer', right=count({lamps}))
# most numerous
? Are there more chairs or tables?
= extreme(or([{chairs}, {tables}]), 'count', largest=True)
# count
? How many chairs are there?
= count({chairs})
? How many table(s) are in this room?
= count({tables})
? Count the chairs.
= count({chairs})
? What is the total number of windows in this room?
= count({windows})
? there are how many pillows?
= count({pillows})
? How many chairs are near the table?
= count(relate({chairs}, 'near', to <table>))
? How many lamps are within 2 m of the bed?
= count(relate({lamps}, 'within', to <bed>, limit=2.0))
? How many objects are on the dining table?
= count(relate(*, 'on', to <dining table>))
# exists
? Is there a window?
= exists({window})
? Do you see any lamps?
= exists({lamps})
? Does the room have a sofa?
= exists({sofa})
? Is there a lamp on the table?
= exists(unique(relate({lamp}, 'on', to <table>)))
? Is there anything under the bed?
= exists(relate(*, 'under', to <bed>))
? Is there any chair more than 3 feet from the door?
= exists(unique(relate({chair}, 'beyond', to <door>, limit=0.9144000000000001)))
# direction, quadrants
? Standing by the tv facing the bed, is the table front-left, front-right or back-left?
= direction(target=<table>, view(<tv>, facing=<bed>), 'quadrants')
# direction, with back
? Standing by the tv and facing the bed, is the table to my left, right, or back?
= direction(target=<table>, view(<tv>, facing=<bed>), 'sides_and_back')
# direction, front or back
? Standing at the sofa facing the tv, is the door in front of me or behind me?
= direction(target=<door>, view(<sofa>, facing=<tv>), 'front_back')
# direction, sides
? If I am standing by the bed and facing the tv, is the table to the left or the right of the tv?
= direction(target=<table>, view(<bed>, facing=<tv>), to <tv>, 'sides')
? Standing at the sofa with my back to the tv, is the door on my left or my right?
= direction(target=<door>, view(<sofa>, facing=<tv>, back), 'sides')
? On which side of the sofa is the lamp?
= direction(target=<lamp>, viewpoint=None, to <sofa>, 'sides')
# direction
? Standing at the sofa facing the tv, where is the table?
= direction(target=<table>, view(<sofa>, facing=<tv>))
? In which direction is the door from the bed?
= direction(target=<door>, viewpoint=None, to <bed>)
? Where is the laptop?
= attribute(<laptop>, name='place')
# nearest
? Which chair is closest to the door?
= unique(extreme({chair}, nearest, to <door>))
? What is the second nearest object to the bed?
= unique(extreme(*, nearest, to <bed>, rank=2))
? What is farthest from the window?
= unique(extreme(*, farthest, to <window>))
# biggest
? What is the tallest object?
= unique(extreme(*, 'height', largest=True))
? Which is the second biggest chair?
= unique(extreme({chair}, 'volume', largest=True, rank=2))
? What is the smallest thing in the room?
= unique(extreme(*, 'volume', largest=False))
# colour
? What colour is the sofa?
= attribute(<sofa>, name='color')
? What is the colour of the rug?
= attribute(<rug>, name='color')
# material
? What is the table made of?
= attribute(<table>, name='material')
? What material is the bed?
= attribute(<bed>, name='material')
# list
? What objects are there?
= *
? List everything in the room.
= *
? What can you see?
= *
# what it is on
? What does the tv stand on?
= relate(*, 'supports', to <tv>)
? What is the laptop on?
= relate(*, 'supports', to <laptop>)
# what is there
? What is to the left of the sofa?
= relate(*, 'left_of', to <sofa>)
? What is on the table next to the sofa?
= relate(*, 'on', to unique(relate({table}, 'next_to', to <sofa>)))
? Which chairs are near the table?
= relate({chairs}, 'near', to <table>)
? List all lamps near the bed.
= relate({lamps}, 'near', to <bed>)
# relation
? Is the lamp on the table?
= exists(relate(<lamp>, 'on', to <table>))
? Is the sofa between the tv and the bed?
= exists(relate(<sofa>, 'between', to or([<tv>, <bed>])))
? Are the chairs next to the table?
= compare(left=count(relate({chairs}, 'next_to', to <table>)), 'equal', right=count({chairs}))
? The keyboard is on the table, isn't it?
= exists(relate(<keyboard>, 'on', to <table>))
? Is the plant left of the tv when I sit on the sofa facing the tv?
= exists(relate(<plant>, 'left_of', to <tv>, view(<sofa>, facing=<tv>)))
"""


def brief(expression):
    text = describe(expression)
    for pattern, short in SHORT:
        text = re.sub(pattern, short, text)
    return text


def _rows():
    form = ""
    lines = iter(TABLE.strip().splitlines())
    for line in lines:
        if line.startswith("# "):
            form = line[2:]
        else:
            yield line[2:], form, next(lines)[2:]


@pytest.mark.parametrize(("question", "form", "query"), [*_rows()])
def test_a_question_gives_its_form_and_query(question, form, query):
    parsed = parse_question(question)

    assert (parsed.form, brief(parsed.expression)) == (form, query)


def test_every_form_has_a_question_in_the_table():
    asked = {form for _, form, _ in _rows()}
    by_phrase = {"count in relation", "exists in relation"}  # read as one noun phrase first
    # Those of tests/spatial/test_questions_pairs.py.
    pairs = (*CONTRASTING, *DENYING, *IDENTIFYING, *PAIRING, *SIGHTING)
    elsewhere = {form.name for form in pairs} | {"width of the way"}

    assert {form.name for form in FORMS} - by_phrase - elsewhere == asked


def test_an_example_of_every_form_is_understood():
    for example in known_forms():
        assert isinstance(parse_question(example), ParsedQuestion), example


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title, lambda q: f"  {q} ?? "])
def test_case_spaces_and_marks_do_not_matter(change):
    plain = parse_question("how far is the sofa from the tv")

    assert parse_question(change("how far is the sofa from the tv")) == plain


class TestVsiBench:
    """All 1,583 questions, each against what its type must become."""

    @pytest.fixture
    def questions(self):
        if not QA.exists():
            pytest.skip("needs ../shared/data/vsi/qa.jsonl")
        return [json.loads(line) for line in QA.read_text().splitlines()]

    def test_every_question_gives_the_query_of_its_type(self, questions):
        wrong = [q["question"] for q in questions if not right(q)]

        assert len(questions) == 1583
        assert wrong == []

    def test_a_question_under_another_type_is_seen(self, questions):
        kinds = sorted({q["question_type"] for q in questions})
        following = dict(zip(kinds, kinds[1:] + kinds[:1], strict=True))
        firsts = {q["question_type"]: q for q in reversed(questions)}

        assert not any(right({**q, "question_type": following[k]}) for k, q in firsts.items())


def right(row):
    """Whether a row of VSI-Bench is parsed into what its type asks for."""
    options = row["options"] or ()
    parsed = parse_question(row["question"], choices=options)
    node, kind = parsed.expression, row["question_type"]
    if len(parsed.choices) != len(options):
        return False
    measures = {
        "object_size_estimation": ("size", "cm", 1),
        "room_size_estimation": ("room_area", "m2", 0),
        "object_abs_distance": ("distance", "m", 2),
    }
    if kind in measures:
        is_measure = isinstance(node, Measure)
        return is_measure and (node.name, node.unit, len(node.of)) == measures[kind]
    sectors = {"easy": "sides", "medium": "sides_and_back", "hard": "quadrants"}
    if kind.startswith("object_rel_direction"):
        wanted = sectors[kind.rpartition("_")[2]]
        placed = isinstance(node, Direction) and node.viewpoint is not None
        return placed and node.sectors == wanted and node.viewpoint.origin is not None
    if kind == "object_counting":
        return isinstance(node, Count)
    if kind == "object_rel_distance":
        return isinstance(node, Extreme) and len(node.source.sources) == 4 and not node.largest
    if kind == "obj_appearance_order":
        return isinstance(node, Order) and len(node.sources) == 4
    if not isinstance(node, Route) or len(node.options) != len(options):
        return False
    return {len(turns) for turns in node.options} == {node.turns.count("?")}


# -- what is refused ----------------------------------------------------------------------

REFUSED = """
How tall is the fridge? And is there a window?
how many chairs are there and how big is the room?
Is there a window? Is there a door?
Where is the sofa and what colour is it?
Is there a lamp on the table, and how tall is it?
How tall is the fridge; is there a window
Is there a chair and how far is it from the table?
How tall is the fridge not?
What is the tallest object and the smallest object?
Move the chair to the table.
Turn on the lamp
Could you please put the lamp on the table?
How much is the sofa?
What is the price of the table?
How heavy is the bed?
Why is the chair here?
Is the door open?
Is the tv on?
What is the capital of France?
How many people live in Paris?
How many people can sit on the sofa?
no sofa wants the tv, how tall
Does the sofa fit between the door and the bed?
How are you?
What is?
What is on?
How tall is the ?
How far is the sofa?
Is there a?
chair
the the the
...
asdf qwer zxcv
<script>alert(1)</script>
how many 🪑 are there?
сколько стульев?
كم عدد الكراسي
"""


STRANGE = ("", " \n\t", "😀", "\x00\x01", "how tall is \x00?", "a" * 10_000)


@pytest.mark.parametrize("text", [*REFUSED.strip().splitlines(), *STRANGE])
def test_anything_else_is_refused_in_one_line_with_examples(text):
    with pytest.raises(NotUnderstoodError) as caught:
        parse_question(text)

    message = str(caught.value)
    assert isinstance(caught.value, InputError)
    assert message.isprintable()
    assert any(example in message for example in known_forms())
    assert len(message) < 1200


# -- robustness ---------------------------------------------------------------------------

WORDS = [*sorted(set(re.findall(r"[a-z']+|[?,:]", TABLE + REFUSED.lower()))), "A. left", "2 m"]


def survives(text):
    try:
        return isinstance(parse_question(text), ParsedQuestion)
    except NotUnderstoodError:
        return True


def test_random_words_are_parsed_or_refused():
    rng = random.Random(7)
    for _ in range(int(os.environ.get("GROUNDPLANE_FUZZ", "800"))):
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, 18)))
        assert survives(text), text


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=120))
def test_random_unicode_is_parsed_or_refused(text):
    assert survives(text)


# What once took for ever, and its like: each piece is repeated up to the limits of length.
PIECES = (
    "is", "the", "from", "to", "of", ", ", "and ? and", ", and", "a, is it", "is a or b", "1", "or",
    "on the chair near the", "if i am standing by the tv and facing", "with my back to", "please",
    "closer to", "how many", "left, right, or back", "within 2 m of", "would be", "A. l B. r",
)  # fmt: skip
ROUTE = "you are a robot beginning at a facing b. you want to go to c. 1. "
HEADS = ("", "is ", "how far is ", "how tall is ", "which of ", "standing by ", ROUTE)
HOSTILE = """
import sys
sys.path[:0] = {path!r}
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question
texts = [(h + (p + " ") * 1500)[:n] for h in {heads!r} for p in {pieces!r} for n in (380, 1490)]
for text in texts:
    try:
        parse_question(text)
    except NotUnderstoodError:
        pass
print(len(texts))
"""


def test_no_text_keeps_the_parser_busy():
    code = HOSTILE.format(path=sys.path, heads=HEADS, pieces=PIECES)

    # About three seconds; one exponential pattern would take years.
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == (f"{2 * len(HEADS) * len(PIECES)}\n", "")


def test_deep_nesting_ends_before_the_recursion_does():
    text = "how tall is the lamp " + "on the lamp " * 30

    assert describe(parse_question(text).expression).count("relate(") == 30
    with pytest.raises(NotUnderstoodError, match="too long"):
        parse_question("how tall is the lamp " + "on the lamp " * 100)


@pytest.mark.parametrize(
    ("question", "relation"),
    [
        ("how many chairs face the table?", "facing"),
        ("does the sofa face the tv?", "facing"),
        ("which objects face the tv?", "facing"),
        ("is the chair facing the tv?", "facing"),
        ("is the chair facing away from the tv?", "facing_away"),
        ("is the sofa far from the tv?", "far"),
        ("is the sofa opposite the tv?", "opposite"),
        ("what is across from the tv?", "opposite"),
        ("is the sofa parallel to the bed?", "parallel"),
        ("is the desk perpendicular to the bed?", "perpendicular"),
        ("is the sofa aligned with the tv?", "aligned_with"),
        ("is the cup beneath the table?", "under"),
        ("which chairs are taller than the table?", "taller"),
        ("what is smaller than the bed?", "smaller"),
        ("does the box contain the cup?", "contains"),
        ("which chairs are as big as the table?", "same_size"),
    ],
)
def test_relations_of_direction_and_size_are_read(question, relation):
    nodes = nodes_of(parse_question(question).expression)

    assert {node.relation for node in nodes if isinstance(node, Relate)} == {relation}


MISREAD = [
    "how many chairs are near the dining table and the sofa?",
    "is there space for a table next to the sofa?",
    "which chair is closest to the laptop and the cup?",
    "what is nearest to the sofa and farthest from the tv?",
    "standing on the left of the sofa facing the tv, is the lamp to my left or right?",
    "is the sofa taller than the bed is long?",
    "how many pieces of furniture are there?",
]


@pytest.mark.parametrize("question", MISREAD)
def test_what_would_be_read_as_another_question_is_refused(question):
    with pytest.raises(NotUnderstoodError):
        parse_question(question)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "are there five chairs?",
            "compare(left=count(select('chairs')), operator='equal', right=5)",
        ),
        (
            "are there at least 2 cups?",
            "compare(left=count(select('cups')), operator='more', right=1)",
        ),
        (
            "is there more than one sofa?",
            "compare(left=count(select('sofa')), operator='more', right=1)",
        ),
        (
            "are all the chairs near the tv?",
            (
                "compare(left=count(relate(source=select('chairs'), relation='near', "
                "anchor=unique(select('tv')))), operator='equal', right=count(select('chairs')))"
            ),
        ),
        (
            "what is on the table except the cup?",
            (
                "except(relate(source=select(), relation='on', anchor=unique(select('table'))), "
                "unique(select('cup')))"
            ),
        ),
    ],
)
def test_numbers_all_and_exceptions_are_part_of_the_query(question, expected):
    assert describe(parse_question(question).expression) == expected


def test_options_are_what_is_chosen_among():
    parsed = parse_question("Which is closest to the door? A. chair B. tv")
    assert (
        describe(parsed.expression.source) == "or([unique(select('chair')), unique(select('tv'))])"
    )


@pytest.mark.parametrize(
    ("question", "operator", "right"),
    [
        ("Are there exactly zero chairs?", "equal", 0),
        ("Are there 0 chairs?", "equal", 0),
        ("Are there more than zero chairs?", "more", 0),
        ("Are there at least zero chairs?", "more", -1),
        ("Are there at most zero chairs?", "fewer", 1),
    ],
)
def test_zero_is_a_number_and_no_adjective(question, operator, right):
    found = parse_question(question).expression

    assert found == Compare(left=Count(Select("chairs")), operator=operator, right=right)
