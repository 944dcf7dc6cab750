"""The commands and what they print; the work is done in the modules beside this one."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import hat
from hat.errors import HatError

DONE, FAILED, WRONG_USAGE = 0, 1, 2

app = typer.Typer(
    name="hat",
    help="Train, verify and ship vision models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at configs.", no_args_is_help=True)
app.add_typer(config_app, name="config")
data_app = typer.Typer(help="Look at data sets and packed files.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Values to replace: batch_size=8, float_trainer.optimizer.lr=0.01.",
        show_default=False,
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG[.PART]",
        help="A config or run, and a data set or loader in it: configs/a.py.val_loader. "
        "By default what its float_trainer trains on.",
        show_default=False,
    ),
]
Stage = Annotated[str, typer.Option(help="Which <stage>_trainer or <stage>_predictor to use.")]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        help="best, best:SCORE, last, or a path. From a run: best if it kept one, else last. "
        "From a config it must be given; 'none' takes the weights that the config loads.",
        show_default=False,
    ),
]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A config file, or a run's folder to repeat it.")],
    overrides: Overrides = None,
    stage: Stage = "float",
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder; by default runs/<config>/<time>.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest whole checkpoint in the folder.")
    ] = False,
) -> int:
    """Train what a config describes."""
    from hat.cli.training import run_training

    return run_training(config, overrides or [], stage, out, resume)


@app.command()
def validate(
    config: Annotated[Path, typer.Argument(help="A run's folder, or a config file.")],
    overrides: Overrides = None,
    stage: Stage = "float",
    checkpoint: CheckpointOption = None,
) -> int:
    """Compute the scores of a trained model on the config's validation data."""
    from hat.cli.prediction import run_validation

    return run_validation(config, overrides or [], stage, checkpoint)


@app.command()
def predict(
    config: Annotated[Path, typer.Argument(help="A run's folder, or a config file.")],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT|KEY=VALUE]...",
            help="Pictures and folders to look at; by default the config's validation data.",
            show_default=False,
        ),
    ] = None,
    stage: Stage = "float",
    checkpoint: CheckpointOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The JSON file; by default predictions.json in the run, or here."),
    ] = None,
) -> int:
    """Write what a trained model says of pictures, as JSON."""
    from hat.cli.prediction import run_prediction

    return run_prediction(config, inputs or [], stage, checkpoint, out)


@app.command()
def pack(
    target: Target,
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    overrides: Overrides = None,
    workers: Annotated[int, typer.Option(help="Processes that read and encode.")] = 2,
) -> int:
    """Pack a data set, before its transform, into one file."""
    from hat.cli.data import run_packing

    return run_packing(target, overrides or [], out, workers)


@data_app.command()
def info(
    target: Annotated[
        str, typer.Argument(metavar="FILE|CONFIG[.PART]", help="A packed file, or a data set.")
    ],
    overrides: Overrides = None,
) -> int:
    """Print counts, sizes and class balance."""
    from hat.cli.data import print_info

    return print_info(target, overrides or [])


@data_app.command()
def verify(file: Annotated[Path, typer.Argument(help="What `hat pack` wrote.")]) -> int:
    """Read every record of a packed file and compare it with its checksum."""
    from hat.cli.data import verify as verify_pack

    return verify_pack(file)


@data_app.command("show")
def show_data(
    target: Target,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("samples.png"),
    count: Annotated[int, typer.Option(help="How many samples.")] = 12,
    seed: Annotated[int, typer.Option(help="Which samples, and how they are augmented.")] = 0,
) -> int:
    """Draw samples as training sees them, with their truth, into one picture."""
    from hat.cli.data import show as show_samples

    return show_samples(target, overrides or [], out, count, seed)


@app.command()
def replay(
    config: Annotated[Path, typer.Argument(help="A config file, or a run's folder.")],
    step: Annotated[
        int,
        typer.Option(
            help="Steps from 0 over the whole run, skipped ones counted; within --epoch, if given."
        ),
    ],
    sample: Annotated[int, typer.Option(help="Its place, from 0, in the batch of the step.")],
    overrides: Overrides = None,
    epoch: Annotated[
        int | None, typer.Option(help="Count --step within this epoch, from 0.")
    ] = None,
    stage: Stage = "float",
    out: Annotated[
        Path | None,
        typer.Option(help="The picture; by default replay_epoch<E>_position<P>.png, here."),
    ] = None,
) -> int:
    """Show a sample as training saw it, and what each transform drew."""
    from hat.cli.replaying import run_replay

    return run_replay(config, overrides or [], stage, step, sample, epoch, out)


@app.command()
def graph(
    config: Annotated[Path, typer.Argument(help="A config file, or a run's folder.")],
    overrides: Overrides = None,
    model: Annotated[str, typer.Option(help="Where the model stands in the config.")] = "model",
    size: Annotated[
        str, typer.Option(help="Height and width of the pictures of which costs are counted.")
    ] = "256,256",
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("graph.svg"),
) -> int:
    """Print what the nodes of a multi-task model cost, and draw them."""
    from hat.cli.graph import print_graph

    return print_graph(config, overrides or [], model, size, out)


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="Only parts of this kind.")] = None,
) -> int:
    """Show what can stand in a config."""
    from hat.cli.listing import print_parts

    return print_parts(kind)


@config_app.command()
def show(config: Annotated[Path, typer.Argument()], overrides: Overrides = None) -> int:
    """Print a config as it is after all overrides."""
    from hat.cli.listing import print_config

    return print_config(config, overrides or [])


@config_app.command()
def diff(
    first: Annotated[Path, typer.Argument()], second: Annotated[Path, typer.Argument()]
) -> int:
    """Print the values in which two configs or runs differ."""
    from hat.cli.listing import print_difference

    return print_difference(first, second)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Train, verify and ship vision models."""
    if version:
        typer.echo(f"hat {hat.__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 and 143 stopped."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    from hat.config.errors import ConfigError

    _set_up_logging()
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # so that a config can name modules of its project
    try:
        code = app(arguments, standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except typer.Exit as stop:
        return stop.exit_code
    except ConfigError as error:
        _complain(str(error))
        return WRONG_USAGE
    except KeyboardInterrupt:
        _complain("stopped by Ctrl-C")
        return 130
    except Exception as error:
        return _report(error)


def _report(error: Exception) -> int:
    import click

    if isinstance(error, click.Abort):
        return 130
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
        error.show()
        return int(getattr(error, "exit_code", WRONG_USAGE))
    if not isinstance(error, HatError) or os.environ.get("HAT_TRACEBACK"):
        logging.getLogger("hat").error("failed", exc_info=error)
    _complain(f"{type(error).__name__}: {error}")
    return FAILED


def _complain(text: str) -> None:
    print(f"hat: {text}", file=sys.stderr)


class _StderrHandler(logging.StreamHandler[Any]):
    """Writes to what standard error is now: a progress bar may have replaced it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _set_up_logging() -> None:
    logger = logging.getLogger("hat")
    if not logger.handlers:
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
