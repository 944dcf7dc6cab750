"""Random numbers and permutations computed from keys, for many positions at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.seeding import derive_key

_NUM_ROUNDS = 12
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keys_at(base: int, *position: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A 64-bit key for each position, which may have several parts.

    Args:
        base: Which family of keys; one of `derive_key`.
        position: Parts of the positions, uint64, each shape (n,).

    Returns:
        uint64, shape (n,).

    Reference:
        Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    keys = np.full(position[0].shape, base, np.uint64)
    for part in position:
        keys = _finalized(keys + (part + np.uint64(1)) * _GOLDEN)
    return keys


def uniform(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """For each key a number of [0, 1), from its upper 53 bits."""
    return (keys >> np.uint64(11)).astype(np.float64) * np.float64(2.0**-53)


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
    return _walked(positions, np.uint64(length), np.uint64(num_bits), round_keys)


def permute_each(
    positions: NDArray[np.uint64], lengths: NDArray[np.uint64], keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """`permute` of every position by a permutation of its own.

    Args:
        positions: uint64, shape (n,).
        lengths: uint64, shape (n,); each above its position.
        keys: uint64, shape (n,).

    Returns:
        uint64, shape (n,); each below its length.
    """
    if not len(positions):
        return positions.copy()
    distinct, place = np.unique(lengths, return_inverse=True)
    num_bits = np.array([max(2, (int(n) - 1).bit_length()) for n in distinct], np.uint64)[place]
    rounds = np.arange(_NUM_ROUNDS, dtype=np.uint64)[:, None]
    round_keys = _finalized(keys + (rounds + np.uint64(1)) * _GOLDEN)
    return _walked(positions, lengths, num_bits, round_keys)


def _walked(
    positions: NDArray[np.uint64], lengths: Any, num_bits: Any, round_keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Through the network until inside; lengths, bits and keys are one or one for each."""
    result = _feistel(positions, num_bits, round_keys)
    outside = np.nonzero(result >= lengths)[0]
    while outside.size:
        if round_keys.ndim == 1:
            walked = _feistel(result[outside], num_bits, round_keys)
            is_outside = walked >= lengths
        else:
            walked = _feistel(result[outside], num_bits[outside], round_keys[:, outside])
            is_outside = walked >= lengths[outside]
        result[outside] = walked
        outside = outside[is_outside]
    return result


def _feistel(
    values: NDArray[np.uint64], num_bits: Any, round_keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """A bijection of numbers of `num_bits` bits: halves are mixed into each other in turn."""
    one = np.uint64(1)
    low_bits = num_bits >> one
    low_mask = (one << low_bits) - one
    high_mask = (one << (num_bits - low_bits)) - one
    low, high = values & low_mask, values >> low_bits
    for number, round_key in enumerate(round_keys):
        if number % 2:
            low = low ^ (_mix(high, round_key) & low_mask)
        else:
            high = high ^ (_mix(low, round_key) & high_mask)
    return (high << low_bits) | low


def _mix(values: NDArray[np.uint64], key: Any) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 without its first shift; products wrap around, as they must."""
    mixed = (values ^ key) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _finalized(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64, a bijection."""
    return _mix(values ^ (values >> np.uint64(30)), np.uint64(0))
