"""POPE: answers read as its script reads them, numbers by hand, and an expert that looks."""

import json

import pytest
import torch
from PIL import Image

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.regions import Regions
from groundplane.evaluation.pope import (
    PopeQuestion,
    detect_pope,
    evaluate_pope,
    pope_verdict,
    read_answers,
    read_pope,
)


def question(key, label, thing="car", image="a.png"):
    return PopeQuestion(
        id=str(key), image=image, text=f"Is there a {thing} in the image?", label=label
    )


@pytest.fixture
def sample(data_dir):
    return read_pope(data_dir / "pope" / "coco_pope_random_first60.jsonl")


@pytest.fixture
def write(tmp_path):
    def lines(name, rows):
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(row) for row in rows))
        return path

    return lines


class TestReading:
    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [
            ("Yes", "yes"),
            ("no", "no"),
            ("No, there is none.", "no"),
            ("There is not a car. Yes.", "no"),
            ("Yes. There is no doubt.", "yes"),
            # As the script has it, strange as it is.
            ("NO", "yes"),
            ("No!", "yes"),
            ("There isn't.", "yes"),
            ("Nothing", "yes"),
            ("", "yes"),
        ],
    )
    def test_an_answer_is_read_as_the_script_reads_it(self, answer, verdict):
        assert pope_verdict(answer) == verdict

    def test_the_sample_is_read(self, sample):
        assert len(sample) == 60
        assert [sample[0].thing, sample[1].thing] == ["snowboard", "car"]
        assert sum(q.label == "yes" for q in sample) == 30
        assert all(q.thing for q in sample)

    @pytest.mark.parametrize(
        ("text", "thing"),
        [
            ("Is there an apple in the image?", "apple"),
            ("Is there a hair drier in the imange?", "hair drier"),
            ("Is there any ant in the picture?", "ant"),
            ("Are there some people in this photo", "people"),
            ("Is there a vase in the image?", "vase"),
        ],
    )
    def test_the_thing_that_is_asked_for(self, text, thing):
        assert PopeQuestion(id="1", image="a", text=text, label="no").thing == thing

    @pytest.mark.parametrize("text", ["What is this?", "Is there in the image?", "a" * 10_000])
    def test_another_form_is_refused(self, text):
        with pytest.raises(InputError, match="question 1: expected 'Is there a THING"):
            _ = PopeQuestion(id="1", image="a", text=text, label="no").thing


class TestNumbers:
    def test_by_hand(self):
        labels = ["yes"] * 4 + ["no"] * 6
        answers = ["Yes", "Yes", "Yes", "No", "Yes", "No", "No", "no", "It is not.", "No."]
        asked = [question(key, label) for key, label in enumerate(labels)]
        result = evaluate_pope(asked, answers)
        assert (result.accuracy, result.precision, result.recall) == (0.8, 0.75, 0.75)
        assert (result.f1, result.yes_ratio, result.unclear) == (0.75, 0.4, 0)

    def test_the_truth_is_one_and_each_wrong_answer_lowers_it(self, sample):
        answers = [q.label.title() for q in sample]
        assert evaluate_pope(sample, answers).f1 == 1.0
        for wrong in range(1, 60, 7):
            answers[wrong] = "No" if sample[wrong].label == "yes" else "Yes"
        result = evaluate_pope(sample, answers)
        assert result.accuracy == pytest.approx(1 - 9 / 60)
        assert result.f1 < 1

    def test_always_yes_is_half_right_and_says_so(self, sample):
        result = evaluate_pope(sample, ["Yes"] * 60)
        assert (result.accuracy, result.recall, result.yes_ratio) == (0.5, 1.0, 1.0)

    def test_a_number_of_nothing_is_none(self):
        result = evaluate_pope([question(1, "no")], ["No"])
        assert (result.accuracy, result.precision, result.recall) == (1.0, None, None)
        assert (result.f1, result.yes_ratio) == (None, 0.0)

    def test_an_answer_that_says_neither_is_counted_as_unclear(self):
        result = evaluate_pope([question(1, "no"), question(2, "no")], ["Perhaps", "Yes"])
        assert result.unclear == 1
        assert result.accuracy == 0.0

    def test_one_answer_a_question(self):
        with pytest.raises(InputError, match="1 questions but 0 answers"):
            evaluate_pope([question(1, "no")], [])


