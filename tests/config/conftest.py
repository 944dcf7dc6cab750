"""Configs are written to a temporary folder."""

import textwrap
from pathlib import Path

import pytest

import hat.registry


@pytest.fixture
def write(tmp_path):
    """Write a config file, and return its path."""

    def write_config(text: str, name: str = "config.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write_config


@pytest.fixture
def own_registry(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(hat.registry, "_registered", {})
