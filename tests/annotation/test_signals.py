"""The first signal drains, the second stops, and afterwards all is as before."""

import os
import signal
import threading

import pytest

from groundplane.annotation.signals import drained_by_signals


class Job:
    def __init__(self):
        self.calls = []

    def drain(self, why="interrupted"):
        self.calls.append(("drain", why))

    def stop(self):
        self.calls.append(("stop",))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_drains_and_the_second_stops(number):
    job = Job()
    with drained_by_signals(job):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

    assert [call[0] for call in job.calls] == ["drain", "stop"]
    assert signal.Signals(number).name in job.calls[0][1]


def test_afterwards_a_signal_does_what_it_did():
    before = signal.getsignal(signal.SIGINT)
    with drained_by_signals(Job()):
        assert signal.getsignal(signal.SIGINT) is not before

    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_changed():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with drained_by_signals(Job()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [before]
