"""The manifest: exact, refused where it is not ours, and any change of a job is seen and told."""

import dataclasses
import hashlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import CLASSES, job

from groundplane.annotation.manifest import Manifest, differences
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationPrompt, ClassTable
from groundplane.core.errors import InputError

FULL = job(
    detector="opencv,coco-file", segmenter="sam", captioner="planner",
    options=(("coco-file.path", "x.json"),), caption_options=(("a", "1"),),
    exemplars=(("a.jpg", "dog", (0.0, 1.0, 2.5, 3.0)),), merge=None, tracks=True,
    versions=(("groundplane", "0.1.0"), ("torch", "2.10")),
)  # fmt: skip

# For every field of a job another value, and what is said of the change.
CHANGES = {
    "source": ("/other", "source /photos -> /other"),
    "detector": ("owlv2", "detector opencv,coco-file -> owlv2"),
    "segmenter": (None, "segmenter sam -> none"),
    "captioner": ("mof", "captioner planner -> mof"),
    "options": ((("coco-file.path", "y.json"),), "option coco-file.path: x.json -> y.json"),
    "caption_options": ((), "caption option a: 1 -> none"),
    "caption_prompt": ("What is it?", "-> What is it?"),
    "caption_regions": (True, "caption regions False -> True"),
    "exemplars": ((("a.jpg", "dog", (0.0, 1.0, 2.5, 4.0)),), "exemplar a.jpg, dog: (0.0, 1.0"),
    "floor": (0.2, "floor 0.1 -> 0.2"),
    "merge": (0.5, "merge none -> 0.5"),
    "tracks": (False, "tracks True -> False"),
    "frame_step": (2, "frame step 1 -> 2"),
    "column": ("photo", "column none -> photo"),
    "http": (True, "http False -> True"),
    "max_pixels": (1, "max pixels 40000000 -> 1"),
    "versions": ((("groundplane", "0.2.0"), ("torch", "2.10")), "groundplane: 0.1.0 -> 0.2.0"),
}


def table(*prompts, names=("dog", "car")):
    return ClassTable(names=names, prompts=tuple(AnnotationPrompt(**p) for p in prompts))


DOG, PUPPY = {"text": "dog", "class_id": 0}, {"text": "puppy", "class_id": 0, "threshold": 0.3}
CAR = {"text": "red car", "class_id": 1}


@pytest.mark.parametrize("spec", [job(), FULL], ids=["plain", "full"])
def test_a_manifest_returns_as_it_was(spec):
    manifest = Manifest.of(spec)
    assert Manifest.from_bytes(manifest.to_bytes(), name="m") == manifest
    assert differences(spec, Manifest.from_bytes(manifest.to_bytes(), name="m").spec) == ()


@given(text=st.text(st.characters(exclude_categories=()), min_size=1).filter(str.strip))
def test_any_words_return(text):
    spec = job(source=text, classes=table({"text": text, "class_id": -1}, names=()))
    assert Manifest.from_bytes(Manifest.of(spec).to_bytes(), name="m").spec == spec


def test_two_runs_of_one_job_have_the_same_hash_and_other_keys():
    one, other = Manifest.of(FULL), Manifest.of(FULL)
    assert one.job_hash == other.job_hash
    assert one.key != other.key
    assert one.job_hash != Manifest.of(job()).job_hash


def test_every_field_of_a_job_has_a_change_that_is_tried():
    assert {field.name for field in dataclasses.fields(JobSpec)} == {*CHANGES, "classes"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_any_field_is_seen_and_told(name):
    value, said = CHANGES[name]
    changed = dataclasses.replace(FULL, **{name: value})
    (told,) = differences(FULL, changed)
    assert said in told
    assert "\n" not in told
    assert Manifest.of(changed).job_hash != Manifest.of(FULL).job_hash


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (table(DOG, PUPPY, CAR, {"text": "cat", "class_id": -1}), ["prompt 'cat' added"]),
        (table(DOG, CAR), ["prompt 'puppy' removed"]),
        (table(DOG, PUPPY | {"threshold": 0.4}, CAR), ["threshold of 'puppy' 0.3 -> 0.4"]),
        (table(DOG | {"threshold": 0.4}, PUPPY, CAR), ["threshold of 'dog' none -> 0.4"]),
        (table(DOG, PUPPY | {"class_id": 1}, CAR), ["prompt 'puppy': class 'dog' -> 'car'"]),
        (table(DOG, PUPPY | {"class_id": -1}, CAR), ["prompt 'puppy': class 'dog' -> none"]),
        (table(PUPPY, DOG, CAR), ["prompts in another order"]),
        (table(DOG, PUPPY, CAR, names=("dog", "car", "cat")), ["class 'cat' added"]),
    ],
)
def test_a_change_of_classes_or_prompts_is_seen_and_told(classes, said):
    assert list(differences(job(), job(classes=classes))) == said


