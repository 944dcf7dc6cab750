"""Every kind of model keeps the conventions of a structure, whatever the batch is."""

import copy

import pytest
import torch
from model_zoo import MODELS
from torch import nn
from torchvision import tv_tensors

import hat.models.structures as structures
import hat.models.task_modules as task_modules
from hat.data.pixels import Mask

SIZE = (64, 96)
ODD = (65, 97)
NUM_CLASSES = 3


def boxes_of(rows, size):
    boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
    return tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)


def masks_of(boxes, size):
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return Mask(masks)


def make_batch(objects, size):
    """A batch with all kinds of truth; `objects` lists the boxes of each picture."""
    generator = torch.Generator().manual_seed(0)
    boxes = [boxes_of(rows, size) for rows in objects]
    centres = [(b[:, :2] + b[:, 2:]) / 2 for b in boxes]
    depth = torch.rand(len(objects), *size, generator=generator) * 50
    return {
        "img": torch.randn(len(objects), 3, *size, generator=generator),
        "img_id": list(range(len(objects))),
        "label": torch.arange(len(objects)) % NUM_CLASSES,
        "gt_bboxes": boxes,
        "gt_classes": [torch.arange(len(b)) % NUM_CLASSES for b in boxes],
        "gt_masks": [masks_of(b, size) for b in boxes],
        "gt_keypoints": [torch.stack([c, c + 2], dim=1).as_subclass(torch.Tensor) for c in centres],
        "gt_visibility": [torch.full((len(b), 2), 2) for b in boxes],
        "gt_seg": torch.randint(0, NUM_CLASSES, (len(objects), *size), generator=generator),
        "gt_depth": depth * (depth > 5),
    }


FULL = [[[4, 4, 40, 30], [50, 10, 90, 60], [20, 32, 36, 62]], [[8, 8, 56, 56]]]
RAGGED = [[], [[8, 8, 56, 56]]]
EMPTY = [[], []]


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return MODELS[request.param]()


@pytest.fixture
def batch_of(model):
    """Batches as the model takes them: keypoints are those of one object in a picture."""
    limit = 1 if "keypoint" in type(getattr(model, "task", model)).__name__.lower() else 3
    return lambda objects, size=SIZE: make_batch([rows[:limit] for rows in objects], size)


def train_step(model, batch):
    losses, _ = model.train()(batch)
    sum(losses.values()).backward()
    return losses


