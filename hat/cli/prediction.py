"""`hat validate` and `hat predict`."""

import logging
import re
from pathlib import Path
from typing import Any

from hat.config.build import Builder
from hat.config.check import check
from hat.config.errors import ConfigError, Location, Mistake
from hat.config.record import FILE_NAME
from hat.config.source import Config, load
from hat.registry import did_you_mean

logger = logging.getLogger(__name__)


def run_validation(path: Path, overrides: list[str], stage: str, checkpoint: str | None) -> int:
    """Print the scores of a trained model on the config's data; return the exit code."""
    config = load(path, overrides, keep_mistakes=True)
    root = config.stage_part(stage, "predictor")
    weights = _choose_checkpoint(path, checkpoint)
    check(config, [root])
    predictor = Builder(config).build(root)
    _load(predictor, weights)
    _print_scores(predictor.fit())
    return 0


def run_prediction(
    path: Path, arguments: list[str], stage: str, checkpoint: str | None, out: Path | None
) -> int:
    """Write predictions as JSON; return the exit code.

    Without inputs the config's own data is used, and its scores are printed too.
    """
    overrides = [a for a in arguments if _is_override(a)]
    inputs = [a for a in arguments if not _is_override(a)]
    config = load(path, overrides, keep_mistakes=True)
    root = config.stage_part(stage, "predictor")
    weights = _choose_checkpoint(path, checkpoint)
    if out is None:
        out = (path if path.is_dir() else Path()) / "predictions.json"
    _add_writer(config, root, out, weights)
    if inputs:
        _replace_data(config, root, inputs)
    check(config, [root])
    predictor = Builder(config).build(root)
    _load(predictor, weights)
    scores = predictor.fit()
    if not inputs:
        _print_scores(scores)
    print(f"predictions: {out}")
    return 0


def _choose_checkpoint(path: Path, checkpoint: str | None) -> Path | None:
    """The checkpoint folder or weights file to use; None for the weights of the config itself.

    Raises:
        ConfigError: If there is none.
    """
    if checkpoint == "none":
        return None
    if checkpoint is not None and not re.fullmatch("best(:.+)?|last", checkpoint):
        if not Path(str(checkpoint)).exists():
            raise _refusal(path, f"{checkpoint}: no such checkpoint")
        if (Path(str(checkpoint)) / FILE_NAME).exists():
            raise _refusal(path, f"{checkpoint} is a run's folder: give it in place of the config")
        return Path(str(checkpoint))
    if not path.is_dir():
        raise _refusal(
            path,
            "which weights? Give a run's folder in place of the config, or --checkpoint PATH; "
            "'--checkpoint none' takes the weights that the config loads",
        )
    return _checkpoint_of_run(path, checkpoint)


def _checkpoint_of_run(run: Path, which: str | None) -> Path:
    from hat import store
    from hat.callbacks.checkpoint import FOLDER_NAME

    folder = run / FOLDER_NAME
    try:
        newest = store.newest_checkpoint(folder)
    except store.CheckpointError as error:
        raise _refusal(run, str(error)) from error
    if newest is None:
        raise _refusal(run, f"{folder} has no checkpoint")
    if which == "last":
        return newest.path
    first = newest.info.get("best")
    kept = newest.info.get("all_best", [first] if first else [])  # older ones have the first alone
    name = (which or "").removeprefix("best").removeprefix(":")
    best = next((each for each in kept if name in ("", each["score"])), None)
    if best is None:
        if which is None:
            return newest.path
        names = [each["score"] for each in kept]
        raise _refusal(
            run,
            f"this run kept no best checkpoint of '{name}', but of {', '.join(names)}."
            f"{did_you_mean(name, names)}"
            if names
            else "this run kept no best checkpoint: its Checkpoint has no best=",
        )
    found = store.best_checkpoint(folder, best["score"], best["higher_is_better"])
    if found is None and which is not None:
        raise _refusal(run, f"no checkpoint of this run was saved with a value of {best['score']}")
    return newest.path if found is None else found.path


def _load(predictor: Any, weights: Path | None) -> None:
    if weights is None:
        return
    from hat import store
    from hat.models.weights import load_weights

    try:
        if weights.is_dir():
            store.verify_checkpoint(weights)
        load_weights(predictor.model, weights)
    except (store.CheckpointError, ValueError) as error:
        raise _refusal(weights, str(error)) from error
    logger.info("weights: %s", weights)


def _add_writer(config: Config, root: str, out: Path, weights: Path | None) -> None:
    predictor = config.values[root]
    writer = dict(type="PredictionWriter", path=str(out), **_classes_of(weights))
    callbacks = [*predictor.get("callbacks", []), writer]
    config.values[root] = predictor | dict(callbacks=callbacks)


def _classes_of(weights: Path | None) -> dict[str, list[str]]:
    """The names of classes that the run was trained with, where a checkpoint says."""
    from hat import store

    if weights is None or not weights.is_dir():
        return {}
    info = store.verify_checkpoint(weights).info
    return {key: info[key] for key in ("classes", "label_classes") if info.get(key) is not None}


def _replace_data(config: Config, root: str, inputs: list[str]) -> None:
    """The given pictures in place of the config's data set, with the same transform."""
    predictor = config.values[root]
    loader = predictor.get("data_loader")
    if not isinstance(loader, dict) or not isinstance(loader.get("dataset"), dict):
        raise ConfigError(
            config.path,
            [
                Mistake(
                    f"{root}.data_loader",
                    config.where.get(root, Location(str(config.path))),
                    "to predict other pictures, HAT replaces data_loader.dataset, which must be "
                    "a dict with its transform",
                )
            ],
        )
    dataset = dict(type="ImageFiles", paths=inputs, transform=loader["dataset"].get("transform"))
    config.values[root] = predictor | dict(data_loader=loader | dict(dataset=dataset), metrics=[])


def _is_override(argument: str) -> bool:
    looks_like_one = re.match(r"[A-Za-z_][\w.\[\]]*=", argument)
    return bool(looks_like_one) and not Path(argument).exists()


def _print_scores(scores: Any) -> None:
    for name in sorted(scores):
        print(f"{name} {scores.last(name).value!r}")


def _refusal(source: Path, message: str) -> ConfigError:
    return ConfigError(source, [Mistake("--checkpoint", Location("command line"), message)])
