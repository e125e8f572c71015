"""The file that says what to train, on what and how: TOML or JSON, read into frozen types."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.files import one_line
from groundplane.core.fusion.operator import FusionRule, ProjectorRule
from groundplane.core.options import make_options

__all__ = [
    "STAGE_DEFAULTS",
    "EncoderRule",
    "LoraRule",
    "ReplayRule",
    "StageRule",
    "TrainConfig",
    "read_config",
]

T = TypeVar("T")

_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRule:
    """One tower: an encoder plugin with its options.

    Attributes:
        name: Of the plugin, such as `clip`.
        options: Its options; `weights` may be relative to the configuration file.

    Raises:
        InputError: If an option is what training decides: `device` or `dtype`.
    """

    name: str
    options: dict = field(default_factory=dict)  # type: ignore[type-arg]

    def __post_init__(self) -> None:
        decided = sorted({"device", "dtype", "kind", "name"} & set(self.options))
        if decided:
            raise InputError(
                f"encoder {self.name!r}: no option {listing(decided)}: towers are loaded in "
                "float32 and go where the model goes"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraRule:
    """Low-rank adaptation of the language model (Hu et al., 2021, arXiv 2106.09685).

    Attributes:
        rank: Of the two matrices beside each layer.
        alpha: What they add is scaled by `alpha / rank`.
        dropout: Share of their inputs that is left out, at random, while training.
        targets: Names of the layers that get them; empty: every linear layer but the head.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _need(self.rank >= 1, "rank", "1 or more", self.rank)
        _need(0 < self.alpha < math.inf, "alpha", "a finite number above 0", self.alpha)
        _need(0 <= self.dropout < 1, "dropout", "0 or more and below 1", self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRule:
    """Earlier samples, or text without pictures, mixed in against forgetting.

    Attributes:
        file: LLaVA-format JSON, as `data` of a stage.
        share: Share of all samples of the stage that are of this file.
        images: Folder of its pictures; the file's own folder by default.
    """

    file: Path
    share: float = 0.1
    images: Path | None = None

    def __post_init__(self) -> None:
        _need(0 < self.share < 1, "share", "above 0 and below 1", self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRule:
    """One stage of training. Its published values are in `docs/training.md`.

    Attributes:
        data: LLaVA-format JSON or JSON lines.
        images: Folder of the pictures; the data file's own folder by default.
        train: What learns: the `adapters` alone; the adapters and the `language_model`; or the
            adapters and a `lora` of it. The towers never do.
        lr: Peak learning rate.
        batch: Samples (packed: rows) a step of the optimiser.
        micro_batch: Of these at a time on the device; gradients are added up to a batch.
        epochs: How often each sample is seen.
        steps: If given, so many steps instead of `epochs`.
        warmup: Share of the steps in which the learning rate rises from 0.
        weight_decay: Of AdamW.
        clip_norm: Longer gradients are shortened to this.
        fit: How a picture is brought to a square; by default as the encoders do.
        packing: Several samples in one row, none of which sees another.
        max_length: Most tokens of a sample (packed: of a row); longer ones are cut.
        checkpointing: Recompute the language model's activations instead of keeping them.
        save_every: Steps between checkpoints to resume from.
        log_every: Steps between lines of the log.
        workers: Processes that read pictures; 0: none but the main one.
        skip_missing: Leave out samples that cannot be used, and count them, instead of refusing.
        held_out: LLaVA-format JSON that is never trained on, for the forgetting report.
        replay: Samples to mix in.
        lora: Of `train = "lora"`.
    """

    data: Path
    images: Path | None = None
    train: Literal["adapters", "language_model", "lora"] = "adapters"
    lr: float = 1e-3
    batch: int = 128
    micro_batch: int = 8
    epochs: float = 1.0
    steps: int | None = None
    warmup: float = 0.03
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    fit: Literal["crop", "pad", "stretch"] | None = None
    packing: bool = False
    max_length: int = 2048
    checkpointing: bool = False
    save_every: int = 500
    log_every: int = 10
    workers: int = 0
    skip_missing: bool = False
    held_out: Path | None = None
    replay: ReplayRule | None = None
    lora: LoraRule = field(default_factory=LoraRule)

    def __post_init__(self) -> None:
        for name in ("lr", "epochs", "clip_norm"):
            value = getattr(self, name)
            _need(0 < value < math.inf, name, "a finite number above 0", value)
        for name in ("batch", "micro_batch", "save_every", "log_every"):
            _need(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        _need(self.max_length >= 2, "max_length", "2 or more", self.max_length)
        _need(self.steps is None or self.steps >= 1, "steps", "1 or more", self.steps)
        _need(0 <= self.warmup < 1, "warmup", "0 or more and below 1", self.warmup)
        _need(0 <= self.weight_decay < math.inf, "weight_decay", "0 or more", self.weight_decay)
        _need(self.workers >= 0, "workers", "0 or more", self.workers)
        if self.batch % min(self.micro_batch, self.batch):
            raise InputError(
                f"batch: expected a multiple of micro_batch, {self.micro_batch}, got {self.batch}"
            )

    @property
    def accumulation(self) -> int:
        """Micro-batches a step of the optimiser."""
        return self.batch // min(self.micro_batch, self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole training: the parts of the model, and one or two stages.

    Attributes:
        output: Folder of everything that is written.
        language_model: Folder of a causal language model of transformers and its tokenizer.
        encoders: The towers, in the order of the fusion: CLIP first in the published one.
        fusion: The operator and its projector.
        stage1: What comes first, such as the adapters alone.
        stage2: What comes then, with the adapters of the first.
        seed: Of the adapters, of the order of the samples and of all else that is random.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        template: How a conversation becomes text: the tokenizer's `chat` template, `vicuna`, or
            the first if the tokenizer has one.
        adapters: Folder of adapters to begin with, such as `stage1/adapters` of an earlier run.
        text: Plain text, whose perplexity is measured before and after every stage that changes
            the language model.
        cache_features: Folder in which the towers' features are kept, so that each picture is
            encoded once.
    """

    output: Path
    language_model: Path
    encoders: tuple[EncoderRule, ...]
    fusion: FusionRule = field(default_factory=FusionRule)
    stage1: StageRule | None = None
    stage2: StageRule | None = None
    seed: int = 0
    device: str = "auto"
    template: Literal["auto", "chat", "vicuna"] = "auto"
    adapters: Path | None = None
    text: Path | None = None
    cache_features: Path | None = None

    @property
    def stages(self) -> dict[str, StageRule]:
        """The stages that there are, by name, in order."""
        both = {"stage1": self.stage1, "stage2": self.stage2}
        return {name: rule for name, rule in both.items() if rule is not None}

    def to_json(self) -> dict[str, Any]:
        """As a table that JSON can hold; two trainings are the same only if these are."""
        table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return table


# Where a stage differs from the defaults of `StageRule`: LLaVA's recipe with which Tong et al.,
# "Eyes Wide Shut?" (CVPR 2024, arXiv 2401.06209) trained; see docs/training.md.
STAGE_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "stage1": {"train": "adapters", "lr": 1e-3},
    "stage2": {"train": "language_model", "lr": 2e-5, "fit": "pad"},
}


def read_config(path: str | Path) -> TrainConfig:
    """Read what to train.

    Args:
        path: A `.toml` or `.json` file; paths in it are relative to its folder.

    Raises:
        InputError: If it cannot be read, a key is unknown or missing, or a value is bad.

    Examples:
        >>> read_config("train.yaml")
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: config 'train.yaml': expected a .toml or .json file
    """
    place = Path(path)
    where = f"config {one_line(place.name)!r}"
    table = _parsed(place, where)
    base = place.resolve().parent
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    _only(table, known, where)
    values: dict[str, object] = {**table, "encoders": _encoders(table, where, base)}
    if "fusion" in table:
        values["fusion"] = _fusion(_table(table["fusion"], f"{where}, [fusion]"), where)
    stages = [name for name in STAGE_DEFAULTS if name in table]
    for name in stages:
        values[name] = _stage(name, _table(table[name], f"{where}, [{name}]"), where, base)
    if not stages:
        raise InputError(f"{where}: expected a table [stage1] or [stage2], got neither")
    return _made(TrainConfig, values, where, base)


def _parsed(path: Path, where: str) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{where}: expected a .toml or .json file")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InputError(f"{where}: expected at most {_MAX_BYTES} bytes")
        return _table(reader(data.decode("utf-8-sig")), where)
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise InputError(f"{where}: cannot be read: nested too deeply") from error
    except InputError:
        raise
    except ValueError as error:  # TOML, JSON and UTF-8 errors are all of this kind
        raise InputError(f"{where}: expected {path.suffix[1:].upper()}, got: {error}") from error


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a table of keys and values, got {value!r:.60}")
    return value


def _only(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(
                f"{where}: unknown key {key!r}; known: {listing(sorted(known), limit=40)}."
                f"{did_you_mean(key, known)}"
            )


def _encoders(table: Mapping[str, Any], where: str, base: Path) -> tuple[EncoderRule, ...]:
    rows = table.get("encoders")
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{where}: encoders: expected one table [[encoders]] a tower")
    rules = []
    for place, row in enumerate(rows):
        here = f"{where}, [[encoders]] {place}"
        rule = _made(EncoderRule, _table(row, here), here, base)
        weights = rule.options.get("weights")
        near = base / weights if isinstance(weights, str) else base
        if isinstance(weights, str) and near.exists():
            rule = dataclasses.replace(rule, options={**rule.options, "weights": str(near)})
        rules.append(rule)
    return tuple(rules)


def _fusion(table: Mapping[str, Any], where: str) -> FusionRule:
    where = f"{where}, [fusion]"
    _only(table, {"name", "projector", "projector_options", "options"}, where)
    for key in ("name", "projector"):
        if not isinstance(table.get(key, ""), str):
            raise InputError(f"{where}: {key}: expected a name, got {table[key]!r:.60}")
    options = {
        key: _table(table.get(key, {}), f"{where}: {key}")
        for key in ("projector_options", "options")
    }
    default = FusionRule()
    projector = ProjectorRule(
        kind=table.get("projector", default.projector.kind), options=options["projector_options"]
    )
    name = table.get("name", default.name)
    return FusionRule(name=name, projector=projector, options=options["options"])


def _stage(name: str, table: Mapping[str, Any], where: str, base: Path) -> StageRule:
    where = f"{where}, [{name}]"
    values: dict[str, object] = {**STAGE_DEFAULTS[name], **table}
    for key, kind in (("replay", ReplayRule), ("lora", LoraRule)):
        if key in table:
            here = f"{where}, {key}"
            values[key] = _made(kind, _table(table[key], here), here, base)
    if "lora" in table and values["train"] != "lora":
        raise InputError(f"{where}: lora is given, but train is {values['train']!r}, not 'lora'")
    return _made(StageRule, values, where, base)


def _made(kind: type[T], values: Mapping[str, object], where: str, base: Path) -> T:
    """The dataclass of these values; relative paths are put under `base`."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    _only(values, {f.name for f in fields}, where)
    for f in fields:
        if f.name not in values and f.default is f.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: needs the key {f.name!r}, which is missing")
    hints = get_type_hints(kind)
    ready: dict[str, object] = {}
    for name, value in values.items():
        is_path = Path in (hints[name], *get_args(hints[name]))
        if is_path and isinstance(value, str) and (not value.strip() or "\0" in value):
            raise InputError(f"{where}: {name}: expected a path, got {value!r}")
        ready[name] = base / value if is_path and isinstance(value, str) else value
    try:
        return make_options(kind, ready, plugin=where)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(where) else f"{where}: {text}") from error


def _need(fits: bool, name: str, expected: str, got: object) -> None:
    if not fits:  # NaN fits nothing
        raise InputError(f"{name}: expected {expected}, got {got}")
