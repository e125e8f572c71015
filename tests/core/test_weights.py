import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from groundplane.core import hub
from groundplane.core.errors import InputError, PluginBrokenError, WeightsError
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_model,
    load_processor,
    load_strict,
    need_library,
    read_state,
    weights_key,
)
from groundplane.testing.checkpoints import save_grounding_dino
from groundplane.testing.checkpoints_owlv2 import save_owlv2

WHO = "detector 'x'"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PACKAGE = Path(__file__).resolve().parents[2] / "groundplane"


@pytest.fixture(scope="module")
def owlv2(tmp_path_factory):
    return save_owlv2(tmp_path_factory.mktemp("owlv2"))


@pytest.fixture
def copy(owlv2, tmp_path):
    """A copy of the tiny OWLv2 whose tensors and settings can be changed."""
    for path in owlv2.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def change_tensors(folder, change):
    file = folder / "model.safetensors"
    state = dict(load_file(file))
    change(state)
    save_file(state, file, metadata={"format": "pt"})


def change_settings(folder, **settings):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def load(folder, **options):
    import transformers

    return load_model(transformers.Owlv2ForObjectDetection, folder, who=WHO, **options)


class TestLibrary:
    def test_a_missing_one_is_named_with_what_to_install(self):
        with pytest.raises(PluginBrokenError) as raised:
            need_library("no_such_library", who=WHO, extra="owlv2")
        assert str(raised.value) == (
            "detector 'x' needs the library 'no_such_library', which is not installed. "
            "Try: pip install 'groundplane[owlv2]'"
        )

    def test_without_an_extra_the_library_itself_is_named(self):
        with pytest.raises(PluginBrokenError, match="Try: pip install no-such"):
            need_library("no_such", who=WHO)

    def test_a_broken_one_is_one_line_with_its_cause(self, tmp_path, monkeypatch):
        (tmp_path / "broken_library.py").write_text("raise RuntimeError('no\\nsuch op')")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(PluginBrokenError, match="RuntimeError: no such op") as raised:
            need_library("broken_library", who=WHO, extra="owlv2")
        assert "\n" not in str(raised.value)
        assert isinstance(raised.value.__cause__, RuntimeError)

    @pytest.mark.parametrize(
        "said",
        ["operator torchvision::nms does not exist", "/x/torchvision/_C.so: undefined symbol: f"],
    )
    def test_a_torchvision_for_another_torch_is_recognised(self, tmp_path, monkeypatch, said):
        (tmp_path / "needs_vision.py").write_text(f"raise RuntimeError({said!r})")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(PluginBrokenError, match="torchvision that matches torch"):
            need_library("needs_vision", who=WHO, extra="owlv2")

    def test_transformers_is_not_begun_beside_a_broken_torchvision(self, tmp_path):
        (tmp_path / "torchvision").mkdir()
        broken = "raise RuntimeError('operator torchvision::nms does not exist')"
        (tmp_path / "torchvision" / "__init__.py").write_text(broken)
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "from groundplane.core.errors import PluginBrokenError\n"
            "from groundplane.core.weights import need_library\n"
            "try: need_library('transformers', who='x', extra='owlv2')\n"
            "except PluginBrokenError as error: print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "pip install --upgrade torch torchvision" in done.stdout, done.stderr


class TestFinding:
    def test_a_folder_is_itself(self, tmp_path):
        assert find_weights(str(tmp_path), who=WHO) == tmp_path

    def test_a_folder_with_the_name_of_a_hub_id_is_the_folder(self, tmp_path, monkeypatch):
        (tmp_path / "maker" / "model").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        assert find_weights("maker/model", who=WHO) == Path("maker/model")

    def test_a_file_is_itself(self, tmp_path):
        file = tmp_path / "one.safetensors"
        save_file({"a": torch.ones(2)}, file)
        assert find_weights(str(file), who=WHO) == file

    @pytest.mark.parametrize("name", ["", "no such folder", "/no/such", "a/b/c", "model", "maker/"])
    def test_what_is_neither_is_refused(self, name):
        with pytest.raises(WeightsError, match=r"a folder, a .safetensors file or a hub id"):
            find_weights(name, who=WHO)

    @pytest.mark.parametrize("revision", ["", "main", "v1.0", COMMIT[:39], COMMIT.upper()])
    def test_a_hub_id_needs_a_whole_commit(self, revision):
        with pytest.raises(WeightsError, match="needs option revision: expected a commit of 40"):
            find_weights("maker/model", who=WHO, revision=revision)

    @pytest.mark.parametrize("name", ["x.pth", "x.PT", "x.bin", "x.ckpt", "x.pkl"])
    def test_a_pickle_is_refused_with_the_reason_and_the_way_out(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"\x80\x04.")
        with pytest.raises(WeightsError, match=r"can run code .* groundplane weights convert"):
            find_weights(str(tmp_path / name), who=WHO)


