"""All checks: the library's own, and those that users register."""

from bayesinn.core.errors import InputError
from bayesinn.diagnosis.check import GROUPS, Check
from bayesinn.diagnosis.checks.calibration import CALIBRATION
from bayesinn.diagnosis.checks.observation import OBSERVATION
from bayesinn.diagnosis.checks.sharpness import SHARPNESS

_OWN = (*CALIBRATION, *OBSERVATION, *SHARPNESS)
_registered: dict[str, Check] = {}


def register_check(check: Check) -> Check:
    """Add a check to every diagnosis of this session; it replaces your own of the same name.

    It replaces one that you registered.

    It then appears in the verdict, the tables, the figures folder and the report like the library's
    own. Another check with the same name, key or name of a figure raises an InputError.

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
    others = (*_OWN, *(other for other in _registered.values() if other.name != check.name))
    taken = {name for other in others for name in (other.name, other.key, *other.figures)}
    if clash := [name for name in (check.name, check.key, *check.figures) if name in taken]:
        expected = "a name, a key and figures that no other check has"
        do = "rename what is taken"
        raise InputError(f"Check {check.name!r}", expected=expected, got=", ".join(clash), do=do)
    _registered[check.name] = check
    return check


def registered_checks() -> list[Check]:
    """Return all checks, group by group."""
    return sorted((*_OWN, *_registered.values()), key=lambda check: list(GROUPS).index(check.group))
