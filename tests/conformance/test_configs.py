"""Every config in the project is right, and those that need no data of the user's build."""

from pathlib import Path

import numpy as np
import pytest

from hat.config import Builder, Config, check, decode, encode, load
from hat.engine import Predictor, Trainer

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))


def write_idx(path, values):
    """The IDX format of the MNIST family: magic, sizes, bytes."""
    header = np.array([0x800 + values.ndim, *values.shape], dtype=">i4").tobytes()
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_fashion_mnist(root):
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, length in (("train", 256), ("t10k", 20)):
        images = np.random.default_rng(0).integers(0, 256, (length, 28, 28))
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", np.arange(length) % 10)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_passes_its_check(path):
    check(load(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_survives_being_written_down(path):
    written = encode(load(path))
    assert encode(Config(path, decode(written))) == written


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_config_says_how_to_run_it(path):
    assert path.read_text().startswith('"""')


def test_digits_builds_and_shares_its_model(tmp_path):
    builder = Builder(load(CONFIGS / "classification" / "digits.py"))
    trainer = builder.build("float_trainer", run_dir=tmp_path)
    predictor = builder.build("float_predictor")
    assert isinstance(trainer, Trainer)
    assert isinstance(predictor, Predictor)
    assert predictor.model is trainer.model


@pytest.mark.slow
def test_fashion_mnist_trains_from_a_local_root(tmp_path):
    write_fashion_mnist(tmp_path / "data")
    overrides = [
        f"data_root={tmp_path / 'data'}",
        "num_workers=0",
        "batch_size=16",
        "float_trainer.num_steps=2",
        "float_trainer.stop_by=step",
    ]
    config = load(CONFIGS / "classification" / "fashion_mnist.py", overrides)
    trainer = Builder(config).build("float_trainer", run_dir=tmp_path / "run")
    scores = trainer.fit()
    assert trainer.progress.num_steps_done == 2
    assert 0 <= scores.last("val/acc").value <= 1


@pytest.mark.shared
def test_gtsrb_builds_on_the_real_pictures(shared_data, tmp_path):
    overrides = [f"data_root={shared_data / 'gtsrb_subset'}", "num_workers=0"]
    config = load(CONFIGS / "classification" / "gtsrb.py", overrides)
    trainer = Builder(config).build("float_trainer", run_dir=tmp_path)
    assert len(trainer.data_loader.dataset) == 2175
    assert len(trainer.data_loader.dataset.classes) == 43
