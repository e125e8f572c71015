"""MMVP-VLM: published folders with planted scores, ties, and what is missing or malformed."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

import groundplane
from groundplane.core.errors import DetectorError, InputError
from groundplane.core.features import FeatureGrid
from groundplane.core.frames import Frame
from groundplane.core.media import read_image
from groundplane.evaluation.mmvp_vlm import (
    PATTERNS,
    PairEncoder,
    evaluate_mmvp_vlm,
    read_margins,
    read_mmvp_vlm,
    score_pairs,
)

# The folders of the published data, in its order.
TYPES = [
    "Orientation", "Presence", "State", "Quantity", "Spatial", "Color", "Structural Character",
    "Text", "Camera Perspective",
]  # fmt: skip
EACH = 15


def save_table(folder, rows, head=("Question ID", "Type", "Statement")):
    with (folder / "Questions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return folder


def rows_of_nine(each=EACH):
    """The table: each caption states the brightness of its picture, which is its number."""
    count = 2 * each
    return [
        (1 + place * count + i, kind, f"a grey of {1 + place * count + i}")
        for place, kind in enumerate(TYPES)
        for i in range(count)
    ]


def save_pictures(folder, rows, root="MLLM_VLM Images"):
    for number, kind, _ in rows:
        (folder / root / kind).mkdir(parents=True, exist_ok=True)
        level = (number % 256, number // 256, 0)
        Pictures.new("RGB", (4, 4), level).save(folder / root / kind / f"{number}.png")
    return folder


class Planted:
    """Knows every picture by its colour, and mixes up the pairs that it is told to."""

    def __init__(self, wrong=(), half=(), tied=()):
        self.wrong, self.half, self.tied, self.texts = set(wrong), set(half), set(tied), []

    def encode(self, images):
        numbers = [int(i.pixels[0, 0, 0]) + 256 * int(i.pixels[0, 0, 1]) for i in images]
        summary = torch.stack([self.point(number) for number in numbers])
        return FeatureGrid(
            tokens=summary[:, None],
            grid=(1, 1),
            patch=4,
            frames=tuple(Frame.original(image.size) for image in images),
            summary=summary,
        )

    def embed_texts(self, texts):
        self.texts += texts
        return torch.stack([self.caption(int(text.split()[-1])) for text in texts])

    def point(self, number):
        first = number - 1 + number % 2  # the odd one of the pair
        other = torch.tensor([0.0, 1.0]) if number != first else torch.tensor([1.0, 0.0])
        return torch.tensor([1.0, 0.0]) if first in self.tied else other

    def caption(self, number):
        first = number - 1 + number % 2
        is_first = (number == first) != (first in self.wrong)
        if first in self.half:
            is_first = True  # both captions go to the first picture
        return torch.tensor([2.0, 1.0]) if is_first else torch.tensor([1.0, 2.0])


def score(folder, encoder):
    pairs = read_mmvp_vlm(folder)
    return evaluate_mmvp_vlm(pairs, score_pairs(pairs, folder, encoder))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("vlm"), rows_of_nine()
    return save_pictures(save_table(folder, rows), rows)


@pytest.fixture
def small(tmp_path):
    rows = rows_of_nine(each=1)
    return save_pictures(save_table(tmp_path, rows), rows)


class TestPublishedFolder:
    def test_nine_patterns_of_fifteen_pairs_are_read(self, published):
        pairs = read_mmvp_vlm(published)
        assert len(pairs) == 135
        result = evaluate_mmvp_vlm(pairs, torch.tensor([[1.0, -1.0]]).repeat(135, 1))
        assert list(result.by_pattern()) == list(PATTERNS.values())
        assert set(result.by_pattern().values()) == {(15, 15)}
        assert result.mean == 1.0

    def test_the_planted_accuracy_comes_out_pattern_by_pattern(self, published):
        # Of pattern k, k pairs are mixed up, and of those every other one in one direction only.
        planted = {(k * EACH + i) * 2 + 1 for k in range(9) for i in range(k)}
        half = {number for number in planted if number % 4 == 1}
        encoder = Planted(wrong=planted - half, half=half)
        result = score(published, encoder)
        assert [right for right, _ in result.by_pattern().values()] == [15 - k for k in range(9)]
        assert result.mean == pytest.approx(np.mean([(15 - k) / 15 for k in range(9)]))
        assert result.ties == 0
        assert encoder.texts[0] == "a photo of a grey of 1"

    def test_a_tie_is_wrong_in_both_places(self, published):
        result = score(published, Planted(tied={1, 3, 269}))
        assert [i for i, right in enumerate(result.right) if not right] == [0, 1, 134]
        assert result.ties == 6

    def test_the_record_is_plain_json(self, published):
        record = json.loads(
            json.dumps(score(published, Planted(wrong={1})).record(), allow_nan=False)
        )
        assert (record["pairs"], record["pairs_right"], record["chance"]) == (135, 134, 0.25)
        assert record["items"][0]["right"] is False

    @pytest.mark.parametrize("root", ["MMVP_VLM_Images", "MLLM_VLM_Images", "."])
    def test_the_folder_of_pictures_may_be_named_as_in_the_readme(self, tmp_path, root):
        rows = [(n, k.replace("_", " "), s) for n, k, s in rows_of_nine(each=1)]
        save_pictures(
            save_table(tmp_path, rows), [(n, k.replace(" ", "_"), s) for n, k, s in rows], root
        )
        assert score(tmp_path, Planted()).mean == 1.0

    def test_a_template_is_what_captions_are_put_in(self, small):
        encoder = Planted()
        score_pairs(read_mmvp_vlm(small), small, encoder, template="{}")
        assert encoder.texts[0] == "a grey of 1"
        encoder = Planted()
        score_pairs(read_mmvp_vlm(small), small, encoder, template="{x}, {0}: {}")
        assert encoder.texts[0] == "{x}, {0}: a grey of 1"
        with pytest.raises(InputError, match=r"one '\{\}'"):
            score_pairs(read_mmvp_vlm(small), small, encoder, template="photo")


class TestMissing:
    def test_a_picture_that_is_missing_is_named_before_any_work(self, small):
        (small / "MLLM_VLM Images" / "State" / "5.png").unlink()
        encoder = Planted()
        with pytest.raises(InputError, match=r"State' has no picture '5\.jpg'"):
            score(small, encoder)
        assert encoder.texts == []

    def test_a_folder_that_is_missing_is_named(self, tmp_path):
        rows = rows_of_nine(each=1)
        save_pictures(save_table(tmp_path, rows), rows[:4])
        with pytest.raises(InputError, match="no folder 'State'"):
            score(tmp_path, Planted())

    def test_names_of_a_table_lead_nowhere_else(self, small):
        save_table(small, [(1, "../State", "a"), (2, "../State", "b")])
        with pytest.raises(InputError, match=r"no folder '\.\./State'"):
            score(small, Planted())

    def test_no_folder_at_all_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"'Questions\.csv': cannot be read"):
            read_mmvp_vlm(tmp_path / "nowhere")


class TestMalformed:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda rows: [], "there are none in it"),
            (lambda rows: rows[:3], "question 3 has no partner: 4"),
            (lambda rows: rows[1:], "question 2 has no partner: 1"),
            (
                lambda rows: [*rows[:3], rows[2]],
                "line 5.Question ID: expected a number that is not",
            ),
            (lambda rows: [rows[0], (2, "Text", "x")], "line 3.Type: expected 'Orientation'"),
            (lambda rows: [rows[0], (2, "Orientation", " ")], "line 3.Statement: expected text"),
            (lambda rows: [rows[0], ("two", "Orientation", "x")], "a whole number from 1"),
            (lambda rows: [rows[0], (2, "Orientation")], "expected 3 fields"),
        ],
    )
    def test_a_table_is_refused_with_its_place(self, tmp_path, change, said):
        save_table(tmp_path, change(rows_of_nine(each=1)))
        with pytest.raises(InputError, match=said):
            read_mmvp_vlm(tmp_path)

    def test_marks_line_ends_quotes_and_more_columns_do_no_harm(self, tmp_path):
        text = (
            "\ufeff question id ,Type,Statement,Note\r\n"
            '2,Text,"a sign, ""GO""",\r\n1,Text,a sign STOP 停,x\r\n'
        )
        (tmp_path / "Questions.csv").write_bytes(text.encode())
        [pair] = read_mmvp_vlm(tmp_path)
        assert pair.captions == ("a sign STOP 停", 'a sign, "GO"')
        assert pair.numbers == (1, 2)

    def test_a_pattern_of_ones_own_is_listed_last(self, tmp_path):
        save_table(
            tmp_path, [(1, "Smell", "a"), (2, "smell", "b"), (3, "Text", "c"), (4, "Text", "d")]
        )
        pairs = read_mmvp_vlm(tmp_path)
        result = evaluate_mmvp_vlm(pairs, torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
        assert result.by_pattern() == {"text": (0, 1), "smell": (1, 1)}


class TestScores:
    @pytest.fixture
    def pairs(self, tmp_path):
        return read_mmvp_vlm(save_table(tmp_path, rows_of_nine(each=1)[:4]))

    def test_the_scripts_own_table_is_read(self, tmp_path, pairs):
        path = tmp_path / "output.csv"
        path.write_text(
            "qid1,qid2,pred1,pred2,gt1,gt2,q1score,q2score\r\n"
            "3,4,img1,img1,img1,img2,0.9,0.6\r\n1,2,img1,img2,img1,img2,0.51,0.2\r\n"
        )
        result = evaluate_mmvp_vlm(pairs, read_margins(path, pairs))
        assert result.right == (True, False)

    def test_json_lines_are_read_too_and_a_half_is_a_tie(self, tmp_path, pairs):
        path = tmp_path / "scores.jsonl"
        rows = [{"qid1": 1, "qid2": 2, "q1score": 0.9, "q2score": 0.5}]
        rows.append({"qid1": 3, "qid2": 4, "q1score": 1, "q2score": 0})
        path.write_text("\n".join(map(json.dumps, rows)))
        result = evaluate_mmvp_vlm(pairs, read_margins(path, pairs))
        assert (result.right, result.ties) == ((False, True), 1)

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            ([], "there is none|pair 1, 2 has none, nor have 1 others"),
            ([{"qid1": 1, "qid2": 2, "q1score": 2, "q2score": 0}], "a number from 0 to 1"),
            ([{"qid1": 1, "qid2": 2, "q1score": "x", "q2score": 0}], "a number from 0 to 1"),
            ([{"qid1": 1, "qid2": 2, "q1score": True, "q2score": 0}], "a number from 0 to 1"),
            ([{"qid1": 1, "qid2": 2, "q1score": float("nan"), "q2score": 0}], "from 0 to 1"),
            ([{"qid1": 1, "qid2": 2, "q2score": 0}], "q1score: expected.*missing"),
            ([{"qid1": 1, "qid2": 2, "q1score": 0, "q2score": 0}] * 2, "not there twice"),
        ],
    )
    def test_scores_that_do_not_fit_are_refused(self, tmp_path, pairs, rows, said):
        path = tmp_path / "s.json"
        path.write_text(json.dumps(rows))
        with pytest.raises(InputError, match=said):
            read_margins(path, pairs)

    @pytest.mark.parametrize(
        "margins", [torch.zeros(1, 2), torch.zeros(2, 1), torch.tensor([[0.0, float("nan")]] * 2)]
    )
    def test_margins_that_do_not_fit_are_refused(self, pairs, unchecked, margins):
        with pytest.raises(InputError, match="two finite margins"):
            evaluate_mmvp_vlm(pairs, margins)
        with pytest.raises(InputError, match="expected pairs"):
            evaluate_mmvp_vlm([], torch.zeros(0, 2))


