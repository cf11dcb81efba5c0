"""The interpreter that scripts run in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.interpreter import Interpreter

# As in tests/conftest.py: of a series, all of them take three processor seconds in each training.
FEW_TREES = "from bayesinn.posterior import damage; damage._TREES = 4"


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    """One for all scripts of a file: a new one would import TensorFlow, for six processor seconds."""
    one = Interpreter(tmp_path_factory.mktemp("interpreter"), FEW_TREES)
    yield one
    one.close()
