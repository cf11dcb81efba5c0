"""Warnings of the library name the line of the user, whatever lies between."""

from pathlib import Path
from typing import Any

import pytest

import bayesinn
from bayesinn.core.errors import warn

LIBRARY = Path(bayesinn.__file__).parent
DEEP = """
def deep():
    return deeper()

def deeper():
    warn("Look here")
"""
DECORATED = """
import contextlib

@contextlib.contextmanager
def setting():
    yield

@setting()
def deep():
    warn("Look here")
"""
KERAS = """
import keras

class Warns(keras.layers.Layer):
    def call(self, x):
        warn("Look here")
        return x

def deep():
    Warns()(keras.ops.zeros((1,)))
"""


def run(code: str, file: Path) -> dict[str, Any]:
    """Run code as if it stood in a file, and return its names."""
    names: dict[str, Any] = {"warn": warn}
    exec(compile(code, str(file), "exec"), names)
    return names


@pytest.mark.parametrize("code", [DEEP, DECORATED, KERAS], ids=["deep", "decorated", "keras"])
def test_the_line_is_that_of_the_user(code: str) -> None:
    names = run(code, LIBRARY / "room" / "file.py")
    with pytest.warns(UserWarning, match="Look here") as told:
        names["deep"]()
    assert told[0].filename == __file__


def test_functions_that_the_library_calls_are_the_users() -> None:
    """The nearest line of the user, not the first: here that of a callback in a fit."""
    names = run("def call(function):\n    function()", LIBRARY / "file.py")
    user = run("def callback():\n    deep()", Path("user.py"))
    user["deep"] = run(DEEP, LIBRARY / "file.py")["deep"]
    with pytest.warns(UserWarning, match="Look here") as told:
        names["call"](user["callback"])
    assert told[0].filename == "user.py"


def test_a_folder_whose_name_begins_like_the_librarys_is_the_users() -> None:
    own = LIBRARY.with_name(f"{LIBRARY.name}_study") / "study.py"
    with pytest.warns(UserWarning, match="Look here") as told:
        run(DEEP, own)["deep"]()
    assert told[0].filename == str(own)


def test_categories_are_kept() -> None:
    with pytest.warns(FutureWarning):
        warn("Look here", FutureWarning)
