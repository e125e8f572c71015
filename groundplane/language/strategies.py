"""Three ways to ask a language model about space, to be compared.

`direct` asks as it is. `map` puts a map of 10 x 10 cells before the question: of a scene its own,
of pictures the one that the model itself draws in a turn before (Yang et al., Thinking in Space,
CVPR 2025). `query` teaches the model to ask the metric map, and tells it the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.core.lexicon import match_phrase
from groundplane.core.queries import phrases_of
from groundplane.core.session import (
    Done,
    Event,
    Failed,
    Ground,
    LanguageModel,
    Prompt,
    Query,
    Resolved,
    Session,
    Text,
)
from groundplane.core.session_notes import Note
from groundplane.language.escaping import escaped
from groundplane.language.query_courses import QueryCourse
from groundplane.language.query_tools import fenced_trigger, query_instructions, query_trigger
from groundplane.language.rounds import Course, Passing, RoundsSession, State
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.cogmap import read_grid
from groundplane.spatial.maps.views import tuple_text
from groundplane.spatial.questions.parser import NotUnderstoodError, parse_question

__all__ = ["STRATEGIES", "Strategy", "StrategyModel", "map_text", "with_strategy"]

Strategy = Literal["direct", "map", "query"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

_CELLS = 10
_PLACES = 200
_LABELS = 60
# Characters of a map that a model draws; a longer text is cut.
_DRAWN = 16_000


def with_strategy(model: LanguageModel, strategy: str) -> LanguageModel:
    """A language model that is asked by a strategy.

    Args:
        model: Any language model.
        strategy: One of `STRATEGIES`.

    Raises:
        InputError: If there is none of that name.

    Examples:
        >>> from groundplane.core.session import Done, Prompt, Text
        >>> from groundplane.testing.language_models import ScriptedModel
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("cup", at=(0, 0, 1)).add("cup", at=(2, 0, 1)).build()
        >>> model = ScriptedModel([(Text(sequence=0, text="Two."), Done(sequence=0))])
        >>> session = with_strategy(model, "direct").open([Prompt(text="How many?", scene=scene)])
        >>> [event.text for event in session.step([]) if isinstance(event, Text)]
        ['Two.']
        >>> print(model.opened[0][0].text)
        There is no picture. Things in the scene: cup (2).
        How many?
    """
    for known in STRATEGIES:
        if strategy == known:
            return StrategyModel(model, known)
    raise InputError(
        f"strategy: expected one of {listing(STRATEGIES)}, got {strategy!r}."
        f"{did_you_mean(strategy, STRATEGIES)}"
    )


class StrategyModel:
    """A language model that is asked by a strategy; see `with_strategy`."""

    def __init__(self, model: LanguageModel, strategy: Strategy) -> None:
        self._model, self._strategy = model, strategy

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        if self._strategy == "query":
            return _open_queries(self._model, prompts)
        if self._strategy == "map":
            courses = [_map_course(i, prompt) for i, prompt in enumerate(prompts)]
            return RoundsSession(self._model, courses)
        return RoundsSession(self._model, [_direct(i, prompt) for i, prompt in enumerate(prompts)])


def map_text(scene: CognitiveMap, prompt: Prompt, *, cells: int = _CELLS) -> tuple[str, int]:
    """A scene's own map as it stands before a question.

    Only what the question or its options name is on it, so that the map tells nothing that was
    not asked for; all of it where they name nothing of the scene.

    Args:
        scene: The map.
        prompt: The question.
        cells: Cells along each side.

    Returns:
        The text, and how many things are on it.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("cup", at=(0, 0, 1)).add("bed", at=(4, 0, 0)).build()
        >>> text, count = map_text(scene, Prompt(text="Where is the cup?"))
        >>> text.splitlines()[-1], count
        ('{"cup": [(0, 0)]}', 1)
    """
    grid = scene.grid(cells)
    named = _named(prompt, scene.labels)
    kept = {label: grid.objects[label] for label in grid.objects if not named or label in named}
    places = [(label, place) for label, at in kept.items() for place in at]
    shown: dict[str, list[tuple[float, float]]] = {}
    for label, place in places[:_PLACES]:
        shown.setdefault(escaped(label, limit=60), []).append(place)
    unit = f" A cell is {grid.side / cells:.3g} m wide." if scene.scale == "metric" else ""
    more = f" {len(places) - _PLACES} more are left out." if len(places) > _PLACES else ""
    head = (
        f"A map of the scene from above, {cells} x {cells} cells: x grows to the right and y "
        f"upwards, (0, 0) is the lower left cell.{unit} Each thing has the cell of its centre."
    )
    return f"{head}{more}\n{tuple_text(shown)}", min(len(places), _PLACES)


def _named(prompt: Prompt, labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that the question or its options name, in their order."""
    known = tuple(dict.fromkeys(labels))
    asked = _categories(prompt, known)
    matches = (match_phrase(phrase, known) for phrase in asked)
    found = {label for match in matches if match is not None for label in match.labels}
    return tuple(label for label in known if label in found)


