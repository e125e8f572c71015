import dataclasses
import json
import os
import pickle
import shutil

import pytest
import torch
from tiny_training import make_learner, save_data, small_heap

from groundplane.core.errors import InputError, WeightsError
from groundplane.training.configuration import LoraRule, ReplayRule, StageRule
from groundplane.training.stage import read_stage_data, train_stage
from groundplane.training.trained import FrozenChangedError
from groundplane.training.trainer import DivergedError


def rule(path, **changes):
    plain = {"data": path, "batch": 4, "micro_batch": 2, "steps": 4, "log_every": 1, "lr": 1e-2}
    return StageRule(**plain | changes)


def train(learner, given, folder, tell=None):
    data = read_stage_data(given, seed=0)
    if tell:
        learner = dataclasses.replace(learner, tell=tell)
    return train_stage(learner, "stage1", given, data=data, folder=folder)


@pytest.fixture(scope="module", autouse=True)
def _small_heap():
    with small_heap():
        yield


@pytest.fixture(scope="module")
def lora_run(tmp_path_factory):
    """A whole stage with LoRA: its folder, what came before and after, and its report."""
    folder = tmp_path_factory.mktemp("lora")
    learner = make_learner()
    before = copied(learner.model)
    lora = LoraRule(rank=2, targets=("q_proj",))
    given = rule(save_data(folder / "d"), train="lora", lora=lora, save_every=1)
    report = train(learner, given, folder / "s")
    return given, folder / "s", before, learner.model, report


@pytest.fixture
def killed(lora_run, tmp_path):
    """The same, as if it had been killed before the end of the stage was written."""
    given, folder, *_ = lora_run
    shutil.copytree(folder, tmp_path / "s")
    (tmp_path / "s" / "stage.json").unlink()
    return given, tmp_path / "s"


def copied(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    """The parts of the model that are others than before."""
    after = model.state_dict()
    assert before.keys() == after.keys()
    return {n.split(".")[0] for n in before if not torch.equal(before[n], after[n])}


@pytest.mark.parametrize(
    ("train_", "expected"),
    [
        ("adapters", {"fusion"}),
        ("language_model", {"fusion", "language_model"}),
    ],
)
def test_only_what_a_stage_trains_is_changed(tmp_path, train_, expected):
    learner = make_learner()
    before = copied(learner.model)
    report = train(learner, rule(save_data(tmp_path / "d"), train=train_), tmp_path / "s")
    check_changed(before, learner.model, report, expected)


def test_only_adapters_and_language_model_are_changed_by_lora(lora_run):
    _, _, before, model, report = lora_run
    check_changed(before, model, report, {"fusion", "language_model"})


def check_changed(before, model, report, expected):
    assert changed(before, model) == expected
    assert report["steps"] == 4
    assert not any(weight.requires_grad for weight in model.parameters())
    assert list(report["frozen"]) == ["tower 0 (one)", "tower 1 (two)", "fusion", "language_model"]
    trained = report["trained"]
    assert all(trained["before"][part] != trained["after"][part] for part in trained["before"])


def test_lora_trains_its_own_matrices_and_the_adapters_and_saves_them(lora_run):
    _, folder, before, model, report = lora_run
    adapters = sum(w.numel() for w in model.fusion.parameters())
    # Two layers, each with a matrix from 32 to 2 and one from 2 to 32.
    assert report["trained_parameters"] == adapters + 2 * (32 * 2 + 2 * 32)
    after = model.state_dict()
    other = {name for name in before if not torch.equal(before[name], after[name])}
    assert all("fusion." in name or "q_proj" in name for name in other)
    assert (folder / "lora" / "adapter_model.safetensors").is_file()
    assert not any("lora" in name for name, _ in model.named_modules())


def test_lora_for_layers_that_are_not_there_is_refused(tmp_path):
    given = rule(save_data(tmp_path / "d"), train="lora", lora=LoraRule(targets=("query",)))
    with pytest.raises(InputError, match=r"expected names among .*q_proj.*got query"):
        train(make_learner(), given, tmp_path / "s")


def test_the_loss_falls_on_a_set_that_can_be_learnt_by_heart(tmp_path):
    given = rule(save_data(tmp_path / "d"), train="language_model", batch=8, steps=24, lr=1e-2)
    losses = [loss for _, loss in train(make_learner(), given, tmp_path / "s")["losses"]]
    assert losses[0] > 3
    assert losses[-1] < 0.3


def test_adapters_alone_learn_too(tmp_path):
    given = rule(save_data(tmp_path / "d"), batch=8, steps=12, lr=2e-2)
    losses = [loss for _, loss in train(make_learner(), given, tmp_path / "s")["losses"]]
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(("train_", "packing"), [("language_model", False), ("lora", True)])
def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(tmp_path, train_, packing):
    given = rule(
        save_data(tmp_path / "d", count=10, text=3),
        **{"train": train_, "packing": packing, "max_length": 400, "batch": 2, "micro_batch": 1},
        **{"steps": 5, "save_every": 2, "lora": LoraRule(dropout=0.5)},
    )
    whole = make_learner()
    train(whole, given, tmp_path / "whole")

    class KilledError(Exception):
        pass

    def kill(progress):
        if progress.step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train(make_learner(), given, tmp_path / "broken", tell=kill)
    again = make_learner()
    report = train(again, given, tmp_path / "broken")
    assert report["resumed_from"] == 2
    assert changed(copied(whole.model), again.model) == set()
    assert [step for step, _ in report["losses"]] == [1, 2, 3, 4, 5]


def test_a_checkpoint_that_was_cut_off_is_passed_over(killed):
    given, folder = killed
    last = folder / "checkpoint-4"
    (last / "complete.json").unlink()
    (last / "trained.safetensors").write_bytes(b"half")
    assert train(make_learner(), given, folder)["resumed_from"] == 3


def test_a_damaged_checkpoint_is_refused(killed):
    given, folder = killed
    weights = folder / "checkpoint-4" / "trained.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(WeightsError, match=r"trained\.safetensors"):
        train(make_learner(), given, folder)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"lacks trained\.safetensors"):
        train(make_learner(), given, folder)


