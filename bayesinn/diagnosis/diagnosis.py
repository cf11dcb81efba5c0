"""The diagnosis: run all checks on a posterior or on arrays; verdict, tables, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from html import escape
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
from rich.text import Text

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_draws, check_flag, check_integer, check_type
from bayesinn.core.html import table_html
from bayesinn.core.progress import Progress
from bayesinn.diagnosis.check import (
    FLAGGED,
    OUTSIDE,
    UNBOUNDED,
    UNDECIDED,
    WITHIN,
    Check,
    Outcome,
    Tolerances,
    registered_checks,
)
from bayesinn.diagnosis.evidence import (
    MOST,
    Evidence,
    MissingEvidence,
    Quantity,
    affordable,
    check_quantities,
    gather,
    held_out_rows,
    optional,
    simulate,
)
from bayesinn.diagnosis.methods import methods_text
from bayesinn.diagnosis.report import Figure, Section, render, save_all, say
from bayesinn.diagnosis.report.sections import (
    check_figures,
    check_section,
    checks_section,
    describe_data,
    first_paragraph,
    model_section,
    observed_section,
    overview,
    parameters_section,
    training_section,
    verdict_picture,
)
from bayesinn.diagnosis.verdict import Finding, Verdict, write_checks
from bayesinn.diagnostics import MisspecificationResult, misspecification as test
from bayesinn.diagnostics.arrays import Arrays, check_level
from bayesinn.diagnostics.deviation import repetitions_for
from bayesinn.diagnostics.misspecification import fewest_simulated
from bayesinn.posterior.posterior import Posterior, check_posterior
from bayesinn.simulation.derived import check_alike
from bayesinn.simulation.simulations import Simulations, count_rows
from bayesinn.simulation.simulator import Simulator

_COLUMNS = ["measure", "column", "estimate", "lower", "upper", "unit", "tolerance"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Diagnosis(Verdict):
    """The results of all checks; ``diagnosis["sbc"]`` is the result of one, by its key.

    Keys are ``sbc``, ``coverage``, ``joint_coverage``, ``tarp``, ``dependence``, ``fit_to_data``,
    ``quantities``, ``latent``, ``local`` (L-C2ST), ``posterior_sbc``, ``observation``,
    ``predictive``, ``sharpness``, ``recovery``, ``information``, and those of your own checks. The
    result of a check that was not run is None.
    """

    left_out: Mapping[Check, str]  #: why checks were not run; empty where one does not apply
    evidence: Evidence
    settings: Mapping[str, Any] = field(default_factory=dict)  #: written at the end of the report
    #: simulator, network, training: the report's first line
    about: Mapping[str, str] = field(default_factory=dict)
    model: Section | None = None  #: what the report says of the simulator
    history: pd.DataFrame | None = None  #: of the training
    nats: bool = True  #: whether its loss is in nats
    methods: str = ""  #: paragraph for a paper, see :func:`bayesinn.diagnosis.methods_text`

    def __getitem__(self, key: str) -> Any:
        results = self.results | dict.fromkeys((check.key for check in self.left_out), None)
        if key not in results:
            raise InputError(
                f"Result {key!r} of a diagnosis",
                expected=f"one of {list(results)}",
                got=repr(key),
                do="name a check by its key",
            )
        return results[key]

    @property
    def results(self) -> dict[str, Any]:
        """The result of each check, by its key, in the order of the verdict."""
        return {finding.check.key: finding.result for finding in self.findings}

    @cached_property
    def figures(self) -> dict[Check, dict[str, Figure]]:
        """The figures of each check by name, drawn once."""
        labels = self.evidence.labels
        return {finding.check: check_figures(finding, labels) for finding in self.findings}

    @cached_property
    def verdict(self) -> pd.DataFrame:
        """One row for each check: grade, p-value, largest error, and a summary.

        The error has interval, unit and tolerance.
        """
        rows = {
            item.check.name: {
                "grade": item.grade,
                **item.worst.reindex(_COLUMNS, fill_value=None),
                "p_value": item.p_value,
                "allowed": item.allowed,
                "found": item.found,
            }
            for item in self.findings
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("check")

    @cached_property
    def errors(self) -> pd.DataFrame:
        """One row for each measure and column of each check.

        A row has estimate, interval, unit, tolerance and grade.
        """
        tables = [finding.errors for finding in self.findings if len(finding.errors)]
        return pd.concat(tables).drop(columns="text").set_index(["check", "measure", "column"])

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each parameter column, with the numbers of all checks by column.

        A column is named after the check's key and the column of its table: ``sbc_p_value``.
        """
        tables = []
        for finding in self.findings:
            table = finding.outcome.table
            if table is not None and tuple(table.index) == self.parameters:
                key = finding.check.key
                own = {name: f"{key}_{name}" for name in table if not name.startswith(key)}
                tables.append(table.rename(columns=own))
        return pd.concat(tables, axis=1)

    def plot(self, folder: str | Path) -> list[Path]:
        """Write every figure as PNG into ``folder``, made if need be, and return the paths."""
        drawn = (item for figures in self.figures.values() for item in figures.items())
        return save_all(drawn, folder)

    def to_html(
        self,
        path: str | Path,
        *,
        title: str = "",
        sections: Sequence[Section] = (),
        reference: Arrays | None = None,
        draws: Arrays | None = None,
    ) -> Path:
        """Write the report as a self-contained HTML file; return its path.

        ``sections`` are your own, and come last. ``reference`` is shown beside the posterior of the
        observed data: draws from an exact or classical posterior, dict of name to (m, *event).
        ``draws`` replace the diagnosis' own draws from the posterior of the observed data, for
        example by published ones.
        """
        labels = self.evidence.labels
        parts = [
            checks_section(self.verdict, self._not_run),
            parameters_section(self._numbers, labels),
        ]
        at = optional(lambda: self.evidence.observation)
        if at is not None:
            ranking = self._ranking
            section = observed_section(
                at, self.evidence.prior, labels, reference, ranking, draws=draws
            )
            parts.insert(0, section)
        # Faults come first, the rest is folded away.
        order = (OUTSIDE, FLAGGED, UNDECIDED, UNBOUNDED, "", WITHIN)
        for finding in sorted(self.findings, key=lambda finding: order.index(finding.grade)):
            figures = [*self.figures[finding.check].values()]
            parts.append(check_section(finding, figures, labels, self.parameters))
        parts += sections
        parts += [] if self.model is None else [self.model]
        if self.history is not None and not self.history.empty:
            parts.append(training_section(self.history, self.nats))
        if self.methods:
            parts.append(Section("Methods", self.methods))
        name = self.about.get("Simulator", "")
        return render(
            path,
            title or (f"Posterior of {name}" if name else "Is the posterior correct?"),
            parts,
            grade=self.grade,
            text=self.text,
            picture=verdict_picture(self, labels),
            lists={"trusted": self.trusted, "doubtful": self.doubtful, "actions": self.actions},
            about=self.about,
            settings=self.settings,
            seed=self.evidence.seed,
        )

    def __repr__(self) -> str:
        return self.__rich__().plain

    def __rich__(self) -> Text:
        """Write the verdict for a terminal, in colour if it has colours."""
        grade = {WITHIN: "within tolerance", OUTSIDE: "OUTSIDE TOLERANCE"}.get(
            self.grade, self.grade
        )
        simulations, draws = self.size
        numbers = self._numbers.rename_axis(index="Parameter").to_string(float_format="%.3g")
        lines = [
            Text(
                f"Diagnosis: {grade} ({simulations:,} simulations, {draws} draws, seed "
                f"{self.evidence.seed})"
            ),
            Text(f"  {self.text}\n"),
            *write_checks(self.verdict),
            *(Text(f"  {line}") for line in self._not_run),
            Text(f"\n{numbers}"),
        ]
        return Text("\n").join(lines)

    @property
    def _ranking(self) -> list[str]:
        """The parameters, those first with the largest errors of the first check that has any."""
        found = [name for finding in self.findings for name in finding.errors["column"]]
        every = dict.fromkeys([*found, *self.parameters])
        return [name for name in every if name in self.parameters]

    def _repr_html_(self) -> str:
        simulations, draws = self.size
        rows = [(item.check.name, item.grade, item.found) for item in self.findings]
        title = f"Diagnosis: {self.grade} ({simulations:,} simulations, {draws:,} draws each)"
        table = table_html(title, ("check", "grade", "found"), rows)
        lines = "<br>".join(map(escape, [self.text, *self._not_run]))
        return f"{table}<p>{lines}</p>"

    @cached_property
    def _numbers(self) -> pd.DataFrame:
        """One row for each parameter: errors by measure, and how much the posterior knows."""
        return pd.concat([overview(finding, self.parameters) for finding in self.findings], axis=1)

    @property
    def _not_run(self) -> list[str]:
        """A sentence for each reason why checks were not run."""
        names: dict[str, list[str]] = {}
        for check, reason in self.left_out.items():
            names.setdefault(reason, []).append(check.name)
        return [say("not_run", names[reason], reason) for reason in names if reason]