class TestEncoder:
    def test_an_encoder_without_texts_is_refused(self, small, unchecked):
        class Blind:
            def encode(self, images):
                return Planted().encode(images)

        assert not isinstance(Blind(), PairEncoder)
        with pytest.raises(InputError, match="Blind embeds no texts"):
            score(small, Blind())

    def test_numbers_that_are_not_finite_are_refused(self, small):
        class Broken(Planted):
            def embed_texts(self, texts):
                return super().embed_texts(texts) * float("nan")

        with pytest.raises(DetectorError, match="not finite"):
            score(small, Broken())

    @pytest.mark.parametrize("width", [1, 3])
    def test_texts_of_another_width_are_refused(self, small, unchecked, width):
        class Wide(Planted):
            def embed_texts(self, texts):
                return torch.ones(len(texts), width)

        with pytest.raises(DetectorError, match="of the shape of the texts"):
            score(small, Wide())

    def test_clip_is_asked_as_each_picture_and_caption_would_be_alone(self, small):
        pytest.importorskip("transformers")
        from groundplane.testing.checkpoints_towers import save_clip

        clip = groundplane.load(
            "encoders", "clip", device="cpu", weights=str(save_clip(small / "w"))
        )
        pairs = read_mmvp_vlm(small)
        margins = score_pairs(pairs, small, clip)
        for pair, (first, second) in zip(pairs, margins.tolist(), strict=True):
            folder = small / "MLLM_VLM Images" / pair.type
            a, b = (
                torch.nn.functional.normalize(
                    clip.encode([read_image(folder / f"{number}.png")]).summary[0], dim=0
                )
                for number in pair.numbers
            )
            one, two = clip.embed_texts([f"a photo of {caption}" for caption in pair.captions])
            # A batch sums in another order: float32 of cosines.
            assert first == pytest.approx(float(a @ one - b @ one), abs=1e-5)
            assert second == pytest.approx(float(a @ two - b @ two), abs=1e-5)

    def test_an_encoder_of_pictures_alone_is_refused(self, small, unchecked):
        pytest.importorskip("transformers")
        from groundplane.testing.checkpoints_towers import save_dinov2

        dino = groundplane.load(
            "encoders", "dinov2", device="cpu", weights=str(save_dinov2(small / "w"))
        )
        with pytest.raises(InputError, match="texts"):
            score_pairs(read_mmvp_vlm(small), small, dino)
