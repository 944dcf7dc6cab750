"""Lines of code of one training, by what they do: HAT's config, Lightning and MMEngine.

    python benchmarks/peers/count_lines.py

Lines count that hold code: no blank lines, comments or docstrings. A program is cut at its
comments `section:`; the config of HAT, which has none, by what its names and parts are.
"""

import ast
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
CONFIG = HERE.parents[1] / "configs" / "multitask" / "road_scenes.py"

#: What the names at the top of HAT's config are, where not `settings`.
NAMES = {
    "nodes": ("backbone", "neck", "heads", "all_tasks"),
    "topology and running in part": ("sources", "needs_neck", "model"),
    "data": ("scenes", "train_loader", "val_loader"),
    "metrics by task": ("metrics", "float_predictor"),
    "optimizer and schedule": ("ema",),
    "run": ("float_trainer",),
}
#: And what parts of these are: by their `type`, or by the keyword that they are given to.
PARTS = {
    "partial collate": ("PartialCollate",),
    "partial losses": ("MultiTaskBatchProcessor",),
    "metrics by task": ("Validation", "WeightedScore"),
    "optimizer and schedule": ("optimizer", "param_groups", "LrUpdater"),
    "pictures and curves (HAT alone)": ("PredictionPictures", "ScoreCurves"),
}
ORDER = (
    "settings",
    "nodes",
    "data",
    "topology and running in part",
    "partial collate",
    "partial losses",
    "module",
    "metrics by task",
    "optimizer and schedule",
    "several loaders",
    "freezing by task",
    "run",
    "pictures and curves (HAT alone)",
)


def code_lines(source: str) -> list[int]:
    """The numbers of the lines that hold code, from 1."""
    docs: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            docs |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return [n for n, text in lines if text.strip() and text.strip()[0] != "#" and n not in docs]


def of_program(path: Path) -> Counter[str]:
    source = path.read_text()
    sections, section = {}, "settings"
    for number, text in enumerate(source.splitlines(), 1):
        if text.strip().startswith("# section: "):
            section = text.strip().removeprefix("# section: ")
        sections[number] = section
    return Counter(sections[number] for number in code_lines(source))


def of_config(path: Path) -> Counter[str]:
    source = path.read_text()
    by_name = {name: section for section, names in NAMES.items() for name in names}
    by_part = {name: section for section, names in PARTS.items() for name in names}
    sections: dict[int, str] = {}

    def mark(node: ast.AST, section: str) -> None:
        sections.update(dict.fromkeys(range(node.lineno, node.end_lineno + 1), section))  # type: ignore[attr-defined]

    tree = ast.parse(source)
    for statement in tree.body:
        names = [t.id for t in getattr(statement, "targets", []) if isinstance(t, ast.Name)]
        names += [statement.name] if isinstance(statement, ast.FunctionDef) else []
        for name in names:
            mark(statement, by_name.get(name, "settings"))
    for node in ast.walk(tree):
        for keyword in node.keywords if isinstance(node, ast.Call) else []:
            if keyword.arg in by_part:
                mark(keyword, by_part[keyword.arg])
            kind = getattr(keyword.value, "id", getattr(keyword.value, "value", None))
            if keyword.arg == "type" and kind in by_part:
                mark(node, by_part[kind])
    return Counter(sections.get(number, "settings") for number in code_lines(source))


def main() -> None:
    counts = [
        of_config(CONFIG) + of_program(HERE / "hat_multi_task.py"),
        of_program(HERE / "lightning_multi_task.py"),
        of_program(HERE / "mmengine_multi_task.py"),
    ]
    unknown = {section for count in counts for section in count} - set(ORDER)
    if unknown:
        raise ValueError(f"no section of these is known: {sorted(unknown)}")
    print(f"{'':34}{'HAT':>10}{'Lightning':>10}{'MMEngine':>10}")
    for section in ORDER:
        print(f"{section:34}" + "".join(f"{count[section]:10}" for count in counts))
    print(f"{'all':34}" + "".join(f"{count.total():10}" for count in counts))


if __name__ == "__main__":
    main()
