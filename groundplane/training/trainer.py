"""transformers' Trainer for one stage: what is saved, logged and told meanwhile."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from groundplane.core.errors import GroundplaneError, WeightsError
from groundplane.core.files import write_whole
from groundplane.training.configuration import StageRule
from groundplane.training.trained import load_trained, save_trained

__all__ = [
    "DivergedError",
    "Log",
    "Reporter",
    "StageProgress",
    "StageTrainer",
    "arguments_of",
    "last_checkpoint",
    "make_trainer",
]

_WEIGHTS = "trained.safetensors"
# Written last: a checkpoint without it was cut off.
_COMPLETE = "complete.json"
# What torch and json raise on a damaged file.
_UNREADABLE = (
    UnpicklingError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class DivergedError(GroundplaneError, ArithmeticError):
    """The loss is no finite number any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageProgress:
    """How far a stage is.

    Attributes:
        stage: Its name.
        step: Of the optimiser, from 1.
        steps: Of the whole stage.
        loss: Mean since the last report, nats a token.
        lr: Learning rate.
        seconds: Since the stage began, or was taken up again.
    """

    stage: str
    step: int
    steps: int
    loss: float
    lr: float
    seconds: float

    def __str__(self) -> str:
        pace = f"{self.seconds:.0f} s"
        return f"{self.stage} {self.step}/{self.steps} loss {self.loss:.4f} lr {self.lr:.2e} {pace}"


class Log:
    """The log of a stage: JSON lines, which are only added to.

    Args:
        path: It is made where it is not there.
        after: Lines of later steps are taken out: they are done again.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        self._path = path
        old = [entry for entry in self.entries() if entry["step"] <= after]
        text = "".join(json.dumps(entry) + "\n" for entry in old)
        write_whole(path, text.encode())

    def add(self, entry: dict[str, Any]) -> None:
        """Write a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """What was written; a line that was cut off is left out."""
        if not self._path.is_file():
            return []
        lines = self._path.read_text("utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.endswith("}")]

    def losses(self) -> list[tuple[int, float]]:
        """Step and loss of each line."""
        return [(entry["step"], entry["loss"]) for entry in self.entries()]


class Reporter(TrainerCallback):
    """Writes the log and tells progress; stops a run whose loss is no number.

    Args:
        stage: Its name.
        log: Is written to.
        tell: Is called with the same.

    Raises:
        DivergedError: While training, if the loss is not finite.
    """

    def __init__(self, stage: str, log: Log, tell: Callable[[StageProgress], None]) -> None:
        self._stage, self._log, self._tell = stage, log, tell
        self._start = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        if "loss" not in logs:
            return
        loss, seconds = float(logs["loss"]), time.monotonic() - self._start
        if not math.isfinite(loss):
            raise DivergedError(
                f"training: {self._stage}, step {state.global_step}: the loss is {loss}; "
                "use a smaller lr, a longer warmup, or look for damaged samples"
            )
        rate = float(logs["learning_rate"])
        entry = {"step": state.global_step, "epoch": logs["epoch"], "loss": loss, "lr": rate}
        entry |= {"grad_norm": float(logs["grad_norm"]), "seconds": round(seconds, 3)}
        self._log.add(entry)
        step, steps = state.global_step, state.max_steps
        told = StageProgress(
            stage=self._stage, step=step, steps=steps, loss=loss, lr=rate, seconds=seconds
        )
        self._tell(told)

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        write_whole(folder / _COMPLETE, json.dumps({"step": state.global_step}).encode())


class StageTrainer(Trainer):
    """A Trainer whose checkpoints hold what learns, as safetensors, and nothing that does not."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_trained(self.learner, folder / _WEIGHTS)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        load_trained(self.learner, Path(resume_from_checkpoint) / _WEIGHTS)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _named_if_damaged(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _named_if_damaged(checkpoint):
            super()._load_rng_state(checkpoint)

    @property
    def learner(self) -> nn.Module:
        """What is trained."""
        assert isinstance(self.model, nn.Module)
        return self.model


@contextmanager
def _named_if_damaged(checkpoint: str | None) -> Iterator[None]:
    """Name a checkpoint whose state cannot be read; torch refuses pickled programs by itself."""
    try:
        yield
    except _UNREADABLE as error:
        said = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"training: the checkpoint {checkpoint} is damaged, or not of a run: {said}; "
            "delete its folder"
        ) from error


def make_trainer(
    model: Any, rows: Any, collator: Any, args: TrainingArguments, reporter: Reporter
) -> StageTrainer:
    """A trainer that prints nothing: `reporter` tells.

    Args:
        model: Whose parameters say whether they learn.
        rows: A dataset.
        collator: Makes batches of its rows.
        args: As of `arguments_of`.
        reporter: Of this stage.
    """
    trainer = StageTrainer(
        model=model,
        args=args,
        train_dataset=rows,
        data_collator=collator,
        callbacks=[reporter],
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def arguments_of(
    rule: StageRule, folder: Path, *, rows: int, seed: int, cuda: bool
) -> TrainingArguments:
    """What transformers is told of a stage.

    Args:
        rule: The stage.
        folder: For its checkpoints.
        rows: Of its data.
        seed: Of the order of samples and of dropout.
        cuda: Whether it runs on a GPU: then in bfloat16 where that is safe.
    """
    steps = rule.steps or math.ceil(math.ceil(rows / rule.batch) * rule.epochs)
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=min(rule.micro_batch, rule.batch),
        gradient_accumulation_steps=rule.accumulation,
        num_train_epochs=rule.epochs,
        max_steps=rule.steps or -1,
        learning_rate=rule.lr,
        lr_scheduler_type="cosine",
        # Below 1 it is a share of all steps. Its first step has a rate of 0: an only one would
        # learn nothing.
        warmup_steps=rule.warmup if steps > 1 else 0,
        weight_decay=rule.weight_decay,
        max_grad_norm=rule.clip_norm,
        optim="adamw_torch",
        bf16=cuda,
        use_cpu=not cuda,
        logging_steps=rule.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a loss that is no number must be seen
        save_steps=rule.save_every,
        save_total_limit=2,
        dataloader_num_workers=rule.workers,
        dataloader_pin_memory=cuda,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
    args._n_gpu = min(1, args.n_gpu)  # several would split a batch, and masks with it
    return args


def last_checkpoint(folder: Path) -> tuple[Path, int] | None:
    """The last whole checkpoint of a stage, and its step; None if there is none.

    Raises:
        WeightsError: If a checkpoint that says it is whole is not.
    """
    found = [place.parent for place in folder.glob(f"checkpoint-*/{_COMPLETE}")]
    if not found:
        return None
    last = max(found, key=lambda place: int(place.name.rpartition("-")[2]))
    for name in (_WEIGHTS, "optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth"):
        if not (last / name).is_file():
            raise WeightsError(f"training: the checkpoint {last} lacks {name}; delete its folder")
    with _named_if_damaged(str(last)):
        json.loads((last / "trainer_state.json").read_text("utf-8"))
    return last, int(last.name.rpartition("-")[2])
