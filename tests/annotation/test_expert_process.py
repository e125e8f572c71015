"""Whatever an expert does to its process, one picture fails by name and all others are right."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from looks import job, picture, told
from wild import install_wild

from groundplane.annotation.codec import encode_record
from groundplane.annotation.decoding.slots import Slots, write_slot
from groundplane.annotation.expert_child import Answer, EndedError
from groundplane.annotation.expert_process import ProcessLooker
from groundplane.annotation.in_thread import ThreadLooker
from groundplane.annotation.items import Picture
from groundplane.annotation.looking import Looker, LookTerms, failed_record
from groundplane.core.annotation import AnnotationRecord, VideoFrame
from groundplane.core.errors import DetectorError, InputError, PluginNotFoundError
from groundplane.core.media import read_image
from groundplane.testing.misbehaving import FATAL, MISBEHAVIOURS, WildDetector

# Each start of a process takes over a second, so the short form leaves out what is like another.
# What crashes, and what prints from below, is in whole jobs: test_jobs_of_wild_experts.
LONG = "GROUNDPLANE_CASES" in os.environ
SHORT = ("fills the memory", "forks")
long = pytest.mark.skipif(not LONG, reason="set GROUNDPLANE_CASES: the fake process has it too")
ONES = (
    "raises", "exits", "a box of NaN", "a box without end", "a box from right to left",
    "a box off the image", "boxes of three numbers", "boxes in whole numbers", "ids in bytes",
    "one result too few", "writes to the pixels", "is slow", "prints",
)  # fmt: skip
TERMS = LookTerms(device="cpu", deadline=30.0, memory=400 * 2**20)


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """Makes a looker of the expert that misbehaves as a picture's name says."""
    made = []

    def make(**terms):
        own = replace(TERMS, **terms)
        made.append(ProcessLooker(job("cup", detector="wild"), terms=own))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        install_wild(tmp_path_factory.mktemp("wild"), patch)
        yield make
    for looker in made:
        looker.close()


@pytest.fixture(scope="module")
def shared(wild):
    """A looker for whatever lets its process live."""
    return wild(memory=None, deadline=60.0)


def judged(record, way):
    """Whether a picture ended as its way has it, told by name."""
    if not way.says:
        return record.status == "done" and record.outcomes == ("found",)
    line = record.failure.message
    return (
        record.failure.stage == "detect"
        and way.says in line
        and "\n" not in line
        and "detector 'wild'" in line
    )


def look_at(looker, ways):
    """The records of pictures that misbehave, each between two that do not."""
    names = [name for way in ways for name in (f"before {way}", f"bad/{way}", f"after {way}")]
    return looker.look([picture(f"{name}.png") for name in names])


