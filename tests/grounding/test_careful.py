"""Asking in halves and within a deadline, apart from the router."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.core.detection import DetectRequest
from groundplane.core.errors import DetectorError
from groundplane.core.workers import WorkerPool
from groundplane.grounding.careful import Attempt, ask_once, halve, in_halves
from groundplane.grounding.deadlines import Job, run_all
from groundplane.testing.detectors import make_image

IMAGE = make_image(np.zeros((9, 9, 3), np.uint8), name="room.jpg")


def request(number):
    return DetectRequest(image=IMAGE, phrases=(str(number),))


def numbers(requests):
    return [int(request.phrases[0]) for request in requests]


class TestHalves:
    def attempt(self, bad, calls):
        def do(requests):
            calls.append(numbers(requests))
            if not bad & set(calls[-1]):
                return Attempt(answers=[-n for n in calls[-1]], halves=[])
            error = DetectorError("detector 'x' failed")
            groups = [[row] for row in range(len(requests))]
            return Attempt(answers=[error] * len(requests), halves=halve(groups))

        return do

    @settings(deadline=None)
    @given(st.integers(0, 40), st.sets(st.integers(0, 39), max_size=8))
    def test_exactly_the_bad_ones_fail(self, count, bad):
        calls = []
        requests = [request(n) for n in range(count)]
        answers = in_halves(requests, self.attempt(bad, calls), who="detector 'x'")
        for number, answer in enumerate(answers):
            if number in bad:
                assert isinstance(answer, DetectorError)
            else:
                assert answer == -number
        assert len(answers) == count

    def test_one_bad_one_among_a_thousand_costs_few_calls(self):
        calls = []
        in_halves([request(n) for n in range(1000)], self.attempt({613}, calls), who="x")
        assert len(calls) <= 2 * math.ceil(math.log2(1000)) + 1

    def test_after_the_end_nothing_is_asked_again(self):
        calls = []
        answers = in_halves(
            [request(n) for n in range(4)],
            self.attempt({2}, calls),
            who="detector 'x'",
            end=time.monotonic() - 1,
        )
        assert len(calls) == 1
        for answer in answers:
            assert str(answer) == (
                "detector 'x' was not asked again about 'room.jpg': its time was over when the "
                "batch failed with: detector 'x' failed"
            )

    def test_those_that_ask_the_same_are_not_parted(self):
        assert halve([[0, 3], [1], [2, 4]]) == [([0, 3], [1, 2, 4])]


class TestOnce:
    def test_an_interrupt_passes_through(self):
        def interrupt(requests):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ask_once([request(1)], interrupt, lambda result, request: result, who="x")

    def test_running_out_of_memory_on_the_cpu_frees_memory_too(self):
        from groundplane.core.feature_cache import shared_cache

        def ask(requests):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        shared_cache().get_or_make("encoding", lambda: torch.zeros(10))
        with pytest.raises(DetectorError, match="can't allocate memory"):
            ask_once([request(1)], ask, lambda result, request: result, who="x")
        assert shared_cache().stats.entries == 0

    def test_another_error_leaves_the_cache_alone(self):
        from groundplane.core.feature_cache import shared_cache

        def ask(requests):
            raise RuntimeError("no luck")

        shared_cache().get_or_make("encoding", lambda: torch.zeros(10))
        with pytest.raises(DetectorError):
            ask_once([request(1)], ask, lambda result, request: result, who="x")
        assert shared_cache().stats.entries == 1
        shared_cache().clear()


def job(ask, count=3, who="detector 'x'"):
    return Job(who=who, requests=tuple(request(n) for n in range(count)), ask=ask)


def run(*jobs, seconds, pool=None):
    pool = pool or WorkerPool(4)
    return run_all(jobs, pool=pool, start=time.monotonic(), seconds=seconds)


class TestDeadlines:
    def test_without_one_jobs_run_in_this_thread(self):
        threads = []

        def ask(requests):
            threads.append(threading.current_thread())
            return numbers(requests)

        assert run(job(ask), job(ask, 2), seconds=None) == [[0, 1, 2], [0, 1]]
        assert set(threads) == {threading.current_thread()}

    def test_no_jobs_give_nothing(self):
        assert run(seconds=1.0) == []

    def test_jobs_run_side_by_side(self):
        gate = threading.Barrier(3, timeout=20)

        def ask(requests):
            gate.wait()
            return numbers(requests)

        assert run(*(job(ask, 1, who=who) for who in "abc"), seconds=20.0) == [[0]] * 3

    def test_batches_of_one_expert_run_one_after_the_other(self):
        under_way, most = [], []

        def ask(requests):
            under_way.append(1)
            most.append(len(under_way))
            time.sleep(0.02)
            under_way.pop()
            return numbers(requests)

        assert run(*(job(ask) for _ in range(5)), seconds=20.0) == [[0, 1, 2]] * 5
        assert max(most) == 1

    def test_batches_behind_one_that_hangs_are_served(self):
        release, calls = threading.Event(), []

        def ask(requests):
            calls.append(numbers(requests))
            return numbers(requests)

        def hang(requests):
            release.wait(20)
            return numbers(requests)

        first, second, third = run(job(hang, 1), job(ask), job(ask), seconds=2.0)
        release.set()
        assert isinstance(first[0], DetectorError)
        assert second == third == [0, 1, 2]
        assert calls == [[0, 1, 2]] * 2

    def test_the_neighbours_of_one_that_hangs_are_asked_alone(self):
        release, calls = threading.Event(), []

        def ask(requests):
            calls.append(numbers(requests))
            if 1 in calls[-1]:
                release.wait(20)
            return numbers(requests)

        started = time.monotonic()
        [answers] = run(job(ask), seconds=1.5)
        took = time.monotonic() - started
        release.set()
        assert (answers[0], answers[2]) == (0, 2)
        assert str(answers[1]) == "detector 'x': no result within 1.5 s"
        assert calls == [[0, 1, 2], [0], [1], [2]]
        assert took < 2.5

    def test_a_batch_that_is_only_slow_is_served(self):
        def ask(requests):
            time.sleep(0.4 * (len(requests) > 1))
            return numbers(requests)

        assert run(job(ask), seconds=0.6 * 10) == [[0, 1, 2]]

    def test_when_all_threads_hang_it_is_said(self):
        release = threading.Event()
        pool = WorkerPool(1, limit=1)

        def hang(requests):
            release.wait(20)
            return numbers(requests)

        run(job(hang, 1), seconds=0.1, pool=pool)
        [[answer]] = run(job(hang, 1), seconds=5.0, pool=pool)
        release.set()
        assert str(answer) == "detector 'x': not asked: 1 calls past their deadline hang"

    def test_what_is_no_error_of_ours_passes_through(self):
        def broken(requests):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run(job(broken), seconds=5.0)

    def test_threads_leave_when_all_is_done(self):
        pool = WorkerPool(4)
        run(job(numbers), seconds=5.0, pool=pool)
        until = time.monotonic() + 5
        while pool.threads and time.monotonic() < until:
            time.sleep(0.01)
        assert pool.threads == 0
