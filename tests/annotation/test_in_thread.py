"""From pictures to records with experts of this process."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from looks import job, picture, told

from groundplane.annotation.in_thread import STUCK, ThreadLooker
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import Looker, LookTerms
from groundplane.core.annotation import VideoFrame
from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import (
    DetectorError,
    InputError,
    PluginBrokenError,
    PluginNotFoundError,
)
from groundplane.core.masks import RleMask, area, decode
from groundplane.core.media import read_image
from groundplane.core.regions import Regions
from groundplane.core.session import Done, Text
from groundplane.testing.checkpoints import save_grounding_dino
from groundplane.testing.checkpoints_sam import save_sam2
from groundplane.testing.language_models import ScriptedModel
from groundplane.testing.misbehaving import MISBEHAVIOURS, MisbehavingDetector, well_behaved

LONG = "GROUNDPLANE_CASES" in os.environ
CPU = LookTerms(device="cpu", deadline=None)
# Millions of boxes take seconds each; the process's tests have them in their long form.
WAYS = [way for way in MISBEHAVIOURS if "million" not in way.name]


class Recorder:
    """A detector that keeps what it was asked, and answers well or as told."""

    def __init__(self, vocabulary=None, act=well_behaved, capabilities=None):
        self.vocabulary = vocabulary
        self.act = act
        self.asked = []
        if capabilities is not None:
            self.capabilities = capabilities

    def detect(self, requests):
        self.asked.append(list(requests))
        return [self.act(request) for request in requests]


def looker_of(detector, *prompts, terms=CPU, **fields):
    captioner = fields.pop("model", None)
    spec = job(*prompts, **fields)
    return ThreadLooker(spec, terms=terms, detector=detector, captioner=captioner)


# What is asked ------------------------------------------------------------------------------------


def test_one_request_a_picture_holds_all_prompts():
    detector = Recorder()
    records = looker_of(detector, "cup", "hat").look([picture("a"), picture("b", 9)])
    [batch] = detector.asked
    assert [request.phrases for request in batch] == [("cup", "hat")] * 2
    assert [request.thresholds for request in batch] == [None, None]
    assert [record.outcomes for record in records] == [("found", "found")] * 2


def test_a_prompt_with_a_threshold_is_asked_down_to_the_floor_and_kept_from_it_on():
    def act(request):
        result = well_behaved(request)
        scores = torch.tensor([0.3 if text == "hat" else 0.6 for text in request.phrases])
        return replace(result, regions=replace(result.regions, scores=scores))

    detector = Recorder(act=act)
    looker = looker_of(detector, "cup", ("hat", 0.5), ("mug", 0.05), floor=0.2)
    [record] = looker.look([picture()])
    asked = {request.phrases: request.thresholds for request in detector.asked[0]}
    assert asked == {("cup",): None, ("hat", "mug"): (0.2, 0.05)}
    kept = dict(zip(record.regions.prompt_ids.tolist(), record.regions.kept.tolist(), strict=True))
    assert kept == {0: True, 1: False, 2: True}
    assert record.outcomes == ("found", "none", "found")


def test_exemplars_go_to_the_pictures_that_they_are_of():
    able = Capabilities(prompts=frozenset({"text", "exemplar"}))
    detector = Recorder(capabilities=able)
    box = (1.0, 2.0, 9.0, 8.0)
    looker = looker_of(detector, "cup", "hat", exemplars=(("b", "hat", box),))
    looker.look([picture("a"), picture("b", 9)])
    assert [request.exemplars for request in detector.asked[0]] == [None, (None, box)]


def test_what_nobody_can_look_for_is_told_ahead_and_not_asked():
    detector = Recorder(vocabulary=("cup",))
    looker = looker_of(detector, "cup", "sofa")
    [record] = looker.look([picture()])
    assert looker.lacking == {"sofa": "Recorder knows: cup"}
    assert detector.asked[0][0].phrases == ("cup",)
    assert (record.outcomes, record.note) == (("found", "cannot"), "")


def test_a_prompt_that_only_an_exemplar_reaches_is_asked_where_there_is_one():
    able = Capabilities(prompts=frozenset({"exemplar"}))
    detector = Recorder(capabilities=able)
    looker = looker_of(detector, "cup", exemplars=(("b", "cup", (1.0, 2.0, 9.0, 8.0)),))
    first, second = looker.look([picture("a"), picture("b", 9)])
    assert (first.outcomes, second.outcomes) == (("cannot",), ("found",))


def test_a_job_that_nobody_can_do_is_refused_before_it_runs():
    with pytest.raises(InputError, match=r"for any of the prompts\. 'sofa': Recorder knows"):
        looker_of(Recorder(vocabulary=("cup",)), "sofa")


def test_experts_that_cannot_be_made_are_told_before_anything_runs(unchecked):
    with pytest.raises(PluginNotFoundError):
        ThreadLooker(job("cup", detector="no-such"), terms=CPU)
    with pytest.raises(InputError, match="annotations"):
        ThreadLooker(job("cup", detector="coco-file"), terms=CPU)
    with pytest.raises((InputError, PluginBrokenError), match="weights"):
        ThreadLooker(job("face", detector="opencv", segmenter="sam2"), terms=CPU)
    with pytest.raises(InputError, match="expected the name of a plugin or an object"):
        ThreadLooker(job("cup"), terms=CPU, detector=object())


def test_no_pictures_ask_nothing():
    detector = Recorder()
    assert looker_of(detector, "cup").look([]) == []
    assert detector.asked == []


def test_is_a_looker_and_sums_up_its_stages():
    looker = looker_of(Recorder(act=lambda r: (time.sleep(0.02), well_behaved(r))[1]), "cup")
    assert isinstance(looker, Looker)
    looker.look([picture()])
    looker.close()
    assert looker.seconds["detect"] >= 0.02
    assert looker.seconds["caption"] == 0


# What becomes of it -------------------------------------------------------------------------------


def test_a_record_says_where_its_picture_comes_from():
    frame = VideoFrame(video="v.mp4", index=7, time=0.28)
    turned = picture("v.mp4#7", frame=frame, to_stored=(0.0, 1.0, 0.0, -1.0, 0.0, 40.0))
    [record] = looker_of(Recorder(), "cup").look([turned])
    assert (record.path, record.frame, record.size) == ("v.mp4#7", frame, (40, 30))
    assert record.content_hash == turned.content_hash
    assert record.to_stored == turned.to_stored
    assert record.regions.sources == ("Recorder",)


def test_notes_of_the_expert_are_kept():
    detector = Recorder(act=lambda request: replace(well_behaved(request), note="it is dark"))
    assert looker_of(detector, "cup").look([picture()])[0].note == "it is dark"


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_picture_fails_by_name_and_its_neighbours_are_right(way):
    hangs = way.name == "hangs"
    terms = LookTerms(device="cpu", deadline=2.0 if hangs else None)
    detector = MisbehavingDetector(way, when=lambda request: request.image.source.name == "bad")
    pictures = [picture(name, level) for level, name in enumerate(("a", "bad", "b", "c"))]
    looker = looker_of(detector, "cup", terms=terms)
    started = time.monotonic()
    first, bad, third, fourth = looker.look(pictures)
    detector.released.set()
    assert time.monotonic() - started < 3 or not hangs
    [plain] = looker_of(Recorder(), "cup").look([picture("a")])
    for record in (first, third, fourth):
        assert told(record)[1:12] == told(plain)[1:12]
    assert (pictures[1].pixels == 1).all()
    if not way.says:
        assert bad.status == "done"
        return
    assert (bad.status, bad.failure.stage) == ("failed", "detect")
    assert bad.failure.message.startswith("detector 'MisbehavingDetector'")
    assert way.says in bad.failure.message
    assert "\n" not in bad.failure.message


def test_a_mask_whose_runs_are_malformed_fails_its_picture():
    def act(request):
        result = well_behaved(request)
        masks = (RleMask(size=(30, 40), counts=b"\xff1"),)
        return replace(result, regions=replace(result.regions, masks=masks))

    [record] = looker_of(Recorder(act=act), "cup").look([picture()])
    assert "broke its contract on 'a.png': mask" in record.failure.message


def test_memory_that_does_not_do_for_a_batch_costs_no_picture():
    class Small(Recorder):
        def detect(self, requests):
            if len(requests) > 3:
                raise torch.OutOfMemoryError("no room")
            return super().detect(requests)

    looker = looker_of(Small(), "cup")
    count, pictures = 0, 1000 if LONG else 200
    for start in range(0, pictures, 50):
        records = looker.look([picture(f"{n}", n % 251) for n in range(start, start + 50)])
        count += sum(record.outcomes == ("found",) for record in records)
    assert count == pictures
    assert looker.largest == 2  # four at a time were too many


def test_too_many_calls_that_hang_end_the_run_before_others_are_refused():
    [hangs] = [way for way in MISBEHAVIOURS if way.name == "hangs"]
    detector = MisbehavingDetector(hangs)
    looker = looker_of(detector, "cup", terms=LookTerms(device="cpu", deadline=0.05))
    asked = []

    def look_on():
        # On a busy machine the time of a call may be over before it has begun to hang.
        while len(asked) < 200:
            asked.append(len(asked))
            looker.look([picture(f"{len(asked)}", len(asked))])

    with pytest.raises(DetectorError, match="8 calls hang, each in a thread"):
        look_on()
    assert len(asked) > STUCK
    detector.released.set()


def test_pixels_in_a_slot_are_copied_where_a_call_may_outlive_the_look():
    lent = picture(slot=0)
    own, given = Recorder(), Recorder()
    looker_of(own, "cup", terms=LookTerms(device="cpu", deadline=9.0)).look([lent])
    looker_of(given, "cup").look([lent])
    assert not np.shares_memory(own.asked[0][0].image.pixels, lent.pixels)
    assert np.shares_memory(given.asked[0][0].image.pixels, lent.pixels)


@pytest.mark.skipif(not LONG, reason="set GROUNDPLANE_CASES: a process of experts has it too")
def test_of_an_expert_that_forks_only_one_goes_on():
    code = """
