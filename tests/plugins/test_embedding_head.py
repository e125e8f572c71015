"""Hidden states found by queries: shares of a state, thresholds, boxes and masks."""

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import DetectorError, InputError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.core.masks import decode
from groundplane.core.pixels import PixelRule, prepare_pixels
from groundplane.core.session import Ground, Prompt
from groundplane.core.workers import Call
from groundplane.grounding.embedding_network import EmbeddingNetwork, HeadShape
from groundplane.grounding.router import Router
from groundplane.plugins.embedding_head import EmbeddingHeadDetector, EmbeddingHeadOptions
from groundplane.testing.checkpoints_embedding_head import save_embedding_head
from groundplane.testing.detectors import DetectorContract, make_image, unlike_images

WIDTH = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_embedding_head(tmp_path_factory.mktemp("head"), embedding_width=WIDTH)


@pytest.fixture(scope="module")
def shared(folder):
    return EmbeddingHeadDetector(EmbeddingHeadOptions(weights=str(folder)))


def state(word):
    """A state for a word, always the same."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))


def asked(image, *words, **rest):
    states = tuple(state(word) for word in words)
    return DetectRequest(image=image, phrases=words, embeddings=states, **rest)


class Speaks:
    """Asks the head with a state for each phrase, as a language model would."""

    vocabulary = None

    def __init__(self, head):
        self.head = head

    def detect(self, requests):
        states = [tuple(state(word) for word in request.phrases) for request in requests]
        return self.head.detect(
            [replace(one, embeddings=s) for one, s in zip(requests, states, strict=True)]
        )


class TestContractByWords(DetectorContract):
    @pytest.fixture
    def detector(self, shared):
        return shared


class TestContractByStates(DetectorContract):
    @pytest.fixture
    def detector(self, shared):
        return Speaks(shared)

    def test_something_is_found(self, detector, images, phrases):
        results = detector.detect([DetectRequest(image=i, phrases=phrases) for i in images])
        assert any(len(result.regions) for result in results)


def by_loops(folder, image, words, threshold):
    """For each word its (box, share, mask), query by query, with nothing vectorised."""
    from safetensors.torch import load_file

    shape = HeadShape(
        **{k: v for k, v in json.loads((folder / "config.json").read_text()).items() if k[0] != "m"}
    )
    network = EmbeddingNetwork(shape).eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    rule = PixelRule(fit="longest", size=shape.canvas, square=True)
    batch = prepare_pixels([image.pixels], rule)
    with torch.no_grad():
        [look] = network.look(batch.values, batch.mask)
    width, height = image.size
    wide, high = rule.content(image.size)
    found = []
    for word in words:
        projected = network.project.weight.tolist(), network.project.bias.tolist()
        row = [
            sum(w * x for w, x in zip(weights, state(word).tolist(), strict=True)) + b
            for weights, b in zip(*projected, strict=True)
        ]
        length = math.sqrt(sum(x * x for x in row))
        logits = [
            math.exp(network.scale.item())
            * sum(a * b / length for a, b in zip(query, row, strict=True))
            for query in look.classes.tolist()
        ]
        total = sum(math.exp(x) for x in logits)
        shares = [math.exp(x) / total for x in logits]
        kept = []
        for query, share in enumerate(shares):
            wanted = share == max(shares) if threshold is None else share >= threshold
            if not wanted:
                continue
            cx, cy, w, h = (x * shape.canvas for x in look.boxes[query].tolist())
            across, down = width / wide, height / high
            box = [
                min(max((cx - w / 2) * across, 0), width),
                min(max((cy - h / 2) * down, 0), height),
                min(max((cx + w / 2) * across, 0), width),
                min(max((cy + h / 2) * down, 0), height),
            ]
            if box[2] <= box[0] or box[3] <= box[1]:
                continue
            plane = sum(
                weight * cells for weight, cells in zip(look.masks[query], look.pixels, strict=True)
            )
            whole = functional.interpolate(
                plane[None, None], size=(shape.canvas,) * 2, mode="bilinear", align_corners=False
            )
            seen = functional.interpolate(
                whole[..., :high, :wide], size=(height, width), mode="bilinear", align_corners=False
            )
            kept.append((box, share, (seen[0, 0] > 0).detach().numpy()))
        found.append(sorted(kept, key=lambda one: -one[1]))
    return found


class TestAgainstLoops:
    @pytest.mark.parametrize("size", [(90, 120), (200, 33), (64, 64), (7, 5), (1, 1)])
    @pytest.mark.parametrize("threshold", [None, 0.2, 0.05, 0.9])
    def test_boxes_shares_and_masks_are_equal(self, folder, size, threshold):
        noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        image, words = make_image(noise), ("the dog", "a red cup", "sky")
        options = EmbeddingHeadOptions(weights=str(folder), threshold=threshold, floor=0.0)
        [result] = EmbeddingHeadDetector(options).detect([asked(image, *words)])
        for index, expected in enumerate(by_loops(folder, image, words, threshold)):
            mine = torch.nonzero(result.regions.phrase_ids == index).flatten().tolist()
            assert len(mine) == len(expected)
            for row, (box, share, mask) in zip(mine, expected, strict=True):
                assert result.regions.boxes[row].tolist() == pytest.approx(box, abs=1e-3)
                assert result.regions.scores[row].item() == pytest.approx(share, abs=1e-5)
                # A pixel whose logit is all but 0 may fall on either side.
                assert (decode(result.regions.masks[row]) != mask).mean() <= 0.01

    def test_a_low_threshold_gives_several_things_and_a_high_one_none(self, folder):
        image = unlike_images()[0]
        options = EmbeddingHeadOptions(weights=str(folder), floor=0.0)
        head = EmbeddingHeadDetector(options)
        low, high = head.detect(
            [asked(image, "dog", thresholds=(0.01,)), asked(image, "dog", thresholds=(1.0,))]
        )
        assert len(low.regions) > 1
        assert low.outcomes == (Outcome.FOUND,)
        assert len(high.regions) == 0
        assert high.outcomes == (Outcome.NONE,)

    def test_without_a_threshold_there_is_one_region_a_state(self, folder):
        options = EmbeddingHeadOptions(weights=str(folder), threshold=None)
        [result] = EmbeddingHeadDetector(options).detect([asked(unlike_images()[1], "a", "b", "c")])
        assert result.regions.phrase_ids.tolist().count(0) == 1
        assert sorted(result.regions.phrase_ids.tolist()) == [0, 1, 2]

    def test_shares_of_a_state_sum_to_one(self, folder):
        options = EmbeddingHeadOptions(weights=str(folder), threshold=0.0, floor=0.0)
        [result] = EmbeddingHeadDetector(options).detect([asked(unlike_images()[2], "dog")])
        assert result.regions.scores.sum().item() <= 1 + 1e-5

    def test_another_state_finds_something_else(self, shared):
        image = unlike_images()[0]
        [one] = shared.detect([asked(image, "dog", thresholds=(0.0,))])
        [two] = shared.detect([asked(image, "cat", thresholds=(0.0,))])
        assert one.regions.boxes.tolist() != two.regions.boxes.tolist()


class TestDrops:
    def changed(self, folder, tmp_path, **tensors):
        from safetensors.torch import load_file, save_file

        state = load_file(folder / "model.safetensors")
        for name, change in tensors.items():
            place = name.replace("__", ".")
            state[place] = change(state[place])
        (tmp_path / "config.json").write_text((folder / "config.json").read_text())
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return EmbeddingHeadDetector(EmbeddingHeadOptions(weights=str(tmp_path), threshold=None))

    def test_an_all_zero_box_means_that_there_is_none(self, folder, tmp_path):
        head = self.changed(folder, tmp_path, anchors=lambda t: torch.full_like(t, -200.0))
        [result] = head.detect([asked(unlike_images()[0], "dog")])
        assert result.outcomes == (Outcome.NONE,)

    def test_a_box_in_the_padding_is_no_region(self, folder, tmp_path):
        def low(anchors):
            return torch.tensor([0.0, 6.0, 0.0, -6.0]).expand_as(anchors).contiguous()

        head = self.changed(
            folder,
            tmp_path,
            anchors=low,
            to_box__2__weight=torch.zeros_like,
            to_box__2__bias=torch.zeros_like,
        )
        wide, high = (
            make_image(np.full(shape, 99, np.uint8)) for shape in ((20, 80, 3), (80, 80, 3))
        )
        padded, whole = head.detect([asked(wide, "dog"), asked(high, "dog")])
        assert padded.outcomes == (Outcome.NONE,)
        assert whole.outcomes == (Outcome.FOUND,)

    def test_numbers_that_overflow_are_an_error_and_no_answer(self, folder, tmp_path):
        head = self.changed(folder, tmp_path, scale=lambda t: torch.full_like(t, 1000.0))
        with pytest.raises(DetectorError, match="not finite"):
            head.detect([asked(unlike_images()[0], "dog")])


class TestAsked:
    def test_words_without_a_state_end_as_cannot(self, shared):
        [result] = shared.detect([DetectRequest(image=unlike_images()[0], phrases=("dog",))])
        assert result.outcomes == (Outcome.CANNOT,)
        assert "hidden state" in result.note

    def test_a_state_of_another_width_ends_as_cannot_and_says_so(self, shared):
        request = DetectRequest(
            image=unlike_images()[0],
            phrases=("dog", "cat"),
            embeddings=(torch.ones(3), state("cat")),
        )
        [result] = shared.detect([request])
        assert result.outcomes[0] is Outcome.CANNOT
        assert result.outcomes[1] is not Outcome.CANNOT
        assert "states of 16 numbers, not of 3" in result.note

    def test_it_states_the_width_that_it_takes(self, shared):
        assert shared.capabilities.embedding_width == WIDTH

    def test_a_half_precision_state_is_read(self, shared):
        image = unlike_images()[0]
        half = DetectRequest(image=image, phrases=("dog",), embeddings=(state("dog").bfloat16(),))
        [result] = shared.detect([half])
        assert result.outcomes[0] is not Outcome.CANNOT

    def test_regions_without_masks_where_none_are_wanted(self, folder):
        options = EmbeddingHeadOptions(weights=str(folder), masks=False, threshold=None)
        [result] = EmbeddingHeadDetector(options).detect([asked(unlike_images()[0], "dog")])
        assert result.regions.masks is None
        assert len(result.regions) == 1

    def test_a_picture_is_looked_at_once_whatever_is_asked_of_it(self, folder, monkeypatch):
        shared_cache().clear()
        head = EmbeddingHeadDetector(EmbeddingHeadOptions(weights=str(folder)))
        looks = []
        real = head._network.look
        monkeypatch.setattr(
            head._network, "look", lambda *given: looks.append(len(given[0])) or real(*given)
        )
        image = unlike_images()[1]
        for word in ("dog", "cat", "cow"):
            head.detect([asked(image, word)])
        assert looks == [1]

    def test_the_router_brings_a_models_state_to_it(self, folder):
        options = EmbeddingHeadOptions(weights=str(folder), threshold=None)
        router = Router.of(EmbeddingHeadDetector(options), name="embedding-head")
        image = unlike_images()[0]
        event = Ground(sequence=0, request="g0", phrases=("the dog",), embedding=state("the dog"))
        [result] = router.resolve([Call(event=event, prompt=Prompt(text="?", images=(image,)))])
        [direct] = EmbeddingHeadDetector(options).detect([asked(image, "the dog")])
        assert result.regions.boxes.tolist() == direct.regions.boxes.tolist()
        assert [step.name for step in result.steps] == ["route", "by state"]


class TestWeights:
    def spoiled(self, folder, tmp_path, **settings):
        place = save_embedding_head(tmp_path)
        read = json.loads((place / "config.json").read_text()) | settings
        kept = {name: value for name, value in read.items() if value is not None}
        (place / "config.json").write_text(json.dumps(kept))
        return EmbeddingHeadOptions(weights=str(place))

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"model_type": "llava"}, "expected model_type"),
            ({"colour": 3}, "got colour"),
            ({"embedding_width": None}, "expected embedding_width"),
            ({"queries": 0}, "queries: expected 1"),
            ({"queries": "many"}, "queries: expected 1"),
            ({"heads": 3}, "multiple of 4"),
            ({"canvas": 65}, "multiple of 32"),
            ({"queries": 13}, "of another shape: anchors, queries"),
            ({"layers": 3}, "missing: layers.2"),
            ({"layers": 1}, "unexpected: layers.1"),
        ],
    )
    def test_settings_that_do_not_fit_are_refused(self, folder, tmp_path, settings, message):
        with pytest.raises(WeightsError, match=message):
            EmbeddingHeadDetector(self.spoiled(folder, tmp_path, **settings))

    def test_a_folder_without_settings_is_refused(self, tmp_path):
        save_embedding_head(tmp_path)
        (tmp_path / "config.json").unlink()
        with pytest.raises(WeightsError, match="which says what the head is"):
            EmbeddingHeadDetector(EmbeddingHeadOptions(weights=str(tmp_path)))

    @pytest.mark.parametrize("options", [{"threshold": 1.5}, {"floor": -0.1}, {"batch": 0}])
    def test_options_out_of_range_are_refused(self, options):
        with pytest.raises(InputError, match=next(iter(options))):
            EmbeddingHeadOptions(weights="x", **options)
