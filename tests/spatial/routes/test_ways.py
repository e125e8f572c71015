"""Questions for a way, from the words to the sentence."""

from pathlib import Path

import jsonschema
import pytest

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Way
from groundplane.core.regions import Regions
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.plane import PlaneScene
from groundplane.spatial.rendering import draw_map
from groundplane.spatial.routes.finding import shortest_walk
from groundplane.spatial.scene import MapScene
from groundplane.spatial.solver import Solver
from groundplane.testing.scenes import SceneBuilder


def the(name):
    return Unique(Select(name))


def flat():
    """Two rooms, joined by a gap of 0.9 m between two cupboards."""
    return (
        SceneBuilder("flat")
        .room([(0, 0), (8, 0), (8, 4), (0, 4)])
        .add("sofa", at=(1, 2, 0.4), size=(1, 2, 0.8))
        .add("cupboard", at=(4, 0.775, 1), size=(0.4, 1.55, 2))
        .add("cupboard", at=(4, 3.225, 1), size=(0.4, 1.55, 2))
        .add("door", at=(7.95, 2, 1), size=(0.1, 1, 2))
        .add("chair", at=(6, 3.5, 0.5), size=(0.5, 0.5, 1))
        .add("chair", at=(6, 0.5, 0.5), size=(0.5, 0.5, 1))
    )


def barred():
    return flat().add("table", at=(4, 2, 0.4), size=(0.4, 0.3, 0.8))


def ask(question, scene=None):
    return Asker((scene or flat()).build()).ask(question)


def test_length_of_the_walk_is_the_shortest_ones():
    reply = ask("How far do I have to walk from the sofa to the door?")
    walk = shortest_walk(flat().build(), 0, 3)

    assert reply.value == pytest.approx(walk.length)
    assert (reply.unit, reply.status) == ("m", Status.ANSWERED)
    assert reply.evidence == ("sofa", "door")
    assert reply.text == f"From the sofa to the door it is {walk.length:.2f} m on foot."
    assert reply.answer.path[0] == pytest.approx(tuple(walk.points[0]))
    assert reply.answer.measure.startswith("shortest way of somebody 0.50 m wide")


def test_length_in_the_unit_that_is_asked_for():
    metres = ask("How far do I have to walk from the sofa to the door?").value
    feet = ask("How far do I have to walk from the sofa to the door, in feet?")

    assert feet.value == pytest.approx(metres / 0.3048)
    assert "feet on foot" in feet.text
    assert ask(
        "What is the walking distance from the sofa to the door in square metres?"
    ).status is (Status.CANNOT_DETECT)


def test_steps_name_what_one_walks_to_and_whose_left_it_is():
    reply = ask("How do I get from the sofa to the door?")

    assert reply.value[0].startswith("start at the sofa facing")
    assert reply.value[-1].endswith("until the door")
    assert reply.unit is None
    assert reply.text.startswith("From the sofa to the door (")
    assert "the walker's own left and right" in reply.frame
    assert any(step.name == "walk" and "passes by" in step.detail for step in reply.trace)


def test_where_nothing_is_ahead_the_frame_tells_the_heading():
    scene = SceneBuilder().room([(0, 0), (6, 0), (6, 2), (2, 2), (2, 6), (0, 6)])
    scene.add("sofa", at=(1, 5.5, 0.4), size=(1, 0.8, 0.8))
    scene.add("door", at=(5.95, 1, 1), size=(0.1, 0.8, 2))
    reply = ask("How do I get from the sofa to the door?", scene)

    assert reply.value[0].endswith("degrees counter-clockwise from the x axis")
    assert reply.frame.startswith("the walker's own left and right, from sofa on, heading ")


def test_whether_one_can_get_there():
    yes, no = (ask("Can I get from the sofa to the door?", scene) for scene in (flat(), barred()))

    assert (yes.value, no.value) == (True, False)
    assert yes.text.startswith("Yes, one can get from the sofa to the door: ")
    assert no.status is Status.ANSWERED


def test_no_way_says_how_wide_the_widest_is_and_what_is_in_it():
    reply = ask("How do I get from the sofa to the door?", barred())

    assert reply.value == "no way"
    assert (
        reply.text
        == (
            "There is no way from the sofa to the door. No way is wider than 0.30 m and 0.50 m are "
            "needed; the table is in the way."
        )
        or "wider than 0.29 m" in reply.text
    )
    assert reply.evidence == ("sofa", "door", "table")
    assert reply.answer.path == ()


def test_way_that_is_shut_says_so():
    shut = flat().add("table", at=(4, 2, 0.4), size=(0.4, 1.2, 0.8))

    assert (
        "Every way is shut and 0.50 m are needed; the table is in the way"
        in ask("Can I walk from the sofa to the door?", shut).text
    )


@pytest.mark.parametrize(("width", "value"), [("80 cm", True), ("1 m", False), ("2 feet", True)])
def test_width_of_the_walker_counts(width, value):
    assert ask(f"Can a robot {width} wide drive from the sofa to the door?").value is value


def test_walker_larger_than_the_room_stands_nowhere():
    reply = ask("Can a cart 5 m wide get from the sofa to the door?")

    assert reply.value is False
    assert "nowhere here for somebody 5.00 m wide to stand" in reply.text


