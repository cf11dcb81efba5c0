"""What the tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bayesinn.posterior import damage


@pytest.fixture(scope="module", autouse=True)
def few_trees() -> Iterator[None]:
    """Judge typicality by few trees: growing all of them is a third of a short training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(damage, "_TREES", 4)
        yield
