"""Threads beside each other: in order, few at a time, and over when they should be."""

import threading
import time

import pytest
import torch

from gatys_lab._pipeline import ahead, in_order, own_threads


def slow(made, count=20):
    for i in range(count):
        made.append(i)
        yield i


def test_items_are_made_ahead_and_not_further():
    made = []
    items = ahead(slow(made), depth=3)
    assert next(items) == 0
    time.sleep(0.05)
    assert len(made) == 4  # the one that is used, and three that wait
    assert list(items) == list(range(1, 20))


def test_results_come_in_order_and_few_are_worked_at():
    working, most, lock = 0, 0, threading.Lock()

    def work(i):
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        time.sleep(0.002 * (i % 3))
        with lock:
            working -= 1
        return -i

    assert list(in_order(work, range(20), workers=3, threads=1)) == [(i, -i) for i in range(20)]
    assert 2 <= most <= 3


def test_what_goes_wrong_is_heard_where_it_is_used_and_nothing_new_begins():
    begun = []

    def work(i):
        begun.append(i)
        if i == 2:
            raise ValueError("two")
        return i

    def breaks():
        yield 1
        raise OSError("damaged")

    done = in_order(work, slow([]), workers=2, threads=1)
    assert [next(done)[0], next(done)[0]] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(done)
    assert len(begun) <= 5
    threads = threading.active_count()
    items = ahead(breaks())
    assert next(items) == 1
    with pytest.raises(OSError, match="damaged"):
        next(items)
    assert threading.active_count() <= threads


def test_who_stops_listening_ends_the_threads():
    before, made = threading.active_count(), []
    items = in_order(lambda i: i, ahead(slow(made)), workers=2, threads=1)
    next(items)
    items.close()
    del items
    assert threading.active_count() == before and len(made) < 10


def test_every_thread_has_its_part_of_torchs_threads(one_thread):
    torch.set_num_threads(4)
    with own_threads(1):
        told = [n for _, n in in_order(lambda i: torch.get_num_threads(), range(4), workers=2, threads=2)]
        assert (torch.get_num_threads(), told) == (1, [2] * 4)
    assert torch.get_num_threads() == 4
