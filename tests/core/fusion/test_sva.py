"""The spatial vision aggregator against one query at a time."""

import pytest
import torch
from fusing import features, operator, pair, tower
from torch.nn import functional

from groundplane.core.errors import InputError, ShapeError


def norm(module, row):
    """A layer norm of one row, by its definition."""
    spread = ((row - row.mean()) ** 2).mean()
    return (row - row.mean()) / (spread + module.eps).sqrt() * module.weight + module.bias


def window(given, shape, *, place, sides):
    """The cells of one query's window, one by one."""
    (row, column), (high, wide) = place, sides
    return [
        given[(row * high + y) * shape.grid[1] + column * wide + x]
        for y in range(high)
        for x in range(wide)
    ]


def asked(layer, query, context, windows):
    """What one query finds in its windows: head by head, key by key."""
    wanted = layer.query.weight @ norm(
        layer.norm_query, layer.mix.weight @ torch.cat([query, context]) + layer.mix.bias
    )
    keys = [
        key.weight @ cell for key, cells in zip(layer.keys, windows, strict=True) for cell in cells
    ]
    values = [
        value.weight @ cell
        for value, cells in zip(layer.values, windows, strict=True)
        for cell in cells
    ]
    size, found = len(wanted) // layer.heads, []
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        powers = [(wanted[part] @ key[part] / size**0.5).exp() for key in keys]
        whole = sum(powers)
        found.append(sum(p / whole * v[part] for p, v in zip(powers, values, strict=True)))
    return layer.output.weight @ torch.cat(found) + layer.output.bias


def plain(made, given, *, place):
    """The token of one query of one picture."""
    normed = [
        torch.stack([norm(module, row) for row in one])
        for module, one in zip(made.norms, given, strict=True)
    ]
    means = torch.cat([one.mean(dim=0) for one in normed])
    context = made.context.weight @ means + made.context.bias
    windows = [
        window(one, shape, place=place, sides=sides)
        for one, shape, sides in zip(normed, made.towers, made.windows, strict=True)
    ]
    query = made.queries[place[0] * made.grid[1] + place[1]]
    for layer in made.layers:
        query = query + asked(layer, query, context, windows)
        first, _, second = layer.thought
        hidden = first.weight @ norm(layer.norm_thought, query) + first.bias
        query = query + second.weight @ functional.gelu(hidden) + second.bias
    return made.adapter(norm(made.norm, query)[None])[0]


@pytest.mark.parametrize(
    ("sides", "options"),
    [((4, 4), {}), ((4, 8), {}), ((4, 4), {"grid": (2, 2)}), ((4, 12), {"grid": (4, 2)})],
)
def test_each_query_looks_only_at_its_own_windows(sides, options):
    towers = [tower("clip", side=sides[0]), tower("dinov2", side=sides[1], width=12)]
    made = operator("sva", towers, **options).double()
    given = features(towers, batch=2, dtype=torch.float64)
    found = made(given).tokens
    rows, columns = made.grid
    for b in range(2):
        for place in [(0, 0), (1, 1), (rows - 1, 0), (rows - 1, columns - 1)]:
            expected = plain(made, [one[b] for one in given], place=place)
            index = place[0] * columns + place[1]
            torch.testing.assert_close(found[b, index], expected, rtol=0, atol=1e-6)


def test_a_change_beyond_the_window_reaches_a_query_only_by_the_context():
    made = operator("sva", grid=(2, 2))
    with torch.no_grad():
        made.context.weight.zero_()
    given = features(batch=1)
    changed = [one.clone() for one in given]
    changed[1][0, 15] += 1  # the last cell, of the last query
    moved = (made(given).tokens != made(changed).tokens).any(dim=2)[0]
    assert moved.tolist() == [False, False, False, True]


def test_windows_follow_the_grids():
    made = operator("sva", [tower("clip", side=4), tower("convnext", side=16)])
    assert made.windows == ((1, 1), (4, 4))
    assert made.report().grid == (4, 4)


def test_a_grid_that_cannot_be_cut_is_refused_unless_windows_are_given():
    towers = [tower("clip", side=4), tower("dinov3", side=7)]
    with pytest.raises(ShapeError, match=r"'dinov3': its grid of 7 by 7 cannot be cut.*windows"):
        operator("sva", towers)
    made = operator("sva", towers, windows=(1, 2))
    assert made(features(towers)).tokens.shape == (3, 16, 24)


def test_queries_finer_than_a_tower_are_refused():
    with pytest.raises(ShapeError, match="'clip': its grid of 4 by 4 cannot be cut"):
        operator("sva", grid=(8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": (1,)}, "windows: expected 2, one a tower"),
        ({"windows": (1, 0)}, "above 0"),
        ({"grid": (0, 4)}, "above 0"),
        ({"heads": 5}, "that 5 heads divide, got 32"),
        ({"layers": 0}, "above 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        operator("sva", pair(), **options)
