"""The console script `roadmap`."""

from roadmap.cli.main import main

__all__ = ["main"]
