"""What a job tells while it runs: lines, a bar, JSON lines; rates that are true after a resume."""

from __future__ import annotations

import io
import json

import pytest

from groundplane.annotation.events import (
    BatchHalved,
    Draining,
    ExpertRestarted,
    Finished,
    ItemFailed,
    Progress,
    Started,
    Summary,
)
from groundplane.apps.annotating.pace import Pace, shares
from groundplane.apps.annotating.telling import Bar, JsonLog, Lines, ending, tellers
from groundplane.core.errors import OutputError

STAGES = {"read": 1.0, "decode": 3.0, "detect": 6.0}


def progress(done, *, seconds, total=100, skipped=0, failed=0):
    return Progress(
        total=total, skipped=skipped, done=done, failed=failed, seconds=seconds, stages=STAGES
    )


def summary(**fields):
    fields = {
        "ended": "complete", "total": 100, "skipped": 40, "done": 58, "failed": 2, "regions": 7,
        "seconds": 30.0, "stages": STAGES, **fields,
    }  # fmt: skip
    return Summary(**fields)


EVENTS = (
    Started(total=100, recorded=40), progress(1, seconds=6.0, skipped=40),
    ItemFailed(path="a\nb.jpg", stage="decode", message="cut \u202e off"), BatchHalved(size=8),
    ExpertRestarted(count=2), Draining(why="SIGINT"), Finished(summary=summary()),
)  # fmt: skip


# Pace ----------------------------------------------------------------------------------------


def test_the_rate_counts_only_what_this_call_did():
    pace = Pace()
    for second in range(5):
        pace.see(progress(2 * second, seconds=float(second), total=1000, skipped=900))
    assert pace.rate == 2.0
    assert pace.left == (100 - 8) / 2.0


def test_the_rate_is_that_of_the_last_half_minute():
    pace = Pace()
    for second in range(0, 100):  # a slow start
        pace.see(progress(0, seconds=float(second)))
    for second in range(100, 140):
        pace.see(progress(second - 99, seconds=float(second), total=None))
    assert pace.rate == pytest.approx(1.0)
    assert pace.left is None


def test_nothing_is_known_to_be_left_where_a_video_gives_more_than_was_counted():
    pace = Pace()
    pace.see(progress(0, seconds=0.0, total=1))
    pace.see(progress(50, seconds=1.0, total=1))
    assert (pace.rate, pace.left) == (50.0, None)


def test_failures_are_work_as_well():
    pace = Pace()
    pace.see(progress(0, seconds=0.0))
    pace.see(progress(1, seconds=1.0, failed=4))
    assert pace.rate == 5.0


# Lines ---------------------------------------------------------------------------------------


def told(teller_of, events=EVENTS):
    stream = io.StringIO()
    teller = teller_of(stream)
    for event in events:
        teller.tell(event)
    return stream.getvalue()


def test_lines_tell_every_event_on_one_line_each():
    text = told(Lines)
    assert text.splitlines() == [
        "100 items; 40 records there already",
        "41 of 100, 0.0 a second, read 10%, decode 30%, detect 60%",
        "failed: a\\nb.jpg: decode: cut \\u202e off",
        "out of memory: at most 8 pictures go together from now on",
        "the experts' process ended; it was started again (restart 2)",
        "ending: SIGINT; what is begun is finished and written",
    ]


def test_progress_is_told_every_few_seconds_only():
    text = told(Lines, [progress(i, seconds=i / 10) for i in range(200)])
    assert len(text.splitlines()) == 3


def test_many_failures_are_not_all_told():
    fault = ItemFailed(path="x.jpg", stage="read", message="gone")
    lines = told(Lines, [fault] * 1000).splitlines()
    assert len(lines) == 20
    assert lines[-1].endswith("groundplane status lists all")


def test_an_unknown_total_is_said_to_be_unknown():
    text = told(Lines, [Started(total=None, recorded=0), progress(7, seconds=9.0, total=None)])
    assert text.splitlines()[0] == "items, nobody knows how many"
    assert text.splitlines()[1].startswith("7, ")


# JSON and the bar ----------------------------------------------------------------------------


def test_the_log_is_one_json_object_an_event():
    rows = [json.loads(line) for line in told(JsonLog).splitlines()]
    assert [row["event"] for row in rows] == [
        "started", "progress", "item_failed", "batch_halved", "expert_restarted", "draining",
        "finished",
    ]  # fmt: skip
    assert rows[2] == {
        "event": "item_failed", "path": "a\nb.jpg", "stage": "decode", "message": "cut \u202e off"
    }  # fmt: skip
    assert rows[1]["stages"] == STAGES
    assert (rows[-1]["ended"], rows[-1]["failed"], rows[-1]["hint"]) == ("complete", 2, "")


def test_a_name_that_is_no_text_goes_into_the_log():
    text = told(JsonLog, [ItemFailed(path="raw\udcff.jpg", stage="read", message="gone")])
    assert json.loads(text)["path"] == "raw\udcff.jpg"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar():
    stream = Terminal()
    with tellers(stream) as told:
        assert [type(teller) for teller in told] == [Bar]
        for event in EVENTS:
            told[0].tell(event)
    text = stream.getvalue()
    assert "41/100" in text
    assert "decode 30%" in text
    assert "failed: a\\nb.jpg" in text
    assert "[bold]" in told_on_bar("[bold]x[/bold]")


def told_on_bar(message):
    stream = Terminal()
    with Bar(stream) as bar:
        bar.tell(ItemFailed(path="a.jpg", stage="read", message=message))
    return stream.getvalue()


def test_who_is_told(tmp_path):
    stream, log = io.StringIO(), str(tmp_path / "log.jsonl")
    for arguments, expected in (
        ({}, [Lines]), ({"quiet": True}, []), ({"json_log": log}, [JsonLog, Lines]),
        ({"json_log": "-"}, [JsonLog]), ({"json_log": log, "quiet": True}, [JsonLog]),
    ):  # fmt: skip
        with tellers(stream, **arguments) as some:
            assert [type(teller) for teller in some] == expected
            for teller in some:
                teller.tell(Draining(why="x"))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_refused(tmp_path):
    with (
        pytest.raises(OutputError, match=r"--json-log .*No such file"),
        tellers(io.StringIO(), json_log=str(tmp_path / "no" / "log")),
    ):
        pass


def test_the_last_line_tells_what_was_done():
    assert ending(summary()) == (
        "58 pictures annotated, 7 regions; 2 failed; 40 items done before; "
        "30 s, 2.0 pictures a second; read 10%, decode 30%, detect 60%"
    )
    assert "before" not in ending(summary(skipped=0))
    assert ending(summary(done=0, failed=0)) == ("nothing was left to do; 40 items done before")
    assert shares({"read": 1.0, "segment": 0.0}) == "read 100%"
    assert shares({"read": 0.0}) == ""
