"""A batch is the same after its way from a worker, and on a device."""

import contextlib

import pytest
import torch
from torchvision import tv_tensors

from hat.data import DataLoader, DevicePrefetcher
from hat.data.loaders.transport import PackedBatch
from hat.data.pixels import Image, Mask

BOXES = tv_tensors.BoundingBoxes(
    torch.tensor([[1.0, 2.0, 3.0, 4.0]]), format="XYXY", canvas_size=(20, 30)
)
POINTS = tv_tensors.KeyPoints(torch.rand(2, 3, 2), canvas_size=(5, 6))
VALUES = {
    "boxes": BOXES,
    "no boxes": tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(2, 3)),
    "points": POINTS,
    "bool mask": Mask(torch.rand(2, 5, 7) > 0.5),
    "depth": Mask(torch.rand(5, 7)),
    "picture": Image(torch.arange(60, dtype=torch.uint8).view(3, 4, 5)),
    "channels innermost": Image(torch.arange(60, dtype=torch.uint8).view(4, 5, 3).permute(2, 0, 1)),
    "every second": torch.arange(12).view(3, 4)[:, ::2],
    "expanded": torch.ones(1, 3).expand(4, 3),
    "half": torch.rand(3).to(torch.bfloat16),
    "number": torch.tensor(7),
    "large": torch.rand(300, 300),
    "needs gradients": torch.rand(3, requires_grad=True),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_tensor_arrives_as_it_was(value):
    (packed,) = PackedBatch([value]).unpack()
    assert type(packed) is type(value)
    assert packed.dtype == value.dtype
    assert torch.equal(packed, value)
    assert packed.__dict__ == value.__dict__


def test_channels_stay_innermost():
    (packed,) = PackedBatch([VALUES["channels innermost"]]).unpack()
    assert packed.stride() == VALUES["channels innermost"].stride()


def test_small_tensors_share_one_buffer():
    boxes = [BOXES.clone() for _ in range(64)]
    unpacked = PackedBatch({"gt_bboxes": boxes}).unpack()["gt_bboxes"]
    assert len({boxes.untyped_storage().data_ptr() for boxes in unpacked}) == 1


def test_changing_one_tensor_changes_no_other():
    first, second = PackedBatch([torch.zeros(3), torch.zeros(3)]).unpack()
    first += 1
    assert second.tolist() == [0, 0, 0]


def test_what_is_no_tensor_stays():
    batch = {"img_id": ["a", 2], "ori_shape": [(4, 5)], "nothing": None, "empty": []}
    assert PackedBatch(batch).unpack() == batch


class Boxes:
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"gt_bboxes": VALUES["no boxes"] if index == 1 else BOXES}


def test_boxes_arrive_from_a_worker_with_their_class_and_canvas():
    (batch,) = DataLoader(Boxes(), batch_size=3, num_workers=1)
    assert [type(boxes) for boxes in batch["gt_bboxes"]] == [tv_tensors.BoundingBoxes] * 3
    assert [boxes.canvas_size for boxes in batch["gt_bboxes"]] == [(20, 30), (2, 3), (20, 30)]
    assert [len(boxes) for boxes in batch["gt_bboxes"]] == [1, 0, 1]


# On a device


class FakeStream:
    def __init__(self, device=None):
        self.waited_for = []

    def wait_stream(self, stream):
        self.waited_for.append(stream)


@pytest.fixture
def streams(monkeypatch):
    current, within = FakeStream(), []
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)

    @contextlib.contextmanager
    def stream(used):
        within.append(used)
        yield

    monkeypatch.setattr(torch.cuda, "stream", stream)
    return current, within


def test_on_the_cpu_steps_are_handed_through():
    steps = [{"x": torch.ones(2)}]
    assert next(iter(DevicePrefetcher(steps, torch.device("cpu")))) is steps[0]


def test_copies_run_on_a_stream_of_their_own_that_each_step_waits_for(streams):
    current, within = streams
    steps = [{"x": torch.tensor(n)} for n in range(3)]
    copied = DevicePrefetcher(steps, torch.device("cpu"))._copied()
    assert [step["x"].item() for step in copied] == [0, 1, 2]
    assert within == current.waited_for
    assert len(within) == 3


def test_no_step_waits_for_the_next_to_be_loaded(streams):
    fetched = []
    steps = (fetched.append(n) or {"x": torch.tensor(n)} for n in range(4))
    next(DevicePrefetcher(steps, torch.device("cpu"))._copied())
    assert fetched == [0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_arrive_on_the_gpu_in_order():
    steps = [[{"x": torch.full((1000, 1000), n).pin_memory()}] for n in range(20)]
    arrived = [step[0]["x"] for step in DevicePrefetcher(steps, torch.device("cuda"))]
    assert [x.device.type for x in arrived] == ["cuda"] * 20
    assert [x.float().mean().item() for x in arrived] == list(range(20))
