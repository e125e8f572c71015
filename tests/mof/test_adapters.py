import json

import pytest
import torch
from safetensors.torch import save_file

from groundplane.apps.weights import convert
from groundplane.core.errors import InputError, WeightsError
from groundplane.core.features import View
from groundplane.core.fusion.operator import FusionRule
from groundplane.mof.adapters import import_published, load_adapters, save_adapters
from groundplane.mof.building import build_mof
from groundplane.testing.checkpoints_mof import save_llama, tiny_towers

WIDTH, SEEN = 32, 32  # of the language model, and of both towers


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_llama(tmp_path_factory.mktemp("llama"))


def make(folder, *, seed=0, towers=None, rule=None):
    towers = towers or list(tiny_towers())
    return build_mof(folder, towers, rule, view=View(size=56), seed=seed)[0]


def published(seed=0, width=WIDTH, seen=SEEN, prefix="model."):
    """Random adapters in the layout that the authors' code writes."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (width, seen), "0.bias": (width,)}
    shapes |= {"2.weight": (width, width), "2.bias": (width,)}
    return {
        f"{prefix}{name}.{part}": torch.randn(shape, generator=generator)
        for name in ("mm_projector", "dino_mm_projector")
        for part, shape in shapes.items()
    }


def write(path, state):
    save_file(state, path, metadata={"format": "pt"})
    return path


def adapter(state, name, features, prefix="model."):
    """As the authors compute it: linear, GELU, linear."""
    at = f"{prefix}{name}."
    hidden = features @ state[at + "0.weight"].T + state[at + "0.bias"]
    return torch.nn.functional.gelu(hidden) @ state[at + "2.weight"].T + state[at + "2.bias"]


class TestPublished:
    def test_tokens_are_those_of_the_published_way(self, llama, tmp_path):
        model, state = make(llama), published()
        import_published(model, write(tmp_path / "mm_projector.safetensors", state))
        features = [torch.randn(2, 16, SEEN) for _ in range(2)]
        merged = torch.empty(2, 32, WIDTH)
        merged[:, 0::2] = adapter(state, "mm_projector", features[0])
        merged[:, 1::2] = adapter(state, "dino_mm_projector", features[1])
        torch.testing.assert_close(model.fuse(features).tokens, merged, rtol=0, atol=1e-5)

    def test_a_whole_checkpoint_in_a_folder(self, llama, tmp_path):
        model, state = make(llama), published()
        rest = {"model.embed_tokens.weight": torch.zeros(4, WIDTH)}
        write(tmp_path / "model.safetensors", state | rest)
        told = {"mm_projector_type": "mlp2x_gelu", "hidden_size": WIDTH, "mm_hidden_size": SEEN}
        told |= {"mm_vision_select_layer": -2, "model_type": "llava"}
        (tmp_path / "config.json").write_text(json.dumps(told))
        import_published(model, tmp_path)
        got = model.fusion.state_dict()["adapters.1.2.weight"]
        assert torch.equal(got, state["model.dino_mm_projector.2.weight"])

    def test_two_files_of_the_first_stage(self, llama, tmp_path):
        """The first holds both adapters, as the authors' trainer writes it."""
        model, state = make(llama), published()
        both = write(tmp_path / "a.safetensors", state)
        dino = {name: tensor for name, tensor in state.items() if "dino" in name}
        import_published(model, both, write(tmp_path / "b.safetensors", dino))
        got = model.fusion.state_dict()["adapters.0.0.weight"]
        assert torch.equal(got, state["model.mm_projector.0.weight"])

    def test_two_files_that_disagree_are_refused(self, llama, tmp_path):
        files = [write(tmp_path / f"{seed}.safetensors", published(seed)) for seed in (0, 1)]
        with pytest.raises(WeightsError, match="differs from that of another file"):
            import_published(make(llama), *files)

    def test_a_pickle_is_refused_and_its_conversion_is_read(self, llama, tmp_path):
        model, state = make(llama), published()
        source = tmp_path / "mm_projector.bin"
        torch.save(state, source)
        with pytest.raises(WeightsError, match="groundplane weights convert"):
            import_published(model, source)
        target = tmp_path / "mm_projector.safetensors"
        convert(source, target)
        import_published(model, target)
        got = model.fusion.state_dict()["adapters.1.0.bias"]
        assert torch.equal(got, state["model.dino_mm_projector.0.bias"])

    @pytest.mark.parametrize(
        ("shape", "said"),
        [
            ({"seen": 24}, "mm_projector is for a tower of width 24, but 'clip' has 32"),
            ({"width": 48}, "a language model of width 48, but this one has 32"),
        ],
    )
    def test_another_width_is_named(self, llama, tmp_path, shape, said):
        path = write(tmp_path / "x.safetensors", published(**shape))
        with pytest.raises(WeightsError, match=said):
            import_published(make(llama), path)

    def test_a_missing_tensor_is_named(self, llama, tmp_path):
        state = published()
        del state["model.dino_mm_projector.2.bias"]
        with pytest.raises(WeightsError, match=r"missing: dino_mm_projector\.2\.bias"):
            import_published(make(llama), write(tmp_path / "x.safetensors", state))

    def test_a_deeper_adapter_is_named(self, llama, tmp_path):
        state = published() | {"model.mm_projector.4.weight": torch.zeros(2, 2)}
        with pytest.raises(WeightsError, match=r"unexpected: mm_projector\.4\.weight"):
            import_published(make(llama), write(tmp_path / "x.safetensors", state))

    @pytest.mark.parametrize(
        "told",
        [{"hidden_size": 5120}, {"mm_projector_type": "linear"}, {"mm_use_im_start_end": True}],
    )
    def test_what_its_settings_say_is_checked(self, llama, tmp_path, told):
        write(tmp_path / "model.safetensors", published())
        (tmp_path / "config.json").write_text(json.dumps(told))
        with pytest.raises(WeightsError, match=next(iter(told))):
            import_published(make(llama), tmp_path)

    def test_another_layer_is_named(self, llama, tmp_path):
        path = write(tmp_path / "x.safetensors", published())
        (tmp_path / "config.json").write_text('{"mm_vision_select_layer": -1}')
        with pytest.raises(WeightsError, match="layer=-1"):
            import_published(make(llama), path)

    def test_another_fusion_is_refused(self, llama, tmp_path):
        path = write(tmp_path / "x.safetensors", published())
        model = make(llama, rule=FusionRule(name="additive"))
        with pytest.raises(InputError, match="expected a model of two towers, interleaved"):
            import_published(model, path)

    def test_numbers_that_are_not_finite_change_nothing(self, llama, tmp_path):
        model, state = make(llama), published()
        before = {k: v.clone() for k, v in model.fusion.state_dict().items()}
        state["model.mm_projector.0.bias"][3] = torch.nan
        with pytest.raises(WeightsError, match=r"not finite: adapters\.0\.0\.bias"):
            import_published(model, write(tmp_path / "x.safetensors", state))
        assert all(torch.equal(v, before[k]) for k, v in model.fusion.state_dict().items())


