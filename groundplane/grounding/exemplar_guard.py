"""A detector whose boxes are compared with exemplars before they are believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from groundplane.core.answer import Step
from groundplane.core.claims import Verdict
from groundplane.core.detection import Detector, DetectRequest, DetectResult, Outcome
from groundplane.core.errors import listing
from groundplane.core.features import FeatureGrid
from groundplane.core.lexicon import match_phrase
from groundplane.core.regions import Regions
from groundplane.grounding.behind import BeforeDetector, ask_checked
from groundplane.grounding.region_features import region_features
from groundplane.grounding.region_verifier import Exemplars, RegionVerifier
from groundplane.grounding.result_merging import join_notes

__all__ = ["ExemplarGuard"]


class ExemplarGuard(BeforeDetector):
    """Asks a detector, and takes away what looks unlike the exemplars of its phrase.

    Satisfies `Detector`, so it stands wherever one can: behind a router, before the checks of
    claims. Scores stay the detector's, and so do thresholds. A phrase without exemplars is
    answered as the detector answers it; a box that cannot be told stays.

    Args:
        detector: The expert.
        verifier: Judges its boxes.
        exemplars: Of each phrase that is checked; capitals and spaces do not matter, and plurals
            and synonyms are understood.
    """

    def __init__(
        self, detector: Detector, verifier: RegionVerifier, exemplars: Mapping[str, Exemplars]
    ) -> None:
        super().__init__(detector)
        self._verifier = verifier
        self._exemplars = {_plain(phrase): known for phrase, known in exemplars.items()}

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order; the detector and the encoder are asked once.

        Raises:
            DetectorError: If the detector gives another number of results, or one that is not
                well formed.
        """
        if not requests:
            return []
        results = ask_checked(self._detector, requests, who="exemplar guard")
        places = [i for i, result in enumerate(results) if self._concerned(result)]
        if places:
            grid = self._verifier.encode([requests[i].image for i in places])
            for picture, i in enumerate(places):
                results[i] = self._guarded(results[i], grid, picture)
        return results

    def _concerned(self, result: DetectResult) -> bool:
        """Whether any region, or candidate, is of a phrase that has exemplars."""
        known = [i for i, p in enumerate(result.regions.phrases) if self._known(p) is not None]
        seen = result.regions if result.candidates is None else result.candidates
        return bool(set(known) & {*seen.phrase_ids.tolist(), *result.regions.phrase_ids.tolist()})

    def _known(self, phrase: str) -> Exemplars | None:
        """The exemplars of a phrase, or of one that means the same."""
        if (plain := _plain(phrase)) in self._exemplars:
            return self._exemplars[plain]
        match = match_phrase(phrase, self._exemplars)
        whole = match is not None and match.how in ("exact", "synonym")
        return self._exemplars[match.labels[0]] if match is not None and whole else None

    def _guarded(self, result: DetectResult, grid: FeatureGrid, picture: int) -> DetectResult:
        regions, said = self._kept(result.regions, grid, picture)
        candidates = result.candidates
        if candidates is not None:
            candidates, _ = self._kept(candidates, grid, picture)
        left = set(regions.phrase_ids.tolist())
        note = f"unlike the exemplars: {listing(said)}" if said else ""
        return replace(
            result,
            regions=regions,
            candidates=candidates,
            outcomes=tuple(
                Outcome.NONE if outcome is Outcome.FOUND and i not in left else outcome
                for i, outcome in enumerate(result.outcomes)
            ),
            uncounted=tuple(i for i in result.uncounted if i in left),
            note=join_notes([result.note, note]),
            steps=(*result.steps, Step(name="exemplars", detail=note or "all kept")),
        )

    def _kept(self, regions: Regions, grid: FeatureGrid, picture: int) -> tuple[Regions, list[str]]:
        """The regions that are not contradicted, and what is to be said of the others."""
        keep = torch.ones(len(regions), dtype=torch.bool)
        said: list[str] = []
        owners = regions.phrase_ids.cpu()
        found = region_features(grid, regions.boxes, picture=picture)
        for index, phrase in enumerate(regions.phrases):
            known = self._known(phrase)
            if known is None or not bool((mine := owners == index).any()):
                continue
            judged = self._verifier.judge_features(found, known, grid=grid)
            against = torch.tensor([v is Verdict.CONTRADICTED for v in judged.verdicts]) & mine
            keep &= ~against
            said += [
                f"{phrase!r} ({judged.alike[i]:.2f}, expected {self._verifier.reject:g}"
                + (f", {judged.other[i]:.2f} to a negative one)" if len(known.negative) else ")")
                for i in torch.nonzero(against).flatten().tolist()
            ]
        return regions.select(keep.to(regions.boxes.device)), said


def _plain(phrase: str) -> str:
    return " ".join(phrase.split()).casefold()
