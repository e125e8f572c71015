"""Multimodal language models of transformers, in this process, that ground in mid-sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.errors import WeightsError
from groundplane.core.session import LanguageModel, Prompt, Session
from groundplane.core.weights import find_weights, load_model, load_processor, need_library
from groundplane.language.constraints import Constraint
from groundplane.language.families import family
from groundplane.language.in_process import Engine
from groundplane.language.local import LocalModel, LocalTerms
from groundplane.language.sampling import Sampling
from groundplane.language.triggers import Trigger

__all__ = ["TransformersLanguageModel", "TransformersOptions"]

_WHO = "language model 'transformers'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersOptions:
    """Options of `TransformersLanguageModel`.

    Attributes:
        weights: A folder with a model and its processor, or a hub id.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        max_tokens: Most tokens of the model's own in an answer.
        chunk: Tokens a step at most.
        dialect: How its text says where things are; empty: as its family was trained.
        route: Who finds the places: `own` (the model, in its dialect), `after` (experts look for
            what its sentences name), `marks` (experts first, the model picks numbers), `none`;
            empty: `own` where there is a dialect, else `after`.
        inject: An expert's places behind a phrase (`append`), in the stead of the model's own
            (`replace`), or not told to the model (`none`).
        temperature: 0: greedy.
        top_p: See `Sampling`.
        top_k: See `Sampling`.
        seed: See `Sampling`.
        state_offset: The hidden state of a tag such as `[SEG]` is the one at it (0) or the one
            that it is foretold by (-1).

    Raises:
        InputError: If a value is out of range or unknown.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    max_tokens: int = 256
    chunk: int = 8
    dialect: str = ""
    route: str = ""
    inject: str = "append"
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    state_offset: int = 0

    def __post_init__(self) -> None:
        self.terms()

    def terms(self) -> LocalTerms:
        """How it answers."""
        return LocalTerms(
            who=_WHO,
            sampling=Sampling(
                temperature=self.temperature, top_p=self.top_p, top_k=self.top_k, seed=self.seed
            ),
            max_tokens=self.max_tokens,
            chunk=self.chunk,
            dialect=self.dialect,
            route=self.route,
            inject=self.inject,
            state_offset=self.state_offset,
        )


class TransformersLanguageModel:
    """A `language_models` plugin over the image-text-to-text models of transformers.

    Args:
        options: See `TransformersOptions`.
        device: Where it runs.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
        InputError: If the model is of no family that is known.
    """

    Options = TransformersOptions

    def __init__(
        self, options: TransformersOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        library = need_library("transformers", who=_WHO, extra="models")
        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        check_folder(folder, who=_WHO)
        if not (folder / "config.json").is_file():
            raise WeightsError(f"{_WHO}: {folder} has no config.json, which says what it is")
        settings = read_settings(folder / "config.json", who=_WHO)
        self._family = family(str(settings.get("model_type")))
        model_class = _class_of(library, self._family.name)
        self._model = load_model(model_class, folder, who=_WHO, device=device, dtype=dtype)
        processor = load_processor(library.AutoProcessor, folder, who=_WHO)
        self._inside = LocalModel(self._model, processor, self._family, options.terms())

    @property
    def engine(self) -> Engine:
        """What its sessions share."""
        return self._inside.engine

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`; it is read with the first step."""
        return self._inside.open(prompts)

    def with_triggers(
        self,
        triggers: Sequence[Trigger] = (),
        *,
        constrain: Callable[[Prompt], Constraint | None] | None = None,
    ) -> LanguageModel:
        """The same model, which also asks by other stretches of its text.

        Args:
            triggers: What to look for, beside the phrases of its dialect.
            constrain: From a prompt to what its text may go on with.
        """
        return self._inside.with_triggers(triggers, constrain=constrain)


def _class_of(library: Any, name: str) -> Any:
    config_class = library.CONFIG_MAPPING[name]
    return library.AutoModelForImageTextToText._model_mapping[config_class]
