"""The command line: argv to a command, its help, its completion, its error lines. No torch until a task is chosen."""

from .dispatch import main

__all__ = ["main"]
