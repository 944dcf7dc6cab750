"""A config file is run as Python, with the command line's values in place and lines noted."""

import ast
import builtins
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from hat.config.errors import ConfigError, Location, Mistake
from hat.config.overrides import Override, coerce, parse_override, set_by_path
from hat.registry import did_you_mean

_DICT = "__hat_dict__"
_SPOT = "__hat_spot__"
_OVERRIDE = "__hat_override__"


class LocatedDict(dict[Any, Any]):
    """A dict that remembers on which line it and each of its values were written."""

    where: Location
    lines: dict[str, Location]

    def __init__(self, *args: Any, where: Location, lines: dict[str, Location], **kwargs: Any):
        inherited = dict(args[0].lines) if args and isinstance(args[0], LocatedDict) else {}
        super().__init__(*args, **kwargs)
        self.where = where
        self.lines = {**inherited, **lines}

    def __or__(self, other: Any) -> "LocatedDict":
        lines = {**self.lines, **getattr(other, "lines", {})}
        return LocatedDict({**self, **other}, where=self.where, lines=lines)


@dataclass
class Config:
    """What a config file says, after the command line changed it.

    Args:
        path: The file.
        values: Top-level names that hold plain values, in file order.
        where: The line of each top-level name.
        overrides: The `key=value` that were applied, as typed.
        name: What runs of it are called; by default that of the file.
        mistakes: Overrides that could not be applied, if `load` was told to go on.
    """

    path: Path
    values: dict[str, Any]
    where: dict[str, Location] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    name: str = ""
    mistakes: list[Mistake] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = self.name or self.path.stem

    def stage_part(self, stage: str, role: str) -> str:
        """The name of the dict that a stage gives for a role, such as `float_trainer`.

        Raises:
            ConfigError: If the config has none.
        """
        name = f"{stage}_{role}"
        if isinstance(self.values.get(name), dict):
            return name
        stages = sorted(n.removesuffix(f"_{role}") for n in self.values if n.endswith(f"_{role}"))
        has = f"It has a {role} for: {', '.join(stages)}." if stages else f"It has no {role}."
        if name in self.values:
            came = type(self.values[name]).__name__
            has = f"Expected a dict(type=...), got a {came}."
        mistake = Mistake(
            name,
            self.where.get(name, Location(str(self.path))),
            f"the stage '{stage}' needs a top-level '{name}'. {has}"
            f"{did_you_mean(name, self.values)}",
        )
        raise ConfigError(self.path, [mistake])


def load(
    path: str | Path, overrides: list[str] | None = None, *, keep_mistakes: bool = False
) -> Config:
    """Run a config file and collect its plain values.

    An override of a top-level name takes effect where the file assigns that name,
    so that what the file computes from it follows. A relative import reads another
    config file, with the same overrides.

    Args:
        path: A Python file, a saved `config.json`, or a run folder that holds one.
        overrides: `key=value` texts; dotted keys reach inside.
        keep_mistakes: Leave overrides that name nothing to `check`, which reports them
            together with what else is wrong.

    Raises:
        ConfigError: If the file cannot be read or run, or an override names nothing.

    Example:
        >>> load("configs/classification/digits.py", ["batch_size=8"])  # doctest: +SKIP
    """
    from hat.config.record import load_record

    path = Path(path)
    parsed, mistakes = [], []
    for argument in overrides or []:
        try:
            parsed.append(parse_override(argument))
        except ValueError as error:
            mistakes.append(Mistake(argument, Location("command line"), str(error)))
    if mistakes:
        raise ConfigError(path, mistakes)
    if path.is_dir() or path.suffix == ".json":
        config = load_record(path)
        config.overrides += list(overrides or [])
        config.mistakes += _without_effect(config, parsed)
    else:
        run = _Execution(parsed).run(path)
        config = Config(path, _plain_values(run.values), run.where, list(overrides or []))
    _apply(config, parsed)
    if config.mistakes and not keep_mistakes:
        raise ConfigError(config.path, config.mistakes)
    return config


