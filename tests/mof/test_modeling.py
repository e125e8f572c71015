import subprocess
import sys

import pytest
import torch
import transformers

from groundplane.core.errors import InputError, ShapeError, WeightsError
from groundplane.core.features import View
from groundplane.core.fusion.making import fusion_to_json
from groundplane.core.fusion.operator import FusionRule, ProjectorRule
from groundplane.core.views import canvas_to_tower
from groundplane.language.decoding import Decoder
from groundplane.language.family import Prepared
from groundplane.mof.configuration import MofConfig, view_to_json
from groundplane.mof.modeling import MofForConditionalGeneration
from groundplane.plugins.mof import _family
from groundplane.testing.checkpoints_mof import tiny_towers
from groundplane.testing.encoders import make_tower

IMAGE = 100
KINDS = {
    "llama": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "gpt_neox": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 16},
}


def text_config(kind="llama", **settings):
    shape = {"vocab_size": IMAGE, "hidden_size": 32, "intermediate_size": 48}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 256}
    shape = {} if kind == "gpt2" else shape
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": IMAGE}
    return {"model_type": kind, **shape, **ids, **KINDS[kind], **settings}


def make(kind="llama", rule=None, towers=None, view=None, **settings):
    torch.manual_seed(0)
    towers = towers or [make_tower("clip", seed=1), make_tower("dino", width=24, seed=2)]
    config = MofConfig(
        text_config=text_config(kind, **settings),
        towers=MofConfig.towers_to_json(tuple(tower.config for tower in towers)),
        fusion=fusion_to_json(rule or FusionRule()),
        view=view_to_json(view or View(size=32)),
        image_token_id=IMAGE,
    )
    model = MofForConditionalGeneration(config, towers=towers)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and not name.startswith("towers."):
                weight.mul_(4.0)  # initial weights are too small: all would be much the same
    return model.eval()