def _categories(prompt: Prompt, nouns: Sequence[str]) -> tuple[str, ...]:
    """The things that the question names: as the grammar reads it, and words that are labels."""
    try:
        parsed = parse_question(prompt.text, choices=prompt.choices, nouns=nouns)
        phrases = phrases_of(parsed.expression)
    except NotUnderstoodError:
        phrases = ()
    words = " ".join([prompt.text, *prompt.choices]).casefold()
    spoken = tuple(noun for noun in nouns if noun.casefold() in words)
    return tuple(dict.fromkeys([*phrases, *spoken]))


def _direct(index: int, prompt: Prompt) -> Course:
    told, note = prompt, ""
    if isinstance(prompt.scene, CognitiveMap) and not prompt.images:
        counts = Counter(escaped(label, limit=60) for label in prompt.scene.labels)
        names = [f"{label} ({n})" if n > 1 else label for label, n in counts.items()]
        text = f"There is no picture. Things in the scene: {listing(names, limit=_LABELS)}."
        told = replace(prompt, text=f"{text}\n{prompt.text}")
        note = f"direct: no picture; told were {min(len(names), _LABELS)} of {len(names)} labels"
    return _OneTurn(index, told, note=note)


def _map_course(index: int, prompt: Prompt) -> Course:
    if isinstance(prompt.scene, CognitiveMap):
        text, count = map_text(prompt.scene, prompt)
        asked = replace(prompt, text=f"{text}\n{prompt.text}")
        return _OneTurn(index, asked, note=f"map: the scene's own, {count} things on it")
    if prompt.images:
        return _DrawnMap(index, prompt)
    return _OneTurn(index, prompt, note="map: neither scene nor picture, so there is none")


def _open_queries(model: LanguageModel, prompts: Sequence[Prompt]) -> Session:
    """In mid-sentence where the model takes triggers; else by asking it again."""
    taught = [_taught(prompt) for prompt in prompts]
    triggered: Callable[..., LanguageModel] | None = getattr(model, "with_triggers", None)
    if callable(triggered) and all(prompt.scene is not None for prompt in prompts):
        inner = triggered([query_trigger(), fenced_trigger()])
        courses: list[Course] = [
            _OneTurn(i, prompt, note="query: asked in mid-sentence")
            for i, prompt in enumerate(taught)
        ]
        return RoundsSession(inner, courses)
    return RoundsSession(model, [QueryCourse(i, prompt) for i, prompt in enumerate(taught)])


def _taught(prompt: Prompt) -> Prompt:
    labels = prompt.scene.labels if isinstance(prompt.scene, CognitiveMap) else ()
    return replace(prompt, text=f"{query_instructions(labels)}\n\nQuestion: {prompt.text}")


