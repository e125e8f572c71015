"""A causal language model that reads fused tokens of frozen towers where pictures stand in a text.

As LLaVA does it: the tokens of a picture take the place of its placeholders, without marks before
or after, and are ignored in the loss. The language model is any causal one of transformers; its
own vocabulary and head stay as they are.

Sources: Tong et al., Eyes Wide Shut? Exploring the Visual Shortcomings of Multimodal LLMs, 2024;
Liu et al., Visual Instruction Tuning, 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.utils.generic import ModelOutput

from groundplane.core.errors import InputError
from groundplane.core.fusion.making import make_fusion
from groundplane.core.fusion.operator import Fused, FusionReport
from groundplane.core.towers.building import build_tower, frozen_hash
from groundplane.core.towers.encoding_all import encode_towers
from groundplane.core.towers.tower import Tower
from groundplane.mof.checking import check_features, check_places, load_checked
from groundplane.mof.configuration import MofConfig

__all__ = ["MofForConditionalGeneration", "MofOutput"]

# Of a label that the loss does not count.
IGNORED = -100


@dataclass
class MofOutput(ModelOutput):
    """What a forward pass gives.

    Attributes:
        loss: Mean cross-entropy of the next token, where labels were given.
        logits: Scores of every token of the language model's vocabulary.
        past_key_values: What the language model keeps for the next token.
        hidden_states: Of its layers, where asked for.
        attentions: Of its layers, where asked for.
        image_hidden_states: The fused tokens that were put into the text.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Any = None
    hidden_states: Any = None
    attentions: Any = None
    image_hidden_states: Tensor | None = None