def batch(seed=0):
    """Two texts, the first padded on the left, with one picture and with two."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, IMAGE, (2, 80), generator=generator)
    ids[0, :3] = 0
    ids[0, 5:37] = IMAGE
    ids[1, 2:34] = IMAGE
    ids[1, 40:72] = IMAGE
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return {"input_ids": ids, "pixel_values": pixels, "attention_mask": mask}


def by_hand(model, ids, pixels):
    """The embedded text, put together token by token."""
    tokens = []
    for picture in pixels:
        shares = picture[None].float() / 255
        grids = [tower(shares).tokens for tower in model.towers]
        adapted = [
            adapter(grid)[0] for adapter, grid in zip(model.fusion.adapters, grids, strict=True)
        ]
        tokens += [adapted[tower][cell] for cell in range(16) for tower in range(2)]
    table = model.get_input_embeddings()
    rows = []
    for text in ids:
        row = [tokens.pop(0) if one == IMAGE else table(one) for one in text]
        rows.append(torch.stack(row))
    assert not tokens
    return torch.stack(rows)


def loss_by_hand(logits, labels):
    """Mean negative logarithm of the chance of each label that counts, one by one."""
    terms = [
        -logits[row, place - 1].log_softmax(0)[labels[row, place]]
        for row in range(labels.shape[0])
        for place in range(1, labels.shape[1])
        if labels[row, place] != -100
    ]
    return torch.stack(terms).mean()


class TestForward:
    @pytest.mark.parametrize("kind", KINDS)
    def test_logits_and_loss_are_those_of_the_text_put_together_by_hand(self, kind):
        model, given = make(kind), batch()
        labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
        got = model(**given, labels=labels)
        embedded = by_hand(model, given["input_ids"], given["pixel_values"])
        wanted = model.language_model(
            inputs_embeds=embedded, attention_mask=given["attention_mask"]
        ).logits
        torch.testing.assert_close(got.logits, wanted, rtol=0, atol=1e-5)
        no_pictures = labels.masked_fill(labels == IMAGE, -100)
        torch.testing.assert_close(got.loss, loss_by_hand(wanted, no_pictures))

    def test_the_comparison_would_notice_the_other_order_of_towers(self):
        model, given = make(), batch()
        embedded = by_hand(model, given["input_ids"], given["pixel_values"])
        got, mask, _ = model.embed(given["input_ids"], model.encode(given["pixel_values"]))
        first = mask[0].nonzero()[:2, 0]
        swapped = embedded[0, first.flip(0)]
        torch.testing.assert_close(got, embedded)
        assert not torch.allclose(got[0, first], swapped)

    def test_labels_at_both_halves_of_a_picture_do_not_count(self):
        model, given = make(), batch()
        labels = given["input_ids"].clone()
        other = labels.clone()
        other[labels == IMAGE] = 7
        assert torch.equal(model(**given, labels=labels).loss, model(**given, labels=other).loss)

    def test_padding_on_the_right_gives_the_same(self):
        model, given = make(), batch()
        left = model(**given).logits
        turned = {k: given[k].clone() for k in ("input_ids", "attention_mask")}
        for tensor in turned.values():
            tensor[0] = tensor[0].roll(-3)
        right = model(**turned, pixel_values=given["pixel_values"]).logits
        torch.testing.assert_close(right[0, :77], left[0, 3:], rtol=0, atol=1e-4)
        torch.testing.assert_close(right[1], left[1], rtol=0, atol=1e-5)

    def test_bare_text_is_as_the_language_model_reads_it(self):
        model = make()
        ids = torch.arange(3, 23).view(2, 10)
        assert torch.equal(model(ids).logits, model.language_model(ids).logits)

    def test_features_that_were_kept_give_the_same(self):
        model, given = make(), batch()
        features = model.encode(given.pop("pixel_values"))
        assert torch.equal(model(**given, tower_features=features).logits, model(**batch()).logits)

    @pytest.mark.parametrize("name", ["bilinear", "bicubic"])
    def test_towers_of_another_size_are_resized_as_the_view_says(self, name):
        model = make(view=View(size=48, filter=name))
        pixels = torch.randint(0, 256, (1, 3, 48, 48), dtype=torch.uint8)
        shares = canvas_to_tower(pixels, 32, name)
        other = canvas_to_tower(pixels, 32, "bicubic" if name == "bilinear" else "bilinear")
        (got, _), tower = model.encode(pixels), model.towers[0]
        assert torch.equal(got, tower(shares).tokens)
        assert not torch.equal(got, tower(other).tokens)

    def test_an_image_token_within_the_vocabulary_may_be_one(self):
        model, given = make(), batch()
        model.config.image_token_id = 50
        given["input_ids"][given["input_ids"] == 50] = 51
        given["input_ids"][given["input_ids"] == IMAGE] = 50
        assert model(**given).logits.isfinite().all()

    @pytest.mark.parametrize("by", ["query", "both", "image"])
    def test_a_fusion_may_route_by_what_is_asked(self, by):
        options = {"by": by} | ({} if by == "image" else {"query_width": 32})
        model, given = make(rule=FusionRule(name="routed", options=options)), batch()
        ids = given["input_ids"]
        for row, start, stop in ((0, 21, 37), (1, 18, 34), (1, 56, 72)):  # 16 tokens a picture
            ids[row, start:stop] = 9
        before = model(**given).image_hidden_states
        ids[1, 75:] = 11
        after = model(**given).image_hidden_states
        assert torch.equal(before[0], after[0])
        assert torch.equal(before[1:], after[1:]) == (by == "image")


class TestGradients:
    def test_towers_get_none_and_all_else_some(self):
        model = make(towers=list(tiny_towers()))
        given = batch()
        given["pixel_values"] = torch.zeros(3, 3, 56, 56, dtype=torch.uint8)
        model.train()
        model(**given, labels=given["input_ids"]).loss.backward()
        assert not any(p.requires_grad or p.grad is not None for p in model.towers.parameters())
        assert not any(part.training for tower in model.towers for part in tower.modules())
        rest = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert rest == []

    def test_checkpointing_gives_the_same_gradients(self):
        model, given = make(), batch()
        model.language_model.requires_grad_(False)
        model.train()

        def gradients():
            model.zero_grad()
            model(**given, labels=given["input_ids"], use_cache=False).loss.backward()
            return [p.grad.clone() for p in model.fusion.parameters()]

        plain = gradients()
        model.activation_checkpointing_enable({"use_reentrant": False})
        assert model.is_activation_checkpointing
        for one, other in zip(plain, gradients(), strict=True):
            torch.testing.assert_close(one, other)

    def test_a_batch_of_bare_text_leaves_gradients_of_zero(self):
        model = make().train()
        model.language_model.requires_grad_(False)
        ids = torch.arange(3, 23).view(2, 10)
        model(ids, labels=ids).loss.backward()
        assert all(p.grad is not None and not p.grad.any() for p in model.fusion.parameters())


class TestGenerate:
    @pytest.mark.parametrize("kind", ["llama", "opt", "gpt2"])
    def test_is_the_same_without_what_is_kept(self, kind):
        model, given = make(kind), batch()
        made = model.generate(**given, max_new_tokens=6, do_sample=False, eos_token_id=None)
        whole = dict(given)
        for _ in range(6):
            places = (whole["attention_mask"].cumsum(1) - 1).clamp(min=0)
            following = model(**whole, position_ids=places, use_cache=False).logits[:, -1:]
            whole["input_ids"] = torch.cat([whole["input_ids"], following.argmax(-1)], 1)
            one = torch.ones(2, 1, dtype=torch.long)
            whole["attention_mask"] = torch.cat([whole["attention_mask"], one], 1)
        assert torch.equal(made, whole["input_ids"])

    @pytest.mark.parametrize("kind", KINDS)
    def test_token_by_token_behind_a_kept_cache_is_the_same(self, kind):
        model, given = make(kind), batch()
        inputs = {name: given[name][1:] for name in ("input_ids", "attention_mask")}
        inputs["tower_features"] = model.encode(given["pixel_values"][1:])
        made = model.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=None)
        decoder = Decoder(model, _family(model))
        row = decoder.begin(Prepared(inputs=inputs))
        said = []
        for _ in range(6):
            said.append(int(row.logits.argmax()))
            decoder.read(row, said[-1:])
        assert said == made[0, 80:].tolist()

    def test_towers_run_once(self):
        model, given = make(), batch()
        calls = []
        model.towers[0].register_forward_hook(lambda *_: calls.append(1))
        model.generate(**given, max_new_tokens=5)
        assert calls == [1]

    def test_beams_work(self):
        model, given = make(), batch()
        made = model.generate(**given, max_new_tokens=4, num_beams=3, num_return_sequences=2)
        assert made.shape[0] == 4
        assert torch.equal(made[::2, :80], given["input_ids"])

    def test_features_that_are_not_finite_name_their_tower(self):
        model, given = make(), batch()
        with torch.no_grad():
            model.towers[1].network.project.bias.fill_(torch.nan)
        with pytest.raises(InputError, match="features of dino have numbers that are not"):
            model.generate(**given)


class TestPlaces:
    def test_too_few_pictures_are_named(self):
        model, given = make(), batch()
        given["pixel_values"] = given["pixel_values"][:2]
        with pytest.raises(ShapeError, match=r"expected 64 image placeholders.*got 96"):
            model(**given)

    def test_no_pictures_for_placeholders(self):
        model, given = make(), batch()
        with pytest.raises(ShapeError, match="expected 0 image placeholders"):
            model(given["input_ids"])

    def test_a_picture_shared_by_two_texts_is_refused(self):
        model, given = make(), batch()
        given["input_ids"][0, 37] = IMAGE
        given["input_ids"][1, 40] = 5
        with pytest.raises(ShapeError, match="text 0 has 33, no multiple"):
            model(**given)

    def test_either_text_or_embedded_text(self):
        with pytest.raises(InputError, match="either input_ids or inputs_embeds"):
            make()()


_COMPILE = """
import torch
from groundplane.mof.modeling import MofForConditionalGeneration
model = MofForConditionalGeneration.from_pretrained({folder!r})
pixels = torch.randint(0, 256, (2, 3, 56, 56), dtype=torch.uint8)
def seen(pixels):
    return model.fuse(model.encode(pixels)).tokens
