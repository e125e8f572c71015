"""Layers of several experts in which a mask known beforehand says whose each token is.

A language model that sees without an encoder of its own owns a second feed-forward network in each
layer: tokens of pictures go to that one, all others to the first. Nothing is learned about where a
token goes, so the way is found once a pass, before the layers, and none of them waits for it.

Source: Luo et al., Mono-InternVL: Pushing the Boundaries of Monolithic Multimodal Large Language
Models with Endogenous Visual Pre-training, 2024, and its code: h = text(h) (1 - m) + visual(h) m,
with m = 1 at the places of the picture. Here each expert only computes its own tokens, and there
may be more than two: experts of regions, of depth, of a tool's answer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from groundplane.core.errors import InputError, ShapeError

__all__ = ["MaskRoutedExperts", "Routes"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routes:
    """Which expert each token of a batch goes to; made once, used in every layer.

    Attributes:
        order: Tokens in the order of their experts, those of one expert as they come.
        inverse: Where in that order each token stands.
        counts: Tokens of each expert, known to the host.
    """

    order: Int[Tensor, " n"]
    inverse: Int[Tensor, " n"]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, kinds: Bool[Tensor, "*b"] | Int[Tensor, "*b"], *, experts: int = 2) -> Routes:
        """The ways of tokens.

        The host waits here, once; not at all where the mask lies on the CPU.

        Args:
            kinds: The expert of each token: False or 0 for the first, the text's; True or 1 for
                the second, and so on.
            experts: How many there are.

        Raises:
            ShapeError: If the kinds are no booleans and no whole numbers.
            InputError: If there is no expert of a number.

        Examples:
            >>> routes = Routes.of(torch.tensor([[True, False, True]]))
            >>> routes.order.tolist(), routes.inverse.tolist(), routes.counts
            ([1, 0, 2], [1, 0, 2], (1, 2))
            >>> Routes.of(torch.zeros(0, dtype=torch.bool)).counts
            (0, 0)
        """
        if kinds.is_floating_point() or kinds.is_complex():
            raise ShapeError(
                f"routes: expected a mask of booleans or whole numbers, got {kinds.dtype}"
            )
        flat = kinds.flatten().long()
        numbers = torch.arange(experts, device=flat.device)
        counts: list[int] = (flat[None] == numbers[:, None]).sum(1).tolist()
        if sum(counts) != flat.numel():
            raise InputError(
                f"routes: {flat.numel() - sum(counts)} tokens of an expert that is none of the "
                f"{experts}, numbered from 0"
            )
        order = torch.argsort(flat, stable=True)
        return cls(order=order, inverse=torch.argsort(order), counts=tuple(counts))

    def to(self, device: torch.device | str) -> Routes:
        """The same ways on a device."""
        return Routes(
            order=self.order.to(device), inverse=self.inverse.to(device), counts=self.counts
        )


class MaskRoutedExperts(nn.Module):
    """Several networks of one width in place of one; each token goes through one of them.

    Equal to the sum of all experts' outputs, each masked, to rounding: a matrix product over fewer
    rows may sum in another order. Where all tokens are of one expert, as in decoding, it is that
    expert's output bit by bit. An expert without a token does not run, and gets no gradient. What
    an expert gives for a token must depend on that token alone, as in a feed-forward network.

    Args:
        experts: The first is the text's.

    Raises:
        InputError: If there is no expert.

    Examples:
        >>> hidden = torch.tensor([[[1.0], [2.0]]])
        >>> layer = MaskRoutedExperts([nn.Identity(), nn.Threshold(5.0, -1.0)])
        >>> layer(hidden, Routes.of(torch.tensor([[False, True]]))).tolist()
        [[[1.0], [-1.0]]]
        >>> layer(hidden[:, :0]).shape
        torch.Size([1, 0, 1])
    """

    def __init__(self, experts: Sequence[nn.Module]) -> None:
        super().__init__()
        if not experts:
            raise InputError("mask-routed experts: expected at least one expert")
        self.experts = nn.ModuleList(experts)

    @classmethod
    def grown(cls, text: nn.Module, *, experts: int = 1, frozen: bool = True) -> Self:
        """Put experts beside a network; they begin as copies of it, and change nothing at first.

        Args:
            text: The network; it is kept, not copied.
            experts: How many are added.
            frozen: Whether the network stops learning, as in visual pre-training by the source.

        Raises:
            InputError: If fewer than one is added.

        Examples:
            >>> layer = MaskRoutedExperts.grown(nn.Linear(2, 2))
            >>> [p.requires_grad for p in layer.parameters()]
            [False, False, True, True]
        """
        if experts < 1:
            raise InputError(f"mask-routed experts: expected 1 or more to add, got {experts}")
        added = [copy.deepcopy(text) for _ in range(experts)]
        if frozen:
            text.requires_grad_(False)
        return cls([text, *added])

    def forward(
        self, hidden: Float[Tensor, "*b d"], routes: Routes | None = None
    ) -> Float[Tensor, "*b d"]:
        """Send each token through its expert; nothing waits for the device.

        Args:
            hidden: States of tokens.
            routes: Whose each is; None: all are the text's, as those that a model writes.

        Raises:
            ShapeError: If the routes are of another number of tokens or experts.
        """
        if routes is None:
            text: Tensor = self.experts[0](hidden)
            return text
        tokens = hidden.shape[:-1].numel()
        if len(routes.counts) != len(self.experts) or len(routes.order) != tokens:
            raise ShapeError(
                f"mask-routed experts: {tokens} tokens and {len(self.experts)} experts, but "
                f"routes of {len(routes.order)} tokens and {len(routes.counts)} experts"
            )
        for expert, count in zip(self.experts, routes.counts, strict=True):
            if count == tokens:
                whole: Tensor = expert(hidden)
                return whole
        flat = hidden.reshape(-1, hidden.shape[-1])
        parts = torch.split(flat.index_select(0, routes.order), list(routes.counts))
        made = [
            expert(part)
            for expert, part, count in zip(self.experts, parts, routes.counts, strict=True)
            if count
        ]
        return torch.cat(made).index_select(0, routes.inverse).reshape(hidden.shape)