class TestOurs:
    def test_round_trip(self, llama, tmp_path):
        first, second = make(llama, seed=0), make(llama, seed=1)
        load_adapters(second, save_adapters(first, tmp_path))
        one, other = first.fusion.state_dict(), second.fusion.state_dict()
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert all(p.requires_grad for p in second.fusion.parameters())

    def test_other_weights_of_a_tower_are_named(self, llama, tmp_path):
        save_adapters(make(llama), tmp_path)
        with pytest.raises(WeightsError, match=r"other weights of tower 0 \(clip\)"):
            load_adapters(make(llama, towers=list(tiny_towers(seed=9))), tmp_path)

    def test_another_language_model_is_named_or_allowed(self, llama, tmp_path):
        save_adapters(make(llama), tmp_path / "adapters")
        other = make(save_llama(tmp_path / "other", seed=3))
        with pytest.raises(WeightsError, match="for another base"):
            load_adapters(other, tmp_path / "adapters")
        load_adapters(other, tmp_path / "adapters", any_language_model=True)

    def test_another_width_is_named(self, llama, tmp_path):
        save_adapters(make(llama), tmp_path / "adapters")
        other = make(save_llama(tmp_path / "other", hidden_size=48))
        with pytest.raises(WeightsError, match="width 32, but this one has 48"):
            load_adapters(other, tmp_path / "adapters", any_language_model=True)

    def test_another_fusion_is_named(self, llama, tmp_path):
        save_adapters(make(llama), tmp_path)
        with pytest.raises(WeightsError, match="for another fusion"):
            load_adapters(make(llama, rule=FusionRule(name="channel_concat")), tmp_path)

    @pytest.mark.parametrize("text", ["{}", "[]", '{"format": 2}', '{"format": 1, "towers": 3}'])
    def test_a_broken_description_is_refused(self, llama, tmp_path, text):
        save_adapters(make(llama), tmp_path)
        (tmp_path / "adapters.json").write_text(text)
        with pytest.raises(WeightsError, match=r"adapters\.json"):
            load_adapters(make(llama), tmp_path)

    def test_a_file_that_is_cut_off_is_refused(self, llama, tmp_path):
        save_adapters(make(llama), tmp_path)
        path = tmp_path / "adapters.safetensors"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(WeightsError, match="sound safetensors"):
            load_adapters(make(llama), tmp_path)

    def test_no_folder_is_refused(self, llama, tmp_path):
        with pytest.raises(WeightsError, match="is not there"):
            load_adapters(make(llama), tmp_path / "nowhere")
