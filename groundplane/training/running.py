"""A whole training, from its configuration to its report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader

from groundplane import __version__
from groundplane.core.errors import InputError
from groundplane.core.host import choose_device, load
from groundplane.mof.adapters import load_adapters
from groundplane.mof.building import build_mof
from groundplane.mof.owning import convert_weights
from groundplane.training.configuration import StageRule, TrainConfig
from groundplane.training.forgetting import Forgetting, measure_forgetting
from groundplane.training.plotting import plot_losses
from groundplane.training.rows import prepare_rows
from groundplane.training.run_folder import RunFolder
from groundplane.training.samples import Sample
from groundplane.training.scoring import score_answers, score_text
from groundplane.training.stage import Learner, StageData, read_stage_data, train_stage
from groundplane.training.trainer import StageProgress

__all__ = ["run_training"]

_SCORES = "scores.json"


def run_training(
    config: TrainConfig,
    *,
    resume: bool = False,
    tell: Callable[[StageProgress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train a mixture-of-features model.

    The folder `output` then holds, for each stage, its log, checkpoints and weights; `loss.png`;
    `model`, which `MofForConditionalGeneration` loads; and `report.json`, which is returned.

    Args:
        config: What to train.
        resume: Go on with the run that `output` holds. It ends with the weights of an unbroken run.
        tell: Is called with progress.

    Raises:
        InputError: If `output` holds another run, or a file or sample is bad: before anything is
            loaded, where that can be seen.
        DivergedError: If the loss is no finite number.
        FrozenChangedError: If weights changed that were not to learn.
    """
    device = _device(config.device)
    folder = RunFolder(config, resume=resume)
    data = {n: read_stage_data(rule, seed=config.seed) for n, rule in config.stages.items()}
    transformers.set_seed(config.seed)
    learner, processor = _learner(config, device, tell)
    scores: dict[str, Any] = folder.read(_SCORES) or {}
    stages: dict[str, Any] = {}
    _score(config, learner, data, scores, after="start")
    folder.write(_SCORES, scores)
    for name, rule in config.stages.items():
        place = folder.stage(name)
        stages[name] = train_stage(learner, name, rule, data=data[name], folder=place)
        _score(config, learner, data, scores, after=name)
        folder.write(_SCORES, scores)
    processor.view = learner.model.config.seen
    _save(learner, processor, folder)
    losses = {
        n: [(int(step), float(loss)) for step, loss in s["losses"]] for n, s in stages.items()
    }
    plot_losses(losses, folder.path / "loss.png")
    report = _report(config, learner, stages, scores)
    folder.write("report.json", report)
    return report


def _device(name: str) -> str:
    device = choose_device(name)
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1":
        raise InputError(f"training: runs in one process, got WORLD_SIZE = {processes}")
    if device not in ("cpu", "cuda", "cuda:0"):
        raise InputError(
            f"device: training runs on cpu or cuda, got {device!r}; to use another GPU, set "
            "CUDA_VISIBLE_DEVICES"
        )
    return device


def _learner(
    config: TrainConfig, device: str, tell: Callable[[StageProgress], None]
) -> tuple[Learner, Any]:
    """The model, built anew: the adapters are random, by the seed."""
    # In full precision, and moved with the model: on a card alone they would come rounded.
    encoders = [
        load("encoders", rule.name, device="cpu", dtype=torch.float32, **rule.options)
        for rule in config.encoders
    ]
    model, processor = build_mof(
        config.language_model, encoders, config.fusion, seed=config.seed, dtype=torch.float32
    )
    if all(rule.train != "language_model" for rule in config.stages.values()) and device != "cpu":
        convert_weights(model.language_model, dtype=torch.bfloat16)
    if config.adapters is not None:
        load_adapters(model, config.adapters)
    model.to(torch.device(device))  # type: ignore[arg-type]
    learner = Learner(
        model=model,
        tokenizer=processor.tokenizer,
        template=config.template,
        cache=config.cache_features,
        seed=config.seed,
        tell=tell,
    )
    return learner, processor


def _score(
    config: TrainConfig,
    learner: Learner,
    data: Mapping[str, StageData],
    scores: dict[str, Any],
    *,
    after: str,
) -> None:
    """Score what is known, once at each point of the run."""
    if after in scores:
        return
    scores[after] = {}
    if config.text is not None:
        text = config.text.read_text("utf-8", errors="replace")
        told = score_text(learner.model.language_model, learner.tokenizer, text)
        scores[after]["text"] = told.to_json()
    for name, rule in config.stages.items():
        if data[name].held_out:
            scores[after][name] = _held_out(learner, data[name].held_out, rule)


def _held_out(learner: Learner, samples: list[Sample], rule: StageRule) -> dict[str, Any]:
    before = learner.model.config.view
    learner.see(rule.fit)  # as the stage sees pictures, at whatever point of the run
    conversations = learner.conversations(rule.max_length)
    prepared = prepare_rows(samples, conversations, packing=False, skip=rule.skip_missing)
    pictures, _ = learner.pictures(prepared.samples)
    batches = DataLoader(
        prepared.rows, batch_size=rule.micro_batch, collate_fn=learner.collator(pictures)
    )
    score = score_answers(learner.model, batches)
    learner.model.config.view = before
    return score.to_json()


def _save(learner: Learner, processor: Any, folder: RunFolder) -> None:
    place = str(folder.path / "model")
    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        learner.model.save_pretrained(place)
    finally:
        if shown:
            logging.enable_progress_bar()
    processor.save_pretrained(place)


def _report(
    config: TrainConfig, learner: Learner, stages: dict[str, Any], scores: dict[str, Any]
) -> dict[str, Any]:
    versions = {"groundplane": __version__, "transformers": transformers.__version__}
    return {
        "versions": {**versions, "torch": torch.__version__},
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": str(learner.model.device),
        "config": config.to_json(),
        "tokens_per_picture": learner.model.report.tokens,
        "stages": stages,
        "scores": scores,
        "forgetting": _forgetting(stages, scores),
    }


def _forgetting(stages: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of the stages with held-out samples; None unless all have some."""
    if not all(name in scores["start"] for name in stages):
        return None
    rows = [[scores[after][name]["accuracy"] for name in stages] for after in stages]
    told: Forgetting = measure_forgetting(rows, list(stages))
    return told.to_json() | {"said": told.lines()}
