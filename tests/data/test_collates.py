"""Samples packed into a batch."""

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from hat.data import DataLoader, LidarCollate, PadCollate, RaggedCollate, StackCollate
from hat.data.pixels import Image, Mask


def collate(*samples):
    return StackCollate()(list(samples))


def test_tensors_are_stacked():
    batch = collate({"x": torch.tensor([1.0, 2.0])}, {"x": torch.tensor([3.0, 4.0])})
    assert batch["x"].tolist() == [[1, 2], [3, 4]]


def test_stacking_keeps_the_dtype():
    img = torch.zeros(3, 2, 2, dtype=torch.uint8)
    assert collate({"img": img}, {"img": img})["img"].dtype == torch.uint8


def test_pictures_become_a_plain_tensor():
    img = tv_tensors.Image(torch.zeros(3, 2, 2))
    assert type(collate({"img": img}, {"img": img})["img"]) is torch.Tensor


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((1, 2), torch.int64), ((0.5, 2.0), torch.float32), ((True, False), torch.bool)],
)
def test_numbers_become_one_tensor(values, dtype):
    batch = collate(*[{"label": value} for value in values])
    assert batch["label"].tolist() == list(values)
    assert batch["label"].dtype == dtype


def test_arrays_of_numbers_become_one_tensor():
    batch = StackCollate()([{"x": np.arange(3) + n} for n in range(2)])
    assert batch["x"].tolist() == [[0, 1, 2], [1, 2, 3]]


def test_arrays_of_texts_become_a_list():
    batch = StackCollate()([{"x": np.array(["a", "b"])}] * 2)
    assert [list(texts) for texts in batch["x"]] == [["a", "b"]] * 2


def test_numpy_numbers_become_one_tensor():
    batch = collate({"label": np.int64(3)}, {"label": np.int64(1)})
    assert torch.equal(batch["label"], torch.tensor([3, 1]))


def test_labels_of_tensors_and_of_numbers_meet_in_one_batch():
    batch = collate({"label": torch.tensor(3)}, {"label": 1})
    assert torch.equal(batch["label"], torch.tensor([3, 1]))


@pytest.mark.parametrize("values", [("a", "b"), (None, None), ((1, 2), (3,)), ([1], [])])
def test_anything_else_is_listed(values):
    assert collate(*[{"note": value} for value in values])["note"] == list(values)


@pytest.mark.parametrize("key", ["gt_bboxes", "gt_classes", "gt_masks"])
def test_ragged_tensors_are_listed(key):
    batch = collate({key: torch.zeros(2, 4)}, {key: torch.zeros(0, 4)})
    assert [tuple(value.shape) for value in batch[key]] == [(2, 4), (0, 4)]


@pytest.mark.parametrize(
    ("key", "values"),
    [("img_id", [4, 7]), ("img_path", ["a.jpg", "b.jpg"]), ("ori_shape", [(2, 3), (4, 5)])],
)
def test_what_belongs_to_a_picture_is_listed(key, values):
    assert collate({key: values[0]}, {key: values[1]})[key] == values


def test_a_ragged_key_is_listed_even_where_shapes_agree():
    assert isinstance(collate({"gt_bboxes": torch.zeros(2, 4)})["gt_bboxes"], list)


def test_one_sample_is_a_batch_of_one():
    assert collate({"x": torch.zeros(3)})["x"].shape == (1, 3)


def test_samples_are_left_as_they_were():
    sample = {"x": torch.zeros(2), "img_id": 3}
    collate(sample)["x"].add_(1)
    assert sample["x"].tolist() == [0, 0]


def test_the_order_of_keys_does_not_matter():
    batch = collate({"x": 1, "y": 2}, {"y": 4, "x": 3})
    assert [batch["x"].tolist(), batch["y"].tolist()] == [[1, 3], [2, 4]]


