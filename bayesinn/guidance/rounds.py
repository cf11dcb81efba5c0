"""Truncated rounds: few simulations for the posterior of one observation, in place of all."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray

from bayesinn.core import seeds
from bayesinn.core.progress import Progress
from bayesinn.core.storage import lock_folder
from bayesinn.core.validation import check_flag, check_integer, check_number, check_path, check_type
from bayesinn.estimators.training_data import refuse_ignored
from bayesinn.guidance.fitted import FittedPosterior, check_fitted
from bayesinn.guidance.round_files import RoundFiles
from bayesinn.guidance.truncation import Truncation
from bayesinn.simulation.identity_rows import remembering
from bayesinn.simulation.prior_agreement import PriorWarning
from bayesinn.simulation.proposals import draw_proposed
from bayesinn.simulation.simulations import count_rows, join, take
from bayesinn.simulation.simulator import Arrays
from bayesinn.spaces.observations import check_observations, refuse_batch
from bayesinn.training.arrays import fingerprint
from bayesinn.training.settings import Optimization

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


@remembering()
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
    posterior : AmortizedPosterior, or a posterior of yours that is an :class:`bayesinn.Estimator`
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
    ...     bi.get("linear"), flow=bi.flows.coupling(blocks=1, hidden=(8,))
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
