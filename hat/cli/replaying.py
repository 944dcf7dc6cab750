"""`hat replay`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.source import Config, load

#: Longer tensors are printed by their shape alone.
_MAX_NUMBERS = 9


def run_replay(
    path: Path,
    overrides: list[str],
    stage: str,
    step: int,
    number: int,
    epoch: int | None,
    out: Path | None,
) -> int:
    """Print how a sample of a training came about and write its picture; return the exit code.

    Raises:
        ConfigError: If the config is wrong or the training has no such step or sample.
    """
    from hat.data.replaying import build_train_loader, num_samples_in_step, replay_position

    config = load(path, overrides, keep_mistakes=True)
    _check_out(path, out)
    loader = build_train_loader(config, stage)
    epoch, step = _place(config, stage, loader, step, epoch)
    name = None
    if hasattr(
        loader, "parts"
    ):  # from here on loader, epoch, step and number are of one of several
        name, epoch, step, number = _part(config, loader, epoch, step, number)
        loader = loader.loaders[name]
    else:
        _check_number(config, step, number, num_samples_in_step(loader, step))
    position = step * loader.batch_size + number
    replay = replay_position(loader, epoch, position)
    stands_in = "" if replay.replaced is None else f", in place of bad sample {replay.replaced}"
    if name is not None:
        print(f"loader    {name}, whose own are:")
    print(f"sample    {replay.index} of {len(loader.dataset)}{stands_in}")
    if replay.path is not None:
        print(f"file      {replay.path}")
    print(f"epoch     {epoch}, step {step} of its {len(loader)}")
    print(f"position  {position} in the epoch's order, sample {number} of the step")
    print(f"seed      {replay.seed}")
    print(f"values    {_first_line_apart(_values(replay.sample))}")
    lines = list(_lines(replay.transforms))
    print("\n".join(["transforms", *lines]) if lines else "transforms: none")
    named = "" if name is None else f"{name}_"
    default = Path(f"replay_{named}epoch{epoch}_position{position}.png")
    _write_picture(replay, loader.dataset, out, default)
    return 0


def _check_out(path: Path, out: Path | None) -> None:
    if out is not None and out.suffix.lower() != ".png":
        raise _refusal(path, "--out", f"the picture is a PNG: expected a name in .png, got {out}")
    if out is not None and not out.parent.is_dir():
        raise _refusal(path, "--out", f"there is no folder {out.parent}")


def _place(
    config: Config, stage: str, loader: Any, step: int, epoch: int | None
) -> tuple[int, int]:
    """The epoch and the step in it."""
    length = len(loader)
    trainer = config.values[config.stage_part(stage, "trainer")]
    num_epochs, num_steps = trainer.get("num_epochs"), trainer.get("num_steps")
    if num_steps is None and num_epochs is not None:
        num_steps = num_epochs * length
    if step < 0:
        raise _refusal(config.path, "--step", f"steps are counted from 0, got {step}")
    if epoch is not None:
        if epoch < 0:
            raise _refusal(config.path, "--epoch", f"epochs are counted from 0, got {epoch}")
        if step >= length:
            raise _refusal(
                config.path,
                "--step",
                f"an epoch has {length} steps, 0 to {length - 1}, got {step}. "
                f"Without --epoch, steps are counted over the whole run",
            )
        step += epoch * length
    if num_steps is not None and step >= num_steps:
        option = "--step" if epoch is None else "--epoch"
        got = (
            f"step {step}"
            if epoch is None
            else f"epoch {epoch}, which begins at step {epoch * length}"
        )
        message = f"the run has {num_steps} steps, 0 to {num_steps - 1}, got {got}"
        raise _refusal(config.path, option, f"{message}. An epoch has {length}")
    return step // length, step % length


def _part(
    config: Config, loader: Any, epoch: int, step: int, number: int
) -> tuple[str, int, int, int]:
    """The loader of several that gave a sample of a step; its epoch, step and sample in it."""
    from hat.data.replaying import num_samples_in_step

    parts = loader.parts(epoch, step)
    sizes = [num_samples_in_step(loader.loaders[part.loader], part.step) for part in parts]
    _check_number(config, step, number, sum(sizes))
    place = 0
    while number >= sizes[place]:
        number -= sizes[place]
        place += 1
    return *parts[place], number


def _check_number(config: Config, step: int, number: int, size: int) -> None:
    if not 0 <= number < size:
        raise _refusal(
            config.path,
            "--sample",
            f"step {step} of an epoch has {size} samples, 0 to {size - 1}, got {number}",
        )


def _lines(records: Sequence[Any], indent: int = 2) -> Iterator[str]:
    margin = " " * indent
    for record in records:
        if record.params is None:
            yield f"{margin}{record.name}: not applied"
        else:
            drawn = ", ".join(f"{key}={_value(value)}" for key, value in record.params.items())
            yield f"{margin}{record.name}{': ' if drawn else ''}{drawn}"
        yield from _lines(record.inner, indent + 2)
        for other in record.others:
            name = f"{other.img_id}" + (f" ({other.img_path})" if other.img_path else "")
            yield f"{margin}  with sample {name}"
            yield from _lines(other.transforms, indent + 4)


def _value(value: Any) -> str:
    import torch

    if isinstance(value, torch.Tensor):
        if value.numel() > _MAX_NUMBERS:
            return f"<{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}>"
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        left, right = ("[", "]") if isinstance(value, list) else ("(", ")")
        return left + ", ".join(_value(item) for item in value) + right
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))
    return repr(value)


def _values(sample: Any) -> list[str]:
    import torch

    if not isinstance(sample, dict):
        return [type(sample).__name__]
    return [
        f"{key} {tuple(value.shape)}"
        if isinstance(value, torch.Tensor) and value.ndim
        else f"{key} {_value(value)}"
        for key, value in sample.items()
    ]


def _first_line_apart(values: list[str]) -> str:
    return "\n          ".join(values)


def _write_picture(replay: Any, dataset: Any, out: Path | None, default: Path) -> None:
    import torch

    from hat.errors import HatError
    from hat.visualize import draw_sample, write_png

    img = replay.sample.get("img") if isinstance(replay.sample, dict) else None
    if img is None:
        if out is not None:
            raise HatError(f"--out {out}: the sample has no 'img', so no picture can be written")
        return
    if out is None:
        out = default
    if img.shape[:-2] == (3,) and img.dtype == torch.uint8:
        write_png(out, draw_sample(replay.sample, dataset))
    else:
        _write_plain(img, out)
    print(f"picture: {out}")


def _write_plain(img: Any, path: Path) -> None:
    """Write a picture of uint8, or of floats from 0 to 1, with one or three channels."""
    import torch
    from torchvision.transforms.v2.functional import to_pil_image

    from hat.errors import HatError

    if img.ndim != 3 or img.shape[0] not in (1, 3):
        shape = tuple(img.shape)
        raise HatError(f"a picture of shape {shape} cannot be written; expected (1 or 3, H, W)")
    if img.is_floating_point() and not (img.min() >= 0 and img.max() <= 1):
        raise HatError("floats beyond 0 to 1 cannot be written as a picture: normalise the batch")
    to_pil_image(img.as_subclass(torch.Tensor)).save(path)


def _refusal(source: Path, option: str, message: str) -> ConfigError:
    return ConfigError(source, [Mistake(option, Location("command line"), message)])
