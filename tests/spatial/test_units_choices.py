"""Units of answers, printed numbers, and which option of a multiple choice an answer is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core.answer import Answer, Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Count, Measure
from groundplane.spatial.choices import choose
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.spatial.units import UNIT_WORDS, convert, format_number, power_of, unit_of

LENGTHS = ("m", "cm", "mm", "ft", "in")


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1.5, "m", "cm", 150.0),
        (2.0, "ft", "m", 0.6096),
        (1.0, "ft", "in", 12.0),
        (2.0, "m2", "cm2", 20_000.0),
        (1.0, "m3", "ft3", 35.3146667),
        (2.0, "m3", "l", 2000.0),
        (1.0, "l", "cm3", 1000.0),
        (2.0, "yd", "ft", 6.0),
        (1.0, "m2", "in2", 1550.0031),
        (7.0, "px", "px", 7.0),
        (7.0, "map_unit2", "map_unit2", 7.0),
    ],
)
def test_lengths_areas_and_volumes_convert(value, source, target, expected):
    assert convert(value, source, target) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("m", "m2"),
        ("m2", "ft3"),
        ("l", "m"),
        ("m2", "l"),
        ("px", "m"),
        ("m", "px"),
        ("map_unit", "m"),
        ("m", ""),
    ],
)
def test_units_of_different_kinds_are_refused(source, target):
    with pytest.raises(InputError, match="cannot be given in"):
        convert(1.0, source, target)


@given(st.floats(0.001, 1e6), st.sampled_from(LENGTHS), st.sampled_from(LENGTHS), st.integers(1, 3))
def test_there_and_back_is_the_same(value, a, b, power):
    there = convert(value, unit_of(a, power), unit_of(b, power))

    assert convert(there, unit_of(b, power), unit_of(a, power)) == pytest.approx(value)


def test_power_follows_the_measure():
    assert [power_of(name) for name in ("height", "floor_area", "room_area", "volume")] == [
        1, 2, 2, 3,
    ]  # fmt: skip
    assert [unit_of("m", power) for power in (1, 2, 3)] == ["m", "m2", "m3"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3, "count", "3"),
        (2.0, None, "2"),
        (1.234, "m", "1.23 m"),
        (12.34, "m2", "12.3 m²"),
        (99.6, "cm", "100 cm"),
        (5.55, "ft", "5.5 feet"),
        (17.4, "px", "17 pixels"),
        (0.5, "map_unit", "0.50 map units"),
        (0.5, "furlong", "0.50 furlong"),
    ],
)
def test_numbers_are_written_with_digits_worth_reading(value, unit, text):
    assert format_number(value, unit) == text


def test_every_unit_of_a_scene_has_words():
    assert {unit_of(base, p) for base in ("m", "px", "map_unit") for p in (1, 2, 3)} <= set(
        UNIT_WORDS
    )


@pytest.mark.parametrize(
    ("value", "choices", "letter"),
    [
        ("left", ["right", "left"], "B"),
        ("front-left", ["front-right", "front left"], "B"),
        ("couch", ["tv", "sofa"], "B"),
        ("chair-2", ["chair", "tv"], "A"),
        (True, ["no", "yes"], "B"),
        (False, ["true", "false"], "B"),
        (("tv", "sofa"), ["sofa, tv", "tv, sofa"], "B"),
        (3, ["2", "3", "4"], "B"),
        (2.4, ["1.0 m", "2.5 m", "9 m"], "B"),
    ],
)
def test_option_that_the_answer_is(value, choices, letter):
    assert choose(Answer(value=value), choices) == letter


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        (None, ["a", "b"]),
        ("lamp", ["sofa", "tv"]),
        ("left", []),
        ("left", ["left", "Left"]),
        (2.0, ["1.0", "3.0"]),
        (2.0, ["one", "3.0"]),
        (True, ["1", "0"]),
        (("tv",), ["tv, sofa", "sofa, tv"]),
    ],
)
def test_no_letter_where_no_option_or_two_fit(value, choices):
    assert choose(Answer(value=value), choices) is None


def test_wrong_answer_gets_another_letter():
    # The checker must tell a wrong order from a right one.
    choices = ["tv, sofa, bed", "sofa, tv, bed"]

    assert choose(Answer(value=("tv", "sofa", "bed")), choices) == "A"
    assert choose(Answer(value=("sofa", "tv", "bed")), choices) == "B"


# -- printed numbers ---------------------------------------------------------------------------


def measure(name, *of, unit=None):
    return Measure(name=name, of=tuple(Unique(Select(x)) for x in of), unit=unit)


@pytest.mark.parametrize(
    ("scene", "query", "printed"),
    [
        ("3db0a1c8f3", measure("distance", "bed", "sofa"), 3.2),
        ("3db0a1c8f3", measure("size", "refrigerator", unit="cm"), 119),
        ("3db0a1c8f3", measure("room_area"), 57.6),
        ("3db0a1c8f3", Count(Select("chair(s)")), 4),
        ("45b0dac5e3", measure("distance", "door", "cup"), 1.6),
        ("42446103", measure("size", "stove", unit="cm"), 158),
        ("42446103", measure("room_area"), 38.7),
        ("42446103", Count(Select("chairs")), 3),
        ("42446103", measure("distance", "stool", "stove"), 3.5),
        ("42446103", measure("distance", "tv", "stove"), 4.7),
    ],
)
def test_printed_number_of_the_benchmark(data_dir, scene, query, printed):
    path = data_dir / "vsi" / "scenes.json"
    if not path.exists():
        pytest.skip("needs vsi/scenes.json, which is not here")
    room = MapScene(CognitiveMap.load(path, scene=scene), distance="sampled")

    answer = Solver(room).solve(query)

    # Centimetres are printed whole, all else with one digit; halves go to the even digit.
    assert round(answer.value, 0 if answer.unit == "cm" else 1) == pytest.approx(printed)
    assert answer.status is Status.ANSWERED
