"""Which positions of an order belong to which process."""


def share(start: int, stop: int, rank: int, num_processes: int) -> tuple[int, int]:
    """The part of some positions that one of several processes takes.

    Parts are contiguous, in the order of ranks, and differ in size by at most one, so
    all of them together are `range(start, stop)`, each position once and in order. Of
    fewer positions than processes some parts are empty. Shares of each step make a
    global batch that is the same for any number of processes; a share of the whole
    epoch serves as well for an evaluation that sees every sample exactly once.

    Args:
        start: The first position.
        stop: One behind the last position; not before `start`.
        rank: Which process, from 0.
        num_processes: How many there are.

    Returns:
        The part's own start and stop.

    Raises:
        ValueError: If `rank` is none of the processes, or `stop` is before `start`.

    Example:
        >>> [share(10, 17, rank, 3) for rank in range(3)]
        [(10, 12), (12, 14), (14, 17)]
    """
    if not 0 <= rank < num_processes:
        raise ValueError(f"rank must be one of 0 to {num_processes - 1}, got {rank}")
    if stop < start:
        raise ValueError(f"positions {start} to {stop} run backwards")
    count = stop - start
    return start + count * rank // num_processes, start + count * (rank + 1) // num_processes