class MofForConditionalGeneration(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """Frozen towers, a fusion operator, and a causal language model.

    The towers are never trained: they stay in evaluation mode and get no gradient. The fusion
    operator and the language model are trained as any module is.

    Args:
        config: What it is made of.
        towers: Towers to have instead of newly made ones of the configuration.
        language_model: The language model to have instead of a newly made one.

    Raises:
        InputError: If there are no towers, or other ones than the configuration has.
    """

    config_class = MofConfig
    # Modules; said so, since torch types every attribute of a module as a tensor or a module.
    towers: Any
    fusion: Any
    language_model: Any

    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def __init__(
        self,
        config: MofConfig,
        *,
        towers: Sequence[Tower] | None = None,
        language_model: Any = None,
    ) -> None:
        super().__init__(config)
        told = config.tower_configs
        if not told:
            raise InputError("mof: expected a configuration with at least one tower, got none")
        self._filter = config.seen.filter
        self._routes = config.rule.options.get("by") in ("query", "both")
        if config.tower_weights == "reference":
            self._keys_to_ignore_on_load_missing = [r"^towers\."]
        # On a real device even where transformers makes all else without memory: what a tower
        # computes itself when it is made is not in a checkpoint.
        with torch.device("cpu"):
            made = [build_tower(tower) for tower in told] if towers is None else list(towers)
            if tuple(tower.config for tower in made) != told:
                raise InputError("mof: the towers are not those of the configuration")
            shapes = [tower.shape for tower in made]
            width = _width(config)
            fusion = make_fusion(config.rule, shapes, width)
        self.towers = nn.ModuleList(made)
        self.fusion = fusion
        make: Any = AutoModelForCausalLM
        self.language_model = language_model or make.from_config(config.text_config)
        self.generation_config = self.language_model.generation_config
        # A library that makes modules without memory fills them later; these it would leave empty.
        self._computed = {
            name: buffer
            for name, buffer in self.named_non_persistent_buffers()
            if not name.startswith("language_model.")
        }
        self.post_init()  # type: ignore[no-untyped-call]

    def restore_computed(self) -> None:
        """Put back what towers and fusion computed when they were made, after loading."""
        for name, buffer in self._computed.items():
            owner, _, leaf = name.rpartition(".")
            module = self.get_submodule(owner)
            place = getattr(module, leaf)
            setattr(module, leaf, buffer.to(device=place.device, dtype=place.dtype))

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: every part has begun by itself, and the towers must not be changed."""

    @property
    def report(self) -> FusionReport:
        """What a picture costs: tokens, their width, arithmetic."""
        told: FusionReport = self.fusion.report()
        return told

    @property
    def tower_names(self) -> list[str]:
        """For messages."""
        return [tower.shape.name for tower in self.towers]

    def get_input_embeddings(self) -> nn.Module:
        """Of the language model."""
        table: nn.Module = self.language_model.get_input_embeddings()
        return table

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The language model's head."""
        head: nn.Module | None = self.language_model.get_output_embeddings()
        return head

    @torch.no_grad()
    def encode(self, pixel_values: Shaped[Tensor, "k 3 s s"]) -> list[Float[Tensor, "k _ _"]]:
        """Features of pictures, one grid a tower, without gradient.

        Args:
            pixel_values: Canvases of the view, grey levels, as `MofProcessor` gives them.
        """
        outputs = encode_towers(self.towers, pixel_values, filter=self._filter)
        return [output.tokens for output in outputs]

    def fuse(
        self,
        features: Sequence[Float[Tensor, "k _ _"]],
        query: Float[Tensor, "k q"] | None = None,
    ) -> Fused:
        """What the language model reads of pictures; gradients reach the fusion.

        Args:
            features: What `encode` gave.
            query: What is asked about each; only a fusion that routes by it looks.
        """
        kind = _dtype(self.fusion, otherwise=_dtype(self.language_model))
        asked = None if query is None else query.to(kind)
        fused: Fused = self.fusion([grid.to(kind) for grid in features], asked)
        return fused

    def embed(
        self,
        input_ids: Int[Tensor, "b t"],
        tower_features: Sequence[Float[Tensor, "k _ _"]] | None,
        asked: Bool[Tensor, "b t"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"], Float[Tensor, "k m d"] | None]:
        """Put the tokens of pictures into a text.

        Args:
            input_ids: A placeholder for every token of a picture; pictures in their order.
            tower_features: What `encode` gave, or None where there are no pictures.
            asked: Where a text asks and does not answer, for a fusion that routes by what is
                asked; None: everywhere.

        Returns:
            The embedded text, where in it pictures are, and the fused tokens.

        Raises:
            ShapeError: If there are more or fewer placeholders than tokens.
        """
        mask = input_ids == self.config.image_token_id
        # Their id may lie beyond the vocabulary.
        text = self.get_input_embeddings()(input_ids.masked_fill(mask, 0))
        if tower_features is None:
            check_places(mask, pictures=0, tokens=self.report.tokens)
            return text, mask, None
        query = self._query(text, mask, asked) if self._routes else None
        tokens = self.fuse(tower_features, query).tokens.to(text)
        check_places(mask, pictures=tokens.shape[0], tokens=tokens.shape[1])
        if not tokens.numel():
            return text, mask, tokens
        # The n-th placeholder gets the n-th token; an index keeps shapes fixed, a mask would not.
        order = (mask.flatten().cumsum(0) - 1).clamp(min=0).view_as(mask)
        return torch.where(mask[..., None], tokens.flatten(0, 1)[order], text), mask, tokens

    def _query(
        self, text: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], asked: Tensor | None
    ) -> Float[Tensor, "k d"]:
        """For each picture the mean of the words that are asked with it."""
        words = ~mask if asked is None else asked & ~mask
        shares = words.to(text.dtype)
        mean = torch.einsum("btd,bt->bd", text, shares) / shares.sum(1, keepdim=True).clamp(min=1)
        first = mask.flatten().nonzero()[:: self.report.tokens, 0]
        return mean[first // mask.shape[1]]

    def forward(
        self,
        input_ids: Int[Tensor, "b t"] | None = None,
        pixel_values: Shaped[Tensor, "k 3 s s"] | None = None,
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b t"] | None = None,
        *,
        tower_features: Sequence[Float[Tensor, "k _ _"]] | None = None,
        inputs_embeds: Float[Tensor, "b t d"] | None = None,
        num_items_in_batch: Any = None,
        **rest: Any,
    ) -> MofOutput:
        """Predict the next tokens.

        Args:
            input_ids: The text; see `embed`.
            pixel_values: The pictures of all samples, in order; None where there are none.
            attention_mask: 0 where the text is padding, left or right; or, for packed texts, what
                the language model adds to its scores, b 1 t t.
            labels: The token that each place should have had before it; -100 is not counted, and
                no place of a picture is.
            tower_features: What `encode` gave, instead of `pixel_values`.
            inputs_embeds: An embedded text, instead of all that.
            num_items_in_batch: Labels that the loss is the mean of, over a batch in parts.
            **rest: For the language model, such as `past_key_values` and `logits_to_keep`.

        Raises:
            ShapeError: If placeholders and pictures do not fit.
            InputError: If both or neither of text and embedded text are given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("mof: expected either input_ids or inputs_embeds")
        tokens = mask = None
        if input_ids is not None:
            if tower_features is None and pixel_values is not None:
                tower_features = self.encode(pixel_values)
            asked = _asked(attention_mask, labels)
            inputs_embeds, mask, tokens = self.embed(input_ids, tower_features, asked)
            if tokens is None and self.training:
                inputs_embeds = inputs_embeds + self._touch()
        rest.pop("return_dict", None)
        output = self.language_model(
            inputs_embeds=inputs_embeds, attention_mask=attention_mask, return_dict=True, **rest
        )
        loss = None
        if labels is not None:
            counted = labels if mask is None else labels.masked_fill(mask, IGNORED)
            loss = self.loss_function(
                logits=output.logits,
                labels=counted,
                vocab_size=output.logits.shape[-1],
                num_items_in_batch=num_items_in_batch,
            )
        return MofOutput(
            loss=loss,
            logits=output.logits,
            past_key_values=output.get("past_key_values"),
            hidden_states=output.get("hidden_states"),
            attentions=output.get("attentions"),
            image_hidden_states=tokens,
        )

    def _touch(self) -> Tensor | float:
        """Zero, with a gradient of zeros: a batch of bare text leaves no adapter without one."""
        trained = [weight for weight in self.fusion.parameters() if weight.requires_grad]
        return sum((0.0 * weight.sum() for weight in trained), 0.0)

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_ids: Int[Tensor, "b t"],
        pixel_values: Shaped[Tensor, "k 3 s s"] | None = None,
        attention_mask: Tensor | None = None,
        *,
        tower_features: Sequence[Float[Tensor, "k _ _"]] | None = None,
        **settings: Any,
    ) -> Any:
        """Go on with texts; pictures are encoded once, and every key and value is kept.

        Args:
            input_ids: The prompts, padded on the left; see `embed`.
            pixel_values: As in `forward`.
            attention_mask: 0 where a prompt is padding.
            tower_features: As in `forward`.
            **settings: As of `generate` of any language model of transformers.

        Returns:
            The prompts, each with what was generated; with `return_dict_in_generate` they are
            the `sequences` of what transformers gives.

        Raises:
            ShapeError: If placeholders and pictures do not fit.
            InputError: If a tower's features are not finite.
        """
        if tower_features is None and pixel_values is not None:
            tower_features = self.encode(pixel_values)
        if tower_features is not None:
            check_features(tower_features, self.tower_names)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        embedded, _, _ = self.embed(input_ids, tower_features, attention_mask.bool())
        made = self.language_model.generate(
            inputs_embeds=embedded, attention_mask=attention_mask, **settings
        )
        new = made if isinstance(made, Tensor) else made.sequences
        copies = new.shape[0] // max(1, input_ids.shape[0])
        whole = torch.cat([input_ids.repeat_interleave(copies, 0), new], dim=1)
        if isinstance(made, Tensor):
            return whole
        made.sequences = whole
        return made

    def save_pretrained(
        self, save_directory: Any, *args: Any, tower_weights: str | None = None, **rest: Any
    ) -> None:
        """Save as safetensors.

        Args:
            save_directory: A folder; it is made where it is not there.
            *args: As of transformers.
            tower_weights: `inside` the checkpoint, or `reference`: left out, with their hashes in
                the configuration; None: as the model was loaded.
            **rest: As of transformers.

        Raises:
            InputError: If `tower_weights` is neither.
        """
        how = tower_weights or self.config.tower_weights
        if how not in ("inside", "reference"):
            raise InputError(f"mof: tower_weights: expected inside or reference, got {how!r}")
        before = self.config.tower_weights, self.config.tower_hashes
        self.config.tower_weights, self.config.tower_hashes = how, []
        if how == "reference":
            self.config.tower_hashes = [frozen_hash(tower) for tower in self.towers]
            state = rest.get("state_dict") or self.state_dict()
            rest["state_dict"] = {k: v for k, v in state.items() if not k.startswith("towers.")}
        try:
            super().save_pretrained(save_directory, *args, **rest)
        finally:
            self.config.tower_weights, self.config.tower_hashes = before

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, folder: str | Path, *args: Any, towers: Sequence[Tower] | None = None, **rest: Any
    ) -> Any:
        """Load what `save_pretrained` saved: every tensor must have its place and its shape.

        Args:
            folder: It holds `config.json` and safetensors.
            *args: As of transformers.
            towers: For a checkpoint without its towers: those that it was made with.
            **rest: As of transformers.

        Raises:
            WeightsError: If the folder is refused (see `groundplane.core.checkpoints`), a tensor
                is missing, unexpected or of another shape, or the towers are other ones.
        """
        return load_checked(super().from_pretrained, Path(folder), towers, args, rest)


def _asked(
    attention_mask: Tensor | None, labels: Int[Tensor, "b t"] | None
) -> Bool[Tensor, "b t"] | None:
    """Where a text asks: what is neither padding nor an answer; None: everywhere."""
    unanswered = None if labels is None else labels == IGNORED
    if attention_mask is None or attention_mask.ndim != 2:
        return unanswered
    return attention_mask.bool() if unanswered is None else attention_mask.bool() & unanswered


def _width(config: MofConfig) -> int:
    """Numbers a token, as the language model reads them."""
    text = config.text_config
    # OPT embeds narrower than it computes.
    return int(getattr(text, "word_embed_proj_dim", None) or text.hidden_size)


def _dtype(module: nn.Module, *, otherwise: torch.dtype = torch.float32) -> torch.dtype:
    weights = (weight.dtype for weight in module.parameters() if weight.is_floating_point())
    return next(weights, otherwise)
