"""VSI-Bench from its videos: a map of each, its questions, and how it compares with the boxes.

A map is built as `groundplane map` builds it, once for all that is asked of a scene. The same
records as of rooms whose truth is known come of it, so the same page tells of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from groundplane.asking import Asker
from groundplane.core.answer import Status
from groundplane.core.errors import (
    GroundplaneError,
    InputError,
    PluginBrokenError,
    PluginNotFoundError,
    listing,
)
from groundplane.evaluation.rooms_maps import compare
from groundplane.evaluation.rooms_records import TRUE_BOXES, VIDEOS, Answered, RoomRecord
from groundplane.evaluation.vsi_experts import Crew
from groundplane.evaluation.vsi_files import open_metas, videos_by_scene
from groundplane.evaluation.vsi_truth import laid_over, truth_of
from groundplane.evaluation.vsibench import (
    UNHURRIED,
    Item,
    Question,
    read_questions,
    score_reply,
)
from groundplane.mapping.given import capture_of
from groundplane.mapping.questions import phrases_asked, pictures_suffice
from groundplane.spatial.map import CognitiveMap

__all__ = ["SceneOutcome", "VideosJob"]

_WHERE = (
    "VSI-Bench's videos are not part of groundplane: take them from the data set "
    "nyu-visionx/VSI-Bench on Hugging Face and unpack them, so that there is "
    "FOLDER/SCENE.mp4 or FOLDER/DATASET/SCENE.mp4"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOutcome:
    """What came of a scene.

    Attributes:
        records: Its answers, on the true boxes where they are known, and on the map of the video;
            none where there is no video.
        failure: Why there is no map of all that is asked; empty where there is.
        scene: The map of the video; None where there is none with places.
        truth: What of the true boxes was looked for, or None.
    """

    records: tuple[RoomRecord, ...] = ()
    failure: str = ""
    scene: CognitiveMap | None = None
    truth: CognitiveMap | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VideosJob:
    """The questions of VSI-Bench, its videos, and who looks at them.

    Attributes:
        scenes: The names of all scenes, in the order of the questions.
        questions: Those of each scene.
        crew: Who looks.
        videos: By scene.
        metas: The published boxes by scene, where they are given.
        answers: The official answers by question; they reach the scorer only.
    """

    scenes: tuple[str, ...]
    questions: Mapping[str, Sequence[Question]]
    crew: Crew
    videos: Mapping[str, Sequence[Path]]
    metas: Mapping[str, Callable[[], CognitiveMap]] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, videos: Path, questions: Path, *, crew: Crew, metas: Sequence[Path] = ()
    ) -> VideosJob:
        """Read the questions and look what videos there are.

        Args:
            videos: A folder of videos or posed RGB-D, by the names of the scenes.
            questions: See `read_questions`.
            crew: Who looks.
            metas: The benchmark's meta files; none where the boxes are not known.

        Raises:
            InputError: If a file is malformed, or there is no video of any scene.
            SceneError: If a meta file is none.
        """
        asked, answers = read_questions(questions)
        groups: dict[str, list[Question]] = defaultdict(list)
        for question in asked:
            groups[question.scene].append(question)
        found = videos_by_scene(videos)
        if not found.keys() & groups.keys():
            raise InputError(
                f"there is no video of any of the {len(groups)} scenes below {str(videos)!r}, "
                f"such as {listing([*groups], limit=3)}. {_WHERE}"
            )
        return cls(
            scenes=tuple(groups), questions=groups, crew=crew, videos=found,
            metas=open_metas(metas), answers=answers,
        )  # fmt: skip

    def evaluate(self, number: int) -> SceneOutcome:
        """Build the map of a scene's video, and answer its questions.

        A scene without a video, or whose video cannot be mapped, is told by its failure. The
        questions of the latter count as wrong, those of the former are not counted.

        Args:
            number: Of the scene, from 0.

        Raises:
            PluginNotFoundError, PluginBrokenError, InputError: If an expert cannot be made.
        """
        name = self.scenes[number]
        videos = self.videos.get(name, ())
        if len(videos) != 1:
            told = f"there are {len(videos)} videos of it" if videos else "there is no video of it"
            return SceneOutcome(failure=f"{told}, so its questions are not counted. {_WHERE}")
        return _SceneRun(self, number, videos[0]).outcome()


class _SceneRun:
    """The evaluation of one scene."""

    def __init__(self, job: VideosJob, number: int, video: Path) -> None:
        self._job, self._number, self._video = job, number, video
        self._name = job.scenes[number]
        self._questions = list(job.questions[self._name])

    def outcome(self) -> SceneOutcome:
        """Both records, the failure, and the maps."""
        begun = time.perf_counter()
        answers: dict[str, Answered] = {}
        built: CognitiveMap | None = None
        failure = ""
        crew = self._job.crew
        shared = None if crew.is_of_scene else crew.keeper(self._video, self._name)
        for group, flat in self._groups():
            try:
                keeper = shared or crew.keeper(self._video, self._name)
                scene = keeper.map_for([(each.text, each.choices) for each in group])
                answers |= self._answered(scene, group)
                built = built if flat else scene
            except (PluginNotFoundError, PluginBrokenError):
                raise
            except GroundplaneError as error:
                why = " ".join(str(error).split())
                failure = f"{len(group)} questions count as wrong: {why}"
                answers |= {each.id: self._unanswered(each, why) for each in group}
        truth = self._truth()
        laid = laid_over(built, truth) if built is not None and truth is not None else None
        record = RoomRecord(
            room=self._name,
            seed=self._number,
            condition=VIDEOS,
            answers=tuple(answers[each.id] for each in self._questions),
            map=compare(laid, truth) if laid is not None and truth is not None else None,
            seconds=time.perf_counter() - begun,
        )
        return SceneOutcome(
            records=tuple(each.rounded() for each in (*self._on_boxes(), record)),
            failure=failure, scene=built, truth=truth,
        )  # fmt: skip

    def _groups(self) -> list[tuple[list[Question], bool]]:
        """What is asked of one map, and whether that is one without places.

        Without depth, pictures tell order and number at least.
        """
        flat: list[Question] = []
        if self._job.crew.geometry is None:
            known = capture_of(self._video, self._job.crew.terms).gives
            if not {"depth", "pose"} & known:
                flat = [q for q in self._questions if pictures_suffice([(q.text, q.choices)])]
        rest = [question for question in self._questions if question not in flat]
        return [(group, group is flat) for group in (flat, rest) if group]

    def _truth(self) -> CognitiveMap | None:
        if self._name not in self._job.metas:
            return None
        asked = [(question.text, question.choices) for question in self._questions]
        return truth_of(self._job.metas[self._name](), phrases_asked(asked, words=lambda: ()))

    def _on_boxes(self) -> tuple[RoomRecord, ...]:
        """The answers on the published boxes, where they are known."""
        if self._name not in self._job.metas:
            return ()
        begun = time.perf_counter()
        answers = self._answered(self._job.metas[self._name](), self._questions)
        return (
            RoomRecord(
                room=self._name, seed=self._number, condition=TRUE_BOXES,
                answers=tuple(answers[each.id] for each in self._questions), map=None,
                seconds=time.perf_counter() - begun,
            ),
        )  # fmt: skip

    def _answered(self, scene: CognitiveMap, questions: Sequence[Question]) -> dict[str, Answered]:
        asker = Asker(scene, distance="sampled", budget=UNHURRIED)
        replies = asker.ask_many([(each.text, each.choices) for each in questions])
        made = {}
        for question, reply in zip(questions, replies, strict=True):
            truth = self._job.answers[question.id]
            item = score_reply(question, reply, truth=truth, scene=scene)
            made[question.id] = self._told(question, item, reply.answer.interval)
        return made

    def _unanswered(self, question: Question, why: str) -> Answered:
        item = Item(
            id=question.id, task=question.task, answer=None, score=0.0,
            status=Status.CANNOT_DETECT, covered=False, reason=why,
        )  # fmt: skip
        return self._told(question, item, None)

    def _told(
        self, question: Question, item: Item, interval: tuple[float, float] | None
    ) -> Answered:
        truth = self._job.answers[question.id]
        value = None if question.choices else float(truth)
        return Answered(item=item, text=question.text, truth=truth, value=value, interval=interval)
