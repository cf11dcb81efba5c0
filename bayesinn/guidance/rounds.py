"""Truncated rounds: few simulations for the posterior of one observation, in place of all."""

import copy
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
import xarray

from bayesinn.core import seeds
from bayesinn.core.errors import (
    InputError,
    check_flag,
    check_integer,
    check_number,
    check_path,
    check_type,
)
from bayesinn.core.files import lock_folder, replace_file, reraise_as
from bayesinn.core.progress import Progress
from bayesinn.estimators.fitting_data import refuse_ignored
from bayesinn.estimators.loading import load
from bayesinn.guidance.advise import FittedPosterior, check_fitted
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation import identity
from bayesinn.simulation.bank.simulate import draw_proposed, read_proposed, write_proposed
from bayesinn.simulation.derived import PriorWarning
from bayesinn.simulation.simulations import Arrays, Simulations, count_rows, join, take
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import check_observations, refuse_batch
from bayesinn.training.settings import Optimization
from bayesinn.training.sources import fingerprint

# Posterior draws that measure where a posterior has its mass; draws that are proposed at once, and
# how often for each thousand that are wanted, at most.
_DRAWS = 50_000
_BATCH = 100_000
_MOST_BATCHES = 200
# Below this share of the prior, proposals from the posterior are accepted more often than those
# from the prior.
_LEAST_SHARE = 1e-3


class _Part(NamedTuple):
    """Region in which the log density of a posterior exceeds a threshold."""

    posterior: Posterior
    threshold: float


