"""Checking what a text says of a picture: each claim supported, contradicted, or neither.

One look of the expert serves all claims of all texts about a picture, and one call all pictures.
The steps are those of Woodpecker (Yin et al., 2023), where a language model reads the claims and
a detector and a model that answers questions check them; here a grammar reads them, so that the
same text always gives the same claims, and what cannot be told is said to be so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundplane.core.claims import (
    RelationChecker,
    RelationReader,
    Sighting,
    Verdict,
)
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import ShapeError
from groundplane.core.image import Image
from groundplane.core.regions import Regions
from groundplane.grounding.claim_chances import Trust
from groundplane.grounding.claim_checks import ClaimChecker, Finding
from groundplane.grounding.claims import ReadText, Unread, read_claims
from groundplane.grounding.sightings import plan_look, sightings_of, with_parts

__all__ = ["Verification", "Verifier", "verify_sightings"]

_MARKS = {
    Verdict.SUPPORTED: "supported", Verdict.CONTRADICTED: "contradicted",
    Verdict.CANNOT_TELL: "cannot tell",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verification:
    """What became of a text; `record()` is its JSON form.

    Attributes:
        source: Name of the picture or scene.
        text: As given.
        findings: One a claim, in order.
        unread: What claims nothing that can be checked, with the reason.
        regions: For a picture: the regions that the findings rest on; None for a scene.
        expert: Who looked, or `map`.
    """

    source: str
    text: str
    findings: tuple[Finding, ...]
    unread: tuple[Unread, ...] = ()
    regions: Regions | None = None
    expert: str = ""

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """The findings with a verdict."""
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    @property
    def summary(self) -> str:
        """How many claims hold, in one sentence."""
        if not self.findings:
            return "The text claims nothing that can be checked."
        whole = len(self.findings)
        parts = [f"{len(self.of(verdict))} {word}" for verdict, word in _MARKS.items()]
        parts[-1] = f"{len(self.of(Verdict.CANNOT_TELL))} that cannot be told"
        return f"{whole} claim{'' if whole == 1 else 's'}: {', '.join(parts[:-1])} and {parts[-1]}."

    def marked(self) -> str:
        """The text with the verdict behind each claim, in brackets.

        Of claims that end at the same character the worst verdict is shown.
        """
        order = (Verdict.SUPPORTED, Verdict.CANNOT_TELL, Verdict.CONTRADICTED)
        ends: dict[int, Verdict] = {}
        for finding in self.findings:
            end = finding.claim.span[1]
            worst = max(ends.get(end, finding.verdict), finding.verdict, key=order.index)
            ends[end] = worst
        parts, before = [], 0
        for end in sorted(ends):
            parts += [self.text[before:end], f" [{_MARKS[ends[end]]}]"]
            before = end
        return "".join([*parts, self.text[before:]])

    def record(self) -> dict[str, Any]:
        """The verification as plain JSON values."""
        return {
            "source": self.source,
            "text": self.text,
            "expert": self.expert,
            "summary": self.summary,
            "claims": [self._finding_record(finding) for finding in self.findings],
            "unread": [
                {"span": list(part.span), "text": part.text, "reason": part.reason}
                for part in self.unread
            ],
        }

    def _finding_record(self, finding: Finding) -> dict[str, Any]:
        claim = finding.claim
        return {
            "kind": claim.kind,
            "span": list(claim.span),
            "text": claim.text,
            "verdict": finding.verdict.value,
            "reason": finding.reason,
            "expert": finding.expert,
            "evidence": self._evidence_records(finding.evidence),
            "subject": claim.subject.phrase,
            "negated": claim.negated,
            "relation": None if claim.relation is None else list(claim.relation.names),
            "anchors": [thing.phrase for thing in claim.anchors],
        }

    def _evidence_records(self, names: Sequence[str]) -> list[dict[str, Any]]:
        if self.regions is None:
            return [{"id": name} for name in names]
        place = {name: i for i, name in enumerate(self.regions.ids)}
        labels = self.regions.labels()
        rows = [place[name] for name in names if name in place]
        boxes, scores = self.regions.boxes[rows].tolist(), self.regions.scores[rows].tolist()
        return [
            {
                "id": self.regions.ids[row], "label": labels[row],
                "box": [round(edge, 2) for edge in box], "score": round(score, 4),
            }
            for row, box, score in zip(rows, boxes, scores, strict=True)
        ]  # fmt: skip


class Verifier:
    """Checks texts about pictures.

    Args:
        look: Looks for phrases, such as `Router.answer`: one answer or error a request.
        relations: Knows the wordings of relations.
        checker: Makes, of the regions of a picture, what tells how they stand to each other.
        vocabulary: The words that the expert knows; None if it takes any text.
        trust: How far the expert is believed.
        expert: What findings call it.
    """

    def __init__(
        self,
        look: Callable[[Sequence[DetectRequest]], Sequence[DetectResult | Exception]],
        *,
        relations: RelationReader,
        checker: Callable[[Regions], RelationChecker],
        vocabulary: Sequence[str] | None = None,
        trust: Trust | None = None,
        expert: str,
    ) -> None:
        self._look = look
        self._relations = relations
        self._checker = checker
        self._vocabulary = vocabulary
        self._trust = trust or Trust()
        self._expert = expert

    def verify(
        self, images: Sequence[Image], texts: Sequence[Sequence[str]]
    ) -> list[list[Verification | Exception]]:
        """Check the texts of each image.

        Args:
            images: Pictures.
            texts: For each picture its texts.

        Returns:
            For each picture one result a text, in order. Where the expert failed on a picture,
            each of its texts gets that error.

        Raises:
            ShapeError: If there is not one list of texts a picture.
            InputError: If a text is no text or too long.
        """
        if len(images) != len(texts):
            raise ShapeError(f"verify: {len(images)} images but {len(texts)} lists of texts")
        read = [[self._read(text) for text in group] for group in texts]
        plans = [
            plan_look(list(dict.fromkeys(p for part in group for p in part.phrases)),
                      self._vocabulary)
            for group in read
        ]  # fmt: skip
        asked = [i for i, plan in enumerate(plans) if plan.asked]
        requests = [DetectRequest(image=images[i], phrases=plans[i].asked) for i in asked]
        looks = dict(zip(asked, self._look(requests) if requests else (), strict=True))
        results: list[list[Verification | Exception]] = []
        for i, (image, group) in enumerate(zip(images, read, strict=True)):
            look = looks.get(i)
            if isinstance(look, DetectResult):
                sightings, regions = sightings_of(look, plans[i], trust=self._trust)
                results.append([*self._checked(image, group, sightings, regions)])
            elif isinstance(look, Exception):
                results.append([look] * len(group))
            else:
                empty = Regions.empty(phrases=(), image_size=image.size)
                results.append([*self._checked(image, group, {}, empty)])
        return results

    def _read(self, text: str) -> ReadText:
        return read_claims(text, relations=self._relations, nouns=self._vocabulary or ())

    def _checked(
        self, image: Image, group: Sequence[ReadText], sightings: Mapping[str, Sighting],
        regions: Regions,
    ) -> list[Verification]:  # fmt: skip
        checker = ClaimChecker(
            sightings, self._checker(regions), trust=self._trust, expert=self._expert
        )
        return [
            Verification(
                source=image.source.name,
                text=part.text,
                findings=tuple(map(checker.check, part.claims)),
                unread=part.unread,
                regions=regions,
                expert=self._expert,
            )
            for part in group
        ]


def verify_sightings(
    text: str, look: Callable[[str], Sighting], *, relations: RelationReader,
    checker: RelationChecker, source: str, nouns: Sequence[str] = (),
) -> Verification:  # fmt: skip
    """Check a text against what is known without an expert: a map.

    Args:
        text: English.
        look: What is known of a phrase.
        relations: Knows the wordings of relations.
        checker: How the things known stand to each other.
        source: The scene's name.
        nouns: The names of things in it.

    Raises:
        InputError: If the text is no text or too long.
    """
    read = read_claims(text, relations=relations, nouns=nouns)
    plan = plan_look(read.phrases, nouns)
    sightings = with_parts({phrase: look(phrase) for phrase in plan.asked}, plan)
    judge = ClaimChecker(sightings, checker, trust=Trust(), expert="map")
    findings = tuple(map(judge.check, read.claims))
    return Verification(
        source=source, text=text, findings=findings, unread=read.unread, expert="map"
    )
