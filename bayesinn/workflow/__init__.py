"""Checks of a posterior, verdict, reports and run folders.

A check is declared once (:class:`Check`); :func:`diagnose` runs all checks that are registered, and
verdict, tables, figures and report are made from their declarations. Add one of your own with
:func:`register_check`.
"""

from bayesinn.workflow.check import Check as Check
from bayesinn.workflow.checks import (
    register_check as register_check,
    registered_checks as registered_checks,
)
from bayesinn.workflow.diagnosing import diagnose as diagnose, diagnose_arrays as diagnose_arrays
from bayesinn.workflow.diagnosis import Diagnosis as Diagnosis
from bayesinn.workflow.evidence import Evidence as Evidence, Observation as Observation
from bayesinn.workflow.tolerances import Tolerances as Tolerances
