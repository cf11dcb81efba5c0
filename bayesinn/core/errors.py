"""Errors that say what was expected, what came, and what to do about it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path


class BayesinnError(Exception):
    """Base of every error raised on purpose by bayesinn.

    The message has the subject in the user's own names ("observable 'cases'"), what was expected,
    what was got, and what to do.
    """

    # Keras rewraps exceptions raised inside a layer, and turns those it can't construct into
    # RuntimeError; this name is how it marks the ones to leave alone.
    _keras_call_info_injected = True
    # AutoGraph does the same with errors of functions that it traces; this is its name for it.
    ag_pass_through = True

    def __init__(self, subject: str, *, expected: str, got: str, do: str) -> None:
        super().__init__(f"{subject}\n  expected: {expected}\n  got:      {got}\n  do this:  {do}")

    def __reduce__(self) -> tuple[Callable[..., BayesinnError], tuple[type[BayesinnError], str]]:
        # On the way from a worker, the default would call the constructor with the finished message
        # alone.
        return _restore, (type(self), str(self))


def _restore(kind: type[BayesinnError], message: str) -> BayesinnError:
    error = kind.__new__(kind)
    error.args = (message,)
    return error


class InputError(BayesinnError, ValueError):
    """An argument, an observation or an array does not fit."""


class SimulatorError(BayesinnError, ValueError):
    """A simulator or its prior breaks the contract."""


class TrainingError(BayesinnError, RuntimeError):
    """Training had to stop; the last good weights are kept."""


class BankError(BayesinnError, RuntimeError):
    """A simulation bank can't be read, written or continued."""


class SavedPosteriorError(BayesinnError, RuntimeError):
    """A saved model or a checkpoint can't be read or written."""


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
