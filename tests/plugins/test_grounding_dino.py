"""Grounding DINO and MM Grounding DINO on tiny random weights, against transformers' pipeline."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import groundplane
from groundplane.core.detection import DetectRequest, Outcome
from groundplane.core.errors import DetectorError, InputError, PluginBrokenError, WeightsError
from groundplane.core.feature_cache import shared_cache
from groundplane.grounding.dino_network import DinoNetwork, accelerate
from groundplane.testing.checkpoints import save_grounding_dino
from groundplane.testing.detectors import DetectorContract, make_image

transformers = pytest.importorskip("transformers")

KINDS = ["grounding-dino", "mm-grounding-dino"]
PHRASES = ("cat", "red dog", "wooden chair", "cup")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("grounding-dino")
    return {kind: save_grounding_dino(root / kind, variant=kind) for kind in KINDS}


@pytest.fixture(scope="session", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="session")
def load(folders, kind):
    made = {}

    def make(**options):
        options.setdefault("weights", str(folders[kind]))
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = groundplane.load("detectors", kind, device="cpu", **options)
        return made[key]

    return make


@pytest.fixture
def reference(folders, kind):
    """The pipeline of transformers: processor, model, post-processing."""
    folder = str(folders[kind])
    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    return model, transformers.AutoProcessor.from_pretrained(folder)


def picture(width=96, height=64, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return make_image(blocks.repeat(16, 0).repeat(16, 1)[:height, :width])


def theirs(reference, image, phrases, *, threshold):
    """Of each phrase its boxes with scores, by transformers, told apart by the words it names."""
    model, processor = reference
    inputs = processor(images=image.pixels, text=[list(phrases)], return_tensors="pt")
    with torch.inference_mode():
        out = model(**inputs)
    found = processor.post_process_grounded_object_detection(
        out,
        threshold=threshold,
        text_threshold=threshold,
        target_sizes=[(image.size[1], image.size[0])],
    )[0]
    named = {phrase: [] for phrase in phrases}
    for box, label in zip(found["boxes"], found["text_labels"], strict=True):
        for phrase in phrases:
            if set(re.findall(r"\w+", label)) & set(phrase.split()):
                named[phrase].append(box)
    width, height = image.size
    clipped = {}
    for phrase, boxes in named.items():
        stacked = torch.stack(boxes) if boxes else torch.zeros(0, 4)
        stacked[:, 0::2] = stacked[:, 0::2].clamp(0, width)
        stacked[:, 1::2] = stacked[:, 1::2].clamp(0, height)
        area = (stacked[:, 2:] - stacked[:, :2]).prod(1)
        clipped[phrase] = stacked[area > 0]
    return clipped


def rows(boxes):
    return sorted(boxes.tolist())


class TestContract(DetectorContract):
    @pytest.fixture
    def detector(self, load):
        return load()

    @pytest.fixture
    def phrases(self):
        return ("person", "chair", "red cup")


@pytest.mark.parametrize("apart", [False, True])
def test_it_equals_the_pipeline_of_transformers(load, reference, apart):
    # A threshold that no score is within rounding of, or the sets could differ.
    image, threshold = picture(), 0.4217
    request = DetectRequest(image=image, phrases=PHRASES, thresholds=(threshold,) * len(PHRASES))
    regions = load(overlap=1.0, apart=apart).detect([request])[0].regions
    for index, phrase in enumerate(PHRASES):
        asked = (phrase,) if apart else PHRASES
        expected = theirs(reference, image, asked, threshold=threshold)[phrase]
        ours = regions.boxes[regions.phrase_ids == index]
        assert len(expected) > 0
        assert len(ours) == len(expected)
        torch.testing.assert_close(
            torch.tensor(rows(ours)), torch.tensor(rows(expected)), atol=1e-3, rtol=0
        )


def test_scores_are_those_of_the_best_token_of_the_phrase(load, reference):
    model, processor = reference
    image, phrases = picture(), ("cat", "red dog")
    inputs = processor(images=image.pixels, text=[list(phrases)], return_tensors="pt")
    with torch.inference_mode():
        probable = model(**inputs).logits[0].sigmoid()
    # [CLS] cat . red dog . [SEP]
    expected = torch.stack([probable[:, 1], probable[:, 3:5].amax(1)])
    result = load(overlap=1.0, floor=0.0).detect([DetectRequest(image=image, phrases=phrases)])[0]
    for index in range(2):
        ours = result.candidates.scores[result.candidates.phrase_ids == index]
        best = expected[index].sort(descending=True).values[: len(ours)]
        torch.testing.assert_close(ours[:5], best[:5], atol=1e-3, rtol=0)


def test_wrong_weights_would_be_noticed(load, folders, kind, tmp_path, reference):
    other = save_grounding_dino(tmp_path / "other", seed=1, variant=kind)
    request = DetectRequest(image=picture(), phrases=("cat",), thresholds=(0.4217,))
    ours = load(weights=str(other), overlap=1.0).detect([request])[0].regions.boxes
    expected = theirs(reference, picture(), ("cat",), threshold=0.4217)["cat"]
    alike = len(ours) == len(expected) and np.allclose(rows(ours), rows(expected), atol=1e-3)
    assert not alike


def test_the_cut_network_equals_the_whole_one(reference, folders, kind):
    model, processor = reference
    inputs = processor(
        images=[picture(seed=i).pixels for i in range(2)],
        text=[["cat", "red dog"]] * 2,
        return_tensors="pt",
    )
    with torch.inference_mode():
        whole = model(**inputs)
        network = DinoNetwork(model, dtype=torch.float32, who="test")
        mask = inputs["pixel_mask"].bool()
        features = network.encode(inputs["pixel_values"], mask)
        ids = inputs["input_ids"][0].tolist()
        logits, boxes = network.read(features, mask, ids)
        again = network.read(features, mask, ids)[0]
    torch.testing.assert_close(logits, whole.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(boxes, whole.pred_boxes, atol=1e-5, rtol=0)
    assert torch.equal(logits, again)


def test_faster_layers_replace_those_of_one_instance(reference, folders, kind):
    model, _ = reference
    # Three attentions of one encoder layer, three of each of two decoder layers.
    assert accelerate(model) == 9
    assert accelerate(model) == 0
    fresh = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(str(folders[kind]))
    assert accelerate(fresh) == 9


def test_a_layout_that_is_not_known_is_refused():
    with pytest.raises(PluginBrokenError, match="lays Linear out unlike any"):
        DinoNetwork(torch.nn.Linear(2, 2), dtype=torch.float32, who="test")


def test_many_phrases_share_one_encoding_of_the_picture(load, monkeypatch):
    encoded, read = [], []
    encode, look = DinoNetwork.encode, DinoNetwork.read
    monkeypatch.setattr(DinoNetwork, "encode", lambda *a: encoded.append(len(a[1])) or encode(*a))
    monkeypatch.setattr(DinoNetwork, "read", lambda *a: read.append(len(a[2])) or look(*a))
    shared_cache().clear()
    many = tuple(f"{a} {b}" for a in ("red", "blue", "green") for b in "abcdefghijklmnopqrstuvwxyz")
    detector = load()
    detector.detect([DetectRequest(image=picture(seed=7), phrases=many)])
    assert encoded == [1]
    assert len(read) == 1
    assert len(load(apart=True).detect([DetectRequest(image=picture(seed=7), phrases=many)])) == 1
    assert encoded == [1]
    assert len(read) == 1 + len(many)


def test_pictures_looked_at_ahead_are_not_encoded_again(load, monkeypatch):
    encoded = []
    encode = DinoNetwork.encode
    monkeypatch.setattr(DinoNetwork, "encode", lambda *a: encoded.append(len(a[1])) or encode(*a))
    shared_cache().clear()
    detector, images = load(), [picture(seed=7), picture(seed=8), picture(64, 96)]
    detector.prefetch(images)
    assert sorted(encoded) == [1, 2]
    detector.detect([DetectRequest(image=image, phrases=("cat",)) for image in images])
    assert sorted(encoded) == [1, 2]


def test_pictures_of_one_size_and_prompt_are_run_together(load, monkeypatch):
    read = []
    look = DinoNetwork.read
    monkeypatch.setattr(DinoNetwork, "read", lambda *a: read.append(tuple(a[2].shape)) or look(*a))
    images = [picture(seed=i) for i in range(3)] + [picture(64, 96)]
    load(batch=2).detect([DetectRequest(image=image, phrases=("cat",)) for image in images])
    assert sorted(read) == [(1, 72, 108), (1, 108, 72), (2, 72, 108)]


def test_neighbours_of_any_kind_change_nothing(load):
    image = picture()
    request = DetectRequest(image=image, phrases=PHRASES)
    detector = load()
    alone = detector.detect([request])[0]
    among = detector.detect(
        [
            DetectRequest(image=picture(64, 96), phrases=("cup",)),
            DetectRequest(image=picture(seed=3), phrases=PHRASES),
            DetectRequest(image=image, phrases=PHRASES, thresholds=(0.01,) * 4),
            request,
            DetectRequest(image=image, phrases=("tree " * 50,)),
        ]
    )[3]
    assert among.outcomes == alone.outcomes
    for phrase in range(len(PHRASES)):
        # By place: two scores that agree to the last digit may change places.
        ours, theirs = (
            torch.tensor(sorted(torch.cat([kept.boxes, kept.scores[:, None]], 1)[mine].tolist()))
            for kept in (among.candidates, alone.candidates)
            for mine in [kept.phrase_ids == phrase]
        )
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def test_padding_to_a_multiple_keeps_boxes_in_the_picture(load):
    images = [picture(96, 64), picture(94, 62)]
    results = load(multiple=32).detect(
        [DetectRequest(image=image, phrases=("cat",)) for image in images]
    )
    for image, result in zip(images, results, strict=True):
        assert len(result.regions)
        width, height = image.size
        assert result.regions.boxes.amax(0).tolist() <= [width, height, width, height]
        assert "128 by 96 pixels" in result.steps[0].detail


def test_candidates_are_thresholded_again_without_a_new_run(load):
    image, detector = picture(), load()
    low, high = (
        detector.detect([DetectRequest(image=image, phrases=PHRASES, thresholds=(t,) * 4)])[0]
        for t in (0.1, 0.6)
    )
    again = low.at((0.6,) * 4)
    assert torch.equal(again.regions.boxes, high.regions.boxes)
    assert again.outcomes == high.outcomes


def test_each_phrase_has_its_threshold(load):
    request = DetectRequest(image=picture(), phrases=("cat", "cat"), thresholds=(0.2, 1.0))
    result = load().detect([request])[0]
    assert result.outcomes == (Outcome.FOUND, Outcome.NONE)


def test_phrases_that_share_words_get_their_own_regions(load):
    request = DetectRequest(image=picture(), phrases=("cat", "cat dog", "dog", "cat"))
    result = load(overlap=1.0, floor=0.0).detect([request])[0]
    kept = result.candidates
    by_phrase = [kept.scores[kept.phrase_ids == i] for i in range(4)]
    assert torch.equal(by_phrase[0], by_phrase[3])
    assert not torch.allclose(by_phrase[0], by_phrase[1])


def test_what_it_cannot_look_for_is_told(load):
    image = picture()
    request = DetectRequest(
        image=image,
        phrases=("", "🪑", "cat " * 300, "cup", "dog"),
        exemplars=(None, None, None, None, (0.0, 0.0, 9.0, 9.0)),
    )
    result = load().detect([request])[0]
    cannot = Outcome.CANNOT
    assert result.outcomes == (cannot, cannot, cannot, Outcome.FOUND, cannot)
    assert set(result.candidates.phrase_ids.tolist()) == {3}
    for word in ("can be looked for", "in no script", "300 tokens"):
        assert word in result.note


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3000, 2), (2, 3000), (7, 5)])
def test_pictures_of_odd_shapes_are_answered(load, size):
    image = make_image(np.full((size[1], size[0], 3), 90, dtype=np.uint8))
    result = load().detect([DetectRequest(image=image, phrases=("cat",))])[0]
    assert result.regions.image_size == size


def test_weights_that_give_no_numbers_fail_by_name(folders, kind, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(folders[kind], tmp_path / "nan")
    state = load_file(folder / "model.safetensors")
    state["model.level_embed"].fill_(3e38)  # finite, but no sum of it is
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    detector = groundplane.load("detectors", kind, device="cpu", weights=str(folder))
    with pytest.raises(DetectorError, match=f"{kind}.*not finite"):
        detector.detect([DetectRequest(image=picture(seed=99), phrases=("cat",))])


def test_weights_of_the_other_class_are_refused(folders, kind):
    other = next(name for name in KINDS if name != kind)
    with pytest.raises(WeightsError, match=kind):
        groundplane.load("detectors", kind, device="cpu", weights=str(folders[other]))


@pytest.mark.parametrize(
    "wrong", [{"size": {"height": 8}}, {"resample": 0}, {"image_std": [0, 1, 1]}]
)
def test_a_preparation_that_is_not_known_is_refused(folders, kind, tmp_path, wrong):
    folder = shutil.copytree(folders[kind], tmp_path / "odd")
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["image_processor"] |= wrong
    path.write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match=r"processor_config\.json"):
        groundplane.load("detectors", kind, device="cpu", weights=str(folder))


def test_a_folder_that_says_nothing_of_pictures_is_refused(folders, kind, tmp_path):
    folder = shutil.copytree(folders[kind], tmp_path / "mute")
    (folder / "processor_config.json").unlink()
    with pytest.raises(WeightsError, match="does not say how pictures are prepared"):
        groundplane.load("detectors", kind, device="cpu", weights=str(folder))


@pytest.mark.parametrize(
    "wrong", [{"threshold": 1.5}, {"floor": -0.1}, {"batch": 0}, {"multiple": 0}]
)
def test_options_out_of_range_are_refused(load, wrong):
    with pytest.raises(InputError, match=f"option {next(iter(wrong))}"):
        load(**wrong)


def test_half_precision_products_stay_near(load, folders, kind):
    image = picture()
    request = DetectRequest(image=image, phrases=("cat",))
    whole = load(floor=0.0, overlap=1.0).detect([request])[0]
    half = groundplane.load(
        "detectors",
        kind,
        device="cpu",
        dtype=torch.bfloat16,
        weights=str(folders[kind]),
        floor=0.0,
        overlap=1.0,
    ).detect([request])[0]
    assert half.candidates.scores.dtype == torch.float32
    # Eight bits of mantissa through a network of random weights: near, and no more.
    best, other = whole.candidates.scores[0], half.candidates.scores[0]
    assert abs(best - other) < 0.1


def test_its_file_loads_no_model_library():
    program = (
        "import sys, groundplane.plugins.grounding_dino\n"
        "print(sorted({'transformers', 'torchvision', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