# Classifiers and trees learn nothing from fewer.
_FEWEST = 20
# Tolerances that a report describes in other words.
_ALLOWED = {"nats": "nats for each parameter"}
_DRAWS = 200
_SEED = 0
_LEVEL = 0.99
_DEFAULTS = {"draws": _DRAWS, "seed": _SEED, "level": _LEVEL, "tolerances": Tolerances()}
# Of a test of many observations: simulations to compare with, and repetitions.
_COMPARED = 1_000
_REPETITIONS = 500


def diagnose(
    posterior: Posterior,
    *,
    data: Mapping[str, Any] | None = None,
    simulations: int | None = None,
    draws: int = _DRAWS,
    seed: int = _SEED,
    observed: Mapping[str, Any] | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    larger: Posterior | None = None,
    tolerances: Tolerances = Tolerances(),
    level: float = _LEVEL,
    progress: bool = True,
) -> Diagnosis:
    """Find how wrong a posterior is, on fresh simulations from the prior and near an observation.

    Each error has a unit, an interval and a tolerance. The repr of the result is the verdict:

    - ``within``: all intervals are within tolerance.
    - ``outside``: an error is certainly larger than its tolerance. Of posteriors within tolerance,
      1 % at most are called outside, by any check, for any number of simulations.
    - ``undecided``: more simulations are needed; the verdict says how many.

    Checks that need a density, latent codes or a training are left out if the posterior has none,
    and the verdict says so. Add your own checks with :func:`bayesinn.diagnosis.register_check`.

    Parameters
    ----------
    posterior : Posterior
        A trained posterior, or any that draws, such as ``bi.SampledPosterior(simulator, sample)``.
    data : dict of name to array (n, ...)
        Simulations to use in place of fresh ones: parameters, context and observables that the
        posterior was not trained on, 20 or more. Needed for a model of
        :func:`bayesinn.from_arrays`.
    simulations : int
        Number of simulated data sets whose true parameters are known, 20 or more. By default
        10,000; if worker processes simulate, as many as take about five minutes, from 1,000 to
        10,000. Up to 6,000 (or a quarter as many) are simulated for the reference points of TARP,
        and again around the observation.
    draws : int, number of posterior draws for each data set
        With integer parameters, each density is an integral: joint coverage, posterior SBC and
        sharpness then use the first 50 draws of the first data sets, which takes some minutes.
    seed : int
    observed : dict of name to array
        One observation, without batch axis, for its p-value, L-C2ST, posterior SBC and posterior
        predictive checks. By default the one that ships with the simulator, if any.
    quantities : dict of name to function
        Test quantities for SBC: each takes parameters (m, *event) and one observation, and returns
        (m,).
    larger : Posterior
        A longer or larger fit of the same simulator, for a lower bound of the missing sharpness:
        the gain of its density. Not needed if the simulator has a likelihood.
    tolerances : Tolerances
        Accepted errors.
    level : float
        Probability that a correct posterior stays inside the bands of figures, and that no
        predictive statistic is flagged. A higher level needs more simulations around the
        observation.

    Raises
    ------
    InputError
        Before anything is simulated, if the posterior is not trained, an argument is impossible, or
        data to diagnose on are missing.
    SimulatorError
        If simulations are not finite.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,))
    ... )
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> diagnosis = bi.diagnose(posterior, simulations=100, draws=50, seed=2, progress=False)
    >>> diagnosis.grade  # after 20 steps
    'outside'
    """
    check_posterior("Argument 'posterior'", posterior)
    seed = seeds.check_seed(seed)
    level = check_level(level)
    held_out = _held_out(posterior, data, simulations)
    simulations = _count_data_sets(held_out, simulations)
    shapes = posterior.simulator.prior.event_shapes
    draws = check_draws(draws, shapes, simulations or MOST, least=5)
    check_flag("Argument 'progress'", progress)
    check_quantities(quantities, posterior.simulator.prior)
    _check_larger(larger, posterior.simulator)
    check_type(
        "Argument 'tolerances'", tolerances, Tolerances, "bi.diagnosis.Tolerances(...)", "pass one"
    )
    allowed = {_ALLOWED.get(name, name): value for name, value in asdict(tolerances).items()}
    # Before anything is simulated.
    posterior.require_trained()
    arguments = _list_arguments(
        simulations=simulations,
        draws=draws,
        seed=seed,
        level=level,
        data=data,
        observed=observed,
        quantities=quantities,
        larger=larger,
        tolerances=tolerances,
    )
    with Progress("diagnosing", shown=progress) as stages:
        if simulations is None:
            around = observed is not None or posterior.simulator.observed is not None
            simulations = affordable(posterior.simulator, seed, around, stages)
        evidence = gather(
            posterior,
            simulations,
            draws,
            seed,
            level,
            observed=observed,
            quantities=quantities,
            larger=larger,
            stage=stages.stage,
            held_out=held_out,
        )
        settings = {
            "simulations": simulations,
            "draws": draws,
            "level": level,
            "tolerances": allowed,
        }
        found = diagnose_arrays(evidence, tolerances, settings, stages.stage)
        stages.stage("done")
    return _with_descriptions(found, posterior, partial(_call, arguments))


