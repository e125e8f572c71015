"""Ask spatial questions of a scene, a photo, a folder of photos, a video or another capture.

Here the parts are put together: a language model, the grounding router with its expert, and the
spatial solver, all driven by the orchestrator.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from groundplane.core.answer import GroundedText
from groundplane.core.detection import Detector
from groundplane.core.errors import (
    GroundplaneError,
    InputError,
    MediaError,
    listing,
)
from groundplane.core.host import load
from groundplane.core.image import Image
from groundplane.core.media import is_picture_name, list_images, read_image
from groundplane.core.orchestrator import Budget, Finished, Orchestrator
from groundplane.core.queries import Expression
from groundplane.core.record import Recorder
from groundplane.core.session import LanguageModel, Prompt, Query
from groundplane.core.workers import Resolvers
from groundplane.grounding.router import Terms
from groundplane.grounding.setup import make_router
from groundplane.mapping.choosing import CaptureChoice, geometry_named
from groundplane.mapping.keeping import MapKeeper
from groundplane.mapping.questions import Asked
from groundplane.replies import Reply, reply_from_story, reply_of
from groundplane.spatial.chances.worlds import Caution
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.resolver import QueryResolver
from groundplane.spatial.scene import DistanceMethod
from groundplane.spatial.stories import Story

__all__ = ["Asker", "CaptureChoice", "Reply", "ask"]

# Questions of one batch: enough that start-up per batch is nothing, few enough to stream.
_BATCH = 256
# A session of many questions may take longer than one; each request has its own deadline.
_BUDGET = Budget(seconds=3600)
# Of a photo that was measured in its plane.
_IN_PIXELS = (
    "measured in pixels of the picture, since nobody told its depth; in metres with --geometry "
    "depth-pro --option depth-pro.weights=FOLDER, or flat-floor where the camera's height, tilt "
    "and field of view are known"
)
# Seconds after the router's own deadline until it is given up as a whole.
_GRACE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Subject:
    """One thing to ask about: a scene, a photo, or a story."""

    name: str
    scene: CognitiveMap | None = None
    image: Image | None = None
    story: Story | None = None


class Asker:
    """Asks questions of one source, which is loaded once.

    Args:
        source: A map, an image, a story, or the path of a scene file (`file.json#scene-id`), a
            photo, a folder of photos, a story (`file.txt`), or a video or folder that is a capture
            of a place: then a map of what the questions speak of is built first.
        detector: For photos and captures: an expert's name, several with commas between them, or
            the expert itself; None for all that are installed, of which each word goes to the
            cheapest that can look for it. A scene takes none.
        capture: How a capture is mapped. Where it, or an option such as `depth-pro.weights`, names
            a geometry expert, a photo is mapped too, and answered in metres; else it is answered
            in the plane of the picture.
        options: Options of the experts, such as `owlv2.weights`, or `weights` alone where it is
            clear whose it is; a scene needs no expert and takes none.
        device: Where the experts run.
        model: The language model's name, or the model itself. Anything but the planner answers in
            its own words, and `strategy` says what of the scene it is told.
        model_options: Options of a model that is given by name, such as `weights`.
        strategy: See `groundplane.language.strategies`; the planner computes and needs none.
        recorder: Keeps all that happens, to explain and replay it.
        distance: `exact`, or `sampled` as VSI-Bench measures.
        thresholds: The numbers that relations turn on, such as how far left is left.
        noise: How far the scene's boxes may be off, metres; see `CognitiveMap.with_noise`.
        caution: When an answer with error bars is too close to call.
        budget: What a batch of up to 256 questions may use. Its `deadline` is the seconds that
            the experts may take for one look.

    Raises:
        SceneError, MediaError: If the source cannot be read.
        PluginNotFoundError, PluginBrokenError, InputError: If the expert cannot be made.
        DetectorError: If the expert cannot say what it knows.
    """

    def __init__(  # noqa: PLR0913 - every choice of a run stands here, each by its name
        self,
        source: CognitiveMap | Image | Story | str | Path,
        *,
        detector: str | Detector | None = None,
        capture: CaptureChoice | None = None,
        options: Mapping[str, object] | None = None,
        device: str = "auto",
        model: str | LanguageModel = "planner",
        model_options: Mapping[str, object] | None = None,
        strategy: str | None = None,
        recorder: Recorder | None = None,
        distance: DistanceMethod = "exact",
        thresholds: Thresholds = THRESHOLDS,
        noise: float = 0.0,
        caution: Caution | None = None,
        budget: Budget = _BUDGET,
    ) -> None:
        self._source, self._noise = source, noise
        self._photos, self._subject, mapped = _opened(
            source, capture or CaptureChoice(), options or {}
        )
        self._maps = mapped and mapped(detector=detector, options=options or {}, device=device)
        if noise and self._maps is None:
            scene = _scene_of(self._subject, "noise").with_noise(noise)
            self._subject = _Subject(name=scene.name, scene=scene)
        self._vocabulary: tuple[str, ...] | None = None
        grounding = None
        if self._maps is not None:
            detector, options = None, None
        elif self._subject is None or self._subject.image is not None:
            terms = Terms(deadline=budget.deadline)
            grounding = make_router(detector, options=options or {}, device=device, terms=terms)
            self._vocabulary = grounding.vocabulary
            # The router gives up on its own, by name; this is for whatever it cannot.
            budget = replace(budget, deadline=min(budget.deadline + _GRACE, threading.TIMEOUT_MAX))
        elif self._subject.scene is not None:
            self._vocabulary = _labels(self._subject.scene)
        if grounding is None and (options or detector is not None):
            raise _no_expert(source, self._subject, options or {})
        if self._subject is not None and self._subject.story is not None:
            _check_story(model, strategy, recorder)
        language = _language_model(model, model_options or {}, strategy=strategy, device=device)
        self._recorder = recorder
        self._queries = QueryResolver(distance=distance, thresholds=thresholds, caution=caution)
        resolvers = Resolvers(ground=grounding, query=self._queries)
        self._orchestrator = Orchestrator(language, resolvers=resolvers, budget=budget)

    @property
    def scene(self) -> CognitiveMap | None:
        """The map, if the source is a scene, or a capture that was asked something."""
        return self._subject.scene if self._subject is not None else None

    @property
    def mapped(self) -> bool:
        """Whether a map is built first: of a capture, or of a photo that is asked in metres."""
        return self._maps is not None

    @property
    def image(self) -> Image | None:
        """The photo, if the source is one photo."""
        return self._subject.image if self._subject is not None else None

    def ask(self, question: str, *, choices: Sequence[str] = (), what_if: bool = False) -> Reply:
        """Ask one question of a single scene, photo or story.

        Args:
            question: In English; options may stand behind it.
            choices: The options, if they are given apart.
            what_if: Of a scene: change the evidence and tell which changes flip the answer.

        Raises:
            InputError: If the source is a folder (use `ask_all`), the question is no text, or
                `what_if` is asked of anything but a scene.
        """
        if not isinstance(question, str):
            raise InputError(f"question: expected text, got {type(question).__name__}")
        if isinstance(choices, str) or not all(isinstance(choice, str) for choice in choices):
            raise InputError("choices: expected a list of texts")
        if self._subject is None:
            raise InputError(
                f"{self._source} is a folder of {len(self._photos or ())} photos; use ask_all"
            )
        self._map([(question, choices)])
        return next(self._run([(self._subject, question, tuple(choices))], what_if=what_if))

    def ask_many(
        self, questions: Iterable[str | tuple[str, Sequence[str]]], *, what_if: bool = False
    ) -> Iterator[Reply]:
        """Ask many questions of a single scene or photo; replies come in order.

        Args:
            questions: Questions, each alone or with its options.
            what_if: See `ask`.

        Raises:
            InputError: If the source is a folder, or `what_if` is asked of anything but a scene.
        """
        if self._subject is None:
            raise InputError(f"{self._source} is a folder; use ask_all with one question")
        if self._maps is not None:
            # One map of all that is asked: of a capture, questions are not streamed.
            questions = list(questions)
            self._map([(q, ()) if isinstance(q, str) else q for q in questions])
        subject = self._subject
        batch: list[tuple[_Subject, str, tuple[str, ...]]] = []
        for question in questions:
            text, choices = (question, ()) if isinstance(question, str) else question
            batch.append((subject, text, tuple(choices)))
            if len(batch) == _BATCH:
                yield from self._run(batch, what_if=what_if)
                batch = []
        yield from self._run(batch, what_if=what_if)

    def ask_all(self, question: str) -> Iterator[Reply | tuple[str, GroundplaneError]]:
        """Ask one question of every photo; a photo that cannot be read gives its error."""
        if self._photos is None:
            yield self.ask(question)
            return
        root = Path(str(self._source))
        for path in self._photos:
            name = str(path.relative_to(root))
            try:
                image = read_image(path)
            except MediaError as error:
                yield name, error
                continue
            subject = _Subject(name=name, image=image)
            yield next(self._run([(subject, question, ())]))

    def _map(self, asked: Sequence[Asked]) -> None:
        """Of a capture: build the map of what is asked, and ask it."""
        if self._maps is None:
            return
        scene = self._maps.map_for(asked).with_noise(self._noise)
        self._subject = _Subject(name=scene.name, scene=scene)
        self._vocabulary = _labels(scene)

    def _run(
        self, asked: Sequence[tuple[_Subject, str, tuple[str, ...]]], *, what_if: bool = False
    ) -> Iterator[Reply]:
        if what_if and asked:
            _scene_of(asked[0][0], "what-if")
        if asked and (story := asked[0][0].story) is not None:
            # A story is text: no model and no expert is needed to compose what it says.
            for subject, question, choices in asked:
                yield reply_from_story(subject.name, story, question, choices)
            return
        prompts = [
            Prompt(
                text=question,
                images=(subject.image,) if subject.image is not None else (),
                choices=choices,
                scene=subject.scene,
                vocabulary=self._vocabulary,
            )
            for subject, question, choices in asked
        ]
        results: dict[int, GroundedText] = {}
        queries: dict[int, Expression] = {}
        updates = self._orchestrator.stream(prompts) if prompts else iter(())
        if self._recorder is not None:
            updates = self._recorder.watch(prompts, updates)
        for update in updates:
            if isinstance(update, Finished):
                results[update.sequence] = update.result
            elif isinstance(update, Query):
                queries[update.sequence] = update.expression
        for sequence, (subject, question, choices) in enumerate(asked):
            reply = reply_of(subject.name, question, choices, results[sequence])
            if what_if and subject.scene is not None and sequence in queries:
                flips = self._queries.what_if(subject.scene, queries[sequence], reply.answer)
                reply = replace(reply, what_if=flips)
            # A source is one picture or none.
            [found] = results[sequence].regions or (None,)
            notes = () if subject.scene is None else subject.scene.notes
            if subject.image is not None and (reply.unit or "").startswith("px"):
                notes = (_IN_PIXELS,)
            yield replace(reply, regions=found, notes=notes)


def ask(  # noqa: PLR0913 - every choice of a run stands here, each by its name
    source: CognitiveMap | Image | Story | str | Path,
    question: str,
    *,
    choices: Sequence[str] = (),
    detector: str | Detector | None = None,
    capture: CaptureChoice | None = None,
    model: str | LanguageModel = "planner",
    model_options: Mapping[str, object] | None = None,
    strategy: str | None = None,
    device: str = "auto",
    noise: float = 0.0,
    what_if: bool = False,
    **options: object,
) -> Reply:
    """Ask one spatial question of a scene or a photo.

    Args:
        source: A map, an image, a story, or the path of a scene file, a photo, a story
            (`file.txt`), a video or another capture.
        question: In English; options may stand behind it (`A. left B. right`).
        choices: The options, if they are given apart.
        detector: For photos and captures: the expert, or several; see `Asker`.
        capture: How a capture is mapped; see `Asker`.
        model, model_options, strategy: Who answers; see `Asker`.
        device: Where the experts and the model run.
        noise: See `Asker`.
        what_if: See `Asker.ask`.
        **options: Options of the experts, such as `annotations=` of `coco-file`.

    Returns:
        The reply: `text`, `value`, `unit`, `evidence`, `status`, `trace`.

    Raises:
        SceneError, MediaError: If the source cannot be read.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
        >>> ask(scene, "How tall is the chair?").text
        'The chair is 1.00 m tall.'
    """
    asker = Asker(
        source, detector=detector, capture=capture, options=options, device=device, noise=noise,
        model=model, model_options=model_options, strategy=strategy,
    )  # fmt: skip
    return asker.ask(question, choices=choices, what_if=what_if)


def _language_model(
    model: str | LanguageModel,
    options: Mapping[str, object],
    *,
    strategy: str | None,
    device: str,
) -> LanguageModel:
    """The language model, told of the scene by the strategy."""
    if not isinstance(model, str):
        if options:
            raise InputError("model_options belong to a model that is given by its name")
        language = model
    else:
        place = "cpu" if model == "planner" else device
        language = load("language_models", model, device=place, **options)
    if strategy is None:
        return language
    if model == "planner":
        raise InputError(
            "the planner computes its answers; leave the strategy out, or name a model"
        )
    from groundplane.language.strategies import with_strategy

    return with_strategy(language, strategy)


def _check_story(
    model: str | LanguageModel, strategy: str | None, recorder: Recorder | None
) -> None:
    """A story is text: no model answers, and nothing happens that a record could keep."""
    if model != "planner" or strategy is not None:
        raise InputError("a story is composed without a language model; leave out model, strategy")
    if recorder is not None:
        raise InputError("a story is composed at once: there is no run to record; leave it out")


def _photos_of(source: object) -> tuple[Path, ...] | None:
    """The photos of a folder; None if the source is no folder."""
    # Not Path.is_dir, which raises on a name that is too long to be one.
    if isinstance(source, str | Path) and os.path.isdir(source):
        return tuple(list_images(Path(source)))
    return None


def _opened(
    source: CognitiveMap | Image | Story | str | Path,
    choice: CaptureChoice,
    options: Mapping[str, object],
) -> tuple[tuple[Path, ...] | None, _Subject | None, Callable[..., MapKeeper] | None]:
    """The photos of a folder, or else the one thing to ask; and who maps it first, if anybody."""
    if isinstance(source, str | Path) and choice.applies(source):
        return None, _Subject(name=Path(source).name), partial(choice.keeper, source)
    photos = _photos_of(source)
    subject = _load(source) if photos is None else None
    if choice.geometry is None and subject is not None and subject.image is not None:
        # Whoever gives an expert its weights means it to be asked.
        choice = replace(choice, geometry=geometry_named(options))
    if choice.geometry is None:
        return photos, subject, None
    if subject is None or subject.image is None:
        raise InputError(
            f"{_named(source)} takes no geometry expert: a photo, a video or a capture does "
            "(a folder of pictures is one of layout 'frames')"
        )
    return None, _Subject(name=subject.name), partial(choice.keeper, subject.image)


def _no_expert(
    source: object, subject: _Subject | None, options: Mapping[str, object]
) -> InputError:
    what = _what(options) if options else "detector"
    kind = "scene" if subject is None or subject.story is None else "story"
    return InputError(
        f"{_named(source)} is a {kind} and no expert looks at it; leave out the {what}"
    )


def _what(options: Mapping[str, object]) -> str:
    return f"option{'' if len(options) == 1 else 's'} {listing(map(repr, options))}"


def _named(source: object) -> str:
    return repr(str(source)) if isinstance(source, str | Path) else f"the {type(source).__name__}"


def _load(source: CognitiveMap | Image | Story | str | Path) -> _Subject:
    if isinstance(source, CognitiveMap):
        return _Subject(name=source.name, scene=source)
    if isinstance(source, Image):
        return _Subject(name=source.source.name, image=source)
    if isinstance(source, Story):
        return _Subject(name=source.source, story=source)
    if not isinstance(source, str | Path):
        raise InputError(
            "source: expected a CognitiveMap, an Image (groundplane.read_image makes one of "
            f"arrays and Pillow pictures) or a path, got {type(source).__name__}"
        )
    path = str(source)
    if not path.strip():
        raise InputError("the source is empty; name a scene file, a photo or a folder of photos")
    if path.lower().endswith(".txt"):
        story = Story.load(path)
        return _Subject(name=story.source, story=story)
    if is_picture_name(path):
        image = read_image(Path(path))
        return _Subject(name=image.source.name, image=image)
    scene = CognitiveMap.load(path)
    return _Subject(name=scene.name, scene=scene)


def _scene_of(subject: _Subject | None, what: str) -> CognitiveMap:
    """The map that is asked; nothing else has boxes in space to doubt or to move."""
    if subject is None or subject.scene is None:
        raise InputError(f"{what} needs a scene of boxes in metres; a photo or a story has none")
    return subject.scene


def _labels(scene: CognitiveMap) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*scene.labels, *scene.counts]))
