"""A projection finds in the transformed picture what it found before."""

import copy
import io
import pickle

import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from hat.data import DataLoader, Projection

HEIGHT, WIDTH = 96, 128
BILINEAR = InterpolationMode.BILINEAR

GEOMETRIC = {
    "resize": v2.Resize((61, 150)),
    "resize of the shorter side": v2.Resize(70),
    "resize up to a size": v2.Resize(70, max_size=80),
    "scale jitter": v2.ScaleJitter((100, 100), (0.7, 1.3)),
    "random shortest size": v2.RandomShortestSize([60, 70, 110]),
    "horizontal flip": v2.RandomHorizontalFlip(1.0),
    "vertical flip": v2.RandomVerticalFlip(1.0),
    "crop": v2.RandomCrop((81, 110)),
    "padded crop": v2.RandomCrop((101, 131), padding=[3, 4, 5, 6]),
    "centre crop, even": v2.CenterCrop((80, 100)),
    "centre crop, odd": v2.CenterCrop((81, 101)),
    "centre crop, larger": v2.CenterCrop((103, 131)),
    "centre crop, wider and lower": v2.CenterCrop((81, 133)),
    "resized crop": v2.RandomResizedCrop((90, 77), scale=(0.7, 0.9)),
    "pad": v2.Pad([3, 5, 8, 2]),
    "pad by mirroring": v2.Pad(7, padding_mode="reflect"),
    "zoom out": v2.RandomZoomOut(side_range=(1.0, 2.0), p=1.0),
    "affine": v2.RandomAffine(30, (0.1, 0.1), (0.8, 1.2), (-10, 10, -10, 10), BILINEAR),
    "affine about a corner": v2.RandomAffine(8, shear=5, interpolation=BILINEAR, center=(5, 9)),
    "rotation": v2.RandomRotation(180, BILINEAR),
    "rotation about a point": v2.RandomRotation(20, BILINEAR, center=(30, 70)),
    "rotation of the whole": v2.RandomRotation(180, BILINEAR, expand=True),
    "rotation of the whole about a point": v2.RandomRotation(
        30, BILINEAR, expand=True, center=(50, 50)
    ),
    "perspective": v2.RandomPerspective(0.4, 1.0),
    "several": v2.Compose(
        [
            v2.RandomHorizontalFlip(1.0),
            v2.RandomRotation(20, BILINEAR),
            v2.RandomResizedCrop((90, 110), scale=(0.8, 1.0)),
            v2.RandomPerspective(0.2, 1.0),
        ]
    ),
}
#: Near the middle of the picture, in metres before the camera, which looks along x.
POINTS = torch.tensor([[10.0, 0.6, 0.3], [14.0, -1.1, -0.4], [20.0, 1.0, -1.2]])


def camera(canvas_size=(HEIGHT, WIDTH)):
    """A camera that looks along x, with z up, and is turned a little."""
    intrinsics = torch.tensor([[130.0, 0.0, 63.2], [0.0, 125.0, 47.1], [0.0, 0.0, 1.0]])
    axes = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    turn = torch.linalg.matrix_exp(
        torch.tensor([[0.0, -0.04, 0.03], [0.04, 0.0, -0.02], [-0.03, 0.02, 0.0]])
    )
    pose = torch.cat([turn @ axes, torch.tensor([[0.1], [0.2], [-0.3]])], dim=1)
    return Projection(intrinsics @ pose, canvas_size=canvas_size)


def blob(place, sigma=2.5):
    """A picture that is bright around one place, counted from the outer corner."""
    ys, xs = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    squared = (xs - place[0]) ** 2 + (ys - place[1]) ** 2
    return tv_tensors.Image(torch.exp(-squared / (2 * sigma**2))[None])


def brightest(img):
    """The centre of mass of what is bright, counted from the outer corner."""
    img = img.as_subclass(torch.Tensor)[0].double()
    img = img * (img > 0.02)
    ys = torch.arange(img.shape[0]) + 0.5
    xs = torch.arange(img.shape[1]) + 0.5
    return torch.stack([(img * xs).sum(), (img * ys[:, None]).sum()]) / img.sum()


def plain(projection):
    return projection.as_subclass(torch.Tensor)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("point", POINTS, ids=str)
@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_point_is_projected_to_where_the_picture_shows_it(name, point, seed):
    torch.manual_seed(seed)
    sample = {"img": blob(camera().pixels(point[None])[0]), "projection": camera()}
    moved = GEOMETRIC[name](sample)
    place = moved["projection"].pixels(point[None])[0]
    torch.testing.assert_close(place.double(), brightest(moved["img"]), atol=0.12, rtol=0)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_size_of_the_picture_is_known(name):
    moved = GEOMETRIC[name]({"img": blob((60.0, 40.0)), "projection": camera()})
    assert moved["projection"].canvas_size == tuple(moved["img"].shape[-2:])
    assert moved["projection"].dtype == torch.float32


@pytest.mark.parametrize(
    "name",
    ["resize", "crop", "resized crop", "pad", "affine", "rotation", "perspective"],
)
def test_projected_points_move_as_key_points_do(name):
    places = camera().pixels(POINTS)
    key_points = tv_tensors.KeyPoints(places, canvas_size=(HEIGHT, WIDTH))
    sample = {"img": blob((60.0, 40.0)), "points": key_points, "projection": camera()}
    moved = GEOMETRIC[name](sample)
    torch.testing.assert_close(
        moved["projection"].pixels(POINTS), moved["points"].as_subclass(torch.Tensor), atol=1e-3,
        rtol=0,
    )  # fmt: skip