import os, sys
sys.path[:0] = sys.argv[1:]
from looks import job, picture
from groundplane.annotation.in_thread import ThreadLooker
from groundplane.annotation.looking import LookTerms
from groundplane.testing.misbehaving import well_behaved
class Forks:
    vocabulary = None
    def detect(self, requests):
        os.fork()
        return [well_behaved(request) for request in requests]
terms = LookTerms(device="cpu", deadline=None)
records = ThreadLooker(job("cup"), terms=terms, detector=Forks()).look([picture()])
print(records[0].outcomes, flush=True)
"""
    support = os.path.join(os.path.dirname(__file__), "..", "support")
    done = subprocess.run(
        [sys.executable, "-c", code, support], capture_output=True, text=True, check=True
    )
    assert done.stdout == "('found',)\n"


# Masks and words ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Options of a tiny detector and segmenter with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    return (
        ("grounding-dino.weights", str(save_grounding_dino(folder / "dino"))),
        ("grounding-dino.threshold", "0.3"),
        ("sam2.weights", str(save_sam2(folder / "sam2"))),
    )


@pytest.fixture(scope="module")
def pictures():
    chance = np.random.default_rng(7)
    sizes = [(48, 32)] * 5 + [(40, 40)] * 2
    return [
        Picture(
            path=f"{n}.png",
            content_hash=f"{n}",
            pixels=chance.integers(0, 256, (height, width, 3), dtype=np.uint8),
        )
        for n, (width, height) in enumerate(sizes)
    ]


def test_candidates_and_masks_come_with_what_is_kept_whatever_the_batch(tiny, pictures):
    spec = job("cup", "hat", detector="grounding-dino", segmenter="sam2", options=tiny, floor=0.05)
    looker = ThreadLooker(spec, terms=CPU)
    whole = looker.look(pictures)
    alone = [record for one in pictures for record in looker.look([one])]
    for together, single in zip(whole, alone, strict=True):
        assert together.status == "done", together.failure
        assert told(together)[:10] == told(single)[:10]
    regions = [record.regions for record in whole]
    assert any(not one.kept.all() for one in regions)
    assert all(one.masks is None or None not in one.masks for one in regions)
    assert any(len(one) for one in regions)
    assert looker.seconds["segment"] > 0


class Cutter:
    """Masks of nothing, or an error."""

    def __init__(self, fail):
        self.fail = fail

    def segment(self, requests):
        if self.fail:
            raise RuntimeError("no mask")
        return [
            Regions(
                ids=tuple(map(str, range(len(request)))),
                boxes=request.boxes,
                scores=torch.zeros(len(request)),
                phrases=(),
                phrase_ids=torch.full((len(request),), -1),
                image_size=request.image.size,
                masks=(RleMask(size=(30, 40), counts=b"?"),) * len(request),
            )
            for request in requests
        ]


@pytest.mark.parametrize("fail", [True, False])
def test_a_segmenter_that_fails_is_named_at_its_stage(fail, monkeypatch):
    from groundplane.grounding import setup
    from groundplane.grounding.experts import Expert

    cutter = Expert.of(Cutter(fail), name="cutter")
    monkeypatch.setattr(setup, "installed", lambda *_, **__: [cutter])
    monkeypatch.setattr(setup, "_taking", lambda *_: ())
    looker = looker_of(Recorder(), "cup", segmenter="cutter")
    [record] = looker.look([picture()])
    assert record.failure.stage == "segment"
    assert ("segmenter 'cutter' failed" if fail else "segmenter") in record.failure.message
    assert "a.png" in record.failure.message


def say(index, prompt):
    if prompt.images[0].source.name == "bad":
        raise RuntimeError("cannot see")
    width, height = prompt.images[0].size
    return [Text(sequence=index, text=f"{prompt.text} {width}x{height}"), Done(sequence=index)]


def test_pictures_and_kept_regions_are_described_and_a_failure_is_a_note():
    looker = looker_of(
        Recorder(),
        "cup",
        model=ScriptedModel(say),
        caption_prompt="Size?",
        caption_regions=True,
    )
    good, bad = looker.look([picture("a"), picture("bad", 3)])
    assert good.caption == "Size? 40x30"
    assert [dict(one) for one in good.regions.attributes] == [{"caption": "Size? 15x15"}]
    assert (good.note, bad.status, bad.caption) == ("", "done", "")
    assert "no description: language model 'ScriptedModel' failed on 'bad'" in bad.note
    [silent] = looker.look([picture("a")], captions=False)
    assert (silent.caption, silent.regions.attributes) == ("", ())


def test_a_failed_picture_is_not_described():
    model = ScriptedModel(say)

    def fail(request):
        raise ValueError("no")

    [record] = looker_of(Recorder(act=fail), "cup", model=model).look([picture()])
    assert record.status == "failed"
    assert model.opened == []


# Real pictures ------------------------------------------------------------------------------------


def test_opencv_sees_the_same_in_batches_of_any_size(data_dir):
    names = ("000000229358", "000000475546", "000000547503")
    paths = [data_dir / "coco" / "images" / f"{name}.jpg" for name in names]
    paths += [
        data_dir / "photos" / f"{name}.jpg" for name in ("crowd", "lounge")[: 2 if LONG else 1]
    ]
    read = [read_image(path) for path in paths]
    pictures = [
        Picture(path=image.source.name, content_hash=image.source.content_hash, pixels=image.pixels)
        for image in read
    ]
    looker = ThreadLooker(job("face", "eye", detector="opencv"), terms=CPU)
    whole = [told(one) for one in looker.look(pictures)]
    assert whole == [told(looker.look([one])[0]) for one in pictures]
    assert [len(one[4]) for one in whole] == [2, 3, 3, 0, 0][: len(whole)]


def test_annotations_of_people_come_back_as_they_are_in_their_file(data_dir):
    file = data_dir / "coco" / "instances.json"
    document = json.loads(file.read_text())
    names = tuple(category["name"] for category in document["categories"])
    spec = job(*names, detector="coco-file", options=(("annotations", str(file)),))
    looker = ThreadLooker(spec, terms=CPU)
    ids = {category["id"]: index for index, category in enumerate(document["categories"])}
    for image in document["images"][: 50 if LONG else 6]:
        read = read_image(data_dir / "coco" / "images" / image["file_name"])
        one = Picture(path=image["file_name"], content_hash="0", pixels=read.pixels)
        [record] = looker.look([one])
        truth = [one for one in document["annotations"] if one["image_id"] == image["id"]]
        expected = sorted(
            (ids[one["category_id"]], *(round(edge, 2) for edge in (x, y, x + w, y + h)))
            for one in truth
            for x, y, w, h in [one["bbox"]]
        )
        got = sorted(
            (class_id, *box)
            for class_id, box in zip(
                record.regions.class_ids.tolist(), record.regions.boxes.tolist(), strict=True
            )
        )
        assert len(got) == len(expected) > 0 or not truth
        assert np.allclose(got, expected, atol=0.02)
        assert all(area(mask) == decode(mask).sum() for mask in record.regions.masks or ())


def test_outcomes_of_an_expert_that_says_it_cannot_are_kept():
    def act(request):
        empty = Regions.empty(phrases=request.phrases, image_size=request.image.size)
        return DetectResult(regions=empty, outcomes=(Outcome.CANNOT,), note="too dark")

    [record] = looker_of(Recorder(act=act), "cup").look([picture()])
    assert (record.status, record.outcomes) == ("done", ("cannot",))
    assert "too dark" in record.note
