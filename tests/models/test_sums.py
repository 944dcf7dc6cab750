"""What the sums of losses over a batch are divided by."""

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed, nn

from hat.models import Objects
from hat.models.task_modules.sums import check_classes, loss_values, num_positives


def of_two_processes(rank, folder):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    counts = [torch.tensor(5 * rank), torch.tensor(0)]
    found = [num_positives(count, training=True).item() for count in counts]
    # One process alone, as at the end of an evaluation: it must not wait for the other.
    if rank == 0:
        found.append(num_positives(torch.tensor(7), training=False).item())
    distributed.barrier()
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(of_two_processes, args=(str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 1), (7, 7)])
def test_a_process_alone_divides_by_its_positives_or_one(count, expected):
    assert num_positives(torch.tensor(count), training=True).item() == expected


@pytest.mark.slow
def test_two_processes_divide_by_the_mean_of_their_positives(found):
    assert [each[0] for each in found] == [2.5, 2.5]


@pytest.mark.slow
def test_two_processes_without_positives_divide_the_sum_by_one(found):
    assert [each[1] for each in found] == [0.5, 0.5]


@pytest.mark.slow
def test_a_process_that_evaluates_waits_for_no_other(found):
    assert found[0][2] == 7


def test_counting_leaves_the_count_as_it_was():
    count = torch.tensor(0.0)
    num_positives(count, training=True)
    assert count.item() == 0


def test_values_of_a_loss_are_passed_on():
    loss = nn.L1Loss(reduction="none")
    values = loss_values(loss, torch.ones(3, 4), torch.zeros(3, 4), name="bbox_loss")
    assert torch.equal(values, torch.ones(3, 4))


def test_a_loss_that_gives_one_number_is_refused():
    with pytest.raises(ValueError, match=r"bbox_loss=L1Loss gives \(\) for \(3, 4\)"):
        loss_values(nn.L1Loss(), torch.ones(3, 4), torch.zeros(3, 4), name="bbox_loss")


@pytest.mark.parametrize("classes", [[0, 3], [-1, 1]])
def test_classes_beyond_those_of_the_task_are_refused(classes):
    classes = torch.tensor(classes)
    objects = Objects(torch.zeros(2, 4), classes, torch.zeros(0, 4), torch.ones(2).bool())
    with pytest.raises(ValueError, match=r"gt_classes go from -?\d to \d, but num_classes=3"):
        check_classes([objects], 3)