class _OneTurn:
    """Asks once; the text passes through."""

    def __init__(self, index: int, prompt: Prompt, *, note: str) -> None:
        self.state: State = "ready"
        self._prompt, self._note = prompt, note
        self._passing = Passing(index=index)

    def begin(self) -> tuple[Prompt, list[Event]]:
        self._passing.begin()
        return self._prompt, _noted(self._passing.index, "strategy", self._note)

    def hear(self, event: Event) -> list[Event]:
        if isinstance(event, Done):
            self.state = "done"
        return [self._passing.out(event)]

    def resolve(self, outcome: Resolved | Failed) -> tuple[list[Event], Resolved | Failed | None]:
        return [], self._passing.back(outcome)

    def replies(self) -> list[Failed]:
        return []


class _DrawnMap:
    """Asks for a map first, which the reader does not see, and then the question with it."""

    def __init__(self, index: int, prompt: Prompt) -> None:
        self.state: State = "ready"
        self._prompt, self._index = prompt, index
        self._drawn, self._drawing = "", False
        self._passing = Passing(index=index)
        self._replies: list[Failed] = []

    def begin(self) -> tuple[Prompt, list[Event]]:
        if not self._drawing:
            self._drawing = True
            asked = replace(self._prompt, text=_drawing_text(self._prompt), choices=())
            return asked, _noted(self._index, "strategy", "map: the model draws one first")
        self._drawing = False
        self._passing.begin()
        reading = read_grid(self._drawn[:_DRAWN], cells=_CELLS)
        if not reading.grid.objects:
            told = "no map could be read; the question was asked without one"
            return self._prompt, _noted(self._index, "map", told)
        cells = reading.grid.to_text()
        told = f"{cells}, {len(reading.problems)} repairs"
        text = (
            f"Your map of the scene from above, {_CELLS} x {_CELLS} cells:\n{cells}\n"
            f"Answer with its help.\n{self._prompt.text}"
        )
        return replace(self._prompt, text=text), _noted(self._index, "map", told)

    def hear(self, event: Event) -> list[Event]:
        if not self._drawing:
            if isinstance(event, Done):
                self.state = "done"
            return [self._passing.out(event)]
        if isinstance(event, Text):
            self._drawn += event.text
            if len(self._drawn) > _DRAWN:
                self.state = "ready"
            # Tokens count, though the reader sees nothing of them.
            return [Text(sequence=self._index, text="", tokens=event.tokens)]
        if isinstance(event, Ground | Query):
            self._refuse(event)
        if isinstance(event, Note):
            return [replace(event, sequence=self._index)]
        if isinstance(event, Done):
            broken = event.finish == "broken"
            self.state = "done" if broken else "ready"
            return [replace(event, sequence=self._index)] if broken else []
        return []

    def resolve(self, outcome: Resolved | Failed) -> tuple[list[Event], Resolved | Failed | None]:
        return [], self._passing.back(outcome)

    def replies(self) -> list[Failed]:
        replies, self._replies = self._replies, []
        return replies

    def _refuse(self, event: Ground | Query) -> None:
        why = "nothing is looked for while the map is drawn"
        failed = Failed(sequence=0, request=event.request, kind="unsupported", message=why)
        self._replies.append(failed)


def _drawing_text(prompt: Prompt) -> str:
    """The turn that asks for a map, in the three parts of the protocol: task, rule, form."""
    named = _categories(prompt, prompt.vocabulary or ())
    kinds = [escaped(name, limit=60) for name in named][:_LABELS]
    what = f"of these kinds: {', '.join(kinds)}" if kinds else "that the question names"
    question = "" if kinds else f"\nThe question, to be answered later: {prompt.text}"
    return (
        "The pictures show one indoor scene. Find the things "
        f"{what}, and imagine the whole scene from above on a grid of {_CELLS} x {_CELLS} cells. "
        "Estimate the cell of each thing's centre.\n"
        "Put in every thing of these kinds and none of another; keep how they lie to one another.\n"
        'Give only a dictionary such as {"chair": [(1, 2), (4, 7)], "table": [(3, 3)]}.'
        f"{question}"
    )


def _noted(index: int, name: str, detail: str) -> list[Event]:
    return [Note(sequence=index, name=name, detail=detail)] if detail else []
