"""A pipe is in order, bounded, and can be ended from both sides."""

import threading
import time

from groundplane.annotation.pipes import Pipe


def test_everything_comes_out_in_order():
    pipe = Pipe(3)

    def fill():
        for number in range(200):
            pipe.put(number)
        pipe.end()

    threading.Thread(target=fill, daemon=True).start()
    out = []
    while (number := pipe.get()) is not None:
        out.append(number)

    assert out == list(range(200))


def test_whoever_puts_waits_while_it_is_full():
    pipe = Pipe(2)
    put = []

    def fill():
        for number in range(5):
            pipe.put(number)
            put.append(number)

    threading.Thread(target=fill, daemon=True).start()
    time.sleep(0.05)

    assert put == [0, 1]
    assert pipe.get() == 0


def test_closing_lets_those_who_wait_go_on():
    full, empty = Pipe(1), Pipe(1)
    full.put("a")
    got = []
    threads = [
        threading.Thread(target=lambda: got.append(full.put("b"))),
        threading.Thread(target=lambda: got.append(empty.get())),
    ]
    for thread in threads:
        thread.start()
    full.close()
    empty.close()
    for thread in threads:
        thread.join(5)

    assert set(got) == {False, None}
    assert full.get() is None


def test_what_was_put_before_the_end_still_comes_out():
    pipe = Pipe(2)
    pipe.put("a")
    pipe.end()

    assert [pipe.get(), pipe.get()] == ["a", None]