class TestNumberType:
    def test_a_cpu_never_gets_bfloat16_by_itself(self):
        assert default_dtype("cpu") is torch.float32
        assert default_dtype(torch.device("cuda", 1)) is torch.bfloat16

    @pytest.mark.parametrize("dtype", ["int8", "load", torch.int64, 16])
    def test_what_is_no_floating_point_type_is_refused(self, dtype):
        with pytest.raises(InputError, match="expected a floating-point type"):
            default_dtype("cpu", dtype)


class TestModel:
    def test_it_is_ready_to_use_and_cannot_be_trained(self, owlv2):
        model = load(owlv2)
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
        assert {p.dtype for p in model.parameters()} == {torch.float32}

    def test_every_tensor_is_that_of_the_file(self, owlv2):
        state = load(owlv2).state_dict()
        stored = load_file(owlv2 / "model.safetensors")
        assert state.keys() == stored.keys()
        assert all(torch.equal(state[name], stored[name]) for name in stored)

    def test_the_number_type_asked_for_is_had(self, owlv2):
        model = load(owlv2, dtype="float16")
        assert {p.dtype for p in model.parameters()} == {torch.float16}

    def test_tied_weights_are_not_missing(self, tmp_path):
        import transformers

        folder = save_grounding_dino(tmp_path)
        model = load_model(transformers.GroundingDinoForObjectDetection, folder, who=WHO)
        heads = model.bbox_embed, model.model.decoder.bbox_embed
        assert heads[0][0].layers[0].weight is heads[1][1].layers[0].weight

    def test_a_missing_key_is_named(self, copy):
        change_tensors(copy, lambda state: state.pop("class_head.dense0.bias"))
        with pytest.raises(WeightsError, match=r"do not fit .* missing: class_head.dense0.bias$"):
            load(copy)

    def test_an_unexpected_key_is_named(self, copy):
        change_tensors(copy, lambda state: state.update(extra=torch.ones(1)))
        with pytest.raises(WeightsError, match=r"unexpected: extra$"):
            load(copy)

    def test_positions_that_old_checkpoints_hold_are_no_weights(self, copy):
        names = ("owlv2.text_model.embeddings.position_ids", "box_bias")
        change_tensors(copy, lambda state: state.update({n: torch.arange(3) for n in names}))
        assert load(copy).box_bias.shape == (36, 4)

    def test_a_key_of_another_shape_is_named(self, copy):
        change_tensors(copy, lambda state: state.update({"layer_norm.bias": torch.ones(5)}))
        with pytest.raises(WeightsError, match=r"of another shape: layer_norm.bias$"):
            load(copy)

    def test_many_keys_are_counted(self, copy):
        change_tensors(copy, lambda state: [state.pop(k) for k in list(state) if "layers" in k])
        with pytest.raises(WeightsError, match=r"missing: .* and \d+ more$"):
            load(copy)

    def test_a_weight_that_is_not_finite_is_named(self, copy):
        change_tensors(copy, lambda state: state["layer_norm.bias"].fill_(float("inf")))
        with pytest.raises(WeightsError, match=r"layer_norm.bias has numbers that are not finite"):
            load(copy)

    def test_another_class_is_refused(self, copy):
        change_settings(copy, architectures=["OwlViTForObjectDetection"])
        with pytest.raises(WeightsError, match="expected weights of Owlv2ForObjectDetection"):
            load(copy)

    def test_a_kind_that_the_class_also_reads_can_be_named(self, copy):
        change_settings(copy, model_type="owlv2_video", architectures=["Owlv2Video"])
        with pytest.raises(WeightsError, match="expected weights of the kind owlv2"):
            load(copy)
        assert load(copy, model_types=["owlv2_video"]).config.projection_dim == 32

    def test_no_settings_are_said_to_be_missing(self, copy):
        (copy / "config.json").unlink()
        with pytest.raises(WeightsError, match=r"has no config.json"):
            load(copy)

    @pytest.mark.parametrize(
        "settings",
        [
            {"projection_dim": "many"},
            {"vision_config": {"hidden_size": -3}},
            {"text_config": 7},
            {"vision_config": {"num_attention_heads": 0}},
        ],
    )
    def test_settings_that_make_no_model_are_one_line(self, copy, settings):
        change_settings(copy, **settings)
        with pytest.raises(WeightsError) as raised:
            load(copy)
        assert "\n" not in str(raised.value)
        assert str(copy) in str(raised.value)

    def test_weights_in_parts_are_put_together(self, copy):
        state = load_file(copy / "model.safetensors")
        names = sorted(state)
        parts = {"a.safetensors": names[:40], "b.safetensors": names[40:]}
        for file, members in parts.items():
            save_file({n: state[n] for n in members}, copy / file, metadata={"format": "pt"})
        (copy / "model.safetensors").unlink()
        table = {name: file for file, members in parts.items() for name in members}
        index = {"metadata": {"total_size": 1}, "weight_map": table}
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
        assert load(copy).state_dict().keys() == state.keys()
        assert read_state(copy, who=WHO).keys() == state.keys()
        (copy / "b.safetensors").unlink()
        with pytest.raises(WeightsError, match=r"lacks b.safetensors, which its index names"):
            load(copy)

    def test_nothing_of_the_library_is_printed(self, copy, capfd):
        change_tensors(copy, lambda state: state.update(extra=torch.ones(1)))
        capfd.readouterr()
        with pytest.raises(WeightsError):
            load(copy)
        assert capfd.readouterr() == ("", "")

    def test_a_processor_without_its_files_is_one_line(self, tmp_path):
        import transformers

        with pytest.raises(WeightsError, match="CLIPTokenizer cannot be made from"):
            load_processor(transformers.CLIPTokenizer, tmp_path / "none", who=WHO)


