"""A sample again, exactly as training saw it, and what its transforms drew."""

import pytest
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from hat.config import Config, ConfigError
from hat.data import (
    Compose,
    CopyPaste,
    DataLoader,
    Dataset,
    DropKeys,
    FilterBoxes,
    Mosaic,
    SensorNoise,
    SkipBadSamples,
    replay,
)
from hat.data.pixels import Image, Mask
from hat.data.replaying import replay_position
from hat.data.samplers.shuffled import ShuffledSampler
from hat.data.transforms.recording import recorded_transforms

SIZE = (16, 24)


class Boxes(Dataset):
    """Noise with two objects in each picture; `index` alone decides what is in it."""

    def __init__(self, transform=None, length=11):
        super().__init__(transform)
        self.length = length

    def __len__(self):
        return self.length

    def load(self, index):
        draw = torch.Generator().manual_seed(index)
        masks = torch.zeros(2, *SIZE, dtype=torch.bool)
        masks[0, 2:6, 3:9] = True
        masks[1, 8:12, 10:20] = True
        boxes = torch.tensor([[3.0, 2.0, 9.0, 6.0], [10.0, 8.0, 20.0, 12.0]])
        return {
            "img": Image(torch.randint(256, (3, *SIZE), generator=draw, dtype=torch.uint8)),
            "gt_bboxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=SIZE),
            "gt_classes": torch.tensor([0, 1]),
            "gt_masks": Mask(masks),
            "img_path": f"{index}.png",
        }

    def source(self, index):
        return f"{index}.png"


class RandomBoxes(Boxes):
    """Draws its length when it is built, as a random split would."""

    def __init__(self):
        super().__init__(length=int(torch.randint(10, 1000, ())))


def jitter():
    return [
        CopyPaste(p=0.7),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(brightness=0.5)], p=0.5),
        v2.RandomChoice([SensorNoise(), v2.RandomVerticalFlip(p=1)]),
        v2.RandomOrder([v2.RandomAffine(20), v2.RandomGrayscale(p=0.5)]),
        Mosaic(SIZE, p=0.7),
        FilterBoxes(),
    ]


def make_loader(num_workers=0, transform=None):
    loader = DataLoader(
        Boxes(jitter() if transform is None else transform),
        batch_size=4,
        sampler=ShuffledSampler(),
        num_workers=num_workers,
    )
    loader.seed = 7
    return loader


def records_of(transform, seed=0):
    torch.manual_seed(seed)
    dataset = Boxes(transform)
    with recorded_transforms() as records:
        sample = dataset[3]
    return records, sample


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_replay_is_the_sample_of_the_batch_bit_for_bit(num_workers):
    loader = make_loader(num_workers)
    batches = list(loader.steps(epoch=2))
    replays = [replay_position(loader, 2, position).sample for position in range(11)]
    assert torch.equal(
        torch.cat([b["img"] for b in batches]), torch.stack([r["img"] for r in replays])
    )
    boxes = [boxes for batch in batches for boxes in batch["gt_bboxes"]]
    assert all(torch.equal(a, b["gt_bboxes"]) for a, b in zip(boxes, replays, strict=True))
    assert [i for b in batches for i in b["img_id"]] == [r["img_id"] for r in replays]


def test_a_replay_says_which_sample_it_was():
    loader = make_loader()
    found = replay_position(loader, 2, 6)
    expected = ShuffledSampler().indices(11, 7, 2, 6, 7)[0]
    assert (found.index, found.epoch, found.position, found.seed) == (expected, 2, 6, 7)
    assert found.path == f"{expected}.png"


