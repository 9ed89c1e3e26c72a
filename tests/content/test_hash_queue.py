"""Which file is hashed next."""

import pytest

from rede_p2p.content.hash_queue import HashQueue, Job

MIB = 2**20


@pytest.fixture
def queue():
    return HashQueue()


def order(queue):
    paths = []
    while begun := queue.begin(None):
        paths.append(begun[0])
    return paths


def test_what_somebody_waits_for_comes_first_and_small_before_large(queue):
    for path, size, soon in [
        ("idle large", 9, False),
        ("idle small", 1, False),
        ("asked large", 8, True),
        ("asked small", 2, True),
        ("asked as small", 2, True),
    ]:
        assert queue.add(path, size, soon=soon)
    assert len(queue) == 5
    assert order(queue) == [
        "asked small", "asked as small", "asked large", "idle small", "idle large",
    ]  # fmt: skip
    assert len(queue) == 0


def test_a_file_that_somebody_asks_for_later_moves_up_and_is_hashed_once(queue):
    queue.add("small", 1, soon=False)
    queue.add("large", 9, soon=False)
    assert queue.add("large", 9, soon=True)
    assert not queue.add("large", 9, soon=False)
    assert len(queue) == 2
    assert order(queue) == ["large", "small"]


@pytest.mark.parametrize(
    ("wish", "job", "goes"),
    [
        ((4 * MIB, True), Job(later=True, size=MIB), True),
        ((4 * MIB, True), Job(later=False, size=MIB), False),
        ((MIB, True), Job(later=False, size=4 * MIB), True),
        ((MIB, False), Job(later=True, size=4 * MIB), True),
        ((MIB, False), Job(later=True, size=4 * MIB, done=3 * MIB), False),
        ((MIB, False), Job(later=False, size=4 * MIB), False),
        ((0, False), Job(later=True, size=0), False),
        ((0, True), Job(later=False, size=MIB, done=MIB), False),
    ],
)
def test_a_file_under_way_is_put_off_for_one_waited_for_or_much_smaller(queue, wish, job, goes):
    queue.add("other", wish[0], soon=wish[1])
    assert (queue.begin(job) is not None) == goes
    assert len(queue) == (not goes)


def test_a_file_under_way_that_somebody_asks_for_is_put_off_for_idle_ones_no_more(queue):
    queue.add("large", 4 * MIB, soon=False)
    _, job = queue.begin(None)
    assert not queue.add("large", 4 * MIB, soon=True)
    queue.add("small", 1, soon=False)
    assert queue.begin(job) is None


def test_it_tells_what_waits_and_what_is_being_hashed(queue):
    assert "a" not in queue
    queue.add("a", 1, soon=False)
    assert "a" in queue
    queue.begin(None)
    assert "a" in queue
    del queue.jobs["a"]
    assert "a" not in queue
