"""Doctests of the simulators, which live beside the library and are imported from inside it."""

import doctest
import importlib
import pkgutil

import pytest

import bayesinn.simulators

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize(
    "name", [module.name for module in pkgutil.iter_modules(bayesinn.simulators.__path__)]
)
def test_doctests(name):
    failures, _ = doctest.testmod(
        importlib.import_module(f"bayesinn.simulators.{name}"), optionflags=OPTIONS
    )
    assert failures == 0
