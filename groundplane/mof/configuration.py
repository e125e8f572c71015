"""What a mixture-of-features model is made of, as transformers writes it to `config.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar, Literal

from transformers import AutoConfig, PreTrainedConfig

from groundplane.core.errors import InputError, listing
from groundplane.core.features import View
from groundplane.core.fusion.making import fusion_from_json, fusion_to_json
from groundplane.core.fusion.operator import FusionRule
from groundplane.core.towers.building import tower_from_json, tower_to_json
from groundplane.core.towers.tower import TowerConfig

__all__ = ["MofConfig", "view_from_json", "view_to_json"]


class MofConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of `MofForConditionalGeneration`.

    Attributes:
        text_config: Of the language model, of any kind that transformers has a causal one of.
        towers: Each tower's `TowerConfig`, as JSON, in the order in which they are fused.
        fusion: The `FusionRule`, as JSON.
        view: The `View` of a picture that all towers see, as JSON.
        image_token_id: Stands in the text where a token of a picture goes. It may lie beyond the
            language model's vocabulary, which is never asked for it.
        tower_weights: `inside` the checkpoint, or `reference`: they come from the encoders, and
            `tower_hashes` says of which weights.
        tower_hashes: SHA-256 of each tower's weights; empty where they are inside.

    Raises:
        InputError: If `tower_weights` is neither, or the placeholder is no number.

    Examples:
        >>> config = MofConfig(text_config={"model_type": "llama", "vocab_size": 300})
        >>> config.rule.name, config.seen.size, config.text_config.vocab_size
        ('interleaved', 336, 300)
        >>> config.tower_configs
        ()
    """

    model_type = "groundplane_mof"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    def __init__(
        self,
        *,
        text_config: Mapping[str, Any] | PreTrainedConfig | None = None,
        towers: Sequence[Mapping[str, Any]] = (),
        fusion: Mapping[str, Any] | None = None,
        view: Mapping[str, Any] | None = None,
        image_token_id: int = -1,
        tower_weights: Literal["inside", "reference"] = "inside",
        tower_hashes: Sequence[str] = (),
        **rest: Any,
    ) -> None:
        if not isinstance(text_config, PreTrainedConfig):
            text_config = AutoConfig.for_model(**{"model_type": "llama", **(text_config or {})})
        if tower_weights not in ("inside", "reference"):
            raise InputError(
                f"mof: tower_weights: expected inside or reference, got {tower_weights!r}"
            )
        if not isinstance(image_token_id, int) or isinstance(image_token_id, bool):
            raise InputError(
                f"mof: image_token_id: expected a whole number, got {image_token_id!r}"
            )
        self.text_config = text_config
        self.towers = [dict(tower) for tower in towers]
        self.fusion = dict(fusion or fusion_to_json(FusionRule()))
        self.view = dict(view or view_to_json(View()))
        self.image_token_id = image_token_id
        self.tower_weights = tower_weights
        self.tower_hashes = list(tower_hashes)
        # What ties weights asks the whole for it, though it is the language model's own affair.
        self.tie_word_embeddings = bool(getattr(text_config, "tie_word_embeddings", False))
        super().__init__(**{k: v for k, v in rest.items() if k != "tie_word_embeddings"})

    @property
    def tower_configs(self) -> tuple[TowerConfig, ...]:
        """What each tower is."""
        return tuple(tower_from_json(tower) for tower in self.towers)

    @property
    def rule(self) -> FusionRule:
        """How the towers are fused."""
        return fusion_from_json(self.fusion)

    @property
    def seen(self) -> View:
        """The part of a picture that all towers see."""
        return view_from_json(self.view)

    @staticmethod
    def towers_to_json(towers: tuple[TowerConfig, ...]) -> list[dict[str, Any]]:
        """As `towers` holds them."""
        return [tower_to_json(tower) for tower in towers]


def view_to_json(view: View) -> dict[str, Any]:
    """A view as JSON.

    Examples:
        >>> view_to_json(View(size=32))["fill"]
        [122, 116, 104]
    """
    return {**asdict(view), "fill": list(view.fill)}


def view_from_json(told: Mapping[str, Any]) -> View:
    """The view that `view_to_json` wrote; what is left out is as by default.

    Raises:
        InputError: If a name is unknown or a value is no view's.

    Examples:
        >>> view_from_json({"fit": "pad", "size": 32}).fit, view_from_json({}) == View()
        ('pad', True)
    """
    _check_names(told, View, what="view")
    fill = {}
    if "fill" in told:
        if not isinstance(told["fill"], list | tuple):
            raise InputError(f"mof: view: fill: expected three grey levels, got {told['fill']!r}")
        fill = {"fill": tuple(told["fill"])}
    return View(**{**told, **fill})


def _check_names(told: object, kind: Any, *, what: str) -> None:
    known = [field.name for field in fields(kind)]
    if not isinstance(told, Mapping):
        raise InputError(f"mof: {what}: expected an object of {listing(known)}, got {told!r}")
    unknown = sorted(map(str, set(told) - set(known)))
    if unknown:
        raise InputError(
            f"mof: {what}: expected {listing(known)}, got {listing(unknown)}; the checkpoint may "
            "be of a later version of groundplane"
        )
