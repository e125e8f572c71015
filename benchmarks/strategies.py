"""What a map of 10 x 10 cells costs against the metric map, where both are true.

Two models without weights answer the questions of VSI-Bench's kind, each through the strategy that
a real model would be asked by. One computes everything from the map in its prompt, as if it read
and reckoned without fault; one writes the query that the question means and repeats the answer.
What they differ by is the grid alone.

    python benchmarks/strategies.py ../shared/data/vsi

Prints a table by task, and `ratio = map / query` (mean scores) last.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from groundplane.core.answer import Answer, Status
from groundplane.core.orchestrator import Budget, Orchestrator
from groundplane.core.queries import Measure, nodes_of
from groundplane.core.session import Done, Event, LanguageModel, Prompt, Session, Text
from groundplane.core.workers import Resolvers
from groundplane.evaluation.metrics import accuracy, mean_relative_accuracy
from groundplane.evaluation.vsibench import TASKS, Question, read_questions
from groundplane.language.query_tools import QUERY_CLOSE, QUERY_OPEN
from groundplane.language.spatial_queries import write_query
from groundplane.language.strategies import with_strategy
from groundplane.spatial.choices import choose, offered
from groundplane.spatial.maps.cogmap import read_grid
from groundplane.spatial.questions.parser import parse_question
from groundplane.spatial.resolver import QueryResolver
from groundplane.spatial.scene import MapScene
from groundplane.spatial.scenes.files import open_scenes
from groundplane.spatial.solver import Solver
from groundplane.testing.language_models import ScriptedModel

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_CELL = re.compile(r"A cell is ([\d.]+) m wide")


class MapReader:
    """Computes the answer from the grid in its prompt, without fault."""

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        return ScriptedModel([_said(i, _read(p)) for i, p in enumerate(prompts)]).open(prompts)


class QueryWriter:
    """Writes the query that the question means; then repeats what came back."""

    def open(self, prompts: Sequence[Prompt]) -> Session:
        """Begin a session: sequence i answers `prompts[i]`."""
        return ScriptedModel([_said(i, _asked(p)) for i, p in enumerate(prompts)]).open(prompts)


def _said(index: int, text: str) -> list[Event]:
    return [Text(sequence=index, text=text), Done(sequence=index)]


def _read(prompt: Prompt) -> str:
    head, _, question = prompt.text.partition("}\n")
    grid = read_grid(head + "}").grid
    cell = _CELL.search(head)
    if not grid.objects or cell is None:
        return "unknown"
    scene = grid.to_map(side=float(cell[1]) * grid.cells)
    parsed = parse_question(question, choices=prompt.choices)
    sizes = (n for n in nodes_of(parsed.expression) if isinstance(n, Measure))
    if any(node.name not in ("distance", "center_distance") for node in sizes):
        return "unknown"  # a cell tells where a thing is, not how large
    return _worded(Solver(MapScene(scene)).solve(parsed.expression), prompt.choices)


def _asked(prompt: Prompt) -> str:
    question = prompt.text.split("Question: ", 1)[1].split("\n\nYour answer so far", 1)[0]
    if "Your answer so far" not in prompt.text:
        parsed = parse_question(question, choices=prompt.choices)
        return f"{QUERY_OPEN}{json.dumps(write_query(parsed.expression))}{QUERY_CLOSE}"
    told = json.loads(prompt.text.rsplit(QUERY_CLOSE, 1)[1].strip().splitlines()[0])
    value = told.get("value")
    value = tuple(value) if isinstance(value, list) else value
    status = Status(told["status"]) if told["status"] != "failed" else Status.CANNOT_DETECT
    return _worded(Answer(value=value, unit=told.get("unit"), status=status), prompt.choices)


def _worded(answer: Answer, choices: Sequence[str]) -> str:
    if choices:
        return choose(answer, offered("", choices)) or "unknown"
    return "unknown" if answer.value is None else str(answer.value)


@dataclass(slots=True)
class Row:
    """Sums of one task."""

    count: int = 0
    by_map: float = 0.0
    by_query: float = 0.0
    changed: int = 0
    untold: int = 0


def compare(scenes: Path, questions: Path, *, step: int = 1) -> dict[str, Row]:
    """Ask every `step`-th question both ways and score both."""
    asked, truths = read_questions(questions)
    known = open_scenes(scenes)
    by_scene: dict[str, list[Question]] = defaultdict(list)
    for question in asked[::step]:
        by_scene[question.scene].append(question)
    rows: dict[str, Row] = defaultdict(Row)
    for name, group in by_scene.items():
        scene = known[name]()
        prompts = [Prompt(text=q.text, choices=q.choices, scene=scene) for q in group]
        maps = _answers(with_strategy(MapReader(), "map"), prompts)
        queries = _answers(with_strategy(QueryWriter(), "query"), prompts)
        for question, one, other in zip(group, maps, queries, strict=True):
            row, truth = rows[question.task], truths[question.id]
            row.count += 1
            row.by_map += _score(question, one, truth)
            row.by_query += _score(question, other, truth)
            row.untold += one == "unknown"
            row.changed += not _same(one, other)
    return rows


def _answers(model: LanguageModel, prompts: Sequence[Prompt]) -> Iterator[str]:
    resolvers = Resolvers(query=QueryResolver(distance="sampled"))
    orchestrator = Orchestrator(model, resolvers=resolvers, budget=Budget(seconds=3600))
    return (result.text for result in orchestrator.run(prompts))


def _score(question: Question, said: str, truth: str) -> float:
    if question.choices:
        return accuracy(said if len(said) == 1 else None, truth)
    number = _NUMBER.fullmatch(said)
    return mean_relative_accuracy(float(said) if number else None, float(truth))


def _same(one: str, other: str) -> bool:
    """Equal words, or numbers that differ by less than a twentieth."""
    if one == other:
        return True
    if not (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)):
        return False
    return abs(float(one) - float(other)) <= 0.05 * abs(float(other))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds scenes.json and qa.jsonl")
    parser.add_argument("--step", type=int, default=1, help="ask every so manyth question")
    given = parser.parse_args()
    rows = compare(given.folder / "scenes.json", given.folder / "qa.jsonl", step=given.step)
    print(f"{'task':28} {'n':>5} {'map':>6} {'query':>6} {'changed':>8} {'untold':>7}")
    for task in (task for task in TASKS if task in rows):
        row = rows[task]
        means = f"{100 * row.by_map / row.count:6.1f} {100 * row.by_query / row.count:6.1f}"
        print(f"{task:28} {row.count:5} {means} {row.changed:8} {row.untold:7}")
    total = sum(row.by_query for row in rows.values())
    print(f"ratio = {sum(row.by_map for row in rows.values()) / total:.3f}")


if __name__ == "__main__":
    main()
