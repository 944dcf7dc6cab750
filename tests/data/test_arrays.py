"""Many small things in few arrays."""

import multiprocessing
import pickle

import numpy as np
import pytest

from hat.data.arrays import RaggedArray, StringArray, offsets_of

TEXTS = ["a.jpg", "", "b/ü.jpg", "日本/絵.png", "bad\udcff.jpg", "🚗", "a.jpg"]


@pytest.fixture
def names():
    return StringArray(TEXTS)


def test_texts_come_back(names):
    assert list(names) == TEXTS
    assert len(names) == len(TEXTS)


def test_every_text_can_be_asked_for(names):
    assert [names[n] for n in range(len(TEXTS))] == TEXTS


def test_indices_may_count_from_the_end(names):
    assert [names[-n] for n in range(1, len(TEXTS) + 1)] == TEXTS[::-1]


def test_indices_may_be_of_numpy(names):
    assert names[np.int64(2)] == TEXTS[2]


@pytest.mark.parametrize("index", [7, -8, 1000])
def test_a_text_that_is_not_there_is_refused(names, index):
    with pytest.raises(IndexError, match=f"7 texts, no index {index}"):
        names[index]


@pytest.mark.parametrize(
    "part",
    [
        slice(None),
        slice(1, 4),
        slice(None, None, -1),
        slice(-3, None),
        slice(5, 2),
        slice(0, 99, 3),
    ],
)
def test_a_part_is_a_list(names, part):
    assert names[part] == TEXTS[part]


def test_a_text_can_be_looked_for(names):
    assert names.index("🚗") == 5
    assert "b/ü.jpg" in names
    assert "c" not in names
    assert names.count("a.jpg") == 2


def test_no_texts_are_an_array_too():
    empty = StringArray([])
    assert list(empty) == []
    assert empty[:] == []
    assert len(empty) == 0


def test_texts_may_come_from_a_generator():
    assert list(StringArray(str(n) for n in range(3))) == ["0", "1", "2"]


def test_texts_that_are_mapped_are_the_texts(names):
    mapped = StringArray.from_buffer(names.buffer, names.offsets)
    assert list(mapped) == TEXTS


def test_texts_survive_being_sent(names):
    assert list(pickle.loads(pickle.dumps(names))) == TEXTS


def test_no_object_is_kept_for_each_text():
    many = StringArray(str(n) for n in range(100_000))
    assert {type(value) for value in vars(many).values()} == {np.ndarray}
    # 488,890 letters and 100,001 offsets of 8 bytes.
    assert many.buffer.nbytes + many.offsets.nbytes == 488_890 + 800_008


def send(names, results):
    results.put(list(names))


@pytest.mark.slow
def test_a_spawned_process_reads_the_texts(names):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=send, args=(names, results))
    process.start()
    assert results.get(timeout=100) == TEXTS
    process.join()


def test_rows_belong_to_their_items():
    values = np.arange(12.0).reshape(6, 2)
    items = RaggedArray(values, np.array([0, 2, 2, 6]))
    assert [items[n].tolist() for n in range(3)] == [
        values[:2].tolist(),
        [],
        values[2:].tolist(),
    ]
    assert len(items) == 3


def test_no_items_are_an_array_too():
    assert len(RaggedArray(np.zeros((0, 4)), np.zeros(1, np.int64))) == 0


def test_rows_are_not_copied():
    items = RaggedArray(np.arange(6), np.array([0, 3, 6]))
    assert np.shares_memory(items[1], items.values)


def test_rows_survive_being_sent():
    items = RaggedArray(np.arange(6), np.array([0, 4, 6]))
    assert pickle.loads(pickle.dumps(items))[1].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("lengths", "offsets"), [([], [0]), ([3], [0, 3]), ([2, 0, 3], [0, 2, 2, 5])]
)
def test_offsets_are_the_sums_of_lengths(lengths, offsets):
    assert offsets_of(iter(lengths)).tolist() == offsets
    assert offsets_of(lengths).dtype == np.int64


def test_offsets_exceed_32_bits():
    assert offsets_of([2**31, 2**31]).tolist() == [0, 2**31, 2**32]