@dataclass(frozen=True)
class Truncation:
    """A simulator's prior, truncated to highest-density regions of posteriors at one observation.

    It is the intersection of the regions, so that each truncation lies inside of those before:
    draws of an earlier one that lie inside are then draws of this one. ``share`` is the prior's
    mass inside. ``bound`` is the largest log ratio of prior to posterior inside.
    """

    simulator: Simulator
    observation: Mapping[str, Any]
    parts: tuple[_Part, ...] = ()
    share: float = 1.0
    bound: float = 0.0

    def narrowed(self, posterior: Posterior, mass: float, seed: int, number: int) -> "Truncation":
        """Return the truncation to the region that also holds a posterior, all but a ``mass``.

        The posterior is that given the observation.
        """
        draws = posterior.sample(
            self.observation, draws=_DRAWS, seed=seeds.integer_seed(seed, "rounds", 2, number)
        )
        density = np.asarray(posterior.log_prob(draws, self.observation), np.float64)
        threshold = float(np.quantile(density, mass))
        inside = Truncation(
            self.simulator, self.observation, (*self.parts, _Part(posterior, threshold))
        )
        log_prior = np.asarray(self._prior_log_prob(posterior, draws), np.float64)
        within = inside.contains(draws)
        if not within.any():
            raise InputError(
                "Proposal of truncated rounds",
                expected="a posterior with mass where those of the rounds before had",
                got=f"none of {_DRAWS:,} posterior draws there",
                do="simulate more in each round, or pass other networks",
            )
        prior_draws = self._prior(seeds.generator(seed, "rounds", 3, number))
        share = float(np.mean(inside.contains(prior_draws)))
        if share < _LEAST_SHARE:
            # Too few prior draws to count: the mean of the ratio over the posterior's own draws.
            share = float(np.mean(np.where(within, np.exp(log_prior - density), 0.0)))
        bound = float(np.max(log_prior[within])) - threshold
        return Truncation(self.simulator, self.observation, inside.parts, share, bound)

    def contains(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Tell which parameters (n, *event) lie inside, (n,)."""
        rows = np.arange(count_rows(parameters))
        inside = np.zeros(len(rows), bool)
        for part in self.parts:
            if len(rows):
                given = take(parameters, rows)
                rows = rows[part.posterior.log_prob(given, self.observation) >= part.threshold]
        inside[rows] = True
        return inside

    def sample(self, n: int, seed: int, number: int, attempt: int) -> Arrays:
        """Draw parameters (n, *event) from the truncated prior by rejection.

        The result is a pure function of the arguments.

        Proposals are prior draws or, where few of them lie inside, draws of the last posterior,
        accepted with a probability proportional to the ratio of the prior to it.
        """
        generator = seeds.generator(seed, "rounds", 1, number, attempt)
        kept: list[Arrays] = []
        found = 0
        most = _MOST_BATCHES * -(-n // 1_000)
        for _ in range(most):
            if self.share < _LEAST_SHARE:
                proposed = self._thinned(generator)
            else:
                proposed = self._prior(generator, _BATCH if self.parts else n)
            inside = self.contains(proposed)
            kept.append(take(proposed, inside))
            found += int(inside.sum())
            if found >= n:
                return take(join(kept), slice(n))
        raise InputError(
            "Proposal of truncated rounds",
            expected=f"{n:,} parameters inside the truncated prior",
            got=f"{found:,} inside, of {most * _BATCH:,} that were proposed",
            do="pass fewer rounds: the last of them had narrowed the prior enough",
        )

    def _prior_log_prob(self, posterior: Posterior, draws: Mapping[str, np.ndarray]) -> np.ndarray:
        return posterior.given(self.observation).prior_log_prob(draws)

    def _prior(self, generator: np.random.Generator, n: int = _BATCH) -> Arrays:
        seed = tf.constant(generator.integers(2**31, size=2), tf.int32)
        return {name: value.numpy() for name, value in self.simulator.prior.sample(n, seed).items()}

    def _thinned(self, generator: np.random.Generator) -> Arrays:
        """Return those of a batch of posterior draws that make up the prior, where inside."""
        posterior = self.parts[-1].posterior
        draws = posterior.sample(
            self.observation, draws=_BATCH, seed=int(generator.integers(2**31))
        )
        density = posterior.log_prob(draws, self.observation)
        log_ratio = self._prior_log_prob(posterior, draws) - density - self.bound
        accepted = np.log(generator.uniform(size=_BATCH)) < log_ratio
        # Outside the region the ratio may exceed the bound; ``sample`` drops these draws anyway.
        return take(draws, accepted)


# The folder of truncated rounds: what decides them, and their banks and posteriors.
#
# The bank of a round is a simulation bank.

_SETTINGS = "rounds.json"
_ROUND = re.compile(r"round_[0-9]+")


@dataclass(frozen=True)
class RoundFiles:
    """Finished rounds in a folder; none if ``folder`` is None.

    Unless ``compared``, the simulator of the rounds is known by names and shapes alone.
    """

    folder: Path | None
    compared: bool = True

    def check(self, settings: Mapping[str, Any]) -> None:
        """Write what decides the rounds; refuse a folder with rounds decided by anything else."""
        if self.folder is None:
            return
        file = self.folder / _SETTINGS
        subject = f"Folder {str(self.folder)!r}"
        do = "choose another folder, or move what is there away"
        with reraise_as(subject, "rounds that this version has written there", do):
            kept = dict(json.loads(file.read_text("utf-8"))) if os.path.lexists(file) else None
            rounds = sorted(
                path.name for path in self.folder.iterdir() if _ROUND.fullmatch(path.name)
            )
            if kept is None and not rounds:
                replace_file(file, json.dumps(settings, indent=2).encode())
                return
        if kept is None:
            raise InputError(
                subject,
                expected="a folder of its own for rounds",
                got=f"{', '.join(rounds[:3])} of something else",
                do=do,
            )
        for name, value in json.loads(json.dumps(settings)).items():
            if kept.get(name) != value:
                raise InputError(
                    subject,
                    expected=f"{name} {kept.get(name)!r}",
                    got=f"{value!r}",
                    do="pass what the rounds there were made with, or another folder",
                )

    def simulations(
        self, number: int, simulator: Simulator, seed: int
    ) -> tuple[Arrays, int] | None:
        """Return the simulations of a round and the number of failures; None if not there yet."""
        folder = self._path(number, "simulations")
        # Who goes on with rounds has compared the first one.
        compared = self.compared and number == 0
        return None if folder is None else read_proposed(simulator, folder, seed, compared)

    def keep_simulations(
        self,
        number: int,
        simulator: Simulator,
        drawn: Simulations,
        seed: int,
        proposal: Mapping[str, Any],
    ) -> None:
        """Write the simulations of a round, and what they were proposed from."""
        folder = self._path(number, "simulations")
        if folder is not None:
            folder.parent.mkdir(exist_ok=True)
            write_proposed(simulator, drawn, folder, seed, proposal, self.compared)

    def posterior(self, number: int, simulator: Simulator) -> FittedPosterior | None:
        """Return the posterior of a round, or None where it is not there yet."""
        folder = self._path(number, "posterior")
        if folder is None or not (folder / "manifest.json").exists():
            return None
        return load(folder, simulator, check_simulator=False)

    def keep_posterior(self, number: int, posterior: FittedPosterior) -> None:
        """Save the posterior of a round."""
        folder = self._path(number, "posterior")
        if folder is not None:
            if not self.compared:
                posterior.identity = identity.entries(posterior.simulator, simulated=False)
            posterior.save(folder)

    def _path(self, number: int, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"round_{number + 1}" / name


#: What of an optimization decides the weights, in plain values.
_DECIDING = (
    "optimizer_configuration",
    "learning_rate",
    "clip_norm",
    "weight_decay",
    "average",
    "patience",
)


@dataclass(frozen=True, eq=False, repr=False)
class TruncatedRounds:
    """The posterior of one observation, from rounds of simulations ever closer to it.

    It is not amortized: ``posterior`` has only learned from parameters near those of the
    observation, and its answers for other data are wrong.

    Attributes
    ----------
    posterior : AmortizedPosterior, or what was passed
        The posterior of the last round.
    observation : dict of name to array, observables and context
    rounds : DataFrame
        One row per round:

        - ``simulations``: number drawn
        - ``share``: part of the prior from which they were drawn
        - ``failed``: number of failed simulations, which were replaced
        - ``used``: number of all simulations so far to which the posterior was fitted
    truncation : Truncation
        Region of the last round's simulations; ``contains(parameters)`` tells which parameters (n,
        *event) lie in it.
    """

    posterior: FittedPosterior
    observation: Mapping[str, Any]
    rounds: pd.DataFrame
    truncation: Truncation

    def sample(self, *, draws: int = 1_000, seed: int = 0) -> Mapping[str, np.ndarray]:
        """Draw (draws, *event) of each parameter from the posterior of the observation."""
        return self.posterior.sample(self.observation, draws=draws, seed=seed)

    def infer(
        self, *, draws: int = 1_000, seed: int = 0, predictive: bool = True
    ) -> xarray.DataTree:
        """Return posterior draws and all that ArviZ needs; see :meth:`AmortizedPosterior.infer`."""
        return self.posterior.infer(self.observation, draws=draws, seed=seed, predictive=predictive)

    def __repr__(self) -> str:
        name = self.posterior.simulator.name
        last = self.rounds.iloc[-1]
        return (
            f"Posterior of one observation of {name!r}, not amortized: for other data its answers "
            "are wrong\n"
            f"  {len(self.rounds)} rounds, {self.rounds['simulations'].sum():,.0f} simulations; "
            f"the last from {last['share']:.2g} of the prior, fitted to {last['used']:,.0f}"
        )


def truncated_rounds(
    posterior: FittedPosterior,
    observation: Mapping[str, Any],
    *,
    rounds: int = 4,
    simulations: int = 1_000,
    mass: float = 1e-4,
    folder: str | Path | None = None,
    seed: int = 0,
    steps: int | None = None,
    optimization: Optimization = Optimization(),
    check_simulator: bool = True,
    progress: bool = True,
) -> TruncatedRounds:
    """Fit the posterior of one observation in rounds, each with simulations closer to it.

    The first round simulates from the prior. Each other round simulates from a truncated prior: the
    region where the last posterior of the observation, and all before it, have all but a small
    mass. All simulations so far that lie in this region are draws from the truncated prior, so that
    the posterior is fitted to them with the ordinary loss. Context is that of the observation.
    Deistler, Goncalves & Macke 2022, "Truncated proposals for scalable and hassle-free
    simulation-based inference" (TSNPE), arXiv:2210.04815.

    The price: the result is not amortized, it holds for this observation alone. What a round cuts
    off by mistake doesn't come back.

    Parameters
    ----------
    posterior : AmortizedPosterior, or a posterior of yours that is an Estimator
        Simulator and networks, trained or not; it is not changed. Its density must be exact.
    observation : dict of name to array, without batch axis
    rounds : int, number of rounds
    simulations : int, number of simulations in each round
    mass : float
        Share of the posterior that each truncation may cut off.
    folder : path
        Keeps the posterior and the simulations of each round, in a :class:`Bank` with the proposal
        among its attributes. In a later call with this folder, finished rounds are read, not
        repeated; ``rounds`` may then be larger.
    steps : int
        Number of steps of each fit; by default, like the weight decay, as for
        :meth:`AmortizedPosterior.fit` on arrays.
    seed, optimization, progress : as for :meth:`AmortizedPosterior.fit`
    check_simulator : bool
        Whether to check that the simulator is the one that made finished rounds: a few simulated
        rows, one if that takes long, are kept in the folder and simulated again.

    Raises
    ------
    InputError
        If the folder has rounds of another observation, simulator, seed or setting; if the
        truncated prior is too small to draw from.
    BankError, SavedPosteriorError
        If something in the folder is damaged, or made by other code of the simulator; if another
        process writes there.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
    ... )
    >>> options = {"simulations": 200, "steps": 20, "progress": False}
    >>> result = truncated_rounds(posterior, {"y": 1.5}, rounds=2, **options)
    >>> result.sample(draws=100, seed=1)["x1"].shape
    (100,)
    """
    # The density decides where the prior is truncated.
    check_fitted(posterior, "truncated rounds", ("exact",))
    check_type(
        "Argument 'optimization'", optimization, Optimization, "bi.Optimization(...)", "pass one"
    )
    check_flag("Argument 'progress'", progress)
    check_flag("Argument 'check_simulator'", check_simulator)
    rounds = check_integer("Argument 'rounds'", rounds)
    simulations = check_integer(
        "Argument 'simulations'", simulations, 20, do="pass for example simulations=1000"
    )
    mass = check_number("Argument 'mass'", mass, above=0, most=0.1, do="pass for example mass=1e-4")
    if steps is not None:
        steps = check_integer("Argument 'steps'", steps, do="pass for example steps=2_000")
    seed = seeds.check_seed(seed)
    simulator = posterior.simulator
    # A copy: the result answers for these data, whatever becomes of the user's arrays later.
    checked = copy.deepcopy(check_observations(simulator, observation))
    refuse_ignored(checked.arrays, None, optimization)
    refuse_batch(checked, "Argument 'observation'", "call it for each of them")
    place = None if folder is None else check_path("Argument 'folder'", folder, "rounds")
    files = RoundFiles(place, check_simulator)
    settings = {
        **_identity(posterior, checked.arrays),
        "simulations": simulations,
        "mass": mass,
        "seed": seed,
        "steps": steps,
        "optimization": {name: getattr(optimization, name) for name in _DECIDING},
    }
    one = checked.row()
    truncation = Truncation(simulator, one)
    rows = []
    known = None
    last = posterior
    with (
        lock_folder(files.folder, "Folder of rounds"),
        Progress("truncated rounds", shown=progress) as display,
    ):
        files.check(settings)
        for number in range(rounds):
            if number:
                truncation = truncation.narrowed(last, mass, seed, number - 1)
            display.note(
                f"round {number + 1} of {rounds}, from {truncation.share:.2g} of the prior"
            )
            fresh, failed = _simulated(files, truncation, number, simulations, seed)
            if known is None:
                known = fresh
            else:
                known = join([take(known, truncation.contains(known)), fresh])
            used = count_rows(known)
            share = truncation.share
            rows.append(
                {"simulations": simulations, "share": share, "failed": failed, "used": used}
            )
            kept = files.posterior(number, simulator)
            if kept is not None:
                last = kept
                continue
            last = posterior.untrained()
            own = seeds.integer_seed(seed, "rounds", 4, number)
            _fit(last, known, steps, own, optimization, progress)
            files.keep_posterior(number, last)
    table = pd.DataFrame(rows, index=pd.RangeIndex(1, rounds + 1, name="round"))
    return TruncatedRounds(last, one, table, truncation)


def _identity(posterior: FittedPosterior, observation: Arrays) -> dict[str, Any]:
    """Return what the rounds in a folder are of, in plain values; the observation is (1, ...)."""
    shapes = {
        kind: {name: list(shape) for name, shape in of_kind.items()}
        for kind, of_kind in posterior.simulator.shapes.items()
    }
    values = {name: value.astype(np.float64) for name, value in observation.items()}
    return {
        "format": 1,
        "simulator": posterior.simulator.name,
        **shapes,
        "observation": fingerprint(values),
        "network": posterior.network_configuration(),
    }


def _fit(
    posterior: FittedPosterior,
    known: Arrays,
    steps: int | None,
    seed: int,
    optimization: Optimization,
    progress: bool,
) -> None:
    """Fit to simulations of a truncated prior, which is no mistake to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PriorWarning)
        posterior.fit(known, steps=steps, seed=seed, optimization=optimization, progress=progress)


def _simulated(
    files: RoundFiles, truncation: Truncation, number: int, simulations: int, seed: int
) -> tuple[Arrays, int]:
    """Return the simulations of a round, read or drawn, and how many failed."""
    simulator = truncation.simulator
    if (kept := files.simulations(number, simulator, seed)) is not None:
        return kept
    context = {name: truncation.observation[name][None] for name in simulator.context_names}

    def propose(n: int, attempt: int) -> Arrays:
        return truncation.sample(n, seed, number, attempt)

    drawn = draw_proposed(simulator, propose, context, simulations, seed, 0, number)
    proposal = {
        "kind": "prior, truncated to the highest-density regions of the posteriors of the rounds "
        "before",
        "round": number + 1,
        "share": truncation.share,
        "thresholds": [part.threshold for part in truncation.parts],
        "observation": {
            name: np.asarray(value).tolist() for name, value in truncation.observation.items()
        },
    }
    files.keep_simulations(number, simulator, drawn, seed, proposal)
    return drawn.flat(), drawn.failed