def test_unlike_shapes_are_refused_by_key_and_sample():
    first = {"img": torch.zeros(3, 4, 4), "img_id": 7}
    second = {"img": torch.zeros(3, 5, 4), "img_id": 9}
    with pytest.raises(
        ValueError, match=r"'img' of sample 7 has shape \(3, 4, 4\), of sample 9 \(3, 5, 4\)"
    ):
        collate(first, second)


def test_a_sample_is_named_by_its_file_where_it_has_one():
    first = {"img": torch.zeros(1), "img_id": 0, "img_path": "a.jpg"}
    second = {"img": torch.zeros(2), "img_id": 1, "img_path": "b.jpg"}
    with pytest.raises(ValueError, match=r"sample a\.jpg .* sample b\.jpg"):
        collate(first, second)


def test_unlike_keys_are_refused_by_sample():
    with pytest.raises(ValueError, match=r"sample 1 has \['img_id'\], sample 2 has .*'label'"):
        collate({"img_id": 1}, {"img_id": 2, "label": 0})


def test_samples_that_are_no_dicts_are_refused_by_what_they_are():
    with pytest.raises(TypeError, match="tuple"):
        collate((torch.zeros(3), 1))


def hwc_pictures(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [
        Image.from_hwc(
            torch.randint(256, (*size, 3), dtype=torch.uint8, generator=generator).numpy()
        )
        for size in sizes
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda img: img,
        lambda img: img[:, 1:5, 2:7],
        lambda img: img.contiguous(),
        lambda img: img.float(),
        lambda img: img[:2],
        lambda img: img.flip(2),
        lambda img: img[:, ::2],
        lambda img: img[:, :, ::2],
        lambda img: img[:, :0],
    ],
    ids=["hwc", "cropped", "chw", "float", "two", "flipped", "rows", "columns", "empty"],
)
def test_pictures_are_stacked_whatever_their_memory_looks_like(change):
    imgs = [change(img) for img in hwc_pictures((8, 9), (8, 9))]
    batch = collate(*[{"img": img} for img in imgs])["img"]
    assert batch.is_contiguous()
    assert [each.tolist() for each in batch] == [img.tolist() for img in imgs]


def test_pictures_of_unlike_memory_meet_in_one_batch():
    first, second = hwc_pictures((8, 9), (8, 9))
    batch = collate({"img": first}, {"img": second.contiguous()})["img"]
    assert [each.tolist() for each in batch] == [first.tolist(), second.tolist()]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_maps_of_classes_become_int64(dtype):
    seg = Mask(torch.tensor([[0, 255], [3, 4]], dtype=dtype))
    batch = collate({"gt_seg": seg}, {"gt_seg": seg})["gt_seg"]
    assert batch.dtype == torch.int64
    assert batch.tolist() == [[[0, 255], [3, 4]]] * 2


def test_unlike_types_become_one_that_holds_both():
    batch = collate({"x": torch.tensor([300])}, {"x": torch.tensor([1.5])})
    assert batch["x"].tolist() == [[300], [1.5]]


def test_what_requires_a_gradient_can_be_stacked():
    assert collate({"x": torch.ones(2, requires_grad=True)})["x"].tolist() == [[1, 1]]


@pytest.mark.parametrize("make", [StackCollate, PadCollate])
def test_a_worker_writes_into_shared_memory(make):
    sizes = (160, 180), (160, 180)  # smaller ones are sent in a message
    samples = [{"img": img, "gt_seg": Mask(img[0])} for img in hwc_pictures(*sizes)]
    loader = DataLoader(samples, 2, collate=WhereFrom(make()), num_workers=1)
    batch = next(iter(loader))
    assert batch["is_shared"] == [True, True]
    assert batch["img"].tolist() == [sample["img"].tolist() for sample in samples]


class WhereFrom:
    """Says of a batch in a worker whether its tensors were shared from the start."""

    def __init__(self, collate):
        self.collate = collate

    def __call__(self, samples):
        batch = self.collate(samples)
        return {**batch, "is_shared": [batch["img"].is_shared(), batch["gt_seg"].is_shared()]}


def padded(*samples, **arguments):
    return PadCollate(**arguments)(list(samples))


