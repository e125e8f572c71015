"""Projectors: from the width of features to that of the language model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundplane.core.errors import InputError, ShapeError, did_you_mean, listing
from groundplane.core.fusion.operator import ProjectorRule
from groundplane.core.options import make_options
from groundplane.core.weights import need_library

__all__ = [
    "DecoupledProjector",
    "QFormerOptions",
    "QFormerProjector",
    "keeps_cells",
    "make_projector",
    "tokens_after",
]

_KINDS = ("identity", "linear", "mlp2x_gelu", "qformer")
_MLP = re.compile(r"mlp([1-9][0-9]?)x_gelu")


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoOptions:
    """Of `identity`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LinearOptions:
    """Of `linear` and `mlp2x_gelu`."""

    bias: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class QFormerOptions:
    """Of `qformer`; the defaults are those of BLIP-2.

    Attributes:
        queries: Learned queries, each of which becomes a token.
        hidden: Width within.
        layers: Blocks.
        heads: Of the attention.
        intermediate: Width within the feed-forward parts.
        cross_every: Every how many blocks the queries look at the features.
        dropout: Share, in training.

    Raises:
        InputError: If a number is not above 0, `hidden` cannot be split into heads, or the
            dropout is not from 0 to below 1.
    """

    queries: int = 32
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    cross_every: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        counts = (self.queries, self.hidden, self.layers, self.heads, self.intermediate)
        if min(*counts, self.cross_every) < 1:
            raise InputError(f"projector 'qformer': expected numbers above 0, got {self}")
        if self.hidden % self.heads:
            raise InputError(
                f"projector 'qformer': expected a hidden width that {self.heads} heads divide, "
                f"got {self.hidden}"
            )
        if not 0 <= self.dropout < 1:
            raise InputError(
                f"projector 'qformer': dropout: expected 0 to below 1, got {self.dropout}"
            )


class QFormerProjector(nn.Module):
    """Learned queries look at the features; each becomes a token that stands for no cell.

    Args:
        width_in: Numbers a cell.
        width_out: Numbers a token.
        options: Of the Q-Former.

    Source: Li et al., BLIP-2, arXiv 2301.12597; transformers' `Blip2QFormerModel`.
    """

    def __init__(self, width_in: int, width_out: int, *, options: QFormerOptions) -> None:
        super().__init__()
        self.width_in, self.options = width_in, options
        library = need_library("transformers", extra="mof", who="projector 'qformer'")
        config = library.Blip2QFormerConfig(
            hidden_size=options.hidden,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            intermediate_size=options.intermediate,
            cross_attention_frequency=options.cross_every,
            encoder_hidden_size=width_in,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )
        self.qformer = library.Blip2QFormerModel(config)
        self.query_tokens = nn.Parameter(
            torch.randn(1, options.queries, options.hidden) * config.initializer_range
        )
        self.proj = nn.Linear(options.hidden, width_out)

    def forward(self, features: Float[Tensor, "b n d"]) -> Float[Tensor, "b q e"]:
        """Tokens of a batch, one a query."""
        queries = self.query_tokens.expand(features.shape[0], -1, -1)
        output = self.qformer(query_embeds=queries, encoder_hidden_states=features)
        tokens: Tensor = self.proj(output.last_hidden_state)
        return tokens


class DecoupledProjector(nn.Module):
    """One projector a task, all to the width of one language model.

    Janus sees with one encoder and draws with another, each behind its own aligner: here the tasks
    `understanding` and `generation`. Both aligners are `mlp2x_gelu`, from their encoder's width.

    Args:
        projectors: Task name to projector.

    Raises:
        InputError: If there is no task.

    Source: Wu et al., Janus, arXiv 2410.13848.
    """

    def __init__(self, projectors: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not projectors:
            raise InputError("decoupled projector: expected at least one task, got none")
        self.projectors = nn.ModuleDict(projectors)

    def forward(self, features: Float[Tensor, "b n _"], task: str) -> Float[Tensor, "b _ e"]:
        """Project the features of a task.

        Raises:
            InputError: If there is no such task.
        """
        if task not in self.projectors:
            raise InputError(
                f"decoupled projector: no task {task!r}; its tasks: {listing(self.projectors)}."
                f"{did_you_mean(task, self.projectors)}"
            )
        tokens: Tensor = self.projectors[task](features)
        return tokens


def make_projector(rule: ProjectorRule, width_in: int, width_out: int) -> nn.Module:
    """Make a projector with random weights.

    `linear` and `mlp2x_gelu` are an `nn.Sequential`, so that their parameters have the names of
    LLaVA's `mm_projector`: `0.weight`, `0.bias`, `2.weight`, `2.bias`.

    Args:
        rule: Its kind and options.
        width_in: Numbers a cell of the features.
        width_out: Numbers a token of the language model.

    Returns:
        A module from `b n width_in` to `b m width_out`; m is n but for `qformer`.

    Raises:
        InputError: If the kind or an option is unknown, or a width is not above 0.
        ShapeError: If `identity` is to change the width.
        PluginBrokenError: If `qformer` is wanted and transformers is not installed.

    Source: Liu et al., LLaVA-1.5, arXiv 2310.03744.

    Examples:
        >>> make_projector(ProjectorRule(), 8, 16)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 16])
        >>> make_projector(ProjectorRule(kind="linear"), 8, 16)(torch.zeros(0, 5, 8)).shape
        torch.Size([0, 5, 16])
    """
    who = f"projector {rule.kind!r}"
    if min(width_in, width_out) < 1:
        raise InputError(f"{who}: expected widths above 0, got {width_in} and {width_out}")
    if rule.kind == "qformer":
        options = make_options(QFormerOptions, rule.options, plugin=who)
        return QFormerProjector(width_in, width_out, options=options)
    if rule.kind == "identity":
        make_options(_NoOptions, rule.options, plugin=who)
        if width_in != width_out:
            raise ShapeError(
                f"{who}: expected features of the language model's width, {width_out}, got "
                f"{width_in}; take linear or mlp2x_gelu"
            )
        return nn.Identity()
    num_layers = _num_layers(rule.kind)
    bias = make_options(_LinearOptions, rule.options, plugin=who).bias
    layers: list[nn.Module] = [nn.Linear(width_in, width_out, bias=bias)]
    for _ in range(1, num_layers):
        layers += [nn.GELU(), nn.Linear(width_out, width_out, bias=bias)]
    return nn.Sequential(*layers)


def tokens_after(rule: ProjectorRule, num_cells: int) -> int:
    """How many tokens a projector makes of so many cells.

    Examples:
        >>> tokens_after(ProjectorRule(), 576)
        576
        >>> tokens_after(ProjectorRule(kind="qformer"), 576)
        32
    """
    if rule.kind != "qformer":
        return num_cells
    return make_options(QFormerOptions, rule.options, plugin="projector 'qformer'").queries


def keeps_cells(rule: ProjectorRule) -> bool:
    """Whether each token stands for one cell.

    Examples:
        >>> keeps_cells(ProjectorRule()), keeps_cells(ProjectorRule(kind="qformer"))
        (True, False)
    """
    return rule.kind != "qformer"


def _num_layers(kind: str) -> int:
    if kind == "linear":
        return 1
    match = _MLP.fullmatch(kind)
    if match is None:
        raise InputError(
            f"unknown projector {kind!r}; known: {listing(_KINDS)}, or mlp and x_gelu with a "
            f"number of layers between, 1 to 99.{did_you_mean(kind, _KINDS)}"
        )
    return int(match[1])
