"""A mixture-of-features model as a language model: it answers questions about pictures.

It runs as every model in this process does: it asks in mid-sentence, keeps its cache, and is told
what the experts found. Where it was trained to write places or grounding tokens, its dialect says
how to read them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from groundplane.core.session import LanguageModel, Prompt, Session
from groundplane.core.views import view_frame
from groundplane.core.weights import find_weights, need_library
from groundplane.language.constraints import Constraint
from groundplane.language.family import Family, Inputs, Prepared
from groundplane.language.in_process import Engine
from groundplane.language.local import LocalModel, LocalTerms
from groundplane.language.sampling import Sampling
from groundplane.language.triggers import Trigger
from groundplane.language.wording import marks, question, without_marks

__all__ = ["MofLanguageModel", "MofOptions"]

_WHO = "language model 'mof'"


@dataclass(frozen=True, slots=True, kw_only=True)
class MofOptions:
    """Options of `MofLanguageModel`.

    Attributes:
        weights: A folder with a model and its processor, as they save themselves, or a hub id.
        encoders: Of a model that was saved without its towers: the folders of the encoders'
            weights, in the order of fusion.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        max_tokens: Most tokens of the model's own in an answer.
        chunk: Tokens a step at most.
        dialect: How its text says where things are; empty: it does not.
        route: Who finds the places: `own` (the model, in its dialect), `after` (experts look for
            what its sentences name), `marks` (experts first, the model picks numbers), `none`;
            empty: `own` where there is a dialect, else `after`.
        inject: An expert's places behind a phrase (`append`), in the stead of the model's own
            (`replace`), or not told to the model (`none`).
        temperature: 0: greedy.
        top_p: See `Sampling`.
        top_k: See `Sampling`.
        seed: See `Sampling`.

    Raises:
        InputError: If a value is out of range or unknown.
    """

    weights: str
    encoders: tuple[str, ...] = ()
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
        )


class MofLanguageModel:
    """A `language_models` plugin over a `MofForConditionalGeneration`.

    Args:
        options: See `MofOptions`.
        device: Where it runs.
        dtype: Its number type; None: float32 on a CPU, bfloat16 on CUDA.

    Raises:
        PluginBrokenError: If transformers is not installed.
        WeightsError: If the weights are not there, or are refused.
    """

    Options = MofOptions

    def __init__(
        self, options: MofOptions, *, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        need_library("transformers", who=_WHO, extra="mof")
        from groundplane.mof.loading import load_mof

        folder = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        self._model, self._processor = load_mof(
            folder, options.encoders, who=_WHO, device=device, dtype=dtype
        )
        family = _family(self._model)
        self._inside = LocalModel(self._model, self._processor, family, options.terms())

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


def _family(model: Any) -> Family:
    """How it is read turns on the language model that it was built with."""
    takes = inspect.signature(model.language_model.forward).parameters
    return Family(
        name="mof",
        systems=("MoF",),
        prepare=_prepare,
        # Language models with ALiBi take no positions: they count from the mask.
        places="given" if "position_ids" in takes else "own",
        inner=_language_model,
    )


def _language_model(model: Any) -> Any:
    return model.language_model


def _prepare(processor: Any, model: Any, prompt: Prompt) -> Prepared:
    """The prompt's tokens, and the features of its pictures; the towers run here, once."""
    from groundplane.mof.checking import check_features

    # The question may say itself where its pictures stand.
    signs = [sign for sign in marks(processor) if sign != processor.image_token]
    safe, dropped = without_marks(prompt, signs)
    batch = processor([_worded(processor, safe)], [list(prompt.images)])
    inputs: dict[str, Any] = {name: batch[name] for name in ("input_ids", "attention_mask")}
    if "pixel_values" in batch:
        device = next(model.parameters()).device
        features = model.encode(batch["pixel_values"].to(device))
        check_features(features, model.tower_names)
        inputs["tower_features"] = features
    frames = tuple(view_frame(processor.view, image.size) for image in prompt.images)
    return Prepared(inputs=_last_only(inputs, model), frames=frames, dropped=dropped)


def _last_only(inputs: Inputs, model: Any) -> Inputs:
    """Scores of the last token alone, where the language model can leave the others out."""
    takes = inspect.signature(model.language_model.forward).parameters
    return {**inputs, "logits_to_keep": 1} if "logits_to_keep" in takes else inputs


def _worded(processor: Any, prompt: Prompt) -> str:
    """The question as the model was trained to be asked: pictures first, unless placed.

    Not every template knows a turn of a system: what it is told stands before the question.
    """
    text = question(replace(prompt, text="\n".join(filter(None, [prompt.system, prompt.text]))))
    placed = text.count(processor.image_token)
    parts = [] if placed else [{"type": "image"} for _ in prompt.images]
    content = [*parts, {"type": "text", "text": text}]
    return str(processor.apply_chat_template([{"role": "user", "content": content}]))