def test_a_replay_leaves_the_generators_as_they_were():
    loader = make_loader()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    replay_position(loader, 0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_transforms_are_told_in_order():
    records, _ = records_of(jitter())
    assert [record.name for record in records] == [
        "CopyPaste",
        "RandomHorizontalFlip",
        "RandomApply",
        "RandomChoice",
        "RandomOrder",
        "Mosaic",
        "FilterBoxes",
    ]


def test_drawn_parameters_are_those_that_were_used():
    records, sample = records_of([v2.RandomCrop(8)])
    params = records[0].params
    left, top = params["left"], params["top"]
    expected = Boxes()[3]["img"][:, top : top + 8, left : left + 8]
    assert torch.equal(sample["img"], expected)


def test_a_probability_that_says_no_is_told():
    records, _ = records_of([v2.RandomHorizontalFlip(p=0), v2.RandomHorizontalFlip(p=1)])
    assert [record.params for record in records] == [None, {}]


def test_a_mixing_transform_whose_probability_says_no_is_told():
    records, _ = records_of([CopyPaste(p=0)])
    assert not records[0].is_applied


def test_what_draws_nothing_counts_as_applied():
    records, _ = records_of([FilterBoxes(), lambda sample: sample])
    assert [record.params for record in records] == [{}, {}]


@pytest.mark.parametrize(("p", "inner"), [(0.0, []), (1.0, ["ColorJitter", "RandomCrop"])])
def test_what_a_container_holds_is_told_if_it_ran(p, inner):
    records, _ = records_of([v2.RandomApply([v2.ColorJitter(0.5), v2.RandomCrop(8)], p=p)])
    assert [record.name for record in records[0].inner] == inner
    assert records[0].is_applied == bool(p)


@pytest.mark.parametrize(
    "container",
    [
        v2.Compose([v2.RandomCrop(8)]),
        v2.RandomApply(nn.ModuleList([v2.RandomCrop(8)]), p=1),
        v2.RandomChoice([v2.RandomCrop(8)]),
        v2.RandomOrder([v2.RandomCrop(8)]),
        nn.Sequential(v2.RandomCrop(8)),
        Compose([v2.RandomCrop(8)]),
        v2.Compose([v2.RandomApply([v2.RandomCrop(8)], p=1)]).transforms[0],
    ],
    ids=lambda container: type(container).__name__,
)
def test_containers_of_every_kind_are_looked_into(container):
    records, sample = records_of([container])
    assert records[0].inner[0].params["height"] == 8
    torch.manual_seed(0)
    assert torch.equal(sample["img"], Boxes([container])[3]["img"])


def test_a_container_in_a_container_is_looked_into():
    records, _ = records_of([v2.Compose([v2.RandomChoice([v2.RandomCrop(8)])])])
    assert records[0].inner[0].inner[0].name == "RandomCrop"


def test_the_branch_that_was_chosen_is_told():
    never, always = v2.RandomCrop(8), v2.RandomVerticalFlip(p=1)
    records, _ = records_of([v2.RandomChoice([never, always], p=[0, 1])])
    assert [record.name for record in records[0].inner] == ["RandomVerticalFlip"]


def test_the_order_that_was_drawn_is_told():
    parts = [v2.RandomCrop(8), v2.ColorJitter(0.5), v2.RandomVerticalFlip(p=1)]
    records, _ = records_of([v2.RandomOrder(parts)], seed=1)
    torch.manual_seed(1)
    order = torch.randperm(3).tolist()
    names = [type(parts[i]).__name__ for i in order]
    assert [record.name for record in records[0].inner] == names


def test_the_samples_that_were_mixed_in_are_told_with_their_transforms():
    records, _ = records_of([v2.RandomHorizontalFlip(p=1), Mosaic(SIZE)])
    others = records[1].others
    assert len(others) == 3
    assert [f"{other.img_id}.png" for other in others] == [other.img_path for other in others]
    assert [[t.name for t in other.transforms] for other in others] == [
        ["RandomHorizontalFlip"]
    ] * 3
    assert set(records[1].params) == {"centre", "scales"}


def test_the_transforms_themselves_stay_as_they_are():
    crop = v2.RandomCrop(8)
    container = v2.RandomApply(nn.ModuleList([crop]), p=1)
    records_of([container])
    assert "make_params" not in vars(crop)
    assert container.transforms[0] is crop
    assert "transforms" not in vars(container)


def test_nothing_is_noted_after_the_block():
    records, _ = records_of([v2.RandomCrop(8)])
    Boxes([v2.RandomCrop(8)])[3]
    assert len(records) == 1


def test_what_was_drawn_is_kept_though_a_transform_changes_it():
    class Spoils(v2.Transform):
        def make_params(self, flat_inputs):
            return {"places": torch.tensor([1, 2])}

        def transform(self, inpt, params):
            params["places"].zero_()
            return inpt

    records, _ = records_of([Spoils()])
    assert records[0].params["places"].tolist() == [1, 2]


# --- from a config


def config(dataset="Boxes", **changes):
    loader = dict(
        type="DataLoader",
        dataset=dict(type=f"{__name__}.{dataset}"),
        batch_size=4,
        sampler=dict(type="ShuffledSampler"),
    )
    trainer = dict(
        type="Trainer",
        model=dict(type="helpers.TinyModel"),
        data_loader=loader,
        optimizer=dict(type="torch.optim.SGD", lr=0.1),
        num_epochs=3,
        seed=5,
    )
    return Config(path="made.py", values={"float_trainer": trainer | changes}, name="made")


def test_a_config_is_replayed_with_the_seed_of_its_trainer():
    loader = make_loader(transform=[])
    loader.seed = 5
    assert replay(config(), 1, 2).index == loader.key(1, 2).sample


def test_only_the_data_loader_is_built():
    broken = dict(type="helpers.TinyModel", dropout=7.0)  # torch refuses it when it is built
    assert replay(config(model=broken), 0, 0).sample["img"].shape == (3, *SIZE)


@pytest.mark.parametrize("where", ["after", "before"])
def test_a_data_set_that_draws_when_it_is_built_draws_as_in_the_training(where):
    from hat.config import Builder

    made = config("RandomBoxes")
    trainer = made.values["float_trainer"]
    other = dict(type="DataLoader", dataset=trainer["data_loader"]["dataset"], batch_size=2)
    predictor = dict(type="Predictor", model=trainer["model"], data_loader=other)
    callbacks = dict(callbacks=[dict(type="Validation", predictor=predictor)])
    trainer = callbacks | trainer if where == "before" else trainer | callbacks
    made.values["float_trainer"] = trainer
    whole = Builder(made, 5).build("float_trainer")
    alone = Builder(made, 5).build_argument("float_trainer", "data_loader")
    assert len(alone.dataset) == len(whole.data_loader.dataset)


@pytest.mark.parametrize(("epoch", "position"), [(0, 11), (0, -1), (-1, 0)])
def test_what_an_epoch_does_not_have_is_refused(epoch, position):
    with pytest.raises(ValueError, match=f"got {min(epoch, position) or position}"):
        replay(config(), epoch, position)


def test_another_kind_of_loader_is_refused():
    other = dict(type="torch.utils.data.DataLoader", dataset=dict(type=f"{__name__}.Boxes"))
    with pytest.raises(ValueError, match=r"float_trainer\.data_loader is a DataLoader; only"):
        replay(config(data_loader=other), 0, 0)


def test_a_config_without_the_stage_is_refused():
    with pytest.raises(ConfigError, match="needs a top-level 'qat_trainer'"):
        replay(config(), 0, 0, stage="qat")


def test_overrides_of_a_loaded_config_are_refused():
    with pytest.raises(ValueError, match="loaded already"):
        replay(config(), 0, 0, overrides=["seed=1"])


def test_a_sample_that_failed_fails_again_with_its_name():
    loader = make_loader(transform=[DropKeys(["gt_masks"]), CopyPaste(p=1)])
    with pytest.raises(RuntimeError, match=r"sample \d+ .*position 3\).*needs gt_masks"):
        replay_position(loader, 0, 3)


class SomeBad(Boxes):
    def load(self, index):
        if index in (4, 5):
            raise ValueError("broken")
        return super().load(index)


def with_bad_samples():
    flip = v2.RandomHorizontalFlip(p=1)
    return DataLoader(SomeBad(flip), batch_size=3, on_bad_sample=SkipBadSamples(budget=5))


def test_what_stands_in_for_a_bad_sample_is_replayed():
    loader = with_bad_samples()
    replayed = replay_position(loader, 0, 4)
    (batch,) = [step for number, step in enumerate(loader.steps(0)) if number == 1]
    assert torch.equal(replayed.sample["img"], batch["img"][1])
    assert (replayed.index, replayed.replaced, replayed.path) == (6, 4, "6.png")


def test_only_the_transforms_of_the_stand_in_are_noted():
    assert [record.name for record in replay_position(with_bad_samples(), 0, 4).transforms] == [
        "RandomHorizontalFlip"
    ]


def test_a_sample_that_loads_replaces_none():
    assert replay_position(with_bad_samples(), 0, 3).replaced is None


class OnlyIterated(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([{"x": 1}])


def test_a_data_set_that_can_only_be_iterated_is_refused():
    loader = dict(type=DataLoader, dataset=dict(type=OnlyIterated), batch_size=2)
    with pytest.raises(ValueError, match="OnlyIterated, which can only be iterated"):
        replay(config(data_loader=loader), 0, 0)
