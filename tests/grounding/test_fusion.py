"""Attention between image and text, against the usual order of work."""

import pytest
import torch
from torch.nn.functional import linear

from groundplane.core.errors import ShapeError
from groundplane.grounding.fusion import FusionWeights, fuse_image_and_text

NAMES = ("image_query", "text_key", "image_value", "text_value")


def made(heads=4, channels=24, width=16, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def layer(outputs, inputs):
        return (
            torch.randn(outputs, inputs, generator=generator) * inputs**-0.5,
            torch.randn(outputs, generator=generator),
        )

    inner = {name: layer(channels, width) for name in NAMES}
    outer = {name: layer(width, channels) for name in ("image_out", "text_out")}
    weights = FusionWeights(heads=heads, **inner, **outer)
    image = torch.randn(2, 40, width, generator=generator)
    text = torch.randn(2, 7, width, generator=generator)
    return image, text, weights


def plainly(image, text, weights, *, image_padding=None, text_padding=None):
    """Project all, head by head, then compare and add up."""
    query, key = linear(image, *weights.image_query), linear(text, *weights.text_key)
    from_image, from_text = linear(image, *weights.image_value), linear(text, *weights.text_value)
    to_image, to_text = [], []
    for part in torch.arange(query.shape[2]).chunk(weights.heads):
        scores = query[..., part] @ key[..., part].transpose(1, 2) / len(part) ** 0.5
        over_tokens, over_cells = scores.clone(), scores.clone()
        if text_padding is not None:
            over_tokens[text_padding[:, None].expand_as(scores)] = -torch.inf
        if image_padding is not None:
            over_cells[image_padding[:, :, None].expand_as(scores)] = -torch.inf
        to_image.append(over_tokens.softmax(2) @ from_text[..., part])
        to_text.append(over_cells.softmax(1).transpose(1, 2) @ from_image[..., part])
    return (
        linear(torch.cat(to_image, 2), *weights.image_out),
        linear(torch.cat(to_text, 2), *weights.text_out),
    )


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_it_equals_the_usual_order_of_work(heads, padded):
    image, text, weights = made(heads=heads)
    padding = {}
    if padded:
        padding["image_padding"] = torch.arange(40).expand(2, 40) > torch.tensor([[30], [39]])
        padding["text_padding"] = torch.arange(7).expand(2, 7) > torch.tensor([[6], [3]])
    expected = plainly(image, text, weights, **padding)
    # Sums in another order: a few units in the last place of float32.
    for ours, theirs in zip(
        fuse_image_and_text(image, text, weights, **padding), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_a_forgotten_bias_would_be_noticed():
    image, text, weights = made()
    matrix, bias = weights.image_query
    parts = {name: getattr(weights, name) for name in weights.__dataclass_fields__}
    without = FusionWeights(**parts | {"image_query": (matrix, bias * 0)})
    ours, theirs = fuse_image_and_text(image, text, without), plainly(image, text, weights)
    assert not torch.allclose(ours[0], theirs[0], atol=1e-3)


def test_what_is_padding_has_no_effect():
    image, text, weights = made()
    padding = torch.arange(7).expand(2, 7) >= 5
    other = text.clone()
    other[:, 5:] = 100
    first = fuse_image_and_text(image, text, weights, text_padding=padding)
    second = fuse_image_and_text(image, other, weights, text_padding=padding)
    assert torch.equal(first[0], second[0])
    alone = fuse_image_and_text(image, text[:, :5], weights)
    torch.testing.assert_close(first[0], alone[0], atol=2e-5, rtol=1e-5)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ShapeError, match="24 channels do not part into 5 heads"):
        made(heads=5)
