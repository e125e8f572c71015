"""Grounding DINO through its authors' package; the referee is the expert of transformers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from types import ModuleType

import numpy as np
import pytest
import torch

import groundplane
from groundplane.apps.weights import convert
from groundplane.core import hub
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.weights import read_state
from groundplane.plugins import grounding_dino_py as plugin
from groundplane.testing.checkpoints import word_pieces
from groundplane.testing.checkpoints_grounding_dino_py import (
    save_grounding_dino_pair,
    to_groundingdino,
    to_transformers,
)
from groundplane.testing.detectors import DetectorContract, make_image

transformers = pytest.importorskip("transformers")
pytest.importorskip("torchvision")
pytest.importorskip("groundingdino")

# One network, two programs: what is left is the order of sums in float32. Shares of the picture.
CLOSE = 1e-3
PHRASES = ("cat", "red dog", "wooden chair", "cup")
SMALL = {"shortest": 72, "longest": 120}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("grounding-dino-py")
    yield save_grounding_dino_pair(root)
    shutil.rmtree(root)  # 240 MB, which pytest would keep


@pytest.fixture(scope="session")
def load(folders):
    """The expert under test, the others made once for all tests."""
    made = {}

    def make(name="grounding-dino-py", **options):
        key = (name, *sorted(options.items()))
        if key not in made:
            own = name == "grounding-dino-py"
            given = {"weights": str(folders[own])} | (SMALL if own else {}) | options
            made[key] = groundplane.load("detectors", name, device="cpu", **given)
        return made[key]

    return make


@pytest.fixture
def beside(folders, tmp_path):
    """A folder with the files of the text encoder, and no weights."""
    files = shutil.ignore_patterns("*.safetensors")
    yield shutil.copytree(folders[1], tmp_path / "copy", ignore=files)
    shutil.rmtree(tmp_path / "copy")


def make(weights, **options):
    return groundplane.load(
        "detectors", "grounding-dino-py", device="cpu", weights=str(weights), **SMALL, **options
    )


def picture(width=96, height=64, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return make_image(blocks.repeat(16, 0).repeat(16, 1)[:height, :width])


def write(state, path, **changes):
    from safetensors.torch import save_file

    state = {name: tensor.clone() for name, tensor in (dict(state) | changes).items()}
    save_file(state, path, metadata={"format": "pt"})


def fail_inside(package):
    with plugin._given(package, {"get_tokenlizer": None}):
        assert package.get_tokenlizer is None
        raise ZeroDivisionError


def stand_in(**parts):
    """A module with what is used of the package, or other parts."""
    package = ModuleType("package")
    usual = {"BertModelWarper": "its own", "get_tokenlizer": None, "NestedTensor": None}
    vars(package).update(usual | parts)
    return package


def build(package, reader_class):
    return plugin._build(
        package, {}, tokenizer=None, make_reader=torch.nn.Identity, reader_class=reader_class
    )


def farthest(one, other):
    """How far two results lie apart: boxes in shares of the picture, scores in themselves."""
    first, second = one.candidates, other.candidates
    assert len(first) == len(second) > 0
    assert torch.equal(first.phrase_ids.sort().values, second.phrase_ids.sort().values)
    width, height = first.image_size
    size = torch.tensor([width, height, width, height])
    far = 0.0
    for index in range(len(first.phrases)):
        ours, theirs = (r.phrase_ids == index for r in (first, second))
        apart = torch.cdist(first.boxes[ours] / size, second.boxes[theirs] / size, p=torch.inf)
        nearest = apart.argmin(1)
        assert len(set(nearest.tolist())) == len(nearest), "two boxes stand for one"
        gap = (first.scores[ours] - second.scores[theirs][nearest]).abs()
        far = max(far, apart.amin(1).max().item(), gap.max().item())
    return far


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, load):
        return load()

    @pytest.fixture
    def phrases(self):
        return ("person", "chair", "red cup")


class TestEqualToTransformers:
    def test_raw_outputs_are_alike(self, load):
        ours, theirs = load()._detector._network, load("grounding-dino")._expert._network
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(2, 3, 72, 108, generator=generator)
        mask = torch.ones(2, 72, 108, dtype=torch.bool)
        mask[:, :, 90:] = False
        ids = [101, 110, 1012, 112, 113, 1012, 102]
        with torch.inference_mode():
            maps, expected = ours.encode(values, mask), theirs.encode(values, mask)
            logits, boxes = ours.read(maps, mask, ids)
            their_logits, their_boxes = theirs.read(expected, mask, ids)
        for one, other in zip(maps, expected, strict=True):
            torch.testing.assert_close(one, other, atol=CLOSE, rtol=0)
        told = slice(0, len(ids))
        torch.testing.assert_close(logits[..., told], their_logits[..., told], atol=CLOSE, rtol=0)
        torch.testing.assert_close(boxes, their_boxes, atol=CLOSE, rtol=0)

    @pytest.mark.parametrize("apart", [False, True])
    @pytest.mark.parametrize("size", [(96, 64), (64, 96), (200, 33), (5, 7)])
    def test_results_are_alike(self, load, size, apart):
        request = DetectRequest(image=picture(*size), phrases=PHRASES)
        options = {"floor": 0.0, "overlap": 1.0, "apart": apart}
        ours = load(**options).detect([request])[0]
        theirs = load("grounding-dino", **options).detect([request])[0]
        assert farthest(ours, theirs) < CLOSE

    def test_other_weights_would_be_noticed(self, load, folders, beside):
        state = read_state(folders[1], who="test")
        name = "transformer.decoder.layers.1.ca_text.in_proj_weight"
        # Keys and values exchanged, as a converter might have it.
        query, key, value = state[name].chunk(3)
        wrong = torch.cat([query, value, key])
        write(state, beside / "model.safetensors", **{name: wrong})
        request = DetectRequest(image=picture(), phrases=PHRASES)
        options = {"floor": 0.0, "overlap": 1.0}
        ours = make(beside, **options).detect([request])[0]
        theirs = load("grounding-dino", **options).detect([request])[0]
        assert farthest(ours, theirs) > CLOSE

    def test_names_go_there_and_back(self, folders):
        state = read_state(folders[1], who="test")
        back = to_groundingdino(to_transformers(state))
        assert back.keys() == state.keys()
        assert all(torch.equal(state[name], back[name]) for name in state)

    def test_a_name_of_neither_is_an_error(self):
        with pytest.raises(KeyError, match="head"):
            to_transformers({"head.weight": torch.zeros(1)})


class TestPackage:
    @pytest.fixture
    def package(self):
        plugin._mute_old_calls()
        return hub.need_library("groundingdino.models.GroundingDINO.groundingdino", who="test")

    def test_the_cut_network_equals_the_whole_one(self, load, folders, package):
        _, folder = folders
        tokenizer, reader = plugin._text_encoder(folder, transformers)
        shape = plugin._SHAPE | plugin._stated_shape(folder)
        model = plugin._build(
            package,
            {**plugin._SETTINGS, **shape, "backbone": "swin_T_224_1k"},
            tokenizer=tokenizer,
            make_reader=reader,
            reader_class=transformers.BertModel,
        )
        model.load_state_dict(read_state(folder, who="test"))
        model.eval()
        values = torch.randn(2, 3, 72, 108, generator=torch.Generator().manual_seed(1))
        text = "cat. red dog."
        network = load()._detector._network
        with torch.inference_mode():
            whole = model(values, captions=[text] * 2)
            mask = torch.ones(2, 72, 108, dtype=torch.bool)
            maps = network.encode(values, mask)
            logits, boxes = network.read(maps, mask, tokenizer(text)["input_ids"])
        torch.testing.assert_close(logits, whole["pred_logits"], atol=1e-5, rtol=0)
        torch.testing.assert_close(boxes, whole["pred_boxes"], atol=1e-6, rtol=0)

    def test_loading_leaves_the_package_as_it_was(self, folders, package):
        before = dict(vars(package))
        make(folders[1])
        with pytest.raises(ZeroDivisionError):
            fail_inside(package)
        assert dict(vars(package)) == before
        assert package.BertModelWarper.__module__.startswith("groundingdino.")

    @pytest.mark.parametrize(
        ("variant", "file"),
        [("swin-t", "GroundingDINO_SwinT_OGC"), ("swin-b", "GroundingDINO_SwinB_cfg")],
    )
    def test_the_configurations_are_the_published_ones(self, variant, file):
        published = vars(hub.need_library(f"groundingdino.config.{file}", who="test"))
        ours = plugin._SETTINGS | plugin._SHAPE | {"backbone": plugin._BACKBONES[variant]}
        other = {name: published[name] for name in ours if published[name] != ours[name]}
        # These act in training only.
        assert other == {
            "use_checkpoint": True,
            "use_transformer_ckpt": True,
            "fusion_droppath": 0.1,
        }

    def test_its_own_text_encoder_is_kept_where_it_works(self):
        seen = []
        package = stand_in(build_groundingdino=lambda _: seen.append(package.BertModelWarper))
        build(package, type("OldBert", (), dict.fromkeys(plugin._GONE)))
        build(package, transformers.BertModel)
        assert seen == ["its own", plugin._TextEncoder]

    def test_a_package_that_is_not_known_is_refused(self):
        with pytest.raises(PluginBrokenError, match="has no build_groundingdino"):
            build(stand_in(), transformers.BertModel)
        with pytest.raises(PluginBrokenError, match="expected an image encoder"):
            plugin._Network(torch.nn.Linear(1, 1), nested=None, batch=None, dtype=torch.float32)

    def test_loading_and_looking_print_nothing_and_move_no_random_numbers(self, folders, capfd):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        make(folders[1]).detect([DetectRequest(image=picture(seed=8), phrases=("cat",))])
        assert torch.equal(torch.get_rng_state(), before)
        assert capfd.readouterr() == ("", "")


class TestLooking:
    def test_many_prompts_share_one_encoding_of_the_picture(self, load, monkeypatch):
        encoded, read = [], []
        encode, look = plugin._Network.encode, plugin._Network.read
        monkeypatch.setattr(
            plugin._Network, "encode", lambda *a: encoded.append(len(a[1])) or encode(*a)
        )
        monkeypatch.setattr(plugin._Network, "read", lambda *a: read.append(len(a[2])) or look(*a))
        shared_cache().clear()
        many = tuple(f"{a} {b}" for a in ("red", "blue", "green", "black") for b in "abcdefghijklm")
        request = DetectRequest(image=picture(seed=7), phrases=many * 2)
        load(apart=True).detect([request])
        assert encoded == [1]
        assert len(read) == len(many)
        long = tuple(f"{phrase} of the wooden table" for phrase in many)
        load().detect([DetectRequest(image=picture(seed=7), phrases=long)])
        assert encoded == [1]
        assert len(read) == len(many) + 2

    def test_pictures_of_mixed_size_equal_single_ones(self, load):
        sizes = [(96, 64), (64, 96), (96, 64), (30, 200)]
        requests = [
            DetectRequest(image=picture(*size, seed=i), phrases=PHRASES[: 2 + i % 2])
            for i, size in enumerate(sizes)
        ]
        detector = load(floor=0.0, overlap=1.0)
        for together, request in zip(detector.detect(requests), requests, strict=True):
            assert farthest(together, detector.detect([request])[0]) < 1e-5

    def test_candidates_are_thresholded_again_without_a_new_run(self, load):
        low, high = (
            load().detect([DetectRequest(image=picture(), phrases=PHRASES, thresholds=(t,) * 4)])[0]
            for t in (0.1, 0.74)
        )
        again = low.at((0.74,) * 4)
        assert torch.equal(again.regions.boxes, high.regions.boxes)
        assert again.outcomes == high.outcomes
        assert 0 < len(high.regions) < len(low.regions)

    def test_each_phrase_has_its_threshold(self, load):
        request = DetectRequest(image=picture(), phrases=("cat", "cat"), thresholds=(0.2, 1.0))
        assert load().detect([request])[0].outcomes == (Outcome.FOUND, Outcome.NONE)

    def test_what_it_cannot_look_for_is_told(self, load):
        request = DetectRequest(image=picture(), phrases=("", "🪑", "cat " * 300, "cup"))
        result = load().detect([request])[0]
        cannot = Outcome.CANNOT
        assert result.outcomes == (cannot, cannot, cannot, Outcome.FOUND)

    def test_threads_do_not_disturb_one_another(self, load):
        detector = load(floor=0.0, overlap=1.0)
        requests = [
            DetectRequest(image=picture(seed=20 + i), phrases=PHRASES[i:]) for i in range(4)
        ]
        alone = [detector.detect([request])[0] for request in requests]
        shared_cache().clear()
        found = [None] * 4

        def look(i):
            found[i] = detector.detect([requests[i]])[0]

        threads = [threading.Thread(target=look, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(farthest(a, b) < 1e-5 for a, b in zip(alone, found, strict=True))

    def test_half_precision_products_stay_near(self, load, folders):
        request = DetectRequest(image=picture(), phrases=("cat",))
        options = {"floor": 0.0, "overlap": 1.0}
        whole = load(**options).detect([request])[0].candidates
        half = (
            groundplane.load(
                "detectors",
                "grounding-dino-py",
                device="cpu",
                dtype=torch.bfloat16,
                weights=str(folders[1]),
                **SMALL,
                **options,
            )
            .detect([request])[0]
            .candidates
        )
        assert half.scores.dtype == torch.float32
        # Eight bits of mantissa through a network of random weights: near, and no more.
        assert abs(whole.scores[0] - half.scores[0]) < 0.1

    def test_weights_that_give_no_numbers_fail_by_name(self, folders, beside, capfd):
        state = read_state(folders[1], who="test")
        level = torch.full_like(state["transformer.level_embed"], 3e38)  # finite; no sum of it is
        write(state, beside / "model.safetensors", **{"transformer.level_embed": level})
        with pytest.raises(DetectorError, match=r"grounding-dino-py.*not finite"):
            make(beside).detect([DetectRequest(image=picture(seed=99), phrases=("cat",))])
        assert capfd.readouterr().out == ""  # the package prints such layers


class TestWeights:
    def test_a_published_file_is_read_once_it_is_converted(self, load, folders, beside):
        # As published: in a table with the optimiser's, names with a prefix, and two tables that
        # the package does not make.
        state = {f"module.{k}": v for k, v in read_state(folders[1], who="test").items()}
        state["module.label_enc.weight"] = torch.zeros(3, 256)
        state["module.bert.embeddings.position_ids"] = torch.arange(256)[None]
        published = beside / "groundingdino_swint_ogc.pth"
        torch.save({"model": state, "epoch": 3}, published)
        with pytest.raises(WeightsError, match="groundplane weights convert"):
            make(beside)
        with pytest.raises(WeightsError, match="groundplane weights convert"):
            make(published)
        convert(published, beside / "swint.safetensors")
        request = DetectRequest(image=picture(), phrases=PHRASES)
        expected = load().detect([request])[0].candidates
        for weights in (beside, beside / "swint.safetensors"):
            found = make(weights).detect([request])[0].candidates
            assert torch.equal(found.boxes, expected.boxes)
            assert torch.equal(found.scores, expected.scores)

    def test_missing_and_further_weights_are_named(self, folders, beside):
        state = read_state(folders[1], who="test")
        del state["feat_map.bias"]
        write(state, beside / "model.safetensors", **{"head.weight": torch.zeros(1)})
        with pytest.raises(WeightsError, match=r"missing: feat_map\.bias; unexpected: head\.weig"):
            make(beside)

    def test_weights_of_the_other_variant_are_refused(self, folders):
        with pytest.raises(WeightsError, match=r"do not fit GroundingDINO"):
            make(folders[1], variant="swin-b")

    def test_weights_in_the_names_of_transformers_are_refused(self, folders):
        with pytest.raises(WeightsError, match="are for the expert 'grounding-dino'"):
            make(folders[0])

    def test_a_plain_vocabulary_and_published_settings_do(self, load, folders, tmp_path):
        # As bert-base-uncased has them: no tokenizer.json, settings of another task.
        settings = json.loads((folders[1] / "config.json").read_text())
        settings |= {"architectures": ["BertForMaskedLM"], "gradient_checkpointing": False}
        (tmp_path / "config.json").write_text(json.dumps(settings))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
        (tmp_path / "vocab.txt").write_text("\n".join(word_pieces()))
        for name in ("groundingdino.json", "model.safetensors"):
            (tmp_path / name).symlink_to(folders[1] / name)
        request = DetectRequest(image=picture(), phrases=PHRASES)
        found, expected = make(tmp_path).detect([request])[0], load().detect([request])[0]
        assert torch.equal(found.candidates.scores, expected.candidates.scores)

    def test_a_folder_without_a_text_encoder_says_what_to_copy(self, folders, tmp_path):
        (tmp_path / "model.safetensors").symlink_to(folders[1] / "model.safetensors")
        with pytest.raises(WeightsError, match=r"copy config\.json, vocab\.txt"):
            make(tmp_path)

    @pytest.mark.parametrize(
        ("stated", "message"),
        [
            ({"hidden_dim": 32}, "got hidden_dim"),
            ({"num_queries": 0}, "num_queries: expected 1 to 65536, got 0"),
            ({"nheads": "4"}, "nheads: expected 1 to 65536, got '4'"),
            ({"nheads": 7}, "cannot be made"),
        ],
    )
    def test_a_shape_that_cannot_be_is_refused(self, folders, beside, stated, message):
        (beside / "model.safetensors").symlink_to(folders[1] / "model.safetensors")
        (beside / "groundingdino.json").write_text(json.dumps(stated))
        with pytest.raises(WeightsError, match=message):
            make(beside)

    def test_a_text_encoder_that_cannot_be_is_refused(self, folders, beside):
        (beside / "model.safetensors").symlink_to(folders[1] / "model.safetensors")
        settings = json.loads((beside / "config.json").read_text())
        (beside / "config.json").write_text(json.dumps(settings | {"num_attention_heads": 3}))
        with pytest.raises(WeightsError, match=r"cannot be made|config\.json"):
            make(beside)

    @pytest.mark.parametrize(
        "wrong", [{"threshold": 1.5}, {"floor": float("nan")}, {"batch": 0}, {"most": 0}]
    )
    def test_options_out_of_range_are_refused(self, wrong, unchecked):
        with pytest.raises(InputError, match=f"option {next(iter(wrong))}"):
            plugin.GroundingDinoPyOptions(weights="x", **wrong)
        with pytest.raises(InputError, match="swin-l"):
            plugin.GroundingDinoPyOptions(weights="x", variant="swin-l")


class TestLibraries:
    @pytest.mark.parametrize("absent", ["groundingdino", "torchvision", "transformers"])
    def test_a_missing_library_gives_the_command_that_installs_it(self, monkeypatch, absent):
        there = hub.is_installed
        monkeypatch.setattr(hub, "is_installed", lambda name: name != absent and there(name))
        with pytest.raises(PluginBrokenError) as caught:
            groundplane.load("detectors", "grounding-dino-py", device="cpu", weights="anywhere")
        message = str(caught.value)
        assert "\n" not in message
        assert f"library {absent!r}" in message
        assert "pip install --no-deps groundingdino-py" in message

    def test_its_file_loads_no_model_library(self):
        program = (
            "import sys, groundplane.plugins.grounding_dino_py\n"
            "heavy = {'groundingdino', 'transformers', 'torchvision', 'timm'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.strip() == "[]"

    def test_old_calls_are_muted_when_the_package_is_first_read(self):
        # Every warning an error, and the package compiled anew: its text has old escapes.
        program = (
            "import sys\n"
            "import torch, torchvision, transformers, timm, matplotlib.pyplot\n"
            "import warnings\n"
            "sys.dont_write_bytecode, sys.pycache_prefix = True, sys.argv[1]\n"
            "warnings.simplefilter('error')\n"
            "from groundplane.plugins import grounding_dino_py as plugin\n"
            "plugin._mute_old_calls()\n"
            "import groundingdino.models\n"
            "plugin._mute_old_calls()\n"
            "print(len(warnings.filters))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "/nonexistent"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