def _without_effect(config: Config, overrides: list[Override]) -> list[Mistake]:
    """Overrides of values that the record of a run has used already."""
    return [
        Mistake(
            override.path,
            override.location,
            "a run's record holds what was computed from this value: override it where it is used, "
            f"such as float_trainer.{override.path}, or start from the config file",
        )
        for override in overrides
        if len(override.keys) == 1
        and override.keys[0] in config.values
        and not override.keys[0].endswith(("_trainer", "_predictor"))
    ]


def _apply(config: Config, overrides: list[Override]) -> None:
    for override in overrides:
        try:
            set_by_path(config.values, _existing(config, override))
        except (LookupError, ValueError) as error:
            mistake = Mistake(override.path, override.location, str(error.args[0]))
            config.mistakes.append(mistake)
        else:
            if len(override.keys) == 1:
                config.where[override.keys[0]] = override.location


def _existing(config: Config, override: Override) -> Override:
    name = override.keys[0]
    if name not in config.values:
        raise LookupError(
            f"the config has no top-level '{name}'.{did_you_mean(name, config.values)}"
        )
    return override


def _plain_values(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Top-level values without what a config imports or defines on the way."""
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType | type)
        and not callable(value)
    }


@dataclass
class _Run:
    values: dict[str, Any]
    where: dict[str, Location]


class _Execution:
    """Runs a config file and the config files that it imports, each once."""

    def __init__(self, overrides: list[Override]) -> None:
        self.overrides = overrides
        self.runs: dict[Path, _Run] = {}
        self.open_files: list[Path] = []

    def run(self, path: Path) -> _Run:
        resolved = path.resolve()
        if resolved in self.runs:
            return self.runs[resolved]
        if resolved in self.open_files:
            raise _error(path, None, "this file imports itself, through the files it imports")
        self.open_files.append(resolved)
        file = str(path)
        tree = self._parse(path)
        run = _Run({}, dict(_top_level_lines(tree, file)))
        namespace = run.values
        namespace.update(
            {
                "__name__": path.stem,
                "__file__": file,
                "__builtins__": {**vars(builtins), "__import__": self._importer(path, run)},
                _DICT: _located_dict(file),
                _SPOT: _located_copy(file),
                _OVERRIDE: self._override,
            }
        )
        roots = {override.keys[0] for override in self.overrides}
        tree = _NoteLines().visit(tree)
        tree.body = list(_with_overrides(tree.body, roots))
        ast.fix_missing_locations(tree)
        try:
            exec(compile(tree, file, "exec"), namespace)
        except ConfigError:
            raise
        except Exception as error:
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
            line = frames[-1].lineno if frames else getattr(error, "lineno", None)
            raise _error(path, line, f"{type(error).__name__}: {error}") from error
        self.open_files.pop()
        self.runs[resolved] = run
        return run

    def _parse(self, path: Path) -> ast.Module:
        try:
            return ast.parse(path.read_text(encoding="utf-8-sig"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise _error(path, None, f"cannot read the config: {reason}") from error
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise _error(path, line, f"not Python: {getattr(error, 'msg', error)}") from error

    def _override(self, name: str, value: Any) -> Any:
        """The value that a top-level name gets, when the file has just assigned it."""
        holder = {name: value}
        for override in self.overrides:
            if override.keys[0] != name:
                continue
            if len(override.keys) == 1:
                holder[name] = _try(lambda o=override: coerce(o.text, holder[name]), value)
            else:  # the path may not be complete yet; the final pass reports what is not
                _try(lambda o=override: set_by_path(holder, o), None)
        return holder[name]

    def _importer(self, path: Path, run: _Run) -> Any:
        def import_(
            name: str,
            globals: Mapping[str, Any] | None = None,
            locals: Mapping[str, Any] | None = None,
            fromlist: tuple[str, ...] = (),
            level: int = 0,
        ) -> Any:
            if level == 0:
                return builtins.__import__(name, globals, locals, fromlist, level)
            folder = path.parent
            for _ in range(level - 1):
                folder = folder.parent
            if not name:  # `from . import other`
                module = ModuleType(folder.name)
                for other in fromlist:
                    vars(module)[other] = self._as_module(folder / f"{other}.py", run)
                return module
            return self._as_module(folder / f"{name.replace('.', '/')}.py", run)

        return import_

    def _as_module(self, path: Path, importer: _Run) -> ModuleType:
        if not path.is_file():  # told with the line of the import
            near = did_you_mean(path.stem, [p.stem for p in path.parent.glob("*.py")])
            raise ModuleNotFoundError(f"there is no config file {path}.{near}")
        base = self.run(path)
        module = ModuleType(path.stem)
        for key, value in base.values.items():
            if not key.startswith("__"):
                vars(module)[key] = value
                importer.where.setdefault(key, base.where.get(key, Location(str(path))))
        return module


class _NoteLines(ast.NodeTransformer):
    """Turns every dict in a config into one that knows its lines."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "dict":
            lines = {k.arg: k.value.lineno for k in node.keywords if k.arg}
            spot = [ast.Constant(node.lineno), _constant_dict(lines)]
            return ast.copy_location(
                ast.Call(
                    ast.Name(_DICT, ast.Load()),
                    [*spot, *node.args],
                    node.keywords,
                ),
                node,
            )
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        self.generic_visit(node)
        lines = {
            key.value: value.lineno
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
        call = ast.Call(
            ast.Name(_SPOT, ast.Load()),
            [ast.Constant(node.lineno), _constant_dict(lines), node],
            [],
        )
        return ast.copy_location(call, node)


def _constant_dict(lines: Mapping[str, int]) -> ast.Dict:
    return ast.Dict([ast.Constant(k) for k in lines], [ast.Constant(v) for v in lines.values()])


def _located_dict(file: str) -> Any:
    def make(line: int, lines: dict[str, int], /, *args: Any, **kwargs: Any) -> LocatedDict:
        located = {key: Location(file, number) for key, number in lines.items()}
        plain = LocatedDict(*args, where=Location(file, line), lines=located)
        plain.update(kwargs)
        return plain

    return make


def _located_copy(file: str) -> Any:
    def make(line: int, lines: dict[str, int], value: dict[Any, Any]) -> LocatedDict:
        located = {key: Location(file, number) for key, number in lines.items()}
        return LocatedDict(value, where=Location(file, line), lines=located)

    return make


def _with_overrides(body: list[ast.stmt], roots: set[str]) -> Iterator[ast.stmt]:
    """The statements of a module, each assignment of an overridden name followed by its value."""
    for statement in body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            branches = [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]
            for block in (statement, *branches):
                for name in ("body", "orelse", "finalbody"):
                    inner = getattr(block, name, None)
                    if isinstance(inner, list):
                        setattr(block, name, list(_with_overrides(inner, roots)))
        yield statement
        for name in _assigned_names(statement):
            if name in roots:
                yield ast.copy_location(_override_statement(name), statement)


def _assigned_names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        targets: list[ast.expr] = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names if alias.name != "*"]
    else:
        return []
    return [
        node.id
        for target in targets
        for node in ast.walk(target)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]


def _override_statement(name: str) -> ast.stmt:
    value = ast.Call(
        ast.Name(_OVERRIDE, ast.Load()), [ast.Constant(name), ast.Name(name, ast.Load())], []
    )
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _top_level_lines(tree: ast.Module, file: str) -> Iterator[tuple[str, Location]]:
    for statement in tree.body:
        for name in _assigned_names(statement):
            yield name, Location(file, statement.lineno)


def _try(attempt: Any, otherwise: Any) -> Any:
    """What is wrong here is reported by the final pass, together with all the rest."""
    try:
        return attempt()
    except (LookupError, ValueError):
        return otherwise


def _error(path: Path, line: int | None, message: str) -> ConfigError:
    return ConfigError(path, [Mistake("(the file)", Location(str(path), line), message)])
