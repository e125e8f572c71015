import json

import numpy as np
import PIL.Image
import pytest
import torch

from groundplane.core.errors import InputError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.features import View
from groundplane.core.towers.encoding import TowerEncoder
from groundplane.core.views import view_pixels
from groundplane.core.weights import load_processor
from groundplane.mof.building import build_mof, shared_view
from groundplane.mof.modeling import MofForConditionalGeneration
from groundplane.mof.processing import MofProcessor
from groundplane.testing.checkpoints_mof import save_llama, tiny_towers
from groundplane.testing.encoders import make_tower
from groundplane.testing.language_models import picture


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def tokenizer(llama):
    import transformers

    return load_processor(transformers.AutoTokenizer, llama, who="test")


@pytest.fixture
def processor(tokenizer):
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    return MofProcessor(tokenizer, view=View(size=32), tokens=5)


class TestBatch:
    def test_a_placeholder_becomes_as_many_as_a_picture_has_tokens(self, processor):
        batch = processor("a <image> dog", [picture(40, 30)])
        ids = batch["input_ids"][0].tolist()
        first = ids.index(processor.image_token_id)
        assert ids[first : first + 5] == [processor.image_token_id] * 5
        assert ids.count(processor.image_token_id) == 5
        assert torch.equal(batch["pixel_values"], view_pixels([picture(40, 30)], processor.view))

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_shorter_texts_are_filled(self, processor, side):
        batch = processor(["dog", "a red dog on the table"], padding_side=side)
        mask = batch["attention_mask"][0].tolist()
        assert mask == sorted(mask, reverse=side == "right")
        assert 0 < sum(mask) < len(mask)
        assert processor.decode(batch["input_ids"][0][batch["attention_mask"][0] == 1]) == "dog"

    def test_pictures_may_be_given_by_text(self, processor):
        texts = ["<image><image>", "dog", "<image>"]
        images = [[picture(4, 4), picture(1, 1)], [], [picture(9, 2)]]
        batch = processor(texts, images)
        assert batch["pixel_values"].shape == (3, 3, 32, 32)
        assert (batch["input_ids"] == processor.image_token_id).sum(1).tolist() == [10, 0, 5]

    def test_no_pictures_give_no_pixels(self, processor):
        assert set(processor(["dog", "狗 🐶 e\u0301"])) == {"input_ids", "attention_mask"}

    def test_no_texts(self, processor):
        assert processor([])["input_ids"].shape == (0, 0)

    def test_unequal_counts_are_named(self, processor):
        with pytest.raises(InputError, match=r"expected 1 placeholders <image>.*got 2 in 1 texts"):
            processor("<image> <image>", [picture(4, 4)])
        with pytest.raises(InputError, match="text 1: expected 1 placeholders"):
            processor(["<image>", "<image><image>"], [[picture(4, 4)], [picture(4, 4)]])
        with pytest.raises(InputError, match="for each of 2 texts, got 1"):
            processor(["<image>", "dog"], [[picture(4, 4)]])

    @pytest.mark.parametrize(
        ("images", "got"),
        [
            (picture(4, 4), "one without a list"),
            (PIL.Image.new("RGB", (4, 4)), "got Image"),
            ([PIL.Image.new("RGB", (4, 4))], "got Image"),
            ([[np.zeros((4, 4, 3), np.uint8)]], "got ndarray"),
            (["photo.jpg"], "got str"),
        ],
    )
    @pytest.mark.usefixtures("unchecked")
    def test_pictures_of_other_libraries_are_refused(self, processor, images, got):
        with pytest.raises(InputError, match=rf"read_image of groundplane\.core\.media.*{got}"):
            processor("<image>", images)

    def test_another_side_is_refused(self, processor):
        with pytest.raises(InputError, match="left or right"):
            processor("dog", padding_side="top")


class TestChat:
    MESSAGES = (
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "where?"}]},
    )

    def test_by_the_tokenizers_template(self, processor):
        said = processor.apply_chat_template(self.MESSAGES)
        assert said == "USER: <image>\nwhere? ASSISTANT:"

    def test_plainly_without_one(self, processor):
        processor.tokenizer.chat_template = None
        said = processor.apply_chat_template(self.MESSAGES)
        assert said == "USER: <image>\nwhere? ASSISTANT:"
        assert (
            processor.apply_chat_template(
                [*self.MESSAGES, {"role": "assistant", "content": "there"}],
                add_generation_prompt=False,
            )
            == "USER: <image>\nwhere? ASSISTANT: there"
        )

    @pytest.mark.parametrize("message", ["x", None, 3, {}, {"content": "a"}])
    @pytest.mark.usefixtures("unchecked")
    def test_what_is_no_message_is_refused(self, processor, message):
        with pytest.raises(InputError, match="a message"):
            processor.apply_chat_template([message])

    @pytest.mark.parametrize("content", [3, None, [{"type": "video"}], [{"type": "text"}]])
    def test_other_parts_are_refused(self, processor, content):
        with pytest.raises(InputError, match="a message"):
            processor.apply_chat_template([{"role": "user", "content": content}])


