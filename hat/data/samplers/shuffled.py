"""A new order every epoch that needs no memory and starts anywhere."""

import numpy as np
from numpy.typing import NDArray

from hat.seeding import ORDER_STREAM, derive_key

_NUM_ROUNDS = 12


class ShuffledSampler:
    """Visits every sample once, in an order that depends on seed and epoch alone.

    The order is a permutation that is computed, not stored: a set of 50 million
    samples costs the same as one of 50, and so does starting in the middle.

    Example:
        >>> ShuffledSampler().indices(10, seed=0, epoch=0, start=8, stop=10).shape
        (2,)
    """

    def length(self, dataset_length: int) -> int:
        return dataset_length

    def indices(
        self, dataset_length: int, seed: int, epoch: int, start: int, stop: int
    ) -> NDArray[np.int64]:
        positions = np.arange(start, stop, dtype=np.uint64)
        key = derive_key(seed, ORDER_STREAM, epoch)
        return permute(positions, dataset_length, key).astype(np.int64)


def permute(positions: NDArray[np.uint64], length: int, key: int) -> NDArray[np.uint64]:
    """Where a keyed permutation of `range(length)` sends some positions.

    A Feistel network permutes the numbers of as many bits as `length` needs; a result
    that is too large is permuted again until it falls inside ("cycle walking"), which
    keeps it a permutation and takes fewer than two tries on average.

    Args:
        positions: uint64, shape (n,), each below `length`.
        length: At least 1.
        key: Which of the permutations.

    Returns:
        uint64, shape (n,), each below `length`, no two alike for unlike positions.

    Reference:
        Luby and Rackoff, How to Construct Pseudorandom Permutations, 1988 (Feistel);
        Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002 (cycle walking).
    """
    num_bits = max(2, (length - 1).bit_length())
    round_keys = np.array([derive_key(key, number) for number in range(_NUM_ROUNDS)], np.uint64)
    result = _feistel(positions, num_bits, round_keys)
    outside = np.nonzero(result >= length)[0]
    while outside.size:
        walked = _feistel(result[outside], num_bits, round_keys)
        result[outside] = walked
        outside = outside[walked >= length]
    return result


def _feistel(
    values: NDArray[np.uint64], num_bits: int, round_keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """A bijection of numbers of `num_bits` bits: halves are mixed into each other in turn."""
    low_bits = np.uint64(num_bits // 2)
    low_mask = np.uint64((1 << (num_bits // 2)) - 1)
    high_mask = np.uint64((1 << (num_bits - num_bits // 2)) - 1)
    low, high = values & low_mask, values >> low_bits
    for number, round_key in enumerate(round_keys):
        if number % 2:
            low = low ^ (_mix(high, round_key) & low_mask)
        else:
            high = high ^ (_mix(low, round_key) & high_mask)
    return (high << low_bits) | low


def _mix(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64; products wrap around, as they must."""
    mixed = (values ^ key) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