@pytest.mark.parametrize("contiguous", [False, True])
def test_pictures_are_padded_at_the_right_and_at_the_bottom(contiguous):
    imgs = hwc_pictures((4, 9), (6, 5))
    imgs = [img.contiguous() for img in imgs] if contiguous else imgs
    batch = padded(*[{"img": img} for img in imgs], fill=7)["img"]
    assert batch.shape == (2, 3, 6, 9)
    assert torch.equal(batch[0, :, :4], imgs[0].as_subclass(torch.Tensor))
    assert torch.equal(batch[1, :, :, :5], imgs[1].as_subclass(torch.Tensor))
    assert (batch[0, :, 4:] == 7).all()
    assert (batch[1, :, :, 5:] == 7).all()


@pytest.mark.parametrize(
    ("divisor", "shape"), [(1, (6, 9)), (2, (6, 10)), (3, (6, 9)), (32, (32, 32))]
)
def test_the_padded_size_is_a_multiple(divisor, shape):
    batch = padded(*[{"img": img} for img in hwc_pictures((4, 9), (6, 5))], size_divisor=divisor)
    assert tuple(batch["img"].shape[-2:]) == shape


@pytest.mark.parametrize(
    "make", [torch.zeros, lambda *s: Image.from_hwc(np.zeros((1, 1, 3), "u1"))]
)
def test_each_channel_may_have_its_own_margin(make):
    batch = padded({"img": make(3, 1, 1)}, size_divisor=2, fill=(1, 2, 3))["img"]
    assert batch[0, :, 1, 0].tolist() == [1, 2, 3]
    assert batch[0, :, 0, 1].tolist() == [1, 2, 3]
    assert batch[0, :, 0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("key", "value", "dtype", "margin"),
    [
        ("gt_seg", Mask(torch.ones(1, 1, dtype=torch.uint8)), torch.int64, 255),
        ("gt_depth", Mask(torch.ones(1, 1)), torch.float32, 0),
    ],
)
def test_margins_of_maps_say_nothing(key, value, dtype, margin):
    batch = padded({"img": torch.zeros(3, 1, 1), key: value}, size_divisor=2)[key]
    assert batch.dtype == dtype
    assert batch.tolist() == [[[1, margin], [margin, margin]]]


def test_masks_are_padded_with_false():
    masks = Mask(torch.ones(2, 1, 1, dtype=torch.bool))
    (batch,) = padded({"img": torch.zeros(3, 1, 1), "gt_masks": masks}, size_divisor=2)["gt_masks"]
    assert type(batch) is Mask
    assert batch.dtype == torch.bool
    assert batch.tolist() == [[[True, False], [False, False]]] * 2


def test_no_masks_are_padded_to_no_masks():
    masks = Mask(torch.ones(0, 1, 1, dtype=torch.bool))
    (batch,) = padded({"img": torch.zeros(3, 1, 1), "gt_masks": masks}, size_divisor=2)["gt_masks"]
    assert batch.shape == (0, 2, 2)


def test_boxes_keep_their_values_on_a_larger_canvas():
    boxes = tv_tensors.BoundingBoxes([[1.0, 2, 3, 4]], format="XYXY", canvas_size=(6, 5))
    points = tv_tensors.KeyPoints([[[1.0, 2]]], canvas_size=(6, 5))
    sample = {"img": torch.zeros(3, 6, 5), "gt_bboxes": boxes, "gt_keypoints": points}
    batch = padded(sample, size_divisor=8)
    assert batch["gt_bboxes"][0].tolist() == [[1, 2, 3, 4]]
    assert batch["gt_bboxes"][0].canvas_size == (8, 8)
    assert batch["gt_keypoints"][0].canvas_size == (8, 8)
    assert boxes.canvas_size == (6, 5)


def test_sizes_without_margins_are_noted():
    batch = padded(*[{"img": img} for img in hwc_pictures((4, 9), (6, 5))])
    assert batch["img_shape"] == [(4, 9), (6, 5)]