class TestFiles:
    def test_round_trip(self, processor, tmp_path):
        processor.save_pretrained(tmp_path)
        back = MofProcessor.from_pretrained(tmp_path)
        assert (back.view, back.tokens) == (processor.view, processor.tokens)
        one, other = (p("a <image> 狗", [picture(40, 30)]) for p in (processor, back))
        assert all(torch.equal(one[name], other[name]) for name in one)

    @pytest.mark.parametrize(
        "view", ["x", [], {"size": "32"}, {"fill": 5}, {"fill": [1, 2]}, {"filter": "box"}]
    )
    @pytest.mark.usefixtures("unchecked")
    def test_a_broken_view_is_refused(self, processor, tmp_path, view):
        processor.save_pretrained(tmp_path)
        path = tmp_path / "processor_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"view": view}))
        with pytest.raises(InputError, match="view"):
            MofProcessor.from_pretrained(tmp_path)

    @pytest.mark.parametrize(
        "told", [{}, {"tokens": "5"}, {"tokens": True}, {"tokens": 5, "image_token": 3}]
    )
    def test_broken_settings_are_refused(self, processor, tmp_path, told):
        processor.save_pretrained(tmp_path)
        (tmp_path / "processor_config.json").write_text(json.dumps(told))
        with pytest.raises(WeightsError, match="tokens"):
            MofProcessor.from_pretrained(tmp_path)

    def test_a_folder_without_it_is_refused(self, llama):
        with pytest.raises(WeightsError, match=r"has no processor_config\.json"):
            MofProcessor.from_pretrained(llama)


def test_a_tokenizer_without_the_image_token_is_refused(tokenizer):
    with pytest.raises(InputError, match="add_tokens"):
        MofProcessor(tokenizer, view=View(), tokens=5)


class Sees:
    """An encoder of a view."""

    def __init__(self, name, view):
        self.tower, self.view = make_tower(name), view

    def encode(self, images):
        raise AssertionError("not asked")


class TestBuild:
    def test_from_a_folder_and_towers(self, llama):
        model, processor = build_mof(llama, list(tiny_towers()))
        assert processor.view.size == 56
        assert processor.tokens == model.report.tokens == 32
        assert model.config.image_token_id == processor.image_token_id
        assert all(p.requires_grad for p in model.language_model.parameters())

    def test_the_seed_gives_the_fusion(self, llama):
        states = [
            build_mof(llama, list(tiny_towers()), seed=seed)[0].fusion.state_dict()
            for seed in (1, 1, 2)
        ]
        name = "adapters.0.0.weight"
        assert torch.equal(states[0][name], states[1][name])
        assert not torch.equal(states[0][name], states[2][name])

    def test_unequal_crops_are_refused(self, llama):
        encoders = [Sees("a", View(fit="crop", size=32)), Sees("b", View(fit="pad", size=32))]
        with pytest.raises(InputError, match="unequal crops: encoder 0"):
            build_mof(llama, encoders)
        assert build_mof(llama, encoders, view=View(size=32))[1].view.fit == "crop"

    @pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
    def test_encoders_stay_what_they_are(self, llama, kind):
        encoder = TowerEncoder(make_tower(size=32), View(size=32), key=("test", "1"))
        before = encoder.encode([picture(40, 30)]).tokens
        model, _ = build_mof(llama, [encoder], dtype=kind)
        shared_cache().clear()
        assert torch.equal(encoder.encode([picture(40, 30)]).tokens, before)
        assert model.towers[0].dtype == kind
        same = next(model.towers[0].parameters()) is next(encoder.tower.parameters())
        assert same == (kind == torch.float32)

    def test_positions_of_the_language_model_are_not_rounded(self, llama):
        exact, rounded = (
            build_mof(llama, [make_tower()], dtype=kind)[0].language_model.model.rotary_emb
            for kind in (torch.float32, torch.bfloat16)
        )
        assert rounded.inv_freq.dtype == torch.float32
        assert torch.equal(rounded.inv_freq, exact.inv_freq)

    def test_an_encoder_that_stands_there_twice_is_saved_twice(self, llama, tmp_path):
        tower = tiny_towers()[0]
        model, processor = build_mof(llama, [tower, tower])
        model.save_pretrained(tmp_path)
        back = MofForConditionalGeneration.from_pretrained(tmp_path)
        given = processor("a <image> dog", [picture(40, 30)])
        assert torch.equal(back(**given).logits, model(**given).logits)

    def test_the_view_is_as_large_as_a_tower_without_one(self):
        views = [Sees("clip", View(size=32)), make_tower(size=64)]
        assert shared_view(views) == View(size=64)
        assert shared_view(views[:1]) == View(size=32)

    def test_sizes_may_differ(self):
        encoders = [Sees("a", View(size=32)), Sees("b", View(size=64))]
        assert shared_view(encoders) == View(size=64)

    @pytest.mark.usefixtures("unchecked")
    def test_an_encoder_without_tower_is_refused(self, llama):
        with pytest.raises(InputError, match=r"encoder 0 \(object\) has no tower"):
            build_mof(llama, [object()], view=View())

    def test_a_folder_that_is_no_language_model_is_refused(self, tmp_path):
        with pytest.raises(WeightsError):
            build_mof(tmp_path, list(tiny_towers()))
