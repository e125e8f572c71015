"""A page on an evaluation of rooms: one file that needs no other and asks no server."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from groundplane.evaluation.metrics import wilson
from groundplane.evaluation.rooms_plots import draw_bins, draw_noise, draw_tasks
from groundplane.evaluation.rooms_records import (
    CLEAN,
    NOISES,
    TRUE_BOXES,
    VIDEOS,
    Condition,
    RoomRecord,
)
from groundplane.evaluation.rooms_result import RoomsResult, Summary

__all__ = ["Report", "write_report"]

# Below this a task's score is explained.
_GOOD = 0.95
_MISSES = 6
_CONDITIONS: Mapping[Condition, str] = {
    TRUE_BOXES: "the true boxes, so only the answering is tested",
    CLEAN: "maps from true depth, poses and things",
    VIDEOS: "maps of the videos, laid over the true boxes by turn and shift before they are "
    "compared",
}
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;color:#26323d;background:#fff;overflow-wrap:anywhere}
body{max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}img{max-width:100%}
table{border-collapse:collapse;font-size:13px;width:100%;display:block;overflow-x:auto}
td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #dde3e8;overflow-wrap:normal}
td:first-child,th:first-child{text-align:left}.low{color:#d1240f}.quiet{color:#6b7680;font-size:13px}
.rooms{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));gap:1rem}
.rooms>div{min-width:0}
@media(prefers-color-scheme:dark){body{color:#d5dce3;background:#14191e}
td,th{border-color:#33404b}.quiet{color:#9aa7b2}.low{color:#ff7a66}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a page tells.

    Attributes:
        title: What was evaluated.
        result: What came of it.
        settings: How it was run, name to value.
        plans: Pictures of rooms by name, SVG.
        failures: Rooms that there is no map of, by name, each with the reason.
        most: How many of the worst rooms are shown.
    """

    title: str
    result: RoomsResult
    settings: Mapping[str, object] = field(default_factory=dict)
    plans: Mapping[str, bytes] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    most: int = 6


def write_report(report: Report) -> str:
    """The page, HTML.

    Examples:
        >>> from groundplane.evaluation.rooms_maps import MapScore
        >>> record = RoomRecord(room="<r>", seed=0, condition=CLEAN, answers=(), map=None)
        >>> page = write_report(Report(title="Rooms", result=RoomsResult(records=(record,))))
        >>> page.startswith("<!doctype html>"), "<r>" in page
        (True, False)
        >>> empty = RoomsResult(records=())
        >>> "There is no room" in write_report(Report(title="Rooms", result=empty))
        True
    """
    summaries = report.result.summaries()
    parts = [f"<h1>{escape(report.title)}</h1>", _settings(report.settings)]
    if summaries:
        parts += [
            _tasks(summaries),
            _misses(report.result, summaries),
            _maps(summaries),
            _noises(summaries),
            _worst(report),
        ]
    else:
        parts.append("<p>There is no room.</p>")
    parts.append(_failures(report.failures))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>\n"
    )


def _settings(settings: Mapping[str, object]) -> str:
    told = "; ".join(f"{escape(key)}: {escape(str(value))}" for key, value in settings.items())
    return f'<p class="quiet">{told}</p>' if told else ""


def _tasks(summaries: Mapping[Condition, Summary]) -> str:
    tasks = list(dict.fromkeys(task for s in summaries.values() for task in s.answers.tasks()))
    heads = [task.replace("object_", "").replace("obj_", "").replace("_", " ") for task in tasks]
    rows = []
    for condition, each in summaries.items():
        own = each.answers.tasks()
        scores = [own[task]["score"] if task in own else None for task in tasks]
        mean = each.answers.mean() if each.answers.items else None
        number = str(len(each.answers.items))
        rows.append([str(condition), *map(_score, scores), _score(mean), number])
    told = " ".join(f"<b>{c}</b>: {what}." for c, what in _CONDITIONS.items() if c in summaries)
    return (
        "<h2>Questions</h2><p>The metrics are VSI-Bench's; the mean is over its eight tasks, of "
        f"which direction has three levels. {told}</p>"
        + _picture(draw_tasks(summaries), "scores by task")
        + _table(["condition", *heads, "mean", "questions"], rows)
    )


