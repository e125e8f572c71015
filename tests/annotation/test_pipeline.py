"""The stages put together: one outcome an item, bounded, and every way to end."""

import threading
import time

import pytest
from job_stubs import InlinePool, ListedItems, ListKeeper, StubLooker

from groundplane.annotation.events import (
    BatchHalved,
    Draining,
    ExpertRestarted,
    Finished,
    ItemFailed,
    Progress,
    Started,
)
from groundplane.annotation.pipeline import Pipeline
from groundplane.annotation.reading import Settings
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import DetectorError

NAMES = [f"{index:03}{'-bad' if index % 10 == 3 else ''}.jpg" for index in range(60)]


def make_pipeline(names=NAMES, *, pool=None, looker=None, keeper=None, **settings):
    settings = {"batch": 4, "patience": 0.01} | settings
    return Pipeline(
        ListedItems(names),
        pool or InlinePool(sizes=((8, 6), (6, 8), (5, 5))),
        looker or StubLooker(),
        keeper=keeper,
        settings=Settings(**settings),
    )


def records(words):
    return [word for word in words if isinstance(word, AnnotationRecord)]


def test_every_item_has_one_outcome():
    words = list(make_pipeline().run())

    assert sorted(record.path for record in records(words)) == NAMES
    failed = {record.path for record in records(words) if record.status == "failed"}
    assert failed == {name for name in NAMES if "bad" in name}


def test_words_come_in_order_and_tell_what_was_done():
    words = list(make_pipeline().run())

    assert words[0] == Started(total=60, recorded=0)
    assert isinstance(words[-1], Finished)
    summary = words[-1].summary
    assert (summary.ended, summary.done, summary.failed, summary.skipped) == ("complete", 54, 6, 0)
    assert summary.stages["decode"] == pytest.approx(0.054)
    assert {"detect", "write"} <= set(summary.stages)
    assert isinstance(words[-2], Progress)
    assert (words[-2].done, words[-2].failed, words[-2].total) == (54, 6, 60)


def test_a_failed_item_is_told_before_its_record():
    words = list(make_pipeline(["bad.jpg"]).run())

    at = words.index(ItemFailed(path="bad.jpg", stage="decode", message="not a picture"))
    assert words[at + 1].path == "bad.jpg"


def test_batches_hold_one_size_and_no_more_than_asked():
    looker = StubLooker()
    list(make_pipeline(looker=looker).run())

    assert max(map(len, looker.batches)) == 4
    assert len(looker.batches) < 25


def test_what_is_decoded_stays_bounded_with_a_slow_expert():
    pool = InlinePool()
    looker = StubLooker(act=lambda batch: time.sleep(0.001))
    list(make_pipeline([f"{i}.jpg" for i in range(400)], pool=pool, looker=looker).run())

    assert pool.held == 0
    assert pool.most_held <= Settings(batch=4).under_way


def test_a_slow_reader_of_records_holds_everything_up():
    pool = InlinePool()
    job = make_pipeline([f"{i}.jpg" for i in range(400)], pool=pool).run()
    for _ in range(3):
        next(job)
    time.sleep(0.2)
    decoded_and_left = 400 - len(pool._line)
    job.close()

    assert decoded_and_left <= 400
    assert pool.closed


def test_what_is_recorded_is_skipped():
    keeper = ListKeeper()
    list(make_pipeline(keeper=keeper).run())
    looker = StubLooker()
    words = list(make_pipeline(keeper=keeper, looker=looker).run())

    assert records(words) == []
    assert looker.batches == []
    assert words[-1].summary.skipped == 60
    assert len(keeper.written) == 60


def test_a_touched_file_is_decoded_but_not_looked_at_again():
    keeper = ListKeeper()
    list(make_pipeline(["a.jpg"], keeper=keeper).run())
    keeper.stamps["a.jpg"] = (1, 99)
    pool = InlinePool()
    words = list(make_pipeline(["a.jpg"], keeper=keeper, pool=pool).run())

    assert words[-1].summary.skipped == 1
    assert pool.held == 0
    assert keeper.stamps["a.jpg"] == (1, 1)
    words = list(make_pipeline(["a.jpg"], keeper=keeper).run())
    assert "decode" not in words[-1].summary.stages


def test_frames_of_videos_are_pictures_too():
    words = list(make_pipeline(["a.jpg", "walk.mp4", "b.jpg"]).run())

    frames = [f"walk.mp4#{index}" for index in range(5)]
    assert sorted(record.path for record in records(words)) == ["a.jpg", "b.jpg", *frames]


def test_the_end_of_a_video_is_kept_after_all_its_frames():
    keeper = ListKeeper()
    names = [f"{i}.mp4" for i in range(8)]
    list(make_pipeline(names, keeper=keeper).run())

    assert sorted(path for path, _ in keeper.ends) == names
    for path, written in keeper.ends:
        frames = [name for name in keeper.written[:written] if name.startswith(f"{path}#")]
        assert len(frames) == 5


def test_a_record_is_handed_out_when_it_is_kept():
    keeper = ListKeeper()
    for word in make_pipeline(keeper=keeper).run():
        if isinstance(word, AnnotationRecord):
            assert word.path in keeper.records
    assert keeper.syncs == 1