compiled = torch.compile(seen, fullgraph=True, backend="eager")
torch.testing.assert_close(compiled(pixels), seen(pixels))
"""


def test_towers_and_fusion_compile_whole(tmp_path):
    """In a process without the checks of signatures, which torch cannot compile."""
    make(towers=list(tiny_towers())).save_pretrained(tmp_path)
    script = _COMPILE.format(folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


class TestFiles:
    @pytest.fixture
    def model(self):
        return make(towers=list(tiny_towers()), rule=None)

    def saved(self, model, folder, **rest):
        model.save_pretrained(folder, **rest)
        return folder

    @pytest.mark.parametrize("tied", [False, True])
    def test_round_trip_is_exact(self, tmp_path, tied):
        model = make(towers=list(tiny_towers()), tie_word_embeddings=tied)
        back = MofForConditionalGeneration.from_pretrained(self.saved(model, tmp_path))
        state, got = model.state_dict(), back.state_dict()
        assert state.keys() == got.keys()
        assert all(torch.equal(state[name], got[name]) for name in state)
        buffers = dict(back.named_buffers())
        assert all(torch.equal(b, buffers[name]) for name, b in model.named_buffers())
        assert back.config.to_dict()["towers"] == model.config.to_dict()["towers"]
        assert not any(p.requires_grad for p in back.towers.parameters())
        assert all(p.requires_grad for p in back.fusion.parameters())

    def test_of_another_number_type(self, model, tmp_path):
        back = MofForConditionalGeneration.from_pretrained(
            self.saved(model, tmp_path), dtype=torch.bfloat16
        )
        assert {p.dtype for p in back.parameters()} == {torch.bfloat16}
        ids = torch.full((1, 33), IMAGE)
        ids[0, 0] = 1
        pixels = torch.zeros(1, 3, 56, 56, dtype=torch.uint8)
        assert back(ids, pixels).logits.isfinite().all()

    def test_towers_may_be_left_out_and_given_back(self, model, tmp_path):
        self.saved(model, tmp_path, tower_weights="reference")
        assert model.config.tower_weights == "inside"
        back = MofForConditionalGeneration.from_pretrained(tmp_path, towers=list(model.towers))
        state = back.state_dict()
        assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
        again = MofForConditionalGeneration.from_pretrained(
            self.saved(back, tmp_path / "again"), towers=list(model.towers)
        )
        assert again.config.tower_weights == "reference"

    def test_towers_that_are_left_out_must_be_given(self, model, tmp_path):
        self.saved(model, tmp_path, tower_weights="reference")
        with pytest.raises(WeightsError, match="give them as towers="):
            MofForConditionalGeneration.from_pretrained(tmp_path)

    def test_other_weights_of_a_tower_are_refused(self, model, tmp_path):
        self.saved(model, tmp_path, tower_weights="reference")
        others = tiny_towers(seed=5)
        with pytest.raises(WeightsError, match=r"other weights of tower 1 \(dinov2\)"):
            MofForConditionalGeneration.from_pretrained(
                tmp_path, towers=[model.towers[0], others[1]]
            )
        with pytest.raises(WeightsError, match="for another tower 0"):
            MofForConditionalGeneration.from_pretrained(tmp_path, towers=list(model.towers)[::-1])

    def test_a_fusion_that_does_not_fit_the_towers_is_named(self, model, tmp_path):
        self.saved(model, tmp_path)
        config = MofConfig.from_pretrained(tmp_path)
        config.fusion["projector"] = {"kind": "linear", "options": {}}
        config.save_pretrained(tmp_path)
        with pytest.raises(WeightsError, match=r"unexpected: fusion\.adapters\.0\.2"):
            MofForConditionalGeneration.from_pretrained(tmp_path)

    def test_another_width_of_the_language_model_is_named(self, model, tmp_path):
        self.saved(model, tmp_path)
        config = MofConfig.from_pretrained(tmp_path)
        config.text_config.hidden_size = 16
        config.save_pretrained(tmp_path)
        with pytest.raises(WeightsError, match=r"of another shape: fusion\.adapters\.0"):
            MofForConditionalGeneration.from_pretrained(tmp_path)

    def test_a_file_that_is_cut_off_is_refused(self, model, tmp_path):
        path = self.saved(model, tmp_path) / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(WeightsError, match="sound safetensors"):
            MofForConditionalGeneration.from_pretrained(tmp_path)

    def test_a_tensor_that_is_missing_is_named(self, model, tmp_path):
        self.saved(model, tmp_path)
        from safetensors.torch import load_file, save_file

        state = load_file(tmp_path / "model.safetensors")
        del state["fusion.adapters.1.2.bias"]
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(WeightsError, match=r"missing: fusion\.adapters\.1\.2\.bias"):
            MofForConditionalGeneration.from_pretrained(tmp_path)

    def test_other_ways_to_keep_towers_are_refused(self, model, tmp_path):
        with pytest.raises(InputError, match="inside or reference"):
            model.save_pretrained(tmp_path, tower_weights="outside")


def test_no_towers_are_refused():
    config = MofConfig(text_config=text_config())
    with pytest.raises(InputError, match="at least one tower"):
        MofForConditionalGeneration(config)


def test_the_language_model_stays_as_it_is():
    """Nothing is forgotten: without pictures its greedy text is that of the model alone."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(**text_config())
    alone = transformers.AutoModelForCausalLM.from_config(config).eval()
    towers = [make_tower("clip", seed=1)]
    told = MofConfig(
        text_config=text_config(),
        towers=MofConfig.towers_to_json(tuple(tower.config for tower in towers)),
        fusion=fusion_to_json(FusionRule(name="additive", projector=ProjectorRule(kind="linear"))),
        image_token_id=IMAGE,
    )
    model = MofForConditionalGeneration(told, towers=towers, language_model=alone)
    ids = torch.arange(3, 23).view(2, 10)
    settings = {"max_new_tokens": 5, "do_sample": False}
    mask = torch.ones_like(ids)
    assert torch.equal(
        model.generate(ids, attention_mask=mask, **settings),
        alone.generate(ids, attention_mask=mask, **settings),
    )