def test_classes_in_another_order_are_another_job():
    swapped = table(
        DOG | {"class_id": 1}, PUPPY | {"class_id": 1}, CAR | {"class_id": 0},
        names=("car", "dog"),
    )  # fmt: skip
    assert differences(job(), job(classes=swapped)) == ("classes in another order",)


def edited(change, spec=FULL):
    document = json.loads(Manifest.of(spec).to_bytes())
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(groundplane_run=2), "format 2; this groundplane reads 1. Install"),
        (lambda d: d.update(extra=1), "unknown 'extra'.*newer"),
        (lambda d: d["job"].update(floor=0.5), "was changed after the run began"),
        (lambda d: d["job"]["classes"]["names"].reverse(), "was changed after"),
        (lambda d: d.pop("key"), "is damaged"),
        (lambda d: d.update(key="00"), "is damaged.*key of 1 bytes"),
        (lambda d: d.pop("groundplane_run"), "is no manifest"),
    ],
)
def test_a_manifest_of_another_version_or_changed_by_hand_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        Manifest.from_bytes(edited(change), name="run/manifest.json")


def rehashed(change):
    """A job that was changed by somebody who made the hash anew."""

    def both(document):
        change(document["job"])
        text = json.dumps(document["job"], ensure_ascii=False, separators=(",", ":"))
        document["job_hash"] = hashlib.sha256(text.encode()).hexdigest()

    return edited(both)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda j: j.update(colour="red"), "unknown 'colour'"),
        (lambda j: j.update(floor="high"), "floor: expected"),
        (lambda j: j.update(tracks=1), "tracks: expected"),
        (lambda j: j.update(options=[["a"]]), r"options\[0\]: expected"),
        (lambda j: j.update(exemplars=[["a", "dog", [1, 2, 3]]]), "exemplars"),
        (lambda j: j["classes"].update(names=[1]), r"names\[0\]: expected"),
        (lambda j: j["classes"]["prompts"][0].update(class_id=9), "leads to class 9"),
        (lambda j: j.update(classes=[]), "expected an object"),
        (lambda j: j.pop("source"), "is damaged"),
        (lambda j: j.update(frame_step=0), "frame_step"),
    ],
)
def test_a_job_of_wrong_values_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        Manifest.from_bytes(rehashed(change), name="m")


def test_a_field_that_an_older_version_did_not_know_has_its_usual_value():
    data = rehashed(lambda j: [j.pop(name) for name in ("exemplars", "column", "http")])
    spec = Manifest.from_bytes(data, name="m").spec
    assert (spec.exemplars, spec.column, spec.http) == ((), None, False)


def test_hostile_bytes_are_refused_and_nothing_else_is_raised():
    chance, manifest = random.Random(5), Manifest.of(FULL)
    refused = 0
    for _ in range(1500):
        held = bytearray(manifest.to_bytes())
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(held))
            held[at : at + chance.randint(0, 8)] = chance.choice(
                [b"null", b"[]", b"{", b"1e999", b"9" * 5000, b"\xff", b'"', b"NaN", b"[" * 3000]
            )
        try:
            assert Manifest.from_bytes(bytes(held), name="m") == manifest  # what is no change
        except InputError:
            refused += 1
    assert refused > 1400
    for nothing in (b"", b"[]", b"null", b"3", b'"x"'):
        with pytest.raises(InputError, match="no manifest"):
            Manifest.from_bytes(nothing, name="m")


def test_the_class_table_is_kept():
    assert Manifest.from_bytes(Manifest.of(job()).to_bytes(), name="m").spec.classes == CLASSES
