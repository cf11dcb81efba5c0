"""Doctests of the simulators, which live beside the library and are imported from inside it."""

import doctest
import importlib
import pkgutil

import pytest

import bayesinn.simulators

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize(
    "name",
    [
        module.name
        for module in pkgutil.walk_packages(bayesinn.simulators.__path__, "bayesinn.simulators.")
    ],
)
def test_doctests(name):
    failures, _ = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert failures == 0
