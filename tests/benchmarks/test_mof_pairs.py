"""The world of the experiment on mixtures of features, and its short form from end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks_importable():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


def test_a_seed_gives_the_same_pictures():
    from mof_world.pictures import render

    first, again, other = render(5, seed=1), render(5, seed=1), render(5, seed=2)
    assert np.array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_attributes_are_independent_so_that_no_answer_tells_another():
    from mof_world.pictures import ATTRIBUTES, render

    truth = render(2000, seed=0).truth
    for one in ATTRIBUTES:
        for other in ATTRIBUTES:
            if one != other:
                # 4 standard errors of the correlation of independent numbers.
                assert abs(np.corrcoef(truth[one], truth[other])[0, 1]) < 4 / np.sqrt(2000)


def test_every_attribute_can_be_seen():
    from mof_world.pictures import ATTRIBUTES, draw

    base = {name: words[0] for name, words in ATTRIBUTES.items()}
    plain = draw(base, np.random.default_rng(3)).astype(int)
    for name, words in ATTRIBUTES.items():
        changed = draw({**base, name: words[1]}, np.random.default_rng(3)).astype(int)
        # Noise has a spread of 4 grey levels.
        assert (np.abs(plain - changed).max(axis=2) > 40).sum() >= 8, name


def test_captions_name_what_is_named_and_nothing_else():
    from mof_world.pictures import NAMED, UNNAMED, captions, render

    pictures = render(300, seed=0)
    said = captions(pictures, np.arange(300), np.random.default_rng(0))
    told = {word for words in UNNAMED.values() for word in words}
    for index, caption in enumerate(said):
        words = caption.split()
        assert all(pictures.word(name, index) in words for name in NAMED)
        assert not told & set(words)


def test_pairs_are_blind_apart_and_differ_in_what_is_asked():
    from mof_world.pictures import UNNAMED, render
    from mof_world.trials import Size, pick_pairs

    from groundplane.core.blind_pairs import PairRule

    pictures = render(60, seed=0)
    first, second = (
        torch.ones(60, 2),
        torch.randn(60, 8, generator=torch.Generator().manual_seed(0)),
    )
    pairs, asked, found = pick_pairs(
        pictures, first, second, Size(pairs=10, rule=PairRule(max_second=0.6))
    )
    assert found >= len(pairs) == 10
    assert len(set(pairs.flatten().tolist())) == 20
    cosines = torch.nn.functional.cosine_similarity(second[pairs[:, 0]], second[pairs[:, 1]])
    assert float(cosines.max()) <= 0.6
    for (a, b), name in zip(pairs.tolist(), asked, strict=True):
        assert name in UNNAMED
        assert pictures.truth[name][a] != pictures.truth[name][b]


def test_no_blind_pair_is_said():
    from mof_world.pictures import render
    from mof_world.trials import Size, pick_pairs

    from groundplane.core.blind_pairs import PairRule

    same = torch.ones(10, 2)
    with pytest.raises(RuntimeError, match="no blind pair"):
        pick_pairs(render(10, seed=0), same, same, Size(rule=PairRule()))


def test_a_pair_counts_only_if_both_answers_are_right():
    from mof_world.pictures import ATTRIBUTES
    from mof_world.trials import _accuracies

    right = np.ones((4, len(ATTRIBUTES)), bool)
    right[3, list(ATTRIBUTES).index("sea")] = False
    told = _accuracies(right, np.array([[0, 1], [2, 3]]), ["sea", "sea"])
    assert told["pair_right"] == [1, 0]
    assert told["pair_accuracy"] == 0.5
    assert told["named"] == 1.0
    # Three of four attributes wholly right, one in three of four pictures.
    assert told["unnamed"] == pytest.approx(15 / 16)


def test_a_probe_finds_what_is_there_and_nothing_in_noise():
    from mof_world.trials import probe

    draws = torch.Generator().manual_seed(0)
    rows, others = torch.randn(800, 6, generator=draws), torch.randn(800, 6, generator=draws)
    truth, wanted = (rows[:, 2] > 0).long(), (others[:, 2] > 0).long()
    assert probe(rows, truth, others, wanted) > 0.95
    noise = torch.randint(2, (800,), generator=draws)
    # 4 standard errors of a coin.
    assert abs(probe(rows, noise, others, wanted) - 0.5) < 4 * 0.5 / np.sqrt(800) + 0.1


def test_an_interval_is_that_of_student():
    from mof_world.trials import interval

    mean, width = interval([1.0, 2.0, 3.0, 4.0])
    # t of 0.975 at 3 degrees of freedom is 3.182; the spread is sqrt(5 / 3), over sqrt(4).
    assert mean == 2.5
    assert width == pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-6)


def test_whitened_rows_are_uncorrelated_and_of_one_spread():
    from mof_world.towers import _whitened

    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 4, generator=draws) @ torch.randn(4, 4, generator=draws) + 3
    white = _whitened(rows)
    assert torch.allclose(white.mean(0), torch.zeros(4), atol=1e-4)
    # The damping of 1e-3 of the mean variance shrinks the weakest direction.
    assert torch.allclose(white.mT @ white / 500, torch.eye(4), atol=0.1)


@pytest.mark.slow
def test_the_short_form_runs_from_end_to_end(tmp_path: Path):
    results, plot = tmp_path / "results.json", tmp_path / "plot.png"
    command = [sys.executable, str(BENCHMARKS / "mof_pairs.py"), "--quick", "--seeds", "1"]
    command += ["--workers", "1", "--json", str(results), "--out", str(plot)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "over control" in done.stdout
    heads = json.loads(results.read_text())["trials"][0]["heads"]
    tokens = {name: head["tokens"] for name, head in heads.items()}
    assert tokens["contrastive twice"] == tokens["interleaved"] == 2 * tokens["contrastive"]
    clips = {head["frozen"]["tower 0 (clip)"] for n, head in heads.items() if n != "self-distilled"}
    assert len(clips) == 1
    assert plot.stat().st_size > 1000
