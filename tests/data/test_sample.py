"""What a batch says about itself."""

import pytest
import torch

from hat.data.sample import num_samples


def test_a_batch_has_as_many_samples_as_ids():
    assert num_samples({"extra": torch.zeros(2), "img_id": [1, 2, 3]}) == 3


def test_without_ids_the_first_sized_value_counts():
    assert num_samples({"weight": torch.tensor(1.0), "img": torch.zeros(4, 3)}) == 4


def test_a_pair_of_tensors_is_counted_by_the_first():
    assert num_samples((torch.zeros(5, 3), torch.zeros(5))) == 5


@pytest.mark.parametrize("batch", [{}, {"weight": 1.0}, [], 3])
def test_a_batch_without_a_length_is_refused(batch):
    with pytest.raises(TypeError, match="cannot tell how many samples"):
        num_samples(batch)
