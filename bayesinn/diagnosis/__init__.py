"""Checks of a posterior, the verdict, and the report.

A check is declared once (:class:`Check`). :func:`diagnose` runs all registered checks; verdict,
tables, figures and report are made from their declarations. Add your own check with
:func:`register_check`.
"""

from bayesinn.diagnosis import checks as checks
from bayesinn.diagnosis.check import (
    Check as Check,
    Outcome as Outcome,
    Tolerances as Tolerances,
    register_check as register_check,
    registered_checks as registered_checks,
)
from bayesinn.diagnosis.diagnosis import (
    Diagnosis as Diagnosis,
    diagnose as diagnose,
    diagnose_arrays as diagnose_arrays,
)
from bayesinn.diagnosis.evidence import (
    Evidence as Evidence,
    MissingEvidence as MissingEvidence,
    Observation as Observation,
    optional as optional,
)
from bayesinn.diagnosis.methods import methods_text as methods_text
from bayesinn.diagnosis.regions import (
    ConformalRegions as ConformalRegions,
    conformal_regions as conformal_regions,
)
from bayesinn.diagnosis.run_comparison import (
    RunComparison as RunComparison,
    compare_runs as compare_runs,
)
