import json

import pytest
import torch

import groundplane
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.fusion.operator import FusionRule
from groundplane.core.session import Done, Prompt, Text
from groundplane.mof.building import build_mof
from groundplane.mof.configuration import MofConfig
from groundplane.mof.loading import load_mof
from groundplane.mof.modeling import MofForConditionalGeneration
from groundplane.testing.checkpoints_mof import save_llama, save_mof
from groundplane.testing.checkpoints_towers import save_clip, save_dinov2
from groundplane.testing.language_models import picture


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of a language model, CLIP and DINOv2."""
    place = tmp_path_factory.mktemp("parts")
    return (
        save_llama(place / "llama"),
        save_clip(place / "clip"),
        save_dinov2(place / "dinov2"),
    )


def encoders_of(folders, **options):
    _, clip, dino = folders
    return [
        groundplane.load("encoders", "clip", device="cpu", weights=str(clip), size=56),
        groundplane.load("encoders", "dinov2", device="cpu", weights=str(dino), **options),
    ]


def save_apart(folders, folder, dtype=torch.float32, **options):
    """A model without its towers, and what it says of a picture."""
    model, processor = build_mof(
        folders[0], encoders_of(folders, **options), FusionRule(), dtype=dtype
    )
    model.save_pretrained(folder, tower_weights="reference")
    processor.save_pretrained(folder)
    given = processor("a <image> dog", [picture(40, 30)])
    return model(**given).logits


class TestTowersApart:
    @pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("options", [{}, {"pixels": "clip", "final_norm": True, "layer": -2}])
    def test_they_come_from_the_encoders(self, folders, tmp_path, kind, options):
        wanted = save_apart(folders, tmp_path, kind, **options)
        model, processor = load_mof(tmp_path, folders[1:], who="test", dtype=kind)
        assert {p.dtype for p in model.parameters()} == {kind}
        given = processor("a <image> dog", [picture(40, 30)])
        assert torch.equal(model(**given).logits, wanted)

    def test_as_a_plugin(self, folders, tmp_path):
        save_apart(folders, tmp_path)
        model = groundplane.load(
            "language_models",
            "mof",
            device="cpu",
            weights=str(tmp_path),
            encoders=",".join(map(str, folders[1:])),
            max_tokens=3,
        )
        events = model.open([Prompt(text="dog?", images=(picture(40, 30),))]).step([])
        assert isinstance(events[-1], Done | Text)

    def test_without_encoders_it_says_what_to_give(self, folders, tmp_path):
        save_apart(folders, tmp_path)
        wanted = r"folders of 2 encoders \(clip, dinov2\), got 0; give them.*option encoders"
        with pytest.raises(WeightsError, match=wanted):
            groundplane.load("language_models", "mof", weights=str(tmp_path))

    def test_in_the_other_order_is_refused(self, folders, tmp_path):
        save_apart(folders, tmp_path)
        with pytest.raises(WeightsError, match="weights of the kind"):
            load_mof(tmp_path, folders[:0:-1], who="test")

    def test_other_weights_are_refused(self, folders, tmp_path):
        save_apart(folders, tmp_path / "mof")
        other = save_dinov2(tmp_path / "dinov2", seed=9)
        with pytest.raises(WeightsError, match="other weights of tower 1"):
            load_mof(tmp_path / "mof", [folders[1], other], who="test")

    def test_encoders_that_are_given_stay_what_they_are(self, folders, tmp_path):
        save_apart(folders, tmp_path)
        towers = [encoder.tower for encoder in encoders_of(folders)]
        model = MofForConditionalGeneration.from_pretrained(
            tmp_path, towers=towers, dtype=torch.bfloat16
        )
        assert [tower.dtype for tower in towers] == [torch.float32] * 2
        assert [tower.dtype for tower in model.towers] == [torch.bfloat16] * 2

    @pytest.mark.parametrize("towers", [5, ["clip"], None])
    def test_a_broken_list_of_them_is_refused(self, folders, tmp_path, towers):
        save_apart(folders, tmp_path)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"towers": towers}))
        with pytest.raises(WeightsError, match="towers: expected a list"):
            load_mof(tmp_path, folders[1:], who="test")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_mof(tmp_path_factory.mktemp("mof"))


class TestTowersInside:
    def test_encoders_are_refused(self, saved, folders):
        with pytest.raises(WeightsError, match="towers inside: leave encoders out"):
            load_mof(saved, folders[1:], who="test")

    def test_another_models_processor_is_refused(self, saved):
        model, processor = load_mof(saved, who="test")
        assert model.report.tokens == processor.tokens
        path = saved / "processor_config.json"
        told = path.read_text()
        try:
            for change in ({"tokens": 7}, {"image_token": "<s>"}, {"view": {"size": 14}}):
                path.write_text(json.dumps(json.loads(told) | change))
                name = {"image_token": "image_token_id"}.get(*change, next(iter(change)))
                with pytest.raises(WeightsError, match=f"another model's: {name}"):
                    load_mof(saved, who="test")
        finally:
            path.write_text(told)


@pytest.mark.parametrize(
    "told", [{"tower_weights": "outside"}, {"image_token_id": "5"}, {"image_token_id": True}]
)
@pytest.mark.usefixtures("unchecked")
def test_a_configuration_of_no_model_is_refused(told):
    with pytest.raises(InputError, match=next(iter(told))):
        MofConfig.from_dict(told)
