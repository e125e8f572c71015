"""Texts about photos, with the truth from the COCO annotations."""

import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from groundplane.core.claims import Verdict
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import DetectorError, InputError, ShapeError
from groundplane.core.host import load
from groundplane.core.image import Image
from groundplane.core.media import read_image
from groundplane.core.regions import Regions
from groundplane.grounding.claim_chances import Trust
from groundplane.grounding.claims import read_claims
from groundplane.grounding.verification import Verification, Verifier
from groundplane.spatial.claim_relations import PlaneRelations, Wordings
from groundplane.testing.detectors import make_image
from tests.support.coco_statements import Statement, crowd_counts, photos_of, statements
from tests.support.degraded import DegradedDetector

# All statements and several seeds; benchmarks/verify.py takes all of them too.
LONG = bool(os.environ.get("GROUNDPLANE_CASES"))
YES, NO, OPEN = Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.CANNOT_TELL


class Fake:
    """Finds what it is told to, and keeps what it was asked."""

    def __init__(self, **found: int) -> None:
        self.found = found
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, requests: Sequence[DetectRequest]) -> list[DetectResult | Exception]:
        self.asked += [request.phrases for request in requests]
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        rows = [
            (i, k)
            for i, phrase in enumerate(request.phrases)
            for k in range(self.found.get(phrase.replace(" ", "_"), 0))
        ]
        named = {i for i, _ in rows}
        return DetectResult(
            regions=Regions(
                ids=tuple(f"{request.phrases[i]}-{k}" for i, k in rows),
                boxes=torch.tensor([_box(request.phrases[i]) for i, _ in rows]).reshape(-1, 4),
                scores=torch.ones(len(rows)),
                phrases=request.phrases,
                phrase_ids=torch.tensor([i for i, _ in rows], dtype=torch.long),
                image_size=request.image.size,
            ),
            outcomes=tuple(
                Outcome.FOUND if i in named else Outcome.NONE for i in range(len(request.phrases))
            ),
        )


def _box(phrase: str) -> list[float]:
    """The same for a phrase wherever it stands: a cat is left of a dog."""
    left = 20.0 * (sum(map(ord, phrase)) % 7)
    return [left, 0.0, left + 10, 9.0]


def verifier_of(look: Fake | Detector, trust: Trust | None = None) -> Verifier:
    words = None if isinstance(look, Fake) else look.vocabulary
    return Verifier(
        look if isinstance(look, Fake) else look.detect,
        relations=Wordings(), checker=PlaneRelations, vocabulary=words, trust=trust, expert="fake",
    )  # fmt: skip


@pytest.fixture
def image() -> Image:
    return make_image(np.zeros((50, 200, 3), np.uint8))


def verified(judge: Verifier, image: Image, text: str) -> Verification:
    [[result]] = judge.verify([image], [[text]])
    assert isinstance(result, Verification)
    return result


def test_a_text_gets_a_verdict_a_claim_with_its_evidence(image: Image) -> None:
    result = verified(verifier_of(Fake(dog=2, red_car=1, car=1)), image, "Two dogs and a red car.")
    assert [(f.claim.kind, f.verdict) for f in result.findings] == [
        ("count", YES), ("exists", YES), ("attribute", YES),
    ]  # fmt: skip
    assert result.findings[0].evidence == ("dog-0", "dog-1")
    assert result.summary == "3 claims: 3 supported, 0 contradicted and 0 that cannot be told."


def test_the_marks_stand_behind_the_claims_and_the_worst_is_shown(image: Image) -> None:
    result = verified(verifier_of(Fake(dog=2, car=1)), image, "Three dogs, and a red car. Fine!")
    assert result.marked() == "Three dogs [contradicted], and a red car [contradicted]. Fine!"


def test_a_text_without_claims_asks_nobody(image: Image) -> None:
    look = Fake()
    result = verified(verifier_of(look), image, "It is a lovely day.")
    assert (result.findings, look.asked) == ((), [])
    assert result.summary == "The text claims nothing that can be checked."
    assert result.marked() == "It is a lovely day."
    assert verified(verifier_of(look), image, "").findings == ()


def test_all_texts_of_all_pictures_are_one_call_and_one_look_a_picture(image: Image) -> None:
    look = Fake(dog=1)
    texts = [["A dog.", "No dog, but a cat."], [], ["A cup."]]
    results = verifier_of(look).verify([image] * 3, texts)
    assert look.asked == [("dog", "cat"), ("cup",)]
    assert [len(group) for group in results] == [2, 0, 1]


def test_many_texts_give_what_each_gives_alone(image: Image) -> None:
    judge = verifier_of(Fake(dog=2, car=1))
    texts = ["Two dogs left of a car.", "A cat.", "The car is red."]
    [together] = judge.verify([image], [texts])
    alone = [verified(judge, image, text).record() for text in texts]
    assert [part.record() for part in together if isinstance(part, Verification)] == alone


def test_a_picture_on_which_the_expert_fails_fails_alone(image: Image) -> None:
    def look(requests: Sequence[DetectRequest]) -> list[DetectResult | Exception]:
        good: list[DetectResult | Exception] = [*Fake(dog=1)(requests)]
        return [DetectorError("detector 'x' failed"), *good[1:]]

    judge = Verifier(look, relations=Wordings(), checker=PlaneRelations, expert="x")
    bad, good = judge.verify([image, image], [["A dog.", "A cat."], ["A dog."]])
    assert [type(part) for part in bad] == [DetectorError, DetectorError]
    assert isinstance(good[0], Verification)


