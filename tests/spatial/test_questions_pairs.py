"""Questions about two things, sight, passages and sizes: read as queries."""

import pytest

from groundplane.core.queries import describe
from groundplane.spatial.questions.contrasting import CONTRASTING
from groundplane.spatial.questions.denying import DENYING
from groundplane.spatial.questions.identifying import IDENTIFYING
from groundplane.spatial.questions.pairing import PAIRING
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question
from groundplane.spatial.questions.sighting import SIGHTING

NEW_FORMS = (*CONTRASTING, *DENYING, *IDENTIFYING, *PAIRING, *SIGHTING)

SOFA, TV, BED, DOOR = (f"unique(select('{name}'))" for name in ("sofa", "tv", "bed", "door"))


def height(thing):
    return f"measure(name='height', of=[{thing}])"


def apart(a, b):
    return f"measure(name='distance', of=[{a}, {b}])"


# A form, a question, its query.
ROWS = [
    ("how much taller", "How much taller is the sofa than the bed?",
     f"difference(left={height(SOFA)}, right={height(BED)})"),
    ("how much taller", "By how many centimetres is the sofa shorter than the bed?",
     f"difference(left={height(SOFA)}, right={height(BED)}, more=False, unit='cm')"),
    ("how much taller", "The sofa is how much taller than the bed?",
     f"difference(left={height(SOFA)}, right={height(BED)})"),
    ("how much taller", "The sofa is taller than the bed by how much?",
     f"difference(left={height(SOFA)}, right={height(BED)})"),
    ("seen", "Is it possible to see the tv from the sofa?", f"sight(viewer={SOFA}, target={TV})"),
    ("seen", "Can someone at the sofa see the tv?", f"sight(viewer={SOFA}, target={TV})"),
    ("how much closer", "How much closer is the sofa to the tv than to the door?",
     f"difference(left={apart(SOFA, TV)}, right={apart(SOFA, DOOR)}, more=False)"),
    ("how much closer", "How much further is the bed from the door than the sofa is?",
     f"difference(left={apart(BED, DOOR)}, right={apart(SOFA, DOOR)})"),
    ("how much more floor", "How much more floor does the bed take up than the sofa?",
     (f"difference(left=measure(name='floor_area', of=[{BED}]), "
     f"right=measure(name='floor_area', of=[{SOFA}]))")),
    ("difference", "What's the height difference between the sofa and the bed?",
     f"difference(left={height(SOFA)}, right={height(BED)}, tell='apart')"),
    ("difference", "Difference in height between the sofa and the bed?",
     f"difference(left={height(SOFA)}, right={height(BED)}, tell='apart')"),
    ("times", "How many times as tall as the bed is the sofa?",
     f"difference(left={height(SOFA)}, right={height(BED)}, tell='ratio')"),
    ("times", "What is the ratio of the sofa's height to the bed's height?",
     f"difference(left={height(SOFA)}, right={height(BED)}, tell='ratio')"),
    ("times as far", "How many times farther is the door from the bed than the tv is?",
     f"difference(left={apart(DOOR, BED)}, right={apart(TV, BED)}, tell='ratio')"),
    ("is it twice as tall", "Is the sofa more than twice as tall as the bed?",
     (f"compare(left=difference(left={height(SOFA)}, right={height(BED)}, tell='ratio'), "
     "operator='more', right=quantity(2.0, 'times'))")),
    ("is it so much taller", "Is the sofa more than half a metre taller than the bed?",
     (f"compare(left=difference(left={height(SOFA)}, right={height(BED)}), operator='more', "
     "right=quantity(0.5, 'm'))")),
    ("is it so tall", "Is the sofa over 5 feet tall?",
     f"compare(left={height(SOFA)}, operator='more', right=quantity(5.0, 'ft'))"),
    ("is it so tall", "Is the sofa shorter than 200 cm?",
     f"compare(left={height(SOFA)}, operator='fewer', right=quantity(200.0, 'cm'))"),
    ("is it the nearest", "Is the tv closest to the sofa?",
     (f"identity(subject={TV}, described=unique(extreme(source=select(), measure='distance', "
     f"largest=False, anchor={SOFA})))")),
    ("is it the nearest", "The tv is the nearest thing to the sofa, isn't it?",
     (f"identity(subject={TV}, described=unique(extreme(source=select(), measure='distance', "
     f"largest=False, anchor={SOFA})))")),
    ("is it the most", "Is the bed the second biggest object in the room?",
     (f"identity(subject={BED}, described=unique(extreme(source=select(), measure='volume', "
     "largest=True, rank=2)))")),
    ("more than all", "Is the bed taller than everything else?",
     (f"identity(subject={BED}, described=unique(extreme(source=select(), measure='height', "
     "largest=True)))")),
    ("which two", "Which two chairs are farthest apart?",
     "pair(source=select('chairs'), farthest=True)"),
    ("which two", "What are the two closest chairs?", "pair(source=select('chairs'))"),
    ("shortest gap", "What is the shortest distance between any two chairs, in feet?",
     "pair(source=select('chairs'), tell='distance', unit='ft')"),
    ("shortest gap", "How far apart are the two chairs that are furthest from each other?",
     "pair(source=select('chairs'), farthest=True, tell='distance')"),
    ("both", "Are the sofa and the bed parallel?",
     f"exists(relate(source={SOFA}, relation='parallel', anchor={BED}))"),
    ("both", "Do the sofa and the tv face each other?",
     f"exists(relate(source={SOFA}, relation='opposite', anchor={TV}))"),
    ("both", "Are the sofa and the tv next to each other?",
     f"exists(relate(source={SOFA}, relation='next_to', anchor={TV}))"),
    ("in the way", "What blocks the view from the sofa to the tv?",
     f"sight(viewer={SOFA}, target={TV}, tell='blocker')"),
    ("in the way", "what's blocking my view of the tv from the sofa?",
     f"sight(viewer={SOFA}, target={TV}, tell='blocker')"),
    ("in the way of a look", "What is in the way when I look from the sofa to the tv?",
     f"sight(viewer={SOFA}, target={TV}, tell='blocker')"),
    ("anything in the way", "Does anything block the view of the tv from the sofa?",
     f"sight(viewer={SOFA}, target={TV}, tell='obstructed')"),
    ("is it in the way", "Does the bed block the view from the sofa to the tv?",
     f"sight(viewer={SOFA}, target={TV}, tell='obstructed', by={BED})"),
    ("is it in the way", "Is my view of the tv from the sofa blocked by the bed?",
     f"sight(viewer={SOFA}, target={TV}, tell='obstructed', by={BED})"),
    ("how much of it", "How much of the tv can I see from the sofa?",
     f"sight(viewer={SOFA}, target={TV}, tell='share')"),
    ("is the room so big", "Is the room bigger than 40 square metres?",
     "compare(left=measure(name='room_area'), operator='more', right=quantity(40.0, 'm2'))"),
    ("times", "By what factor is the sofa taller than the bed?",
     f"difference(left={height(SOFA)}, right={height(BED)}, tell='ratio')"),
    ("is it twice as tall", "Is the sofa twice the height of the bed?",
     (f"compare(left=difference(left={height(SOFA)}, right={height(BED)}, tell='ratio'), "
      "operator='equal', right=quantity(2.0, 'times', 0.05))")),
    ("more or fewer", "Are there more chairs near the tv than near the bed?",
     (f"compare(left=count(relate(source=select('chairs'), relation='near', anchor={TV})), "
      "operator='more', right=count(relate(source=select('chairs'), relation='near', "
      f"anchor={BED})))")),
    ("hidden", "Is the tv hidden from the sofa?",
     f"sight(viewer={SOFA}, target={TV}, tell='hidden')"),
    ("hidden", "Is the view from the sofa to the tv blocked?",
     f"sight(viewer={SOFA}, target={TV}, tell='hidden')"),
    ("seen", "Can I see the tv from the sofa?", f"sight(viewer={SOFA}, target={TV})"),
    ("seen", "Standing at the sofa, can I see the tv?", f"sight(viewer={SOFA}, target={TV})"),
    ("seen", "From the sofa, is the tv in view?", f"sight(viewer={SOFA}, target={TV})"),
    ("seen", "Is there a clear line of sight from the sofa to the tv?",
     f"sight(viewer={SOFA}, target={TV})"),
    ("in view", "What can I see from the sofa?",
     f"relate(source=select(), relation='visible_from', anchor={SOFA})"),
    ("in view", "From the sofa, which chairs can I see?",
     f"relate(source=select('chairs'), relation='visible_from', anchor={SOFA})"),
    ("how many in view", "How many chairs can I see from the bed?",
     f"count(relate(source=select('chairs'), relation='visible_from', anchor={BED}))"),
    ("out of view", "Which chairs are hidden from the bed?",
     ("except(select('chairs'), relate(source=select('chairs'), relation='visible_from', "
     f"anchor={BED}))")),
    ("out of view", "What can't I see from the bed?",
     (f"except(except(select(), {BED}), relate(source=except(select(), {BED}), "
      f"relation='visible_from', anchor={BED}))")),
    ("is it twice as tall", "Are the sofa and the bed the same height?",
     (f"compare(left=difference(left={height(SOFA)}, right={height(BED)}, tell='ratio'), "
      "operator='equal', right=quantity(1.0, 'times', 0.05))")),
    ("is it the most", "Is the tallest object the bed?",
     (f"identity(subject={BED}, described=unique(extreme(source=select(), measure='height', "
      "largest=True)))")),
    ("is it the most", "Isn't the bed the tallest object?",
     (f"identity(subject={BED}, described=unique(extreme(source=select(), measure='height', "
      "largest=True)))")),
    ("relation", "Is everything near the bed?",
     (f"compare(left=count(relate(source=except(select(), {BED}), relation='near', anchor={BED})), "
      f"operator='equal', right=count(except(select(), {BED})))")),
    ("width of the way", "Maximum width of a robot that can get from the sofa to the door?",
     f"way(start={SOFA}, goal={DOOR}, tell='width')"),
    ("how many out of view", "How many chairs can I not see from the bed?",
     ("count(except(select('chairs'), relate(source=select('chairs'), relation='visible_from', "
      f"anchor={BED})))")),
    ("how much closer", "How much nearer to the sofa is the tv than the bed?",
     f"difference(left={apart(TV, SOFA)}, right={apart(BED, SOFA)}, more=False)"),
    ("composition", "Is any chair red?", "exists(filter(select('chair'), 'color', 'red'))"),
    ("composition", "Is at least one of the chairs red?",
     "exists(filter(select('chairs'), 'color', 'red'))"),
    ("relation", "Is any chair taller than 1 m?",
     "exists(measured(source=select('chair'), measure='height', operator='more', limit=1.0))"),
    ("none", "Is nothing on the bed?",
     (f"compare(left=count(relate(source=select(), relation='on', anchor={BED})), "
     "operator='equal', right=0)")),
    ("none", "Is none of the chairs red?",
     "compare(left=count(filter(select('chairs'), 'color', 'red')), operator='equal', right=0)"),
    ("no such thing", "Are there no chairs?",
     "compare(left=count(select('chairs')), operator='equal', right=0)"),
    ("width of the way", "How wide is the narrowest passage between the sofa and the door?",
     f"way(start={SOFA}, goal={DOOR}, tell='width')"),
    ("width of the way", "What is the widest cart that can get from the sofa to the door?",
     f"way(start={SOFA}, goal={DOOR}, tell='width')"),
    ("way possible", "Is there room for a 0.8 m wide wheelchair to get from the sofa to the door?",
     f"way(start={SOFA}, goal={DOOR}, tell='possible', width=0.8)"),
    ("way possible", "Is the way from the sofa to the door at least 60 cm wide everywhere?",
     f"way(start={SOFA}, goal={DOOR}, tell='possible', width=0.6)"),
    ("what is there", "Which objects are taller than 150 cm?",
     "measured(source=select(), measure='height', operator='more', limit=1.5)"),
    ("count", "How many chairs within 5 ft 3 in of the tv are there?",
     f"count(relate(source=select('chairs'), relation='within', anchor={TV}, limit=1.6002))"),
    ("relation", "Is the tv off the bed?",
     f"exists(except({TV}, relate(source={TV}, relation='on', anchor={BED})))"),
    ("size", "How many cubic feet is the bed?",
     f"measure(name='volume', of=[{BED}], unit='ft3')"),
    ("floor space", "How many square feet of floor does the bed take up?",
     f"measure(name='floor_area', of=[{BED}], unit='ft2')"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "question", "query"), ROWS)
