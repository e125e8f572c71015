"""Towers and features for tests of fusion, and what fusion operators do, cell by cell."""

import torch

from groundplane.core.fusion.making import fusion_names, make_fusion
from groundplane.core.fusion.operator import FusionRule, ProjectorRule
from groundplane.core.towers.tower import TowerShape

SMALL = {
    "sva": {"hidden": 32, "heads": 4, "layers": 2},
    "routed": {"by": "both", "query_width": 5},
}
QFORMER = ProjectorRule(
    kind="qformer",
    options={
        "queries": 6,
        "hidden": 16,
        "heads": 2,
        "layers": 2,
        "intermediate": 16,
        "dropout": 0.0,
    },
)
NAMES = fusion_names()


def tower(name="clip", *, side=4, width=16):
    return TowerShape(name=name, grid=(side, side), width=width)


def pair(*, side=4, width=16):
    return [tower("clip", side=side, width=width), tower("dinov2", side=side, width=width)]


def operator(name, towers=None, *, width=24, seed=0, projector=None, **options):
    """An operator with random weights; those that begin at 0 are made random, too."""
    rule = FusionRule(
        name=name,
        projector=projector or ProjectorRule(),
        options=SMALL.get(name, {}) | options,
    )
    made = make_fusion(rule, towers or pair(), width, seed=seed).eval()
    if name == "gated" and seed is not None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            made.gate.weight.copy_(torch.randn(made.gate.weight.shape, generator=generator) / 4)
    return made


def features(towers=None, *, batch=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, t.num_cells, t.width, generator=generator).to(dtype)
        for t in towers or pair()
    ]


def query(*, batch=3, width=5, seed=9):
    return torch.randn(batch, width, generator=torch.Generator().manual_seed(seed))
