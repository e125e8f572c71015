"""What routing costs, and how few calls it makes.

Run: python benchmarks/router.py [--requests N] [--repeat N]

Two experts of few words and one of any answer at once (stubs that give one region a phrase), so
what is measured is the router: choosing, joining, asking, checking, parting. N requests of three
phrases over 50 pictures are asked three ways: all at a time, all at a time with a deadline (then
in worker threads), and one at a time. First it is checked that all three give the same. Then what
a call to a real expert costs is put in (5 ms a call and 20 ms a picture, slept): the ratio,
printed last, is the time of one request a call over that of all at a time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from groundplane.core.capabilities import Capabilities
from groundplane.core.detection import DetectRequest, DetectResult, Outcome
from groundplane.core.regions import Regions
from groundplane.grounding.experts import Expert
from groundplane.grounding.router import Router, Terms
from groundplane.testing.detectors import make_image

PICTURES = 50
WORDS = ("cup", "face", "hat", "chair", "unicorn", "dog", "red car")


class Stub:
    """Finds each phrase once; sleeps for each call and picture if told to."""

    def __init__(self, words: tuple[str, ...] | None, *, cost: float, wait: bool = False) -> None:
        self.vocabulary = words
        kind = "text" if words is None else "vocabulary"
        self.capabilities = Capabilities(prompts=frozenset({kind}), cost=cost)
        self._wait = wait
        self.calls = 0
        self.pictures = 0

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """One region a phrase."""
        self.calls += 1
        self.pictures += len(requests)
        if self._wait:
            time.sleep(0.005 + 0.020 * len(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: DetectRequest) -> DetectResult:
        n = len(request.phrases)
        regions = Regions(
            ids=tuple(f"r-{phrase}" for phrase in request.phrases),
            boxes=torch.tensor([[0.0, 0.0, 9.0, 9.0]]).expand(n, 4),
            scores=torch.full((n,), 0.5),
            phrases=request.phrases,
            phrase_ids=torch.arange(n),
            image_size=request.image.size,
        )
        return DetectResult(regions=regions, outcomes=(Outcome.FOUND,) * n)


def experts(*, wait: bool = False) -> list[Stub]:
    """A face finder, an expert of things, one of any words."""
    return [
        Stub(("face", "eye"), cost=1, wait=wait),
        Stub(("cup", "chair", "dog"), cost=20, wait=wait),
        Stub(None, cost=300, wait=wait),
    ]


def make_requests(count: int) -> list[DetectRequest]:
    """Requests of three phrases each over the pictures, seeded."""
    random = np.random.default_rng(0)
    images = [
        make_image(random.integers(0, 256, (48, 64, 3), dtype=np.uint8), name=f"p{i}")
        for i in range(PICTURES)
    ]
    return [
        DetectRequest(
            image=images[random.integers(PICTURES)],
            phrases=tuple(WORDS[i] for i in random.permutation(len(WORDS))[:3]),
        )
        for _ in range(count)
    ]


Ask = Callable[[Router, Sequence[DetectRequest]], list[DetectResult]]
WAYS: dict[str, tuple[Terms, Ask]] = {
    "all at a time": (Terms(), lambda router, asked: router.detect(asked)),
    "all at a time, with a deadline": (
        Terms(deadline=300.0), lambda router, asked: router.detect(asked),
    ),
    "one at a time": (Terms(), lambda router, asked: [router.detect([one])[0] for one in asked]),
}  # fmt: skip


def run(
    way: str, asked: Sequence[DetectRequest], *, wait: bool = False
) -> tuple[float, float, list[Stub], list[DetectResult]]:
    """Seconds, seconds of processor time, the experts and the results of one way."""
    terms, ask = WAYS[way]
    stubs = experts(wait=wait)
    router = Router([Expert.of(s, name=f"e{i}") for i, s in enumerate(stubs)], terms=terms)
    start, busy = time.perf_counter(), time.process_time()
    results = ask(router, asked)
    return time.perf_counter() - start, time.process_time() - busy, stubs, results


def rows(result: DetectResult) -> list[tuple[str, tuple[float, ...]]]:
    """What a result says: a phrase and a box a region."""
    boxes = [tuple(box) for box in result.regions.boxes.tolist()]
    return sorted(zip(result.regions.labels(), boxes, strict=True))


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = make_requests(arguments.requests)
    given = {way: [rows(result) for result in run(way, asked)[3]] for way in WAYS}
    if len({str(results) for results in given.values()}) > 1:
        raise SystemExit("the ways give unlike results")
    print(f"{len(asked)} requests of 3 phrases, {PICTURES} pictures, 3 experts; same results: yes")
    for way in WAYS:
        runs = [run(way, asked) for _ in range(arguments.repeat)]
        wall = statistics.median(run[0] for run in runs) / len(asked)
        busy = statistics.median(run[1] for run in runs) / len(asked)
        calls = sum(stub.calls for stub in runs[0][2])
        pictures = sum(stub.pictures for stub in runs[0][2])
        print(
            f"  {way:32} {busy * 1e6:6.0f} us of processor time a request ({wall * 1e6:.0f} us "
            f"waited), {calls} calls, {pictures} pictures looked at"
        )
    few, *_ = run("all at a time", asked, wait=True)
    many, *_ = run("one at a time", asked[: max(1, len(asked) // 10)], wait=True)
    many *= len(asked) / max(1, len(asked) // 10)
    print(f"with 5 ms a call and 20 ms a picture: {few:.2f} s; one request a call {many:.2f} s")
    print(f"ratio = {many / few:.1f}")


if __name__ == "__main__":
    main()
