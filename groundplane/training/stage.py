"""One stage of training: what learns is chosen, trained, checked and saved."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import transformers

from groundplane.core.errors import InputError
from groundplane.core.features import View
from groundplane.core.files import write_whole
from groundplane.mof.adapters import save_adapters
from groundplane.mof.configuration import view_to_json
from groundplane.training.caching import store_pictures
from groundplane.training.configuration import StageRule
from groundplane.training.conversations import Conversations
from groundplane.training.rows import Collator, Pictures, Prepared, ViewedPictures, prepare_rows
from groundplane.training.samples import Sample, Skipped, mix_in, read_samples
from groundplane.training.trained import (
    check_frozen,
    choose_trained,
    hash_frozen,
    hash_trained,
    load_trained,
    merge_lora,
    save_trained,
)
from groundplane.training.trainer import (
    Log,
    Reporter,
    StageProgress,
    StageTrainer,
    arguments_of,
    last_checkpoint,
    make_trainer,
)

__all__ = ["Learner", "StageData", "read_stage_data", "train_stage"]

_WEIGHTS, _DONE, _FROZEN = "trained.safetensors", "stage.json", "frozen.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learner:
    """A model that is to learn, on its device, and how it is talked to.

    Attributes:
        model: A `MofForConditionalGeneration`.
        tokenizer: A fast one that has `<image>` as one token.
        template: How a conversation becomes text.
        cache: Folder in which features of pictures are kept; None: each is encoded every time.
        seed: Of the order of samples, of dropout and of new matrices of LoRA.
        tell: Is called with every line of the log.
    """

    model: Any
    tokenizer: Any
    template: Literal["auto", "chat", "vicuna"] = "auto"
    cache: Path | None = None
    seed: int = 0
    tell: Callable[[StageProgress], None] = lambda progress: None

    def conversations(self, max_length: int) -> Conversations:
        """What brings conversations to tokens."""
        return Conversations(
            tokenizer=self.tokenizer,
            image_token_id=self.model.config.image_token_id,
            image_tokens=self.model.report.tokens,
            template=self.template,
            max_length=max_length,
        )

    def see(self, fit: Literal["crop", "pad", "stretch"] | None) -> None:
        """Change how pictures are brought to a square; None leaves it as it is."""
        if fit is not None:
            view = dataclasses.replace(self.model.config.seen, fit=fit)
            self.model.config.view = view_to_json(view)

    def pictures(self, samples: Sequence[Sample]) -> tuple[Pictures, int]:
        """What reads the pictures of samples, and how many had to be encoded for it."""
        view: View = self.model.config.seen
        if self.cache is None:
            return ViewedPictures(view=view), 0
        files = [file for sample in samples for file in sample.images]
        return store_pictures(self.model, files, view, self.cache)

    def collator(self, pictures: Pictures, *, packing: bool = False) -> Collator:
        """What makes batches."""
        pad = self.tokenizer.pad_token_id
        pad = self.tokenizer.eos_token_id if pad is None else pad
        return Collator(pad_id=pad, pictures=pictures, packing=packing)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """Samples of a stage.

    Attributes:
        samples: To learn, those of the replay file included.
        skipped: What was left out.
        replayed: How many are of the replay file.
        held_out: Never learnt.
    """

    samples: list[Sample]
    skipped: list[Skipped]
    replayed: int
    held_out: list[Sample]


def read_stage_data(rule: StageRule, *, seed: int) -> StageData:
    """Read the samples of a stage; see `read_samples`.

    Raises:
        InputError: If a file is bad or, unless `skip_missing`, a sample is.
    """
    samples, skipped = read_samples(rule.data, images=rule.images, skip=rule.skip_missing)
    held_out: list[Sample] = []
    if rule.held_out is not None:
        held_out, more = read_samples(rule.held_out, images=rule.images, skip=rule.skip_missing)
        skipped = [*skipped, *more]
    own = len(samples)
    if rule.replay is not None:
        old, more = read_samples(
            rule.replay.file, images=rule.replay.images, skip=rule.skip_missing
        )
        samples = mix_in(samples, old, share=rule.replay.share, seed=seed)
        skipped = [*skipped, *more]
    bare = [sample for sample in samples if not sample.images]
    if rule.train == "adapters" and bare:
        raise InputError(
            f"{bare[0].name}: has no picture, and adapters learn from pictures alone; "
            f"{len(bare)} samples are like it: leave them to a stage that trains the language model"
        )
    return StageData(
        samples=samples, skipped=skipped, replayed=len(samples) - own, held_out=held_out
    )


def train_stage(
    learner: Learner,
    name: str,
    rule: StageRule,
    *,
    data: StageData,
    folder: Path,
) -> dict[str, Any]:
    """Train one stage; the model is changed in place.

    If the folder holds whole checkpoints of this stage, it goes on from the last one and ends with
    the weights of an unbroken run; if it holds the whole stage, its weights are loaded.

    Args:
        learner: What learns.
        name: For messages and the log.
        rule: How.
        data: On what.
        folder: For checkpoints, the log and the weights; it is made where it is not there.

    Returns:
        A report that JSON can hold: steps, samples, losses, speed, hashes of weights.

    Raises:
        InputError: If a sample cannot be learnt.
        DivergedError: If the loss is no finite number.
        FrozenChangedError: If weights changed that were not to learn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learner.see(rule.fit)
    transformers.set_seed(learner.seed)
    choose_trained(learner.model, rule.train, rule.lora)
    done: dict[str, Any] | None = _read(folder / _DONE)
    if done is None:
        done = _train(learner, name, rule, data=data, folder=folder)
        _write(folder / _DONE, done)
    else:
        check_frozen(done["frozen"], hash_frozen(learner.model))
        load_trained(learner.model, folder / _WEIGHTS)
    if rule.train == "lora":
        merge_lora(learner.model)
    learner.model.requires_grad_(False).eval()
    save_adapters(learner.model, folder / "adapters")
    return done


