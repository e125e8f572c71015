import math

import pytest
import torch
from tiny_language import make_llama, make_tokenizer

from groundplane.core.errors import InputError
from groundplane.training.conversations import IGNORED
from groundplane.training.scoring import Score, score_answers, score_text

TEXT = "the dog on the table and a red cup left of the chair, 桌子 é"


def test_perplexity_is_that_of_the_plain_way():
    model, tokenizer = make_llama(), make_tokenizer()
    ids = tokenizer(TEXT)["input_ids"]
    losses, right = [], 0
    for start in range(0, len(ids), 7):
        window = ids[start : start + 7]
        for end in range(1, len(window)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([window[:end]])).logits[0, -1]
            losses.append(-float(logits.log_softmax(-1)[window[end]]))
            right += int(logits.argmax()) == window[end]
    got = score_text(model, tokenizer, TEXT, window=7)
    assert got.tokens == len(losses)
    assert got.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert got.perplexity == pytest.approx(math.exp(got.loss))
    assert got.accuracy == pytest.approx(right / len(losses))


def test_only_labels_count():
    ids = torch.arange(8)[None]
    labels = torch.where(ids >= 5, ids, IGNORED)
    got = score_answers(make_llama(), [{"input_ids": ids, "labels": labels}])
    assert got.tokens == 3


def test_a_model_is_left_as_it_was():
    model = make_llama().train()
    score_text(model, make_tokenizer(), TEXT)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


def test_nothing_to_foresee_is_refused():
    with pytest.raises(InputError, match="at least 2 tokens, got 1"):
        score_text(make_llama(), make_tokenizer(), "a")
    ids = torch.arange(4)[None]
    with pytest.raises(InputError, match="at least one token"):
        score_answers(make_llama(), [{"input_ids": ids, "labels": torch.full_like(ids, IGNORED)}])


def test_a_perplexity_that_is_too_large_is_none_in_json():
    score = Score(tokens=1, loss=1e4, accuracy=0.0)
    assert score.perplexity == math.inf
    assert score.to_json()["perplexity"] is None
