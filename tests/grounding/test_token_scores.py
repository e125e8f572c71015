"""From token logits to boxes of phrases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from groundplane.core.errors import ShapeError
from groundplane.grounding import token_scores
from groundplane.grounding.token_scores import phrase_logits, phrases_above

TOKENS = [(1,), (3, 4), (6,), (6, 7, 8), (4,)]


def made(batch=2, queries=20, tokens=12, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, queries, tokens, generator=generator) * 2
    logits[:, :, 10:] = -torch.inf
    boxes = torch.rand(batch, queries, 4, generator=generator)
    return logits.to(dtype), boxes.to(dtype)


def plainly(logits, boxes, tokens, *, sizes, floor):
    """One box, one phrase, one token after the other."""
    found = []
    for i, (width, height) in enumerate(sizes):
        rows = []
        for q in range(logits.shape[1]):
            x, y, w, h = boxes[i, q].tolist()
            corners = [(x - w / 2) * width, (y - h / 2) * height]
            corners += [(x + w / 2) * width, (y + h / 2) * height]
            for p, places in enumerate(tokens):
                score = max(torch.sigmoid(logits[i, q, t]).item() for t in places)
                if score >= floor:
                    rows.append((-score, q, p, corners))
        found.append(rows)
    return found


def same(found, expected):
    for got, rows in zip(found, expected, strict=True):
        if len(got.scores) != len(rows):
            return False
        scores = torch.tensor([-row[0] for row in rows])
        corners = torch.tensor([row[3] for row in rows]).reshape(-1, 4)
        if not torch.allclose(got.scores, scores, atol=1e-6):
            return False
        if not torch.allclose(got.boxes, corners, atol=1e-3):
            return False
        if got.phrase_ids.tolist() != [row[2] for row in rows]:
            return False
    return True


@pytest.fixture(scope="module", params=["host", "device"], autouse=True)
def way(request):
    """Both ways to the same, on the CPU: the one that a card takes needs no card to be right."""
    own = token_scores._above_on_host
    if request.param == "device":
        token_scores._above_on_host = token_scores._above_on_device
    yield
    token_scores._above_on_host = own


@given(seed=st.integers(0, 10_000), floor=st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.9, 0.999, 1.0]))
@settings(max_examples=60, deadline=None)
def test_all_above_the_floor_is_found(seed, floor):
    logits, boxes = made(seed=seed)
    sizes = [(40, 30), (7, 90)]
    found = phrases_above(logits, boxes, TOKENS, sizes=sizes, floor=floor)
    assert same(found, plainly(logits, boxes, TOKENS, sizes=sizes, floor=floor))


def test_a_wrong_answer_would_be_noticed():
    logits, boxes = made()
    sizes = [(40, 30), (7, 90)]
    expected = plainly(logits, boxes, TOKENS, sizes=sizes, floor=0.25)
    swapped = [(3, 4), (1,), *TOKENS[2:]]
    assert not same(phrases_above(logits, boxes, swapped, sizes=sizes, floor=0.25), expected)
    assert not same(phrases_above(logits, boxes, TOKENS, sizes=sizes, floor=0.26), expected)


@given(
    phrases=st.lists(
        st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True), max_size=30
    )
)
@settings(max_examples=60, deadline=None)
def test_a_phrase_has_the_logit_of_its_best_token(phrases):
    logits, _ = made()
    got = phrase_logits(logits, phrases)
    for p, places in enumerate(phrases):
        assert torch.equal(got[:, :, p], logits[:, :, places].amax(2))


def test_a_box_is_kept_where_transformers_keeps_it_and_names_the_phrase():
    processing = pytest.importorskip("transformers.models.grounding_dino.processing_grounding_dino")
    from types import SimpleNamespace

    logits, boxes = made(batch=3, queries=60)
    logits[:, :, [0, 5, 9]] = -20  # marks: where one of them wins, transformers reports its score
    sizes, ids = [(64, 48), (100, 10), (5, 5)], torch.arange(12).expand(3, 12)
    stand_in = SimpleNamespace(batch_decode=lambda rows: [[int(i) for i in row] for row in rows])
    theirs = processing.GroundingDinoProcessor.post_process_grounded_object_detection(
        stand_in,
        SimpleNamespace(logits=logits, pred_boxes=boxes),
        input_ids=ids,
        threshold=0.3,
        text_threshold=0.3,
        target_sizes=[(h, w) for w, h in sizes],
    )
    tokens = [(1,), (2, 3, 4), (6, 7, 8)]
    ours = phrases_above(logits, boxes, tokens, sizes=sizes, floor=0.3)
    for image, one in zip(theirs, ours, strict=True):
        named = {
            (tuple(round(v, 3) for v in box), phrase)
            for box, label in zip(image["boxes"].tolist(), image["text_labels"], strict=True)
            for phrase, places in enumerate(tokens)
            if set(label) & set(places)
        }
        found = zip(one.boxes.tolist(), one.phrase_ids.tolist(), strict=True)
        assert {(tuple(round(v, 3) for v in box), phrase) for box, phrase in found} == named
        assert one.scores.max() == image["scores"].max()


def test_scores_that_are_not_numbers_are_not_lost():
    logits, boxes = made()
    logits[0, 3, 3] = torch.nan
    found = phrases_above(logits, boxes, TOKENS, sizes=[(4, 4), (4, 4)], floor=0.9)[0]
    assert found.scores.isnan().sum() == 1  # of the phrase of tokens 3 and 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_float32(dtype):
    found = phrases_above(*made(dtype=dtype), TOKENS, sizes=[(4, 4), (4, 4)], floor=0.5)[0]
    assert found.boxes.dtype == found.scores.dtype == torch.float32


def test_no_queries_and_no_images_give_nothing():
    none = phrases_above(
        torch.zeros(1, 0, 9), torch.zeros(1, 0, 4), [(1,)], sizes=[(4, 4)], floor=0
    )
    assert [len(found.scores) for found in none] == [0]
    assert phrases_above(torch.zeros(0, 5, 9), torch.zeros(0, 5, 4), [], sizes=[], floor=0) == []


@pytest.mark.parametrize("tokens", [[()], [(12,)], [(-1,)]])
def test_tokens_that_the_prompt_has_not_are_refused(tokens):
    with pytest.raises(ShapeError, match="expected positions from 0 to 11"):
        phrase_logits(made()[0], tokens)


def test_one_size_an_image_is_needed():
    with pytest.raises(ShapeError, match="2 images but 1 sizes"):
        phrases_above(*made(), TOKENS, sizes=[(4, 4)], floor=0.5)


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for a device; the meta device stands in for one."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        from_device = any(isinstance(a, torch.Tensor) and a.is_meta for a in args)
        if name == "_to_copy" and from_device and str(kwargs.get("device")) == "cpu":
            self.seen.append(name)
            return torch.zeros(args[0].shape, dtype=args[0].dtype)
        if from_device and name in {"nonzero", "_local_scalar_dense", "masked_select", "unique2"}:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_the_host_waits_once_a_batch():
    logits, boxes = (tensor.to("meta") for tensor in made(batch=16))
    with Waits() as waits:
        found = phrases_above(logits, boxes, TOKENS, sizes=[(4, 4)] * 16, floor=0.5)
    assert len(found) == 16
    assert waits.seen == ["_to_copy"]


def test_a_second_wait_would_be_counted():
    with Waits() as waits, pytest.raises((RuntimeError, NotImplementedError)):
        torch.nonzero(torch.zeros(3, device="meta"))
    assert waits.seen == ["nonzero"]
