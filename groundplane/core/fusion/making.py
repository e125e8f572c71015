"""Operators made from rules, and rules from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.fusion.additive import Additive, AdditiveOptions
from groundplane.core.fusion.channel_concat import ChannelConcat, ChannelConcatOptions
from groundplane.core.fusion.gated import Gated, GatedOptions
from groundplane.core.fusion.interleaved import Interleaved, InterleavedOptions
from groundplane.core.fusion.operator import FusionRule, ProjectorRule
from groundplane.core.fusion.routed import Routed, RoutedOptions
from groundplane.core.fusion.saliency import Saliency, SaliencyOptions
from groundplane.core.fusion.sva import Sva, SvaOptions
from groundplane.core.options import make_options
from groundplane.core.towers.tower import TowerShape

__all__ = ["fusion_from_json", "fusion_names", "fusion_to_json", "make_fusion"]

_OPERATORS: dict[str, tuple[Callable[..., nn.Module], type]] = {
    "additive": (Additive, AdditiveOptions),
    "channel_concat": (ChannelConcat, ChannelConcatOptions),
    "gated": (Gated, GatedOptions),
    "interleaved": (Interleaved, InterleavedOptions),
    "routed": (Routed, RoutedOptions),
    "saliency": (Saliency, SaliencyOptions),
    "sva": (Sva, SvaOptions),
}


def fusion_names() -> tuple[str, ...]:
    """The operators that there are.

    Examples:
        >>> fusion_names()
        ('additive', 'channel_concat', 'gated', 'interleaved', 'routed', 'saliency', 'sva')
    """
    return tuple(_OPERATORS)


def make_fusion(
    rule: FusionRule, towers: Sequence[TowerShape], width: int, *, seed: int | None = None
) -> nn.Module:
    """Make an operator with random weights.

    Args:
        rule: Which one, its projector and options.
        towers: What it is to fuse, in order.
        width: Numbers a token of the language model.
        seed: For the same weights each time, made on the CPU; the caller's own random numbers
            are left as they are. None: weights from the caller's, on the default device.

    Returns:
        A module that satisfies `FusionOperator`.

    Raises:
        InputError: If the operator, the projector or an option is unknown or has a bad value, or
            there is no tower.
        ShapeError: If the towers' widths or grids do not fit the operator.
        PluginBrokenError: If the projector needs a library that is not installed.

    Examples:
        >>> clip = TowerShape(name="clip", grid=(24, 24), width=8)
        >>> dino = TowerShape(name="dinov2", grid=(24, 24), width=8)
        >>> make_fusion(FusionRule(), [clip, dino], 16).report().tokens
        1152
        >>> make_fusion(FusionRule(), [], 16)
        Traceback (most recent call last):
        ...
        groundplane.core.errors.InputError: fusion 'interleaved': expected at least one tower, \
got none
    """
    if rule.name not in _OPERATORS:
        raise InputError(
            f"unknown fusion {rule.name!r}; known: {listing(_OPERATORS)}."
            f"{did_you_mean(rule.name, _OPERATORS)}"
        )
    operator, options_type = _OPERATORS[rule.name]
    options: object = make_options(options_type, rule.options, plugin=f"fusion {rule.name!r}")
    if seed is None:
        return operator(towers, width, projector=rule.projector, options=options)
    # Not `torch.manual_seed`, which seeds every card as well.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return operator(towers, width, projector=rule.projector, options=options)


def fusion_to_json(rule: FusionRule) -> dict[str, Any]:
    """A rule as JSON.

    Examples:
        >>> fusion_to_json(FusionRule(name="sva", options={"windows": (1, 2)}))["options"]
        {'windows': [1, 2]}
        >>> fusion_to_json(FusionRule())["projector"]
        {'kind': 'mlp2x_gelu', 'options': {}}
    """
    return {
        "name": rule.name,
        "projector": {
            "kind": rule.projector.kind,
            "options": _plain(rule.projector.options),
        },
        "options": _plain(rule.options),
    }


def fusion_from_json(document: object) -> FusionRule:
    """A rule from JSON. What is left out keeps its default.

    The names are those of the rule; whether the operator takes the options is seen when it is made.

    Raises:
        InputError: If it is no object, a name is unknown, or a value is not what it should be.

    Examples:
        >>> fusion_from_json({"name": "additive"}).name
        'additive'
        >>> fusion_from_json({}) == FusionRule()
        True
    """
    values = _object(document, ("name", "projector", "options"), where="fusion")
    projector = _object(values.get("projector", {}), ("kind", "options"), where="fusion: projector")
    return FusionRule(
        name=_name(values.get("name", FusionRule().name), _OPERATORS, where="fusion: name"),
        projector=ProjectorRule(
            kind=_name(projector.get("kind", ProjectorRule().kind), (), where="fusion: projector"),
            options=_object(projector.get("options", {}), None, where="fusion: projector options"),
        ),
        options=_object(values.get("options", {}), None, where="fusion: options"),
    )


def _plain(options: Mapping[str, object]) -> dict[str, object]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in options.items()
    }


def _object(document: object, known: tuple[str, ...] | None, *, where: str) -> dict[str, Any]:
    if not isinstance(document, Mapping) or not all(isinstance(name, str) for name in document):
        raise InputError(f"{where}: expected an object, name to value, got {document!r}")
    for name in document if known is not None else ():
        if name not in (known or ()):
            raise InputError(
                f"{where}: no key {name!r}; its keys: {listing(known or ())}."
                f"{did_you_mean(name, known or ())}"
            )
    return dict(document)


def _name(value: object, known: Sequence[str] | Mapping[str, object], *, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: expected text, got {value!r}")
    if known and value not in known:
        raise InputError(
            f"{where}: unknown {value!r}; known: {listing(known)}.{did_you_mean(value, known)}"
        )
    return value