def test_draining_finishes_what_is_decoded_and_begins_nothing_new():
    pool, keeper = InlinePool(), ListKeeper()
    pipeline = make_pipeline(
        [f"{i}.jpg" for i in range(2000)], pool=pool, keeper=keeper, hint="again"
    )
    words = []
    for word in pipeline.run():
        words.append(word)
        if len(records(words)) == 20:
            pipeline.drain()

    summary = words[-1].summary
    assert (summary.ended, summary.hint) == ("interrupted", "again")
    assert 20 <= len(records(words)) < 200
    assert pool.held == 0
    assert any(isinstance(word, Draining) for word in words)
    assert [record.path for record in records(words)] == keeper.written
    assert keeper.syncs == 1


def test_a_drained_job_goes_on_to_the_same_end():
    keeper = ListKeeper()
    names = [f"{i}.jpg" for i in range(100)]
    for _ in range(100):
        pipeline = make_pipeline(names, keeper=keeper)
        for word in pipeline.run():
            if isinstance(word, AnnotationRecord):
                pipeline.drain()
        if pipeline.summary.ended == "complete":
            break

    assert sorted(keeper.written) == sorted(names)


def test_stopping_does_not_wait_for_an_expert_that_hangs():
    free = threading.Event()

    class Hanging(StubLooker):
        def close(self):
            free.set()
            super().close()

    looker = Hanging(act=lambda batch: free.wait(30))
    pipeline = make_pipeline(looker=looker)
    threading.Timer(0.1, pipeline.stop).start()
    begun = time.monotonic()
    words = list(pipeline.run())

    assert time.monotonic() - begun < 5
    assert words[-1].summary.ended == "stopped"
    assert all("bad" in record.path for record in records(words))


def test_leaving_the_loop_ends_all_threads():
    before = threading.active_count()
    pool, looker = InlinePool(), StubLooker()
    words = make_pipeline(pool=pool, looker=looker).run()
    next(words)
    words.close()

    assert threading.active_count() == before
    assert pool.closed
    assert looker.closed


def test_too_many_failures_end_the_job():
    pipeline = make_pipeline([f"bad{i}.jpg" for i in range(500)], max_failures=5)
    words = list(pipeline.run())

    assert words[-1].summary.ended == "failures"
    assert 6 <= words[-1].summary.failed < 100
    assert any(word == Draining(why="6 pictures failed, and 5 may") for word in words)


def test_no_more_items_than_asked_are_begun():
    pipeline = make_pipeline(limit=7)
    words = list(pipeline.run())

    assert len(records(words)) == 7
    assert (pipeline.summary.ended, pipeline.summary.total) == ("complete", 7)


def test_as_many_failures_as_may_do_not_end_it():
    words = list(make_pipeline([f"bad{i}.jpg" for i in range(5)], max_failures=5).run())

    assert words[-1].summary.ended == "complete"


def test_a_full_disk_ends_the_job_and_what_is_written_counts():
    keeper = ListKeeper(fails_at=30)
    pipeline = make_pipeline(keeper=keeper, hint="again")
    got = []
    with pytest.raises(OSError, match="No space left"):
        got.extend(pipeline.run())
    assert len(keeper.written) == 30
    assert (pipeline.summary.ended, pipeline.summary.hint) == ("stopped", "again")

    keeper.fails_at = None
    list(make_pipeline(keeper=keeper).run())
    assert sorted(keeper.written) == NAMES


def test_experts_that_cannot_go_on_end_the_job():
    def give_up(batch):
        raise DetectorError("detector 'x': it died 3 times in a row")

    with pytest.raises(DetectorError, match="died 3 times"):
        list(make_pipeline(looker=StubLooker(act=give_up)).run())


def test_a_source_that_fails_ends_the_job():
    class Broken(ListedItems):
        def items(self):
            yield from super().items()
            raise DetectorError("the listing broke off")

    pipeline = Pipeline(Broken(["a.jpg"]), InlinePool(), StubLooker())
    with pytest.raises(DetectorError, match="broke off"):
        list(pipeline.run())


def test_a_looker_that_gives_too_few_records_is_refused():
    class Short(StubLooker):
        def look(self, pictures):
            return super().look(pictures)[:-1]

    with pytest.raises(DetectorError, match="expected a record of each"):
        list(make_pipeline(looker=Short()).run())


def test_a_batch_that_did_not_fit_makes_all_later_ones_smaller():
    looker = StubLooker()

    def shrink(batch):
        if len(batch) > 2:
            looker.largest = 2

    looker.act = shrink
    words = list(make_pipeline([f"{i}.jpg" for i in range(100)], looker=looker).run())

    assert [word.size for word in words if isinstance(word, BatchHalved)] == [2]
    assert len(looker.batches[0]) == 4 or len(looker.batches[1]) == 4
    assert max(map(len, looker.batches[3:])) == 2


def test_a_restarted_expert_is_told():
    looker = StubLooker()

    def restart(batch):
        looker.restarts = 1

    looker.act = restart
    words = list(make_pipeline(looker=looker).run())

    assert [word for word in words if isinstance(word, ExpertRestarted)] == [
        ExpertRestarted(count=1)
    ]


def test_an_empty_source_is_complete():
    words = list(make_pipeline([]).run())

    assert words[0] == Started(total=0, recorded=0)
    assert words[-1].summary.ended == "complete"
    assert words[-1].summary.rate == 0