class Network(nn.Module):
    """The network part alone, as it is exported."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, img):
        return self.model.network(img)


def leaves(tree):
    return torch.utils._pytree.tree_leaves(tree)


def test_every_structure_is_among_the_models():
    built = {type(make()).__name__ for make in MODELS.values()}
    assert built == set(structures.__all__)


def test_every_task_module_is_among_the_models():
    built = {type(m).__name__ for make in MODELS.values() for m in make().modules()}
    assert set(task_modules.__all__) <= built


def test_losses_are_named_finite_scalars(model, batch_of):
    losses = train_step(model, batch_of(FULL))
    assert losses
    assert {loss.shape for loss in losses.values()} == {torch.Size([])}
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("objects", [FULL, RAGGED, EMPTY], ids=["full", "ragged", "empty"])
def test_every_parameter_gets_a_finite_gradient(model, objects, batch_of):
    train_step(model, batch_of(objects))
    untrained = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert untrained == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("objects", [FULL, RAGGED, EMPTY], ids=["full", "ragged", "empty"])
def test_evaluation_answers_for_every_picture(model, objects, batch_of):
    preds = model.eval()(batch_of(objects)).preds
    assert preds
    assert {len(value) for value in preds.values()} == {2}


def test_odd_sizes_train_and_are_evaluated(model, batch_of):
    batch = batch_of(FULL, ODD)
    assert all(loss.isfinite() for loss in train_step(model, batch).values())
    assert {len(value) for value in model.eval()(batch).preds.values()} == {2}


def test_a_batch_of_one_trains_and_is_evaluated(model, batch_of):
    batch = batch_of(FULL[:1])
    assert all(loss.isfinite() for loss in train_step(model, batch).values())
    assert {len(value) for value in model.eval()(batch).preds.values()} == {1}


def test_channels_last_pictures_give_the_same(model, batch_of):
    batch = batch_of(FULL)
    expected = model.eval().double()(dict(batch, img=batch["img"].double())).losses
    img = batch["img"].double().contiguous(memory_format=torch.channels_last)
    found = model.to(memory_format=torch.channels_last)(dict(batch, img=img)).losses
    torch.testing.assert_close(found, expected)


def test_predictions_are_cut_from_the_graph(model, batch_of):
    preds = model.eval()(batch_of(FULL)).preds
    assert not any(value.requires_grad for value in leaves(preds))


def test_without_truth_there_are_predictions_alone(model):
    losses, preds = model.eval()({"img": torch.randn(2, 3, *SIZE)})
    assert losses == {}
    assert preds


def test_the_batch_is_left_as_it_was(model, batch_of):
    batch = batch_of(FULL)
    before = copy.deepcopy(batch)
    train_step(model, batch)
    model.eval()(batch)
    assert batch.keys() == before.keys()
    pairs = zip(leaves(batch), leaves(before), strict=True)
    assert all(torch.equal(torch.as_tensor(new), torch.as_tensor(old)) for new, old in pairs)


def test_a_copy_gives_the_same(model, batch_of):
    batch = batch_of(FULL)
    torch.testing.assert_close(
        copy.deepcopy(model).eval()(batch).preds, model.eval()(batch).preds, rtol=0, atol=0
    )


def test_weights_go_to_another_model_of_the_kind(request, model, batch_of):
    other = MODELS[request.node.callspec.params["model"]]()
    other.load_state_dict(model.state_dict())
    batch = batch_of(FULL)
    torch.testing.assert_close(other.eval()(batch).preds, model.eval()(batch).preds, rtol=0, atol=0)


@pytest.mark.slow
def test_losses_under_autocast_are_finite_float32(model, batch_of):
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = model.train()(batch_of(FULL))
    sum(losses.values()).backward()
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.slow
def test_the_network_compiles_without_a_graph_break(model, batch_of):
    torch.compiler.reset()
    img = batch_of(FULL)["img"]
    model.eval()
    with torch.no_grad():
        expected = model.network(img)
        found = torch.compile(model.network, fullgraph=True, backend="eager")(img)
    torch.testing.assert_close(found, expected)


# torch looks at gradients of what one compiled part hands to the next, and warns of that.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.slow
def test_a_compiled_model_trains_as_before(model, batch_of):
    torch.compiler.reset()
    batch, compiled = batch_of(RAGGED), copy.deepcopy(model)
    compiled.compile(fullgraph=True, backend="eager")
    torch.manual_seed(1)
    expected = train_step(model, batch)
    torch.manual_seed(1)
    torch.testing.assert_close(train_step(compiled, batch), expected)


@pytest.mark.slow
def test_the_network_is_exported_whole(model, batch_of):
    network = Network(model).eval()
    img = batch_of(FULL)["img"]
    program = torch.export.export(network, (img,))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(img), network(img))


@pytest.mark.gpu
def test_a_step_on_the_gpu_is_finite(model, batch_of):
    batch = {
        key: [v.cuda() for v in value]
        if key.startswith("gt_") and isinstance(value, list)
        else value
        for key, value in batch_of(FULL).items()
    }
    batch |= {key: value.cuda() for key, value in batch.items() if isinstance(value, torch.Tensor)}
    losses = train_step(model.cuda(), batch)
    assert all(loss.isfinite() for loss in losses.values())
    assert {len(value) for value in model.eval()(batch).preds.values()} == {2}