def alive(group):
    """The processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of = path.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":
                found.append(path)
    return found


def good(record):
    return record.outcomes == ("found",) and record.regions.boxes.tolist() == [[0, 0, 15, 15]]


def test_what_ends_or_fills_the_process_fails_alone_by_name(wild):
    open_before = len(os.listdir("/proc/self/fd"))
    looker = wild()
    ways = [way for way in FATAL if way.name in SHORT or (LONG and "block" not in way.name)]
    records = look_at(looker, ways)
    for index, way in enumerate(ways):
        before, bad, after = records[3 * index : 3 * index + 3]
        assert good(before), (way, before.failure)
        assert good(after), (way, after.failure)
        assert judged(bad, way), (way, bad.failure)
    # Once for the batch and once for each that ends it; the kernel's way to end one that takes
    # all memory leaves open whose fault it was, and so does a limit that others may have used up:
    # those two are asked again.
    assert looker.restarts <= sum(bool(way.says) for way in ways) + 3
    assert good(looker.look([picture("fine.png")])[0])
    group = looker._child._process.pid
    looker.close()
    end = time.monotonic() + 10
    while alive(group) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive(group) == []  # what forked has gone with it
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_what_raises_or_answers_wrongly_costs_no_process(shared):
    ways = [way for way in MISBEHAVIOURS if way.name in ONES or (LONG and way.name != "hangs")]
    for start in range(0, len(ways), 8):
        part = ways[start : start + 8]
        records = look_at(shared, part)
        for index, way in enumerate(part):
            before, bad, after = records[3 * index : 3 * index + 3]
            assert good(before), (way, before.failure)
            assert good(after), (way, after.failure)
            assert judged(bad, way), (way, bad.failure)
    assert shared.restarts == 0


def test_what_hangs_is_given_up_in_time_and_what_blocks_is_ended_in_time(wild):
    looker = wild(deadline=1.6)
    started = time.monotonic()
    first, bad, third = looker.look([picture(f"{name}.png") for name in ("a", "hangs", "b")])
    assert time.monotonic() - started <= 2.6
    assert good(first)
    assert good(third)
    assert "no result within 1.6 s" in bad.failure.message
    assert looker.restarts == 0
    started = time.monotonic()
    [bad] = looker.look([picture("blocks the interpreter.png")])
    assert time.monotonic() - started <= 2.6
    assert "its process ended: no result within 1.6 s" in bad.failure.message


@long
def test_more_that_hang_than_there_are_threads_do_not_take_others_along(wild):
    looker = wild(deadline=1.0)
    names = ["hangs", "a", "x/hangs", "b", "y/hangs", "c", "z/hangs", "d"]
    records = looker.look([picture(f"{name}.png") for name in names])
    assert [record.status for record in records] == ["failed", "done"] * 4


@long
def test_a_model_that_ends_the_process_costs_its_picture_the_description_alone(wild):
    looker = ProcessLooker(job("cup", detector="wild", captioner="parrot"), terms=TERMS)
    try:
        records = looker.look([picture(name) for name in ("a", "mute", "b")])
    finally:
        looker.close()
    assert all(map(good, records))
    told_of = {record.path: record.caption or record.note for record in records}
    assert told_of.pop("mute").endswith("exit code 4")
    assert told_of == {"a": "a", "b": "b"}


@long
def test_an_expert_that_ends_its_process_every_time_ends_the_run_and_is_closed(wild):
    open_before = len(os.listdir("/proc/self/fd"))
    looker = wild(deaths=2)
    with pytest.raises(DetectorError, match="'wild': its process ended 2 times in a row"):
        looker.look([picture(f"{n}/ends its process.png") for n in range(9)])
    looker.close()
    looker.close()
    assert len(os.listdir("/proc/self/fd")) == open_before
    with pytest.raises(DetectorError, match="it was closed"):
        looker.look([picture()])


def test_closing_ends_a_look_that_would_take_for_ever(wild):
    looker = wild(deadline=None)
    told_at = []

    def close():
        told_at.append(time.monotonic())
        looker.close()

    threading.Timer(0.3, close).start()
    with pytest.raises(DetectorError, match="it was closed"):
        looker.look([picture("blocks the interpreter.png")])
    assert time.monotonic() - told_at[0] < 5


def test_own_process_and_own_thread_give_the_same_records(shared):
    pictures = [picture("a.png"), picture("raises.png"), picture("b.png", size=(41, 17))]
    frame = VideoFrame(video="v.mp4", index=3, time=0.125)
    pictures.append(picture("v.mp4#3", frame=frame, to_stored=(0.0, 1.0, 0.0, -1.0, 0.0, 40.0)))
    apart = shared.look(pictures)
    here = ThreadLooker(
        job("cup", detector="object:WildDetector"),
        terms=LookTerms(device="cpu", deadline=60.0),
        detector=WildDetector(WildDetector.Options()),
    ).look(pictures)
    # An object is called by its class, a plugin by its name.
    alike = str(list(map(told, here))).replace("WildDetector", "wild")
    assert str(list(map(told, apart))) == alike
    assert [record.content_hash for record in apart] == [one.content_hash for one in pictures]
    assert [record.to_stored for record in apart] == [one.to_stored for one in pictures]


def test_pixels_in_slots_and_own_ones_are_seen_alike(data_dir):
    pixels = read_image(sorted((data_dir / "photos").glob("*.jpg"))[0]).pixels
    slots = Slots(2, most=pixels.nbytes)
    write_slot(slots.fds[1], pixels)
    apart = ProcessLooker(
        job("face", detector="opencv"), terms=LookTerms(device="cpu"), slots=slots.fds
    )
    own = Picture(path="a.jpg", content_hash="0", pixels=pixels)
    # What lies in the slot is what is seen, not what this process holds.
    shared = replace(own, pixels=np.zeros_like(pixels), slot=1)
    try:
        one, other = apart.look([own, shared])
    finally:
        apart.close()
        slots.close()
    assert told(one) == told(other)


def test_is_a_looker_and_sums_up_its_stages(shared):
    assert isinstance(shared, Looker)
    assert shared.lacking == {}
    before = shared.seconds["detect"]
    shared.look([picture("is slow.png")])
    assert shared.seconds["detect"] - before >= 0.1
    assert set(shared.seconds) == {"detect", "segment", "caption"}


def test_experts_that_cannot_be_had_are_told_at_once_under_their_own_class():
    with pytest.raises(PluginNotFoundError, match="no-such"):
        ProcessLooker(job("cup", detector="no-such"))
    with pytest.raises(InputError, match="is an object"):
        ProcessLooker(job("cup", detector="object:Mine"))


def test_the_one_that_keeps_the_records_loads_no_torch():
    code = "import sys, groundplane.annotation.expert_process as m; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class FakeChild:
    """A process as a looker sees it; what comes of a look stands in the pictures' names.

    Attributes:
        asked: The names of each look of all processes, `|` before the first of a new one.
    """

    asked: ClassVar[list[str]] = []
    most = 99

    def __init__(self, start):
        self.who, self.lacking, self.seconds, self.served = "detector 'x'", {}, {}, 0
        self.leak = 0
        FakeChild.asked.append("|")

    def look(self, pictures, *, captions=True):
        names = [one.path for one in pictures]
        FakeChild.asked.append(" ".join(names) + ("" if captions else " bare"))
        self.leak += sum("leak" in name for name in names)
        if "stop" in names:
            raise KeyboardInterrupt
        if any("die" in name for name in names):
            raise EndedError("signal SIGSEGV", stage="detect")
        if any("mute" in name for name in names) and captions:
            raise EndedError("exit code 1", stage="caption")
        if len(names) > FakeChild.most or self.leak > 2:
            raise EndedError("more than 5 MiB", stage="detect", memory=True)
        hung = [name for name in names if "hang" in name]
        late = set(names if len(hung) > 2 else hung)
        self.served += 1
        self.seconds = {"detect": float(self.served)}
        records = [
            failed_record(one, "detect", "no result")
            if one.path in late
            else AnnotationRecord(
                path=one.path, content_hash="", status="done", size=one.size, outcomes=("none",)
            )
            for one in pictures
        ]
        return Answer(records=tuple(map(encode_record, records)), stuck=len(hung))

    def said(self):
        return ""

    def too_large(self):
        return False

    def kill(self):
        pass

    end = kill


@pytest.fixture
def fake(monkeypatch):
    """Looks at pictures of these names; gives who failed, and what the processes were asked."""
    monkeypatch.setattr("groundplane.annotation.expert_process.Child", FakeChild)
    monkeypatch.setattr(FakeChild, "asked", [])
    looker = ProcessLooker(job("cup", detector="x", captioner="parrot"))

    def look(*names):
        FakeChild.asked.clear()
        records = looker.look([picture(name) for name in names])
        assert [record.path for record in records] == list(names)
        bad = [record.path for record in records if record.failure]
        return bad, list(FakeChild.asked)

    look.looker = looker
    return look


def test_each_of_a_batch_that_ended_the_process_is_asked_alone_once(fake):
    assert fake("a", "die", "b", "c") == (
        ["die"],
        ["a die b c", "|", "a", "die", "|", "b", "c"],
    )
    assert fake.looker.restarts == 2


def test_no_pictures_ask_nothing(fake):
    assert fake() == ([], [])


def test_memory_that_others_left_full_is_nobodys_fault(fake):
    assert fake("leak1", "leak2") == ([], ["leak1 leak2"])
    assert fake("leak3") == ([], ["leak3", "|", "leak3"])


def test_a_batch_that_is_too_large_for_the_memory_is_remembered(fake, monkeypatch):
    monkeypatch.setattr(FakeChild, "most", 2)
    assert fake("a", "b", "c", "d") == ([], ["a b c d", "|", "a", "b", "c", "d"])
    assert fake.looker.largest == 2
    assert fake("e", "f", "g", "h") == ([], ["e f", "g h"])


def test_those_that_were_late_in_a_crowd_that_hangs_are_asked_alone(fake):
    bad, asked = fake("hang1", "a", "hang2", "hang3", "b")
    assert bad == ["hang1", "hang2", "hang3"]
    assert asked[1:] == ["hang1", "a", "hang2", "hang3", "b"]


def test_a_process_in_which_many_calls_hang_is_replaced(fake):
    assert fake("hang1", "hang2") == (["hang1", "hang2"], ["hang1 hang2"])
    _, asked = fake("hang1", "hang2", "hang3", "hang4", "a")
    assert asked == ["hang1 hang2 hang3 hang4 a", "|", "hang1", "hang2", "hang3", "hang4", "a"]


def test_a_process_that_ends_over_a_description_leaves_the_record_and_a_note(fake):
    [record] = fake.looker.look([picture("mute")])
    assert record.status == "done"
    assert record.note == (
        "no description: language model 'parrot': its process ended: exit code 1"
    )


def test_an_answer_that_nobody_waited_for_is_never_taken_for_another(fake):
    with pytest.raises(KeyboardInterrupt):
        fake("stop")
    assert fake("a") == ([], ["|", "a"])


def test_a_process_that_ends_every_time_ends_the_run(fake):
    fake.looker = ProcessLooker(job("cup", detector="x"), terms=LookTerms(deaths=2))
    with pytest.raises(DetectorError, match=r"'x': its process ended 2 times in a row .* is kept"):
        fake.looker.look([picture("die1"), picture("die2"), picture("die3")])
    assert FakeChild.asked.count("|") == 3


def test_one_that_was_closed_looks_no_more(fake):
    fake.looker.close()
    fake.looker.close()
    with pytest.raises(DetectorError, match="it was closed"):
        fake("a")


def test_stages_of_processes_that_ended_count_too(fake):
    fake("a")
    fake("b")
    fake("die")
    fake("c")
    assert fake.looker.seconds == {"detect": 3.0}