def test_of_several_the_nearest_on_foot_is_taken_and_told():
    reply = ask("How far do I have to walk from the cupboard-1 to the chair?")

    assert reply.evidence == ("cupboard-1", "chair-2")
    assert "there are 2 of 'chair'; took chair-2, the nearest on foot" in reply.text.lower()


def test_start_that_is_the_goal_is_asked_back():
    reply = ask("How do I get from the sofa to the couch?")

    assert reply.status is Status.AMBIGUOUS
    assert "same object; name two" in reply.text


@pytest.mark.parametrize("name", ["unicorn", "soffa"])
def test_place_that_is_not_there(name):
    assert ask(f"How do I get from the {name} to the door?").status is Status.UNKNOWN_OBJECT


def test_scene_without_metres_is_refused():
    scene = SceneBuilder(scale="relative").add("cup", at=(0, 0, 0)).add("jug", at=(3, 0, 0))
    reply = ask("How far do I have to walk from the cup to the jug?", scene)

    assert reply.status is Status.CANNOT_DETECT
    assert "no metres" in reply.text


def test_unknown_outline_is_told():
    scene = SceneBuilder().add("bed", at=(0, 0, 0.5)).add("desk", at=(3, 0, 0.5))
    reply = ask("How far do I have to walk from the bed to the desk?", scene)

    assert reply.value == pytest.approx(1.9, abs=0.01)
    assert "outline is not stated: the floor is taken to reach 1 m beyond the objects" in reply.text


def test_thing_out_of_reach_is_told_with_how_far_it_is():
    table = SceneBuilder().room([(0, 0), (8, 0), (8, 6), (0, 6)])
    table.add("table", at=(3, 3, 0.4), size=(3, 3, 0.8)).add("vase", at=(3, 3, 0.9))
    reply = ask("How far is it to walk from the vase to the bed?",
                table.add("bed", at=(7.5, 3, 0.3), size=(1, 2, 0.6)))  # fmt: skip

    assert "the vase is 1.55 m from where one can stand" in reply.text.lower()


def test_too_many_ways_are_asked_back():
    scene = SceneBuilder()
    for i in range(25):
        scene.add("cup", at=(i, 0, 0)).add("jug", at=(i, 3, 0))

    assert (
        "625 ways; say which" in ask("How far is it to walk from the cup to the jug?", scene).text
    )


def test_photo_has_no_floor():
    regions = Regions.empty(phrases=("cup", "jug"), image_size=(100, 100))

    answer = Solver(PlaneScene(regions)).solve(Way(start=the("cup"), goal=the("jug")))

    assert answer.status is Status.CANNOT_DETECT
    assert "no floor to walk on" in answer.note


def test_several_places_that_are_one_object_are_refused():
    answer = Solver(MapScene(flat().build())).solve(Way(start=the("sofa"), goal=the("sofa")))

    assert answer.status is Status.AMBIGUOUS


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf")])
def test_walker_without_a_width_is_refused(width):
    with pytest.raises(InputError, match="way: expected a walker with a width"):
        Way(start=the("sofa"), goal=the("door"), width=width)


def test_walker_that_is_hardly_there_is_refused():
    query = Way(start=the("sofa"), goal=the("door"), width=1e-6)

    assert Solver(MapScene(flat().build())).solve(query).status is Status.CANNOT_DETECT


def test_record_carries_the_line():
    path = ask("How do I get from the sofa to the door?").record()["path"]

    jsonschema.validate(path, {"type": "array", "items": {"type": "array", "minItems": 2}})
    assert ask("How far is the sofa from the door?").record()["path"] is None


def test_plan_shows_the_line(tmp_path):
    reply, scene = ask("How do I get from the sofa to the door?"), flat().build()
    draw_map(scene, tmp_path / "plain.svg")
    draw_map(scene, tmp_path / "way.svg", way=reply.answer.path)
    draw_map(scene, tmp_path / "still.svg", way=[(1.0, 1.0), (1.0, 1.0)])

    drawn = [(tmp_path / f"{name}.svg").read_text() for name in ("plain", "way", "still")]
    assert "#0b7a4b" not in drawn[0]
    assert all("#0b7a4b" in text for text in drawn[1:])


def test_the_pages_example_prints_what_it_says(monkeypatch, capsys):
    root = Path(__file__).resolve().parents[3]
    monkeypatch.chdir(root)
    code = (root / "docs" / "routes.md").read_text().split("```python\n")[1].split("```")[0]

    exec(compile(code, "routes.md", "exec"), {})

    said = [line.rpartition("  # ")[2] for line in code.splitlines() if "  # " in line]
    assert capsys.readouterr().out.splitlines() == said


def test_ways_in_the_benchmarks_scenes_are_told(data_dir):
    path = data_dir / "vsi" / "scenes.json"
    for name in CognitiveMap.scenes(path)[:10]:
        scene = CognitiveMap.load(path, scene=name)
        first, last = scene.ids[0], scene.ids[-1]
        reply = Asker(scene).ask(f"How do I get from {first} to {last}?")

        assert reply.status is Status.ANSWERED, reply.text
        assert reply.answer.path or reply.value == "no way"
