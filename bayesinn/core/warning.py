"""Warnings that point at the user's own line, however deep in the library they are given."""

import os
import sys
import warnings
from pathlib import Path

# Whose lines are never the user's. Keras calls our layers and callbacks, Typer and Click our
# commands, and decorators come from the standard library.
_NOT_THE_USERS = (
    "bayesinn",
    "keras",
    "tensorflow",
    "tensorflow_probability",
    "typer",
    "click",
    "contextlib",
    "functools",
)


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn in the line that led here: the nearest one that is neither the library's nor Keras'."""
    loaded = [sys.modules[name] for name in _NOT_THE_USERS if name in sys.modules]
    files = [Path(str(module.__file__)) for module in loaded]
    # With a separator at the end, as a folder of the user may be called bayesinn_study. A module's
    # whole name is no prefix to Python.
    folders = [f"{file.parent}{os.sep}" for file in files if file.name == "__init__.py"]
    modules = [f"{file.with_suffix('')}." for file in files if file.name != "__init__.py"]
    warnings.warn(text, category, skip_file_prefixes=(*folders, *modules))
