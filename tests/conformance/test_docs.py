"""The pages say what is there, and what they show happens."""

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from hat.callbacks import Callback
from hat.cli.app import app, run
from hat.data.sample import KEYS
from hat.engine.hooks import ALWAYS, HOOK_ARGUMENTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

PAGES = {
    "hat.config": "config.md",
    "hat.data": "data.md",
    "hat.models": "models.md",
    "hat.engine": "engine.md",
    "hat.engine.processors": "engine.md",
    "hat.metrics": "metrics.md",
    "hat.callbacks": "callbacks.md",
    "hat.callbacks.schedules": "callbacks.md",
    "hat.visualize": "visualize.md",
}
EXPORTS = [
    (page, name)
    for package, page in PAGES.items()
    for name in importlib.import_module(package).__all__
]


@pytest.mark.parametrize(("page", "name"), EXPORTS, ids=lambda value: value)
def test_every_public_name_is_on_its_page(page, name):
    assert f"`{name}`" in (ROOT / "docs" / page).read_text()


def test_the_page_lists_the_hooks_and_what_they_get():
    rows = re.findall(r"^\| `(on_\w+)` \| (.*?) \|", (ROOT / "docs/callbacks.md").read_text(), re.M)
    listed = {hook: tuple(re.findall(r"`(\w+)`", names)) for hook, names in rows}
    offered = {hook: names[len(ALWAYS) :] for hook, names in HOOK_ARGUMENTS.items()}
    assert listed == offered
    assert list(listed) == list(HOOK_ARGUMENTS)


def test_the_base_class_has_the_hooks_of_the_table_in_its_order():
    assert [name for name in vars(Callback) if name.startswith("on_")] == list(HOOK_ARGUMENTS)


def test_the_page_lists_the_keys_of_a_sample():
    page = (ROOT / "docs/data.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in page] == []


def test_the_page_lists_the_commands():
    page = (ROOT / "docs/cli.md").read_text()
    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert [name for name in names if f"hat {name}" not in page] == []


@pytest.mark.slow
def test_the_python_of_the_readme_trains(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "README.md", "exec"), {})
    assert float(re.findall(r"value=([\d.]+)", out.getvalue())[-1]) > 0.95


def test_the_mistakes_that_the_readme_shows_are_the_real_ones(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    block = re.search(r"```text\n\$ hat (train .*?)\n(hat: .*?)```", README, re.S)
    assert run(shlex.split(block[1])) == 2
    assert capsys.readouterr().err.strip() == block[2].strip()


def test_no_page_links_to_what_is_not_there():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([\w./-]+)[)#]", page.read_text())
    ]
    missing = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert missing == []