def test_a_mirrored_point_is_as_far_from_the_other_edge():
    u, v = camera().pixels(POINTS[:1])[0]
    mirrored = F.horizontal_flip(camera()).pixels(POINTS[:1])[0]
    torch.testing.assert_close(mirrored, torch.stack([WIDTH - u, v]))


def test_a_camera_matrix_of_three_columns_follows_too():
    matrix = [[100.0, 0.0, 64.0], [0.0, 100.0, 48.0], [0.0, 0.0, 1.0]]
    moved = F.resize(Projection(matrix, canvas_size=(HEIGHT, WIDTH)), [48, 128])
    expected = [[100.0, 0.0, 64.0], [0.0, 50.0, 24.0], [0.0, 0.0, 1.0]]
    assert plain(moved).tolist() == expected


def test_matrices_of_several_cameras_move_alike():
    several = Projection(torch.stack([plain(camera())] * 6), canvas_size=(HEIGHT, WIDTH))
    moved = F.rotate(several, 25.0)
    assert moved.shape == (6, 3, 4)
    assert torch.equal(plain(moved)[4], plain(F.rotate(camera(), 25.0)))


def test_perspective_by_coefficients_is_that_of_its_points():
    startpoints = [[0, 0], [127, 0], [127, 95], [0, 95]]
    endpoints = [[7, 3], [120, 9], [118, 90], [4, 80]]
    by_points = F.perspective(camera(), startpoints, endpoints)
    unit = torch.eye(3, dtype=torch.float64)
    there = F.perspective(
        Projection(unit, canvas_size=(HEIGHT, WIDTH), dtype=None), startpoints, endpoints
    )
    back = torch.linalg.inv(plain(there))
    coefficients = (back / back[2, 2]).flatten().tolist()[:8]
    by_coefficients = F.perspective(camera(), None, None, coefficients=coefficients)
    torch.testing.assert_close(
        by_coefficients.pixels(POINTS), by_points.pixels(POINTS), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(
    "transform",
    [
        v2.ColorJitter(0.5, 0.5, 0.5, 0.2),
        v2.ToDtype(torch.float32, scale=True),
        v2.GaussianBlur(3),
        v2.Normalize([0.5], [0.5]),
        v2.SanitizeBoundingBoxes(),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_what_moves_no_pixel_changes_no_projection(transform):
    boxes = tv_tensors.BoundingBoxes([[1, 1, 9, 9]], format="XYXY", canvas_size=(HEIGHT, WIDTH))
    img = tv_tensors.Image(torch.rand(3, HEIGHT, WIDTH))
    moved = transform({"img": img, "boxes": boxes, "labels": torch.tensor([1]), "p": camera()})
    assert type(moved["p"]) is Projection
    assert torch.equal(plain(moved["p"]), plain(camera()))


@pytest.mark.parametrize(
    "transform",
    [v2.ElasticTransform(), v2.FiveCrop(50), v2.TenCrop(50)],
    ids=lambda transform: type(transform).__name__,
)
def test_what_no_matrix_can_follow_is_refused(transform):
    with pytest.raises(TypeError, match="no matrix follows"):
        transform({"img": tv_tensors.Image(torch.rand(3, HEIGHT, WIDTH)), "p": camera()})


def saved_and_loaded(projection):
    file = io.BytesIO()
    torch.save(projection, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda projection: pickle.loads(pickle.dumps(projection)),
        saved_and_loaded,
        lambda projection: projection.clone(),
        lambda projection: projection.to(torch.float32),
        lambda projection: projection.detach(),
        lambda projection: tv_tensors.wrap(plain(projection).clone(), like=projection),
    ],
    ids=["copy", "deepcopy", "pickle", "save", "clone", "to", "detach", "wrap"],
)
def test_a_copy_is_a_projection_into_the_same_picture(copied):
    copy_of_it = copied(camera())
    assert type(copy_of_it) is Projection
    assert copy_of_it.canvas_size == (HEIGHT, WIDTH)
    assert torch.equal(plain(copy_of_it), plain(camera()))


def test_wrapping_can_give_another_size():
    assert tv_tensors.wrap(plain(camera()), like=camera(), canvas_size=(5, 6)).canvas_size == (5, 6)


def test_arithmetic_gives_a_plain_tensor():
    assert type(camera() * 2) is torch.Tensor


@pytest.mark.parametrize("num_workers", [0, 1])
def test_projections_make_a_batch(num_workers):
    samples = [{"img": blob((60.0, 40.0)), "projection": camera()} for _ in range(2)]
    batch = next(iter(DataLoader(samples, batch_size=2, num_workers=num_workers)))
    assert type(batch["projection"]) is torch.Tensor
    assert torch.equal(batch["projection"][1], plain(camera()))


def test_float32_is_what_it_holds():
    numbers = torch.eye(3, dtype=torch.float64).numpy()
    assert Projection(numbers, canvas_size=(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(3,), (4, 4), (2, 3), (3, 5), (6, 4, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3, 3\) or \(\.\.\., 3, 4\)"):
        Projection(torch.zeros(shape), canvas_size=(2, 2))


def test_the_depth_is_known_beside_the_place():
    matrix = [[100.0, 0.0, 32.0, 0.0], [0.0, 100.0, 16.0, 0.0], [0.0, 0.0, 1.0, 0.5]]
    projection = Projection(matrix, canvas_size=(32, 64))
    assert projection.homogeneous(torch.tensor([[1.0, 2.0, 4.0]])).tolist() == [[228, 264, 4.5]]


def test_its_text_says_the_size():
    assert "canvas_size=(96, 128)" in repr(camera())
