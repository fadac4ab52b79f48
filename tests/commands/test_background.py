"""Work in a thread beside a loop: order, errors in their turn, and what is left when the loop is interrupted."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import pytest

from personlab.commands.background import in_background


def test_results_come_in_order_and_from_another_thread():
    names = []

    def work(n):
        time.sleep(0.01 * (n % 3))
        names.append(threading.current_thread().name)
        return n * n

    assert list(in_background(work, range(7))) == [(n, n * n) for n in range(7)]
    assert len(set(names)) == 1
    assert names[0].startswith("personlab background")
    assert list(in_background(work, [])) == []


def test_fetching_and_working_overlap():
    def slow():
        for n in range(6):
            time.sleep(0.05)
            yield n

    start = time.perf_counter()
    assert len(list(in_background(lambda _: time.sleep(0.05), slow()))) == 6
    assert time.perf_counter() - start < 0.5  # one after the other: 0.6 s


def test_few_items_wait():
    gate, fetched = threading.Event(), []

    def items():
        for n in itertools.count():
            fetched.append(n)
            yield n

    results = in_background(lambda _: gate.wait(0.2), items(), ahead=2)
    next(results)
    assert len(fetched) == 3
    gate.set()
    results.close()


def test_an_error_is_raised_in_its_turn_and_ends_the_work():
    done = []

    def work(n):
        if n == 3:
            raise OSError("the disk is full")
        done.append(n)

    seen = []
    with pytest.raises(OSError, match="the disk is full"):
        seen.extend(n for n, _ in in_background(work, range(9)))
    assert done == [0, 1, 2]


def test_what_is_finished_at_an_interruption_is_yielded_first():
    started, seen = threading.Event(), []

    def items():
        yield from (0, 1)
        started.wait(5)
        raise KeyboardInterrupt

    def work(n):
        if n == 1:
            started.set()
            time.sleep(0.1)
        return n

    with pytest.raises(KeyboardInterrupt):
        seen.extend(n for n, _ in in_background(work, items()))
    assert seen == [0, 1]


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
def test_an_interruption_while_the_loop_waits_for_a_result_yields_that_result():
    waiting, done, seen = threading.Event(), [], []

    def work(n):
        if n == 1:
            waiting.wait(5)
            time.sleep(0.1)  # the loop waits for this result by now
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.1)
        done.append(n)
        return n

    def items():
        yield from range(3)
        waiting.set()
        yield 3

    with pytest.raises(KeyboardInterrupt):
        seen.extend(n for n, _ in in_background(work, items()))
    assert seen == done == [0, 1]


def test_closing_waits_for_the_call_in_progress_and_starts_no_other():
    done = []

    def work(n):
        time.sleep(0.05)
        done.append(n)

    results = in_background(work, itertools.count(), ahead=3)
    next(results)
    results.close()
    count = len(done)
    time.sleep(0.1)
    assert len(done) == count
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("personlab background")]
