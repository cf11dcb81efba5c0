"""The interpreter that scripts run in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.interpreter import Interpreter


@pytest.fixture(scope="session")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    """One for all scripts: a new one would import TensorFlow, for six processor seconds."""
    one = Interpreter(tmp_path_factory.mktemp("interpreter"))
    yield one
    one.close()
