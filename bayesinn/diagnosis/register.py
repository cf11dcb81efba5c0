"""All checks: the library's own, and those that users register."""

import importlib
import pkgutil
from functools import cache

from bayesinn.core.errors import InputError
from bayesinn.diagnosis import checks
from bayesinn.diagnosis.check import Check

_registered: dict[str, Check] = {}


def register_check(check: Check) -> Check:
    """Add a check to every diagnosis of this session.

    It appears in the verdict, the tables, the figures folder and the report like the library's own.
    It replaces your own check of the same name. Another check with the same name, key or name of a
    figure raises an InputError.

    Examples
    --------
    >>> from bayesinn.diagnosis import Check
    >>> register_check(Check(name="SBC", group="sharpness", run=print))
    Traceback (most recent call last):
    bayesinn.core.errors.InputError: Check 'SBC'
      expected: a name, a key and figures that no other check has
      got:      SBC, sbc
      do this:  rename what is taken
    """
    others = (*_own(), *(other for other in _registered.values() if other.name != check.name))
    taken = {name for other in others for name in (other.name, other.key, *other.figures)}
    if clash := [name for name in (check.name, check.key, *check.figures) if name in taken]:
        raise InputError(
            f"Check {check.name!r}",
            expected="a name, a key and figures that no other check has",
            got=", ".join(clash),
            do="rename what is taken",
        )
    _registered[check.name] = check
    return check


def registered_checks() -> list[Check]:
    """Return all checks, group by group, in the order of their places."""
    every = sorted((*_own(), *_registered.values()), key=lambda check: check.place)
    groups = list(dict.fromkeys(check.group for check in every))
    return sorted(every, key=lambda check: groups.index(check.group))


def users_checks() -> tuple[Check, ...]:
    """Return the checks that users have registered."""
    return tuple(_registered.values())


@cache
def _own() -> tuple[Check, ...]:
    """Return the check of each file in the folder of checks."""
    names = [file.name for file in pkgutil.iter_modules(checks.__path__, f"{checks.__name__}.")]
    return tuple(importlib.import_module(name).CHECK for name in names)
