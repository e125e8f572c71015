"""Several towers over one batch: the same as each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from groundplane.core.errors import ShapeError
from groundplane.core.towers import encoding_all
from groundplane.core.towers.encoding_all import encode_towers
from groundplane.core.towers.tower import Tower, TowerConfig, TowerOutput, TowerShape
from groundplane.core.views import canvas_to_tower


class Patches(nn.Module):
    """A random projection of patches of 8 pixels; the summary is their mean."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.project = nn.Conv2d(3, 6, 8, stride=8)

    def forward(self, pixels: Tensor) -> TowerOutput:
        tokens = self.project(pixels).flatten(2).transpose(1, 2)
        return TowerOutput(tokens, tokens.mean(1))


def tower_of(size: int, *, seed: int = 0, mean: float = 0.5) -> Tower:
    config = TowerConfig(
        family=f"patches-{size}",
        library="timm",
        architecture="none",
        size=size,
        mean=(mean, mean, mean),
        std=(0.25, 0.25, 0.25),
    )
    shape = TowerShape(name=config.family, grid=(size // 8, size // 8), width=6)
    return Tower(Patches(seed), config, shape=shape, patch=8)


def bytes_of(side: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def test_each_tower_gives_what_it_gives_alone() -> None:
    towers = [tower_of(32), tower_of(16, seed=1), tower_of(32, seed=2, mean=0.1)]
    canvas = bytes_of(32)
    outputs = encode_towers(towers, canvas)
    for tower, output in zip(towers, outputs, strict=True):
        alone = tower(canvas_to_tower(canvas, tower.config.size))
        assert torch.equal(output.tokens, alone.tokens)
        assert output.summary is not None
        assert alone.summary is not None
        assert torch.equal(output.summary, alone.summary)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_grey_levels_of_any_type_give_the_same(dtype: torch.dtype) -> None:
    """A trainer may have converted them."""
    canvas = bytes_of(24)
    (expected,) = encode_towers([tower_of(16)], canvas)
    (got,) = encode_towers([tower_of(16)], canvas.to(dtype))
    assert torch.equal(got.tokens, expected.tokens)


def test_the_filter_is_the_one_asked_for() -> None:
    canvas = bytes_of(24)
    (output,) = encode_towers([tower_of(16)], canvas, filter="bilinear")
    assert torch.equal(output.tokens, tower_of(16)(canvas_to_tower(canvas, 16, "bilinear")).tokens)


def test_a_list_of_modules_will_do() -> None:
    towers = [tower_of(16), tower_of(32)]
    for one, other in zip(
        encode_towers(nn.ModuleList(towers), bytes_of(24)),
        encode_towers(towers, bytes_of(24)),
        strict=True,
    ):
        assert torch.equal(one.tokens, other.tokens)


def test_towers_of_one_size_share_one_resized_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(canvas: Tensor, size: int, *more: Any) -> Tensor:
        asked.append(size)
        return canvas_to_tower(canvas, size, *more)

    monkeypatch.setattr(encoding_all, "canvas_to_tower", counted)
    encode_towers([tower_of(16), tower_of(32), tower_of(16, seed=1)], bytes_of(24))
    assert asked == [16, 32]


def test_no_towers_and_no_pictures_give_nothing() -> None:
    assert encode_towers([], bytes_of(16)) == []
    (output,) = encode_towers([tower_of(16)], torch.zeros(0, 3, 24, 24))
    assert output.tokens.shape == (0, 4, 6)


def test_a_tower_in_bfloat16_gets_bfloat16() -> None:
    (output,) = encode_towers([tower_of(16).to(torch.bfloat16)], bytes_of(24))
    assert output.tokens.dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (2, 4, 8, 8), (3, 8, 8)])
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_batch_of_squares_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected pixels of shape"):
        encode_towers([tower_of(16)], torch.zeros(shape))


@pytest.mark.usefixtures("unchecked")
def test_a_wrong_number_of_streams_is_refused() -> None:
    with pytest.raises(ShapeError, match="one stream a tower, 1, got 2"):
        encode_towers([tower_of(16)], bytes_of(16), streams=[None, None])  # type: ignore[list-item]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_as_one_graph(backend: str) -> None:
    towers = [tower_of(32), tower_of(16, seed=1)]

    def encode(canvas: Tensor) -> list[TowerOutput]:
        return encode_towers(towers, canvas)

    torch._dynamo.reset()
    compiled = torch.compile(encode, fullgraph=True, backend=backend)
    for got, expected in zip(compiled(bytes_of(24)), encode(bytes_of(24)), strict=True):
        assert torch.allclose(got.tokens, expected.tokens, atol=1e-6)


class Waits(TorchDispatchMode):
    """Counts what makes a device wait for the host, and what leaves it."""

    seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, more = func.__name__, kwargs or {}
        self.seen += name.startswith(("_local_scalar_dense", "nonzero"))
        self.seen += name.startswith("_to_copy") and more.get("device") is not None
        return func(*args, **more)


def test_nothing_waits_for_the_host() -> None:
    with Waits() as mode:
        encode_towers([tower_of(32), tower_of(16)], bytes_of(24))
    assert mode.seen == 0
    with Waits() as mode:
        float(torch.ones(1))
        torch.ones(1).to("meta")
    assert mode.seen == 2
