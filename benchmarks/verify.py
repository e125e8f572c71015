"""How often a verdict on a claim is right, by kind of claim, and how fast texts are verified.

Run: python benchmarks/verify.py [--data FOLDER] [--seeds N]

Statements are made from the annotations of the COCO photos in the folder (`instances.json` and
`images/`): true ones and minimally changed false ones, of many wordings. They are verified with the
annotations themselves as the expert, and with an expert that errs: it misses 20 % of the boxes,
makes up 10 %, and moves every edge by 5 % of the box's side. Each table tells, of the verdict
`contradicted` and of `supported`, how often it is right (precision) and how many of the statements
that deserve it get it (recall), and how many statements are told at all. A statement counts as
contradicted if one of its claims is. Minimal changes are hard: a count that is off by one cannot be
told from one miss. The ratio, printed last, is the time of one call a statement, with the
annotations as the expert, over that of one call for all.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from groundplane.core.claims import Verdict  # noqa: E402
from groundplane.core.detection import Detector  # noqa: E402
from groundplane.core.host import load  # noqa: E402
from groundplane.core.media import read_image  # noqa: E402
from groundplane.grounding.claims import read_claims  # noqa: E402
from groundplane.grounding.verification import Verification  # noqa: E402
from groundplane.spatial.claim_relations import Wordings  # noqa: E402
from groundplane.verifying import Trust, verifier, verify_many  # noqa: E402
from tests.support.coco_statements import Photo, Statement, photos_of, statements  # noqa: E402
from tests.support.degraded import DegradedDetector  # noqa: E402

Tally = dict[str, Counter[tuple[bool, Verdict]]]


def verdict_of(result: Verification) -> Verdict:
    """Of a whole statement: one wrong claim makes it wrong, one unread part leaves it open."""
    told = {finding.verdict for finding in result.findings}
    if Verdict.CONTRADICTED in told:
        return Verdict.CONTRADICTED
    if told == {Verdict.SUPPORTED} and not result.unread:
        return Verdict.SUPPORTED
    return Verdict.CANNOT_TELL


def tallied(
    folder: Path, made: Sequence[Statement], expert: Detector, trust: Trust | None
) -> tuple[Tally, float, int]:
    """Verdicts by kind and truth, the seconds taken, and the number of claims."""
    by_photo: dict[str, list[Statement]] = defaultdict(list)
    for statement in made:
        by_photo[statement.photo].append(statement)
    images = [read_image(folder / "images" / name) for name in by_photo]
    judge = verifier(expert, device="cpu", trust=trust)
    texts = [[statement.text for statement in group] for group in by_photo.values()]
    start = time.perf_counter()
    results = verify_many(judge, images, texts)
    seconds = time.perf_counter() - start
    tally: Tally = defaultdict(Counter)
    claims = 0
    for group, checked in zip(by_photo.values(), results, strict=True):
        for statement, result in zip(group, checked, strict=True):
            tally[statement.kind][statement.true, verdict_of(result)] += 1
            claims += len(result.findings)
    return tally, seconds, claims


def singly(folder: Path, made: Sequence[Statement], expert: Detector) -> float:
    """Seconds a statement where each is verified in a call of its own."""
    judge = verifier(expert, device="cpu")
    images = {name: read_image(folder / "images" / name) for name in {s.photo for s in made}}
    start = time.perf_counter()
    for statement in made:
        verify_many(judge, [images[statement.photo]], [[statement.text]])
    return (time.perf_counter() - start) / len(made)


def share(part: int, whole: int) -> str:
    """A share in per cent; nothing where there is no whole."""
    return f"{100 * part / whole:5.1f}" if whole else "    -"


def show(title: str, tally: Tally) -> None:
    """Print one table."""
    print(f"\n{title}")
    print(f"{'':<16}{'number':>7}{'contradicted':>16}{'supported':>15}{'told':>8}")
    print(f"{'':<16}{'':>7}{'prec.':>9}{'recall':>7}{'prec.':>8}{'recall':>7}{'':>8}   (per cent)")
    total: Counter[tuple[bool, Verdict]] = sum(tally.values(), Counter())
    for kind, counts in [*tally.items(), ("all", total)]:
        wrong, right = counts[False, Verdict.CONTRADICTED], counts[True, Verdict.SUPPORTED]
        flagged = wrong + counts[True, Verdict.CONTRADICTED]
        passed = right + counts[False, Verdict.SUPPORTED]
        false = sum(n for (true, _), n in counts.items() if not true)
        whole = counts.total()
        open_ = counts[True, Verdict.CANNOT_TELL] + counts[False, Verdict.CANNOT_TELL]
        print(
            f"{kind:<16}{whole:>7}{share(wrong, flagged):>9}{share(wrong, false):>7}"
            f"{share(right, passed):>8}{share(right, whole - false):>7}"
            f"{share(whole - open_, whole):>8}"
        )


def show_vsr(path: Path) -> None:
    """Print how many of VSR's statements are read as a claim of a relation."""
    if not path.is_file():
        return
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    words = Wordings()
    read = [
        any(
            claim.kind == "relation"
            for claim in read_claims(row["caption"], relations=words).claims
        )
        for row in rows
    ]
    print(f"\nVSR statements read as a relation: {sum(read)} of {len(rows)}; no photos are here")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3, help="of the errors of the erring expert")
    arguments = parser.parse_args()
    folder = arguments.data / "coco"
    photos = photos_of(folder / "instances.json")
    made = statements(photos)
    print(f"{len(made)} statements about {len(photos)} photos")
    truth = load("detectors", "coco-file", device="cpu", annotations=folder / "instances.json")
    tally, seconds, claims = tallied(folder, made, truth, None)
    show("the annotations as the expert", tally)
    for title, trust in (
        ("an expert that errs, believed", Trust()),
        ("an expert that errs, scores from 0.2 to 0.55 left open", Trust(low=0.2, high=0.55)),
        ("an expert that errs, its recall of 0.8 and precision of 0.9 stated",
         Trust(recall=0.8, precision=0.9, confidence=0.8)),
    ):  # fmt: skip
        show(title, _summed(folder, photos, made, trust, seeds=arguments.seeds))
    show_vsr(arguments.data / "vsr" / "zeroshot_dev.jsonl")
    print(f"\nclaims a second, one call for all, reading and checking: {claims / seconds:.0f}")
    alone = singly(folder, made[:: len(made) // 200], truth) * len(made)
    print(f"ratio = {alone / seconds:.1f}")


def _summed(
    folder: Path, photos: Sequence[Photo], made: Sequence[Statement], trust: Trust, *, seeds: int
) -> Tally:
    """The tallies of several experts that err, added up."""
    whole: Tally = defaultdict(Counter)
    for seed in range(seeds):
        tally, _, _ = tallied(folder, made, DegradedDetector(photos, seed=seed), trust)
        for kind, counts in tally.items():
            whole[kind].update(counts)
    return whole


if __name__ == "__main__":
    main()