def test_it_is_read_as_this_query(form, question, query):
    parsed = parse_question(question)

    assert (parsed.form, describe(parsed.expression)) == (form, query)


def test_every_new_form_has_a_row():
    assert {form.name for form in NEW_FORMS} <= {form for form, _, _ in ROWS}


@pytest.mark.parametrize(
    "question",
    [
        # Who looks one way sees a part only, and nothing says how wide a part.
        "Standing at the sofa facing the tv, can I see the lamp?",
        "Are the chairs the tallest objects?",
        "Is the tv closer to the sofa?",
        "Is the tv closest to the sofa or the bed and the door?",
        "How much taller is the sofa than the bed and the tv?",
        "How much taller are the chairs than the tables?",
        "Is the chair that is closest to the door?",
        "Which two sofas are?",
        "How many times is the sofa taller?",
        "Is nothing?",
        "How much closer is the sofa to the tv?",
        "What is the nearest chair that I can see from the sofa?",
        "Which two chairs are closest to the tv?",
    ],
)
def test_what_cannot_be_told_is_refused(question):
    with pytest.raises(NotUnderstoodError):
        parse_question(question)


@pytest.mark.parametrize(
    ("question", "word", "meant"),
    [
        ("What is infront of the sofa?", "infront", "in front of"),
        ("Are the shoes undernear the bed?", "undernear", "underneath"),
        ("How tal is the bookshelf?", "tal", "tall"),
        ("Wich chair is closest to the door?", "wich", "which"),
        ("What colur is the sofa?", "colur", "colour"),
        ("Is the bed biger than the sofa?", "biger", "bigger"),
        ("Is the lamp besides the sofa?", "besides", "beside"),
    ],
)
def test_a_misspelt_word_is_named_with_what_may_be_meant(question, word, meant):
    with pytest.raises(NotUnderstoodError) as caught:
        parse_question(question)

    assert f"'{word}'" in str(caught.value)
    assert f"'{meant}'" in str(caught.value)


def test_the_labels_of_a_scene_are_offered_too():
    with pytest.raises(NotUnderstoodError, match="'samovar'"):
        parse_question("why samovarr why", nouns=["samovar"])