def _list_arguments(**arguments: Any) -> dict[str, str]:
    """Return what a call needs beside the defaults: numbers as text, others by their own name."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return {
        name: str(value) if isinstance(value, int | float) else name
        for name, value in given.items()
        if name not in _DEFAULTS or value != _DEFAULTS[name]
    }


def _with_descriptions(
    found: Diagnosis, posterior: Posterior, again: Callable[[str, int], str]
) -> Diagnosis:
    """Return a diagnosis with what its report says of simulator and posterior."""
    simulator = posterior.simulator
    told = {
        "Simulator": simulator.name,
        "Model": first_paragraph(simulator),
        "Data": describe_data(simulator),
        **posterior.about(),
        "Diagnosed": f"{datetime.now():%Y-%m-%d}",
    }
    # Code is listed with the settings, at the end.
    about = {name: text for name, text in told.items() if text and name != "Network"}
    network = {name.lower(): text for name, text in told.items() if name == "Network"}
    return replace(
        found,
        about=about,
        model=model_section(simulator),
        settings={**found.settings, **network},
        history=posterior.history,
        nats=posterior.nats,
        again=again,
        unfinished=posterior.unfinished,
        methods=methods_text(posterior, found),
    )


def _check_larger(larger: Posterior | None, simulator: Simulator) -> None:
    """Refuse a fit that has no densities to compare with those of a posterior of a simulator."""
    subject = "Argument 'larger'"
    do = "pass a longer or larger fit of the same simulator"
    check_type(subject, larger, (Posterior, type(None)), "a trained posterior", do)
    if larger is None:
        return
    check_alike(subject, "a posterior of the same simulator", simulator, larger.simulator, do)
    larger.require_trained()
    if larger.density is None:
        raise InputError(
            subject,
            expected="a posterior with a density",
            got=f"{type(larger).__name__} without one",
            do="pass one with log_prob, or leave it out",
        )


def _count_data_sets(held_out: Simulations | None, simulations: int | None) -> int | None:
    """Return the number of data sets, checked; None where it is to be found out."""
    if held_out is not None:
        rows = count_rows(held_out.parameters)
        return check_integer("Rows of argument 'data'", rows, _FEWEST, do="hold out more rows")
    if simulations is None:
        return None
    return check_integer(
        "Argument 'simulations'",
        simulations,
        _FEWEST,
        do=f"leave it out, or pass {MOST}, which decides nearly all errors",
    )


def _held_out(
    posterior: Posterior, data: Mapping[str, Any] | None, simulations: int | None
) -> Simulations | None:
    """Return the data to diagnose on, checked; None if data sets must be simulated."""
    subject = "Data to diagnose on"
    if data is None and not posterior.simulator.simulates:
        expected = "arrays that were held out, as there is no function to simulate with"
        do = "pass bi.diagnose(posterior, data=held_out), with parameters and observables; on the "
        do += "command line --held-out FILE.npz"
        raise InputError(subject, expected=expected, got="none", do=do)
    if data is None:
        return None
    if simulations is not None:
        raise InputError(
            subject,
            expected="data, or a number",
            got=f"both, simulations={simulations!r}",
            do="leave one of them out",
        )
    return held_out_rows(posterior.simulator, data)


def _call(given: Mapping[str, str], name: str, value: int) -> str:
    """Write the call that repeats the diagnosis with another number."""
    if name == "simulations" and "data" in given:
        return f"bi.diagnose(posterior, data=...) with {value:,} rows that were held out"
    arguments = {name: str(value)} | {key: text for key, text in given.items() if key != name}
    return (
        f"bi.diagnose(posterior, {', '.join(f'{key}={text}' for key, text in arguments.items())})"
    )


def diagnose_arrays(
    evidence: Evidence,
    tolerances: Tolerances = Tolerances(),
    settings: Mapping[str, Any] | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> Diagnosis:
    """Run all checks that the arrays allow, whatever posterior they come from.

    ``settings`` are written into the report. ``stage`` is called with the name of the next group of
    checks.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=300)
    >>> data = truth + generator.normal(size=300)
    >>> draws = data[:, None] / 2 + np.sqrt(0.5) * generator.normal(size=(300, 99))
    >>> diagnose_arrays(Evidence({"mean": truth}, {"mean": draws}, prior={"mean": truth})).outside
    ()
    """
    parameters = evidence.columns
    findings = []
    left_out = {}
    for group, checks in groupby(registered_checks(), key=attrgetter("group")):
        stage(group)
        for check in checks:
            try:
                result = check.run(evidence)
            except MissingEvidence as missing:
                left_out[check] = str(missing)
                continue
            if result is None:
                left_out[check] = ""
                continue
            outcome = result if isinstance(result, Outcome) else Outcome.of(result)
            findings.append(Finding(check, outcome, tolerances))
    family = sum(finding.weight for finding in findings)
    rows, draws = next(iter(evidence.draws.values())).shape[:2]
    return Diagnosis(
        findings=[replace(finding, family=family) for finding in findings],
        parameters=parameters,
        tolerances=tolerances,
        size=(rows, draws),
        left_out=left_out,
        evidence=evidence,
        settings=settings or {},
    )


def diagnose_observations(
    posterior: Posterior,
    data: Mapping[str, Any],
    *,
    simulations: int | None = None,
    seed: int = 0,
    level: float = 0.99,
) -> MisspecificationResult:
    """Test whether a batch of observations fits the simulator and its prior, by their summaries.

    The out-of-distribution flag judges one observation; a population may be wrong although each
    observation is possible. The data are compared with ``simulations`` fresh simulations, context
    included, which should be drawn as the simulator draws it; by default 1,000, or more if the
    level needs them. Well-specified data pass with probability ``level``. Power is highest with
    about as many summaries as parameters: more summaries dilute a difference in one of them. For a
    posterior without summary networks, the data themselves are compared. See
    :func:`bayesinn.diagnostics.misspecification`.

    Examples
    --------
    >>> import bayesinn as bi
    >>> linear = bi.get_simulator("linear")
    >>> posterior = bi.AmortizedPosterior(linear, flow=bi.flows.coupling(blocks=2, hidden=(16,)))
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> own = linear.sample(20, seed=2)["y"]
    >>> [bi.diagnose_observations(posterior, {"y": y}, seed=3).passed for y in (own, own + 5.0)]
    [True, False]
    """
    check_posterior("Argument 'posterior'", posterior)
    level = check_level(level)
    fewest = fewest_simulated(level)
    if simulations is None:
        simulations = max(_COMPARED, fewest)
    do = f"leave it out, or pass a lower level: fewer can't fail at {level:g}"
    simulations = check_integer("Argument 'simulations'", simulations, fewest, do=do)
    observations = posterior.check_data(data)
    if not observations.batched:
        raise InputError(
            "Observations to test together",
            expected="a batch of them: arrays (n_obs, ...)",
            got="one observation",
            do="look at the p-value of sample(...) or infer(...), which is for one; or add a first "
            "axis",
        )
    fresh = simulate(posterior.simulator, simulations, seed, "diagnosis")
    simulated = posterior.given(fresh.data).features
    return test(
        posterior.given(observations).features,
        simulated,
        repetitions=repetitions_for(level, _REPETITIONS),
        seed=seed,
        level=level,
    )