def _misses(result: RoomsResult, summaries: Mapping[Condition, Summary]) -> str:
    """Why tasks are below 0.95 without noise: the questions that cost most, and how they ended."""
    condition = result.looked() or CLEAN
    low = [
        task
        for task, row in summaries[condition].answers.tasks().items()
        if float(row["score"] or 0.0) < _GOOD
    ]
    if not low:
        return f'<p class="quiet">Under {condition} every task is at {_GOOD} or above.</p>'
    parts = [f"<h2>Below {_GOOD}, under {condition}</h2>"]
    for task in low:
        told = "".join(f"<li>{escape(line)}</li>" for line in _missed(result, condition, task))
        parts.append(f"<h3>{escape(task)}</h3><ul>{told}</ul>")
    return "".join(parts)


def _missed(result: RoomsResult, condition: Condition, task: str) -> list[str]:
    """The questions of a task that cost most, each with how it ended."""
    missed = [
        (answer.item.score, record.room, answer)
        for record in result.records
        if record.condition == condition
        for answer in record.answers
        if answer.item.task == task and answer.item.score < 1
    ]
    missed.sort(key=lambda each: each[:2])
    lines = [
        f"{room}: {answer.text.splitlines()[0]} Score {score:.2f}: {answer.item.reason}"
        for score, room, answer in missed[:_MISSES]
    ]
    if len(missed) > _MISSES:
        lines.append(f"and {len(missed) - _MISSES} more")
    return lines


def _maps(summaries: Mapping[Condition, Summary]) -> str:
    rows = [
        [
            str(condition), _score(each.counted), _score(each.precision), _score(each.recall),
            _number(each.position, 100, "cm"), _number(each.size, 100, "%"),
            _number(each.area, 100, "%"), _bars(each.numbers.inside, each.numbers.of),
            _bars(each.boxes.inside, each.boxes.of), str(each.rooms),
        ]
        for condition, each in summaries.items()
    ]  # fmt: skip
    heads = [
        "condition", "counts exact", "precision", "recall", "position", "longest side", "area",
        "numbers in bars", "boxes in bars", "rooms",
    ]  # fmt: skip
    return (
        "<h2>Maps</h2><p>A thing is on the map where one of its label shares a quarter of its "
        "volume or lies within 30 cm. Counts are exact in a room where each category has its true "
        "number. Position and longest side are median errors, area is the mean one. Error bars are "
        "of 90 %; in brackets the 95 % interval of the share.</p>"
        + _table(heads, rows)
        + _picture(draw_bins(summaries), "map accuracy by distance")
    )


def _noises(summaries: Mapping[Condition, Summary]) -> str:
    names = dict.fromkeys(c.noise for c in summaries if c.noise in NOISES)
    return "".join(
        f"<h2>{escape(noise)}</h2><p>The {escape(NOISES[noise][0])}.</p>"
        + _picture(draw_noise(summaries, noise), f"as {noise} grows")
        for noise in names
    )


def _worst(report: Report) -> str:
    condition = report.result.looked() or CLEAN
    rooms = report.result.worst(condition, report.most)
    if not rooms:
        return f'<p class="quiet">Under {condition} no room has a miss.</p>'
    told = "".join(_room(record, report.plans.get(record.room)) for record in rooms)
    return f'<h2>Worst rooms, under {condition}</h2><div class="rooms">{told}</div>'


def _room(record: RoomRecord, plan: bytes | None) -> str:
    lines = [
        f"{answer.item.task}: {answer.item.score:.2f}, {answer.item.reason}"
        for answer in record.answers
        if answer.item.score < 1
    ]
    wrong = Counter(
        {label: own - true for label, (own, true) in record.map.counts.items() if own != true}
        if record.map
        else {}
    )
    lines += [f"{label}: {off:+d} on the map" for label, off in wrong.items()]
    told = "".join(f"<li>{escape(line)}</li>" for line in lines)
    picture = _picture(plan, f"plan of {record.room}") if plan else ""
    head = f"<h3>{escape(record.room)}, {_score(record.score)}</h3>"
    return f"<div>{head}{picture}<ul>{told}</ul></div>"


def _failures(failures: Mapping[str, str]) -> str:
    if not failures:
        return ""
    told = "".join(
        f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in failures.items()
    )
    return f"<h2>Not mapped</h2><ul>{told}</ul>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _picture(svg: bytes, what: str) -> str:
    # As data, not as elements: two pictures of matplotlib use the same ids.
    data = base64.b64encode(svg).decode()
    return f'<img alt="{escape(what)}" src="data:image/svg+xml;base64,{data}">'


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _number(value: float | None, times: float, unit: str) -> str:
    return "-" if value is None else f"{value * times:.1f} {unit}"


def _bars(inside: int, of: int) -> str:
    if not of:
        return "-"
    low, high = wilson(inside, of)
    return f"{inside / of:.2f} ({low:.2f} to {high:.2f})"