def _train(
    learner: Learner, name: str, rule: StageRule, *, data: StageData, folder: Path
) -> dict[str, Any]:
    model = learner.model
    if rule.packing and model.config.rule.options.get("by") in ("query", "both"):
        raise InputError(
            f"{name}: packing: the fusion {model.config.rule.name!r} routes by what is asked, and "
            "would take the questions of a whole row for one; set packing = false"
        )
    conversations = learner.conversations(rule.max_length)
    prepared = prepare_rows(
        data.samples, conversations, packing=rule.packing, skip=rule.skip_missing
    )
    pictures, encoded = learner.pictures(prepared.samples)
    before, learning = _frozen_before(model, folder), hash_trained(model)
    found = last_checkpoint(folder)
    after, cuda = found[1] if found else 0, model.device.type == "cuda"
    log = Log(folder / "log.jsonl", after=after)
    trainer = make_trainer(
        model,
        prepared.rows,
        learner.collator(pictures, packing=rule.packing),
        arguments_of(rule, folder, rows=len(prepared.rows), seed=learner.seed, cuda=cuda),
        Reporter(name, log, learner.tell),
    )
    seconds = _timed(trainer, rule, str(found[0]) if found else None)
    check_frozen(before, hash_frozen(model))
    save_trained(model, folder / _WEIGHTS)
    if rule.train == "lora":
        model.language_model.save_pretrained(str(folder / "lora"))
    steps, epochs = trainer.state.global_step, float(trainer.state.epoch or 0)
    seen = epochs * len(prepared.rows) * (1 - after / steps)
    return {
        "train": rule.train,
        "steps": steps,
        "resumed_from": after or None,
        "epochs": epochs,
        "seconds": round(seconds, 3),
        "rows_per_second": round(seen / seconds, 3),
        "trained_parameters": sum(w.numel() for w in model.parameters() if w.requires_grad),
        "losses": log.losses(),
        "encoded_pictures": encoded,
        "frozen": before,
        "trained": {"before": learning, "after": hash_trained(model)},
        **_of_data(data, prepared, rule),
    }


def _timed(trainer: StageTrainer, rule: StageRule, checkpoint: str | None) -> float:
    """Train, and say how many seconds that took."""
    if rule.checkpointing:
        # The other way of torch needs gradients of a layer's input, which adapters may not give.
        _checkpoint(trainer.model, "enable", {"use_reentrant": False})
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.monotonic() - started
    if rule.checkpointing:
        _checkpoint(trainer.model, "disable")
    return seconds


def _checkpoint(model: Any, what: str, *settings: object) -> None:
    """Recompute activations or not; transformers 5 has renamed it on the way."""
    new = getattr(model, f"activation_checkpointing_{what}", None)
    (new or getattr(model, f"gradient_checkpointing_{what}"))(*settings)


def _of_data(data: StageData, prepared: Prepared, rule: StageRule) -> dict[str, Any]:
    """What became of the samples."""
    skipped = [*data.skipped, *prepared.skipped]
    return {
        "samples": len(prepared.samples),
        "replayed": data.replayed,
        "rows": len(prepared.rows),
        "tokens": prepared.tokens,
        "cut": prepared.cut,
        "skipped": [dataclasses.asdict(one) for one in skipped],
        "filled": round(prepared.tokens / (len(prepared.rows) * rule.max_length), 4)
        if rule.packing
        else None,
    }


def _frozen_before(model: Any, folder: Path) -> dict[str, str]:
    """Hashes of what does not learn; those of when the stage first began must be the same."""
    now = hash_frozen(model)
    first = _read(folder / _FROZEN)
    if first is None:
        _write(folder / _FROZEN, now)
    else:
        check_frozen(first, now)
    return now


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else None
    except ValueError as error:
        raise InputError(f"training: {path} is damaged ({error}); delete it") from error


def _write(path: Path, table: object) -> None:
    write_whole(path, json.dumps(table, indent=2, ensure_ascii=False).encode())
