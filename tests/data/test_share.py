"""Which positions of an order belong to which process."""

import pytest

from hat.data import share

CASES = [(0, 0, 1), (0, 1, 4), (3, 3, 2), (0, 7, 3), (5, 69, 4), (10, 13, 8), (0, 1000, 7)]


def parts(start, stop, num_processes):
    return [range(*share(start, stop, rank, num_processes)) for rank in range(num_processes)]


@pytest.mark.parametrize(("start", "stop", "num_processes"), CASES)
def test_all_shares_together_are_all_positions_in_order(start, stop, num_processes):
    joined = [position for part in parts(start, stop, num_processes) for position in part]
    assert joined == list(range(start, stop))


@pytest.mark.parametrize(("start", "stop", "num_processes"), CASES)
def test_shares_differ_in_size_by_one_at_most(start, stop, num_processes):
    sizes = [len(part) for part in parts(start, stop, num_processes)]
    assert max(sizes) - min(sizes) <= 1


def test_one_process_takes_everything():
    assert share(4, 9, 0, 1) == (4, 9)


def test_a_process_may_have_nothing_to_do():
    assert sorted(len(part) for part in parts(0, 2, 3)) == [0, 1, 1]


@pytest.mark.parametrize("rank", [-1, 2, 3])
def test_a_rank_that_is_not_there_is_refused(rank):
    with pytest.raises(ValueError, match=f"one of 0 to 1, got {rank}"):
        share(0, 4, rank, 2)


def test_positions_that_run_backwards_are_refused():
    with pytest.raises(ValueError, match="5 to 4 run backwards"):
        share(5, 4, 0, 2)
