"""The `hat` command: parse, build, run. Nothing is imported before it is needed."""

from hat.cli.app import main

__all__ = ["main"]