class Hostile:
    """A pickle that makes a folder when it is read as Python would read it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_program_in_a_checkpoint_is_refused_and_not_run(killed, tmp_path, name, plain):
    given, folder = killed
    shutil.rmtree(folder / "checkpoint-4")  # after the last step no order would be read
    bad, mark = folder / "checkpoint-3" / name, tmp_path / "it ran"
    if plain:
        bad.write_bytes(pickle.dumps(Hostile(mark), protocol=2))
    else:
        torch.save({"state": Hostile(mark), "param_groups": []}, bad)
    with pytest.raises(WeightsError, match=r"checkpoint-3 is damaged, or not of a run: .*delete"):
        train(make_learner(), given, folder)
    assert not mark.exists()
    if not plain:  # and the file is one that would have run
        torch.load(bad, weights_only=False)
        assert mark.exists()


@pytest.mark.parametrize("name", ["optimizer.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_with_half_a_file_is_refused(killed, name):
    given, folder = killed
    shutil.rmtree(folder / "checkpoint-4")
    bad = folder / "checkpoint-3" / name
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"checkpoint-3 is damaged"):
        train(make_learner(), given, folder)


def test_a_run_that_was_killed_after_its_last_step_is_ended(killed, lora_run):
    given, folder = killed
    (folder / "trained.safetensors").write_bytes(b"half")
    again = make_learner()
    report = train(again, given, folder)
    assert (report["steps"], report["resumed_from"]) == (4, 4)
    assert changed(copied(lora_run[3]), again.model) == set()


def test_a_finished_stage_is_loaded_and_not_done_again(lora_run):
    given, folder, _, model, _ = lora_run
    second, told = make_learner(), []
    train(second, given, folder, tell=told.append)
    assert told == []
    assert changed(copied(model), second.model) == set()


def test_a_finished_stage_of_another_base_is_an_error(lora_run):
    given, folder, *_ = lora_run
    other = make_learner()
    other.model.language_model.lm_head.weight.data[0, 0] += 1
    with pytest.raises(FrozenChangedError, match="language_model"):
        train(other, given, folder)


def test_a_single_step_learns_too(tmp_path):
    learner = make_learner()
    before = copied(learner.model)
    given = rule(save_data(tmp_path / "d"), batch=128, micro_batch=8, steps=None, warmup=0.03)
    assert train(learner, given, tmp_path / "s")["steps"] == 1
    assert changed(before, learner.model) == {"fusion"}


def test_frozen_weights_that_change_are_an_error(tmp_path):
    learner = make_learner()

    def meddle(progress):
        learner.model.towers[1].network.project.bias.data[0] += 1e-6

    with pytest.raises(FrozenChangedError, match=r"frozen weights of tower 1 \(two\) are not"):
        train(learner, rule(save_data(tmp_path / "d")), tmp_path / "s", tell=meddle)


def test_frozen_weights_that_differ_when_it_goes_on_are_an_error(killed):
    given, folder = killed
    other = make_learner()
    other.model.language_model.lm_head.weight.data[0, 0] += 1
    with pytest.raises(FrozenChangedError, match="language_model"):
        train(other, given, folder)


def gradients(given, folder):
    """The weights after a stage, and the first line of its log: of before any update."""
    learner = make_learner()
    train(learner, given, folder)
    return learner.model.state_dict(), json.loads((folder / "log.jsonl").read_text().split("\n")[0])


def test_packed_rows_give_the_loss_and_the_gradient_of_padded_ones(tmp_path):
    path = save_data(tmp_path / "d", count=8)
    plain = rule(path, train="language_model", batch=8, micro_batch=8, steps=1)
    packed = dataclasses.replace(plain, packing=True, max_length=400, batch=4, micro_batch=4)
    _, one = gradients(plain, tmp_path / "plain")
    _, two = gradients(packed, tmp_path / "packed")
    report = json.loads((tmp_path / "packed" / "stage.json").read_text())
    assert report["rows"] < report["samples"] == 8
    # float32 over rows of other lengths.
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


def test_parts_of_a_batch_add_up_to_it(tmp_path):
    path = save_data(tmp_path / "d", count=8)
    whole = rule(path, train="language_model", batch=8, micro_batch=8, steps=1)
    parts = dataclasses.replace(whole, micro_batch=2)
    _, one = gradients(whole, tmp_path / "whole")
    _, two = gradients(parts, tmp_path / "parts")
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)


def test_a_fusion_that_routes_by_the_question_is_not_packed(tmp_path):
    learner = make_learner()
    learner.model.config.fusion["options"]["by"] = "query"
    given = rule(save_data(tmp_path / "d"), packing=True)
    with pytest.raises(InputError, match=r"routes by what is asked.*packing = false"):
        train(learner, given, tmp_path / "s")


@pytest.mark.parametrize("train_", ["adapters", "language_model", "lora"])
def test_checkpointing_of_activations_changes_nothing(tmp_path, train_):
    path = save_data(tmp_path / "d")
    plain = rule(path, train=train_, steps=1)
    one, _ = gradients(plain, tmp_path / "plain")
    two, _ = gradients(dataclasses.replace(plain, checkpointing=True), tmp_path / "checkpointed")
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=1e-5)


def test_stored_features_give_the_same_weights_and_encode_once(tmp_path):
    given = rule(save_data(tmp_path / "d"), train="language_model")
    plain, cached = make_learner(), make_learner(cache=tmp_path / "cache")
    train(plain, given, tmp_path / "plain")
    report = train(cached, given, tmp_path / "cached")
    assert report["encoded_pictures"] == 8
    for name, tensor in plain.model.state_dict().items():
        torch.testing.assert_close(cached.model.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)
    again = make_learner(cache=tmp_path / "cache")
    assert train(again, given, tmp_path / "again")["encoded_pictures"] == 0
    padded = dataclasses.replace(given, fit="pad")
    assert (
        train(make_learner(cache=tmp_path / "cache"), padded, tmp_path / "pad")["encoded_pictures"]
        == 8
    )


def test_pictures_are_padded_where_a_stage_says_so(tmp_path):
    learner = make_learner()
    train(learner, rule(save_data(tmp_path / "d"), fit="pad"), tmp_path / "s")
    assert learner.model.config.seen.fit == "pad"


def test_workers_read_what_the_main_process_reads(tmp_path):
    given = rule(save_data(tmp_path / "d"), steps=2)
    one, two = make_learner(), make_learner()
    train(one, given, tmp_path / "one")
    train(two, dataclasses.replace(given, workers=1), tmp_path / "two")
    assert changed(copied(one.model), two.model) == set()


def test_replay_mixes_in_its_share(tmp_path):
    path = save_data(tmp_path / "d")
    text = save_data(tmp_path / "t", count=0, text=5)
    given = rule(path, train="language_model", replay=ReplayRule(file=text, share=0.2))
    report = train(make_learner(), given, tmp_path / "s")
    assert (report["samples"], report["replayed"]) == (10, 2)


def test_text_alone_is_learnt_by_a_language_model_and_refused_for_adapters(tmp_path):
    path = save_data(tmp_path / "d", count=0, text=4)
    report = train(make_learner(), rule(path, train="language_model"), tmp_path / "s")
    assert report["losses"][-1][1] < report["losses"][0][1]
    with pytest.raises(InputError, match=r"\[0\] \(id text 0\): has no picture.*4 samples"):
        read_stage_data(rule(path), seed=0)


def test_what_is_left_out_is_reported(tmp_path):
    path = save_data(tmp_path / "d")
    os.unlink(path.parent / "red0.png")
    given = rule(path, skip_missing=True)
    skipped = train(make_learner(), given, tmp_path / "s")["skipped"]
    assert [one["name"] for one in skipped] == ["data 'data.json': [0] (id 0)"]
    assert "red0.png is not there" in skipped[0]["reason"]


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    given = rule(save_data(tmp_path / "d"), train="language_model", lr=1e30, clip_norm=1e30)
    with pytest.raises(DivergedError, match=r"stage1, step .: the loss is .*smaller lr"):
        train(make_learner(), given, tmp_path / "s")


def test_long_samples_are_counted_as_cut(tmp_path):
    path = save_data(tmp_path / "d")
    learner = make_learner()
    longest = max(
        len(learner.conversations(2048).encode(sample).ids)
        for sample in read_stage_data(rule(path), seed=0).samples
    )
    report = train(learner, rule(path, max_length=longest - 1, steps=1), tmp_path / "s")
    assert report["cut"] == 2


def test_the_chat_template_of_a_tokenizer_is_used(tmp_path):
    report = train(make_learner(chat=True), rule(save_data(tmp_path / "d")), tmp_path / "s")
    assert report["steps"] == 4