class TestFiles:
    def test_answers_in_order_or_by_id(self, write):
        asked = [question(1, "yes"), question(2, "no")]
        ordered = write("a.jsonl", [{"answer": "Yes"}, {"answer": "No"}])
        named = write(
            "b.jsonl", [{"question_id": k, "text": t} for k, t in ((2, "No"), (1, "Yes"))]
        )
        assert read_answers(ordered, asked) == read_answers(named, asked) == ("Yes", "No")

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([{"answer": "Yes"}], "expected one for each of 2 questions, got 1"),
            ([{"answer": "Yes"}, {"answer": 3}], r"\[1\]\.answer: expected text, got 3"),
            ([{"answer": "Yes"}, {"said": "No"}], r"\[1\]: expected 'answer' or 'text'"),
            (
                [{"question": "Is there a dog in the image?", "answer": "Yes"}] * 2,
                r"\[0\]\.question: expected question 1 here",
            ),
            ([{"question_id": 1, "answer": "Yes"}], "question 2 has none"),
            ([{"question_id": 1, "answer": "Yes"}] * 2, "not used twice, got '1'"),
        ],
    )
    def test_answers_that_do_not_fit_are_refused(self, write, rows, said):
        asked = [question(1, "yes"), question(2, "no")]
        with pytest.raises(InputError, match=said):
            read_answers(write("a.jsonl", rows), asked)

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ({"image": "a", "text": "b", "label": "maybe"}, r"\[0\]\.label: expected 'yes' or"),
            ({"image": "a", "text": " ", "label": "no"}, r"\[0\]\.text: expected text"),
            ({"text": "b", "label": "no"}, r"\[0\]\.image: expected text, but it is missing"),
        ],
    )
    def test_questions_at_fault_are_named(self, write, row, said):
        with pytest.raises(InputError, match=said):
            read_pope(write("q.jsonl", [row]))

    def test_ids_are_used_once(self, write):
        row = {"question_id": 1, "image": "a", "text": "b", "label": "no"}
        with pytest.raises(InputError, match=r"\[1\]\.question_id: .* not used twice"):
            read_pope(write("q.jsonl", [row, row]))


class Knows:
    """Finds what is in its list, and cannot look for griffins."""

    vocabulary = None

    def __init__(self, *there):
        self.there = there
        self.asked = []

    def detect(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        self.asked.append(request.phrases)
        outcomes = tuple(
            Outcome.CANNOT
            if phrase == "griffin"
            else Outcome.FOUND
            if phrase in self.there
            else Outcome.NONE
            for phrase in request.phrases
        )
        rows = [i for i, outcome in enumerate(outcomes) if outcome is Outcome.FOUND]
        regions = Regions(
            ids=tuple(map(str, rows)),
            boxes=torch.tensor([[0.0, 0, 5, 5]] * len(rows)).reshape(-1, 4),
            scores=torch.ones(len(rows)),
            phrases=request.phrases,
            phrase_ids=torch.tensor(rows, dtype=torch.long),
            image_size=request.image.size,
        )
        return DetectResult(regions=regions, outcomes=outcomes)


class TestLooking:
    @pytest.fixture
    def pictures(self, tmp_path):
        for name in ("a.png", "b.png"):
            Image.new("RGB", (10, 10)).save(tmp_path / name)
        return tmp_path

    def test_found_is_yes_and_cannot_is_told(self, pictures):
        asked = [
            question(1, "yes", "car"),
            question(2, "no", "dog"),
            question(3, "yes", "griffin"),
            question(4, "yes", "dog", image="b.png"),
        ]
        expert = Knows("car")
        result = detect_pope(asked, pictures, expert, name="knows")
        assert [item.verdict for item in result.items] == ["yes", "no", "no", "no"]
        assert [item.unclear for item in result.items] == [False, False, True, False]
        assert result.accuracy == 0.5
        assert sorted(expert.asked) == [("car", "dog", "griffin"), ("dog",)]

    def test_an_expert_that_sees_all_scores_its_share(self, pictures):
        asked = [question(1, "yes", "car"), question(2, "no", "dog")]
        assert detect_pope(asked, pictures, Knows("car"), name="knows").f1 == 1.0
        assert detect_pope(asked, pictures, Knows("car", "dog"), name="knows").precision == 0.5