class TestState:
    def test_a_folder_with_one_file_is_that_file(self, tmp_path):
        save_file({"a": torch.arange(3)}, tmp_path / "any.safetensors")
        assert read_state(tmp_path, who=WHO)["a"].tolist() == [0, 1, 2]

    def test_several_files_are_not_guessed_among(self, tmp_path):
        for name in ("a", "b"):
            save_file({"a": torch.ones(1)}, tmp_path / f"{name}.safetensors")
        with pytest.raises(WeightsError, match="name the one to read"):
            read_state(tmp_path, who=WHO)

    def test_a_folder_of_pickles_is_refused_with_the_reason(self, tmp_path):
        (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
        with pytest.raises(WeightsError, match=r"pytorch_model.bin is a pickle"):
            read_state(tmp_path, who=WHO)

    def test_an_empty_folder_is_said_to_hold_nothing(self, tmp_path):
        with pytest.raises(WeightsError, match="holds nothing"):
            read_state(tmp_path, who=WHO)

    def test_a_module_takes_what_fits(self):
        state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
        layer = load_strict(nn.Linear(3, 2), state, who=WHO, dtype=torch.float64)
        assert layer.weight.dtype == torch.float64
        assert not layer.weight.requires_grad

    def test_a_module_computes_its_own_constants(self):
        layer = nn.Linear(1, 1)
        layer.register_buffer("steps", torch.arange(3), persistent=False)
        state = {"weight": torch.ones(1, 1), "bias": torch.ones(1), "steps": torch.zeros(9)}
        assert load_strict(layer, state, who=WHO).steps.tolist() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"bias": None}, "missing: bias"),
            ({"other": torch.ones(1)}, "unexpected: other"),
            ({"bias": torch.zeros(3)}, "of another shape: bias"),
            ({"bias": torch.full((2,), float("nan"))}, "bias has numbers that are not finite"),
        ],
    )
    def test_a_module_refuses_what_does_not_fit(self, change, said):
        state = {"weight": torch.ones(2, 3), "bias": torch.zeros(2)} | change
        with pytest.raises(WeightsError, match=said):
            load_strict(nn.Linear(3, 2), {k: v for k, v in state.items() if v is not None}, who=WHO)


def test_the_key_of_a_cache_changes_with_the_file(copy):
    before = weights_key(copy)
    assert weights_key(copy) == before
    change_tensors(copy, lambda state: state.pop("class_head.dense0.bias"))
    assert weights_key(copy) != before


def test_no_model_library_is_loaded_by_the_module():
    code = (
        "import sys, groundplane.core.weights\n"
        "print([m for m in ('transformers', 'huggingface_hub', 'safetensors', 'torchvision') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "pattern",
    [
        r"trust_remote_code\s*=\s*True",
        r"torch\.load\(",
        r"\b(import|from) +(pickle|joblib|dill|cloudpickle|marshal|shelve)\b",
        r"pickle\.\w",
        r"(?<![\w.])(eval|exec)\(",
    ],
)
def test_the_package_has_no_word_that_runs_what_it_reads(pattern):
    """`groundplane weights convert` reads a pickle that the user names, in one place."""
    allowed = {"apps/weights.py"} if "load" in pattern else set()
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        # The name of an error runs nothing.
        if re.search(
            pattern,
            path.read_text(encoding="utf-8").replace("from pickle import UnpicklingError\n", ""),
        )
    }
    assert found <= allowed
    assert re.search(
        pattern, "torch.load(x, trust_remote_code=True); import pickle; pickle.x; eval("
    )


def test_messages_go_to_the_log_of_the_module():
    assert hub.logger.name == "groundplane.core.hub"
    assert logging.getLogger("groundplane").isEnabledFor(logging.WARNING)
