"""One sample again, exactly as training saw it, with what each transform drew."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hat.data.sample import Sample
from hat.data.transforms.recording import TransformRecord, recorded_transforms
from hat.seeding import preserved_random_state


@dataclass
class Replay:
    """A sample of a training, and how it came about.

    Args:
        sample: As the loader's collate got it.
        index: Which sample of the data set it is.
        replaced: The index of the bad sample that it stands in for; None if it is none.
        path: Its file, where the data set says.
        epoch: The epoch, counted from 0.
        position: The sample's place in the order of the epoch.
        seed: The seed of the training.
        transforms: What each transform drew, in the order in which they ran.
    """

    sample: Sample
    index: int
    replaced: int | None
    path: str | None
    epoch: int
    position: int
    seed: int
    transforms: list[TransformRecord]


def replay(
    config: Any,
    epoch: int,
    position: int,
    *,
    loader: str | None = None,
    overrides: Sequence[str] = (),
    stage: str = "float",
) -> Replay:
    """Make one sample of a training again, bit for bit, with the parameters of its transforms.

    Only the data loader is built. The sample is as the loader's workers made it: what the
    batch processor does on the device (normalisation, batch transforms) comes after.

    Args:
        config: A config file, a run's folder, or what `hat.config.load` returned.
        epoch: The epoch, from 0.
        position: The sample's place in the order of the epoch, from 0; sample k of step s is
            at s times the loader's batch size plus k.
        loader: Which loader of a `MultiTaskDataLoader`; epoch and position are its own.
        overrides: `key=value` texts as `hat train` was given.
        stage: Whose trainer's loader.

    Raises:
        ConfigError: If the config cannot be read, or its data loader not be built.
        ValueError: If the epoch has no such position, the loader is none of HAT's, or
            `loader` names none of several.
        SampleError: If the sample fails now as it did then.

    Example:
        >>> replay("configs/classification/digits.py", 3, 17).index  # doctest: +SKIP
        408
    """
    from hat.config import Config, load

    if not isinstance(config, Config):
        config = load(config, list(overrides), keep_mistakes=True)
    elif overrides:
        raise ValueError("give overrides to hat.config.load: this config is loaded already")
    return replay_position(_one_of(build_train_loader(config, stage), loader), epoch, position)


def _one_of(loader: Any, name: str | None) -> Any:
    """The loader itself, or that of several which has a name.

    Raises:
        ValueError: If there are several and the name is none of theirs, or there is one and
            a name.
    """
    loaders = getattr(loader, "loaders", None)
    if loaders is None:
        if name is not None:
            raise ValueError(f"loader='{name}' is for a MultiTaskDataLoader: leave it out")
        return loader
    if name not in loaders:
        raise ValueError(
            "a MultiTaskDataLoader has no order of its own: give loader='...', one of "
            f"{', '.join(loaders)}, got {name!r}"
        )
    loader.pass_on()
    return loaders[name]


def build_train_loader(config: Any, stage: str = "float") -> Any:
    """The data loader of a config's trainer with its seed, built without the rest of it.

    Raises:
        ConfigError: If the config has no such trainer, is wrong, or the loader cannot be built.
        ValueError: If the trainer has another kind of loader.
    """
    from hat.config import Builder, check
    from hat.data.loaders.data_loader import DataLoader
    from hat.data.loaders.multi_task_loader import MultiTaskDataLoader

    root = config.stage_part(stage, "trainer")
    check(config, [root])
    seed = config.values[root].get("seed", 0)
    loader = Builder(config, seed).build_argument(root, "data_loader")
    if isinstance(loader, MultiTaskDataLoader):
        loader.seed = seed
        return loader
    if not isinstance(loader, DataLoader):
        raise ValueError(
            f"{config.path}: {root}.data_loader is a {type(loader).__name__}; only the samples of "
            "a hat.data.DataLoader depend on seed, epoch and position alone, and can be replayed"
        )
    if loader.is_iterable:
        raise ValueError(
            f"{config.path}: {root}.data_loader has a {type(loader.dataset).__name__}, which can "
            "only be iterated: its samples depend on what came before, and cannot be replayed"
        )
    loader.seed = seed
    return loader


def num_positions(loader: Any) -> int:
    """How many samples an epoch of a loader has."""
    return int(min(loader.num_samples, len(loader) * loader.batch_size))


def num_samples_in_step(loader: Any, step: int) -> int:
    """How many samples a step of a loader has."""
    return int(min(loader.batch_size, num_positions(loader) - step * loader.batch_size))


def replay_position(loader: Any, epoch: int, position: int) -> Replay:
    """Make the sample at a position again with a loader that has the training's seed.

    Raises:
        ValueError: If there is no such position.
        SampleError: If the sample cannot be made.
    """
    if epoch < 0:
        raise ValueError(f"epochs are counted from 0, got {epoch}")
    length = num_positions(loader)
    if not 0 <= position < length:
        raise ValueError(
            f"an epoch has {length} samples, at positions 0 to {length - 1}, got {position}"
        )
    from hat.data.loaders.sample_maker import file_of

    key = loader.key(epoch, position)
    bad: list[Any] = []
    index = key.sample
    with preserved_random_state(), recorded_transforms() as records:
        sample = loader.make_sample(key, bad)
    if bad:
        index = loader.on_bad_sample.stand_ins(key.sample, len(loader.dataset))[len(bad) - 1]
        # Once more by itself, without what the bad ones went through before they failed.
        with preserved_random_state(), recorded_transforms() as records:
            sample = loader.make_sample(key._replace(sample=index))
    return Replay(
        sample=sample,
        index=index,
        replaced=key.sample if bad else None,
        path=file_of(loader.dataset, index),
        epoch=epoch,
        position=position,
        seed=key.seed,
        transforms=records,
    )
