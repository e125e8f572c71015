"""Tokens of further towers only where they see something else."""

import pytest
import torch
from fusing import features, operator, pair, tower

from groundplane.core.disagreement import disagreement
from groundplane.core.errors import InputError
from groundplane.core.fusion.operator import ProjectorRule

SAME = ProjectorRule(kind="identity")


def planted(cells, *, side=6, width=16, seed=0):
    """Two towers that agree but for a turn of space; where planted, the second sees other things.

    The picture has four kinds of cells; to the second tower the planted ones are of a fifth.
    """
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randn(5, width, generator=generator)
    kind = torch.arange(side * side) % 4
    first = kinds[kind] + 0.05 * torch.randn(side * side, width, generator=generator)
    other = kind.clone()
    other[cells] = 4
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    second = kinds[other] @ turn + 0.05 * torch.randn(side * side, width, generator=generator)
    return [first[None], second[None]]


@pytest.mark.parametrize("seed", range(5))
def test_planted_cells_are_found_though_the_towers_share_no_space(seed):
    cells = [3, 8, 17, 30]
    made = operator("saliency", pair(side=6), width=16, projector=SAME, budget=4)
    found = made(planted(cells, seed=seed))
    assert found.cells[found.towers == 1].tolist() == cells


@pytest.mark.parametrize("num_towers", [2, 3])
@pytest.mark.parametrize("budget", [0, 1, 5, 16])
def test_tokens_are_those_of_a_plain_loop(num_towers, budget):
    towers = [tower("clip"), tower("dinov2", width=8), tower("radio", width=12)][:num_towers]
    made = operator("saliency", towers, budget=budget)
    given = features(towers, batch=2)
    found = made(given)
    for b in range(2):
        chosen = []
        for other in given[1:]:
            amount = disagreement(given[0][b : b + 1], other[b : b + 1])[0].tolist()
            chosen.append(sorted(range(16), key=lambda i, a=amount: (-a[i], i))[:budget])
        rows, cells, sources = [], [], []
        for i in range(16):
            for j in range(num_towers):
                if j == 0 or i in chosen[j - 1]:
                    rows.append(made.adapters[j](given[j][b, i]))
                    cells.append(i)
                    sources.append(j)
        torch.testing.assert_close(found.tokens[b], torch.stack(rows))
        assert found.cells[b].tolist() == cells
        assert found.towers[b].tolist() == sources
    assert made.report().tokens == 16 + (num_towers - 1) * budget


def test_a_budget_of_all_cells_is_interleaved():
    towers = pair()
    given = features(towers)
    salient = operator("saliency", towers, budget=16, seed=3)(given)
    interleaved = operator("interleaved", towers, seed=3)(given)
    torch.testing.assert_close(salient.tokens, interleaved.tokens)
    assert torch.equal(salient.cells, interleaved.cells)
    assert torch.equal(salient.towers, interleaved.towers)


def test_of_cells_that_disagree_equally_the_first_are_taken():
    given = [torch.ones(2, 16, 16)] * 2
    found = operator("saliency", budget=3)(given)
    assert found.cells[0].tolist() == [0, 0, 1, 1, 2, 2, *range(3, 16)]


def test_a_quarter_of_the_cells_is_the_default():
    assert operator("saliency").budget == 4
    assert operator("saliency", [tower(side=1)]).budget == 1


@pytest.mark.parametrize(("budget", "message"), [(17, "at most the 16 cells"), (-1, "0 or more")])
def test_a_budget_that_is_none_is_refused(budget, message):
    with pytest.raises(InputError, match=message):
        operator("saliency", budget=budget)