def test_sizes_that_are_noted_already_stay():
    assert padded({"img": torch.zeros(3, 4, 4), "img_shape": (2, 3)})["img_shape"] == [(2, 3)]


def test_pictures_of_several_cameras_are_padded():
    batch = padded({"imgs": torch.ones(2, 3, 1, 3)}, {"imgs": torch.ones(2, 3, 2, 1)})
    assert batch["imgs"].shape == (2, 2, 3, 2, 3)
    assert batch["imgs"].sum() == 2 * 3 * 3 + 2 * 3 * 2


def test_pictures_of_one_size_are_padded_to_what_they_would_be_stacked_to():
    samples = [{"img": img, "label": 1} for img in hwc_pictures((8, 8), (8, 8))]
    assert torch.equal(padded(*samples)["img"], collate(*samples)["img"])


def test_a_batch_that_would_be_too_large_is_refused_by_its_largest_picture():
    first = {"img": torch.zeros(3, 4, 4), "img_id": 7}
    second = {"img": torch.zeros(3, 40, 9), "img_id": 9}
    with pytest.raises(ValueError, match=r"40 x 9, more than max_size = 32 x 32.* sample 9 of 40"):
        padded(first, second, max_size=(32, 32))


@pytest.mark.parametrize("key", ["gt_seg", "gt_depth", "gt_masks"])
def test_a_map_of_another_size_than_its_picture_is_refused(key):
    sample = {"img": torch.zeros(3, 4, 4), key: torch.zeros(1, 4, 5), "img_id": 3}
    with pytest.raises(ValueError, match=f"'{key}' of sample 3 has shape .* of 4 x 4"):
        padded(sample)


def test_pictures_with_other_channels_are_refused():
    first, second = {"img": torch.zeros(3, 4, 4), "img_id": 1}, {"img": torch.zeros(1, 4, 4)}
    with pytest.raises(ValueError, match="only heights and widths can be padded"):
        padded(first, {**second, "img_id": 2})


@pytest.mark.parametrize(("make", "key"), [(PadCollate, "img"), (LidarCollate, "points")])
def test_what_a_collate_is_for_must_be_there(make, key):
    with pytest.raises(ValueError, match=rf"sample 3 has no '{key}'.*\['img_id', 'label'\]"):
        make()([{"img_id": 3, "label": 1}])


def test_a_divisor_of_zero_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        PadCollate(size_divisor=0)


def test_ragged_batches_list_what_has_one_shape_too():
    first, second = hwc_pictures((4, 4), (4, 4))
    batch = RaggedCollate()([{"img": first, "label": 0}, {"img": second, "label": 2}])
    assert batch["img"] == [first, second]
    assert type(batch["img"][0]) is Image
    assert batch["label"].tolist() == [0, 2]


def test_labels_that_are_tensors_make_one_tensor():
    batch = RaggedCollate()([{"label": torch.tensor(1)}, {"label": torch.tensor(2)}])
    assert batch["label"].tolist() == [1, 2]


def test_points_carry_the_number_of_their_sample():
    clouds = [torch.rand(3, 4), torch.rand(0, 4), torch.rand(2, 4)]
    points = LidarCollate()([{"points": cloud} for cloud in clouds])["points"]
    assert points[:, 0].tolist() == [0, 0, 0, 2, 2]
    assert torch.equal(points[:, 1:], torch.cat(clouds))


def test_what_belongs_to_points_is_packed_as_ever():
    sample = {"points": torch.rand(3, 4), "label": 1, "gt_bboxes_3d": torch.zeros(2, 7)}
    batch = LidarCollate()([sample, sample])
    assert batch["label"].tolist() == [1, 1]
    assert [len(boxes) for boxes in batch["gt_bboxes_3d"]] == [2, 2]


def test_points_with_unlike_columns_are_refused():
    samples = [{"points": torch.rand(3, 4), "img_id": 1}, {"points": torch.rand(3, 5), "img_id": 2}]
    with pytest.raises(ValueError, match="sample 1 has 4 columns, of sample 2 5"):
        LidarCollate()(samples)
