"""Check what a text says of a photo or a scene, and mark what it got wrong.

Here the parts are put together: the grammar of claims and the expert from grounding, and what
tells how things stand to each other from spatial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from groundplane.core.detection import Detector
from groundplane.core.errors import InputError
from groundplane.core.image import Image
from groundplane.core.media import is_picture_name, read_image
from groundplane.grounding.claim_chances import Trust
from groundplane.grounding.setup import make_router
from groundplane.grounding.verification import Verification, Verifier, verify_sightings
from groundplane.spatial.claim_relations import MapRelations, PlaneRelations, Wordings
from groundplane.spatial.map import CognitiveMap

__all__ = ["Trust", "Verification", "verifier", "verify", "verify_many"]


def verifier(
    detector: str | Detector | None = None, *, options: Mapping[str, object] | None = None,
    device: str = "auto", trust: Trust | None = None,
) -> Verifier:  # fmt: skip
    """A verifier of texts about photos, with an expert that is made once.

    Args:
        detector: The expert's name, several with commas between them, or the expert itself; None
            for all that are installed.
        options: Options of the experts, such as `annotations` of `coco-file`.
        device: Where the expert runs.
        trust: How far the expert is believed; its own threshold where None.

    Raises:
        PluginNotFoundError, PluginBrokenError, InputError: If the expert cannot be made.
    """
    router = make_router(detector, options=options or {}, device=device)
    name = detector if isinstance(detector, str) else type(detector).__name__
    return Verifier(
        router.answer,
        relations=Wordings(),
        checker=PlaneRelations,
        vocabulary=router.vocabulary,
        trust=trust,
        expert="experts" if detector is None else name,
    )


def verify(
    source: CognitiveMap | Image | str | Path,
    text: str,
    *,
    detector: str | Detector | None = None,
    options: Mapping[str, object] | None = None,
    device: str = "auto",
    trust: Trust | None = None,
) -> Verification:
    """Check what a text says of a photo or a scene.

    Args:
        source: A map, an image, or the path of a scene file or a photo.
        text: English; what claims nothing that can be checked is listed as unread.
        detector: For photos: the expert's name, several with commas between them, or the expert
            itself; None for all that are installed. A scene takes none.
        options: Options of the expert.
        device: Where the expert runs.
        trust: For photos: how far the expert is believed.

    Returns:
        One finding a claim, the text with its marks (`marked()`), a sentence (`summary`) and the
        JSON form (`record()`).

    Raises:
        SceneError, MediaError: If the source cannot be read.
        PluginNotFoundError, PluginBrokenError: If the expert cannot be made.
        DetectorError: If the expert fails.
        InputError: If the text is no text, or a scene is given with an expert.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
        >>> verify(scene, "There are two chairs, and no sofa.").marked()
        'There are two chairs [contradicted], and no sofa [supported].'
        >>> verify(scene, "").summary
        'The text claims nothing that can be checked.'
    """
    loaded = _load(source)
    if isinstance(loaded, CognitiveMap):
        if detector is not None or options or trust is not None:
            raise InputError(
                f"{loaded.name!r} is a scene and no expert looks at it; leave out the detector, "
                "its options and the trust"
            )
        return _on_map(loaded, text)
    judge = verifier(detector, options=options, device=device, trust=trust)
    return verify_many(judge, [loaded], [[text]])[0][0]


def verify_many(
    judge: Verifier, images: Sequence[Image], texts: Sequence[Sequence[str]]
) -> list[list[Verification]]:
    """Check many texts about many photos with one call of the expert.

    Args:
        judge: From `verifier`.
        images: Photos.
        texts: For each photo its texts.

    Raises:
        DetectorError: If the expert failed on a photo; `Verifier.verify` gives such errors in
            their places instead.
    """
    checked: list[list[Verification]] = []
    for group in judge.verify(images, texts):
        checked.append([])
        for result in group:
            if isinstance(result, Exception):
                raise result
            checked[-1].append(result)
    return checked


def _on_map(scene: CognitiveMap, text: str) -> Verification:
    told = MapRelations(scene)
    return verify_sightings(
        text, told.sighting, relations=Wordings(), checker=told, source=scene.name,
        nouns=tuple(dict.fromkeys([*scene.labels, *scene.counts])),
    )  # fmt: skip


def _load(source: CognitiveMap | Image | str | Path) -> CognitiveMap | Image:
    if isinstance(source, CognitiveMap | Image):
        return source
    if not isinstance(source, str | Path):
        raise InputError(
            f"source: expected a CognitiveMap, an Image or a path, got {type(source).__name__}"
        )
    if not str(source).strip():
        raise InputError("the source is empty; name a scene file or a photo")
    if is_picture_name(str(source)):
        return read_image(Path(source))
    return CognitiveMap.load(source)