def test_texts_and_pictures_must_pair(image: Image) -> None:
    with pytest.raises(ShapeError, match="2 images but 1 lists"):
        verifier_of(Fake()).verify([image, image], [["A dog."]])


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_text_is_refused(image: Image) -> None:
    with pytest.raises(InputError, match="expected text, got int"):
        verifier_of(Fake()).verify([image], [[3]])  # type: ignore[list-item]


def test_a_record_is_plain_json_with_boxes(image: Image) -> None:
    text = "A cat left of a dog. 狗 🐶. It rains."
    record = verified(verifier_of(Fake(dog=1, cat=1)), image, text).record()
    assert json.loads(json.dumps(record)) == record
    relation = record["claims"][-1]
    assert relation["relation"] == ["left_of"]
    assert [row["label"] for row in relation["evidence"]] == ["cat", "dog"]
    assert relation["evidence"][0]["box"] == [80.0, 0.0, 90.0, 9.0]
    assert [part["text"] for part in record["unread"]] == ["狗 🐶", "It rains"]


# The outside truth ---------------------------------------------------------------------------


def verdict_of(result: Verification | Exception) -> Verdict:
    assert isinstance(result, Verification), result
    told = {finding.verdict for finding in result.findings}
    if NO in told:
        return NO
    return YES if told == {YES} and not result.unread else OPEN


def tallied(
    folder: Path, judge: Verifier, made: Sequence[Statement]
) -> dict[str, Counter[tuple[bool, Verdict]]]:
    """How many statements of each kind and truth got which verdict."""
    by_photo: dict[str, list[Statement]] = defaultdict(list)
    for statement in made:
        by_photo[statement.photo].append(statement)
    images = [read_image(folder / "images" / name) for name in by_photo]
    results = judge.verify(images, [[s.text for s in group] for group in by_photo.values()])
    tally: dict[str, Counter[tuple[bool, Verdict]]] = defaultdict(Counter)
    for group, checked in zip(by_photo.values(), results, strict=True):
        for statement, result in zip(group, checked, strict=True):
            tally[statement.kind][statement.true, verdict_of(result)] += 1
    return tally


def _some(made: list[Statement]) -> list[Statement]:
    """All statements in the long form; else a fifth of them."""
    return made if LONG else random.Random(0).sample(made, len(made) // 5)


@pytest.fixture(scope="module")
def coco(data_dir: Path) -> Path:
    return data_dir / "coco"


def test_statements_are_many_of_many_wordings_and_half_are_false(coco: Path) -> None:
    made = statements(photos_of(coco / "instances.json"))
    assert len(made) >= 2_000
    assert sum(s.true for s in made) * 2 == len(made)
    assert len({s.text for s in made}) > 1_500
    assert len({s.kind for s in made}) == 5


@pytest.mark.parametrize("seed", range(3 if LONG else 1))
def test_with_the_annotations_as_expert_every_verdict_is_right(coco: Path, seed: int) -> None:
    truth = load("detectors", "coco-file", device="cpu", annotations=coco / "instances.json")
    made = _some(statements(photos_of(coco / "instances.json"), seed=seed))
    for kind, counts in tallied(coco, verifier_of(truth), made).items():
        wrong = {case: n for case, n in counts.items() if case not in ((True, YES), (False, NO))}
        assert not wrong, kind


def test_how_many_a_crowd_is_cannot_be_told(coco: Path) -> None:
    truth = load("detectors", "coco-file", device="cpu", annotations=coco / "instances.json")
    made = crowd_counts(photos_of(coco / "instances.json"))
    counts = tallied(coco, verifier_of(truth), made)["count"]
    assert counts
    assert set(counts) == {(False, OPEN)}


def test_an_expert_that_errs_is_found_out_by_the_same_measure(coco: Path) -> None:
    """The measure is fed wrong answers: it must see them."""
    photos = photos_of(coco / "instances.json")
    counts = tallied(coco, verifier_of(DegradedDetector(photos)), _some(statements(photos)))[
        "count"
    ]
    assert counts[True, NO] > 10
    assert counts[False, NO] > counts[True, NO]


def test_stating_what_an_expert_misses_makes_fewer_wrong_verdicts(coco: Path) -> None:
    photos = photos_of(coco / "instances.json")
    made, expert = _some(statements(photos)), DegradedDetector(photos)
    wrong = [
        sum(counts[True, NO] + counts[False, YES] for counts in tally.values())
        for trust in (Trust(), Trust(recall=0.8, precision=0.9))
        for tally in [tallied(coco, verifier_of(expert, trust), made)]
    ]
    assert wrong[1] < wrong[0] * 0.6


def test_most_statements_of_vsr_are_read_and_the_rest_say_why(data_dir: Path) -> None:
    path = data_dir / "vsr" / "zeroshot_dev.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    unread = Counter()
    for row in rows:
        read = read_claims(row["caption"], relations=Wordings())
        nouns = [c.subject.noun for c in read.claims if c.kind == "exists"]
        assert nouns == [row["subj"], row["obj"]]
        if read.claims[-1].kind != "relation":
            unread[row["relation"]] += 1
            assert read.unread[0].text == row["relation"]
    assert unread == {"at the edge of": 5, "in the middle of": 3, "part of": 2}
    assert len(rows) - unread.total() == 330
