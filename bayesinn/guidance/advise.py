"""Advice on more simulations: fit to parts of the present ones, and see what a doubling gains."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_flag, check_integer, check_type
from bayesinn.core.progress import Progress
from bayesinn.diagnostics.information import Advice, learning_curve
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation.bank import Bank, read_simulations
from bayesinn.simulation.simulations import count_rows, take
from bayesinn.training.settings import Optimization


@runtime_checkable
class FittedPosterior(Posterior, Protocol):
    """A posterior that is an Estimator, too: a trained one, or one of a user."""

    identity: dict[str, Any] | None

    def untrained(self) -> Self:
        """Return a posterior of the same simulator and configuration that was never trained."""

    @property
    def fit(self) -> Callable[..., Self]:
        """Train on simulations, with the arguments of :meth:`bayesinn.Estimator.fit`."""

    def save(self, folder: Any) -> Any:
        """Write the posterior into a folder."""

    def network_configuration(self) -> dict[str, Any]:
        """Return the configuration in plain values."""


def check_fitted(posterior: Any, purpose: str, density: tuple[str, ...]) -> None:
    """Refuse what can't be fitted anew, or has a density of another kind than these."""
    subject = "Argument 'posterior'"
    do = "pass bi.AmortizedPosterior(simulator)"
    check_type(subject, posterior, Posterior, "a posterior", do)
    if not isinstance(posterior, FittedPosterior):
        expected = f"a posterior that can be fitted anew, for {purpose}"
        do += (
            ", or a class of yours from bi.Posterior and bi.estimators.Estimator; of an ensemble, "
        )
        do += "a member"
        raise InputError(subject, expected=expected, got=repr(posterior), do=do)
    if posterior.density not in density:
        raise InputError(
            subject,
            expected=f"a posterior with a density that is {' or '.join(density)}, for {purpose}",
            got=f"one {posterior.density or 'without'}, {posterior!r}",
            do="use another flow, and a prior with at most three integers",
        )


_HELD_OUT = 0.1
_FEWEST_HELD_OUT = 500
_MOST_HELD_OUT = 0.25
# Halvings of all simulations; a network of less than some dozens would tell nothing.
_PARTS = (8, 4, 2, 1)
_FEWEST = 20


def advise(
    posterior: FittedPosterior,
    data: Mapping[str, Any] | Bank,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 3,
    steps: int | None = None,
    optimization: Optimization = Optimization(),
    seed: int = 0,
    progress: bool = True,
) -> Advice:
    """Estimate the gain of more simulations, from networks fitted to parts of the present ones.

    A tenth of the simulations is held out, at least 500 if that is at most a quarter. Networks are
    fitted to an eighth, a quarter, half and all of the rest. Their gains on the held-out
    simulations predict the gain of the next doubling. By default it takes as long as 12 fits on
    arrays.

    Parameters
    ----------
    posterior : AmortizedPosterior, or a posterior of yours that is an Estimator
        Simulator and networks, trained or not; it is not changed. It must have a density.
    data : dict of name to array (n, ...), or Bank
        Simulations in the form of :meth:`Simulator.sample`; a bank is read as a whole.
    sizes : sequence of int
        Numbers of simulations to fit to, three or more to predict a gain.
    repeats : int
        Number of networks of each size, two or more. Each has its own seed, and other simulations
        while there are enough. The simulations of a larger size contain those of a smaller one.
    steps : int
        Number of steps of each fit; by default as for :meth:`AmortizedPosterior.fit` on arrays,
        chosen for each size.
    optimization, seed, progress : as for :meth:`AmortizedPosterior.fit`

    Examples
    --------
    >>> import bayesinn as bi
    >>> linear = bi.get_simulator("linear")
    >>> posterior = bi.AmortizedPosterior(linear, flow=bi.flows.coupling(blocks=1, hidden=(8,)))
    >>> simulations = linear.sample(400, seed=1)
    >>> advice = advise(
    ...     posterior, simulations, sizes=[100, 200], repeats=2, steps=10, progress=False
    ... )
    >>> advice.table["simulations"].tolist()
    [100, 200]
    """
    check_fitted(posterior, "a learning curve", ("exact", "costly"))
    check_type(
        "Argument 'optimization'", optimization, Optimization, "bi.Optimization(...)", "pass one"
    )
    check_flag("Argument 'progress'", progress)
    repeats = check_integer("Argument 'repeats'", repeats, least=2)
    simulator = posterior.simulator
    seed = seeds.check_seed(seed)
    arrays = read_simulations(data, simulator, "Simulations")
    rows = count_rows(arrays)
    order = seeds.generator(seed, "learning curve").permutation(rows)
    apart = round(min(max(_HELD_OUT * rows, _FEWEST_HELD_OUT), _MOST_HELD_OUT * rows))
    held_out, rest = (take(arrays, part) for part in (order[:apart], order[apart:]))
    wanted = _checked(sizes, rows - apart)
    truth = {name: held_out.pop(name) for name in simulator.prior.names}
    nats = np.empty((len(wanted), repeats, apart))
    with Progress("learning curve", len(wanted) * repeats, "networks", shown=progress) as display:
        for repeat in range(repeats):
            # Parts begin at different places, so that small ones have nothing in common.
            places = np.roll(np.arange(rows - apart), -(repeat * (rows - apart) // repeats))
            for number, size in enumerate(wanted):
                part = {name: value[places[:size]] for name, value in rest.items()}
                own = posterior.untrained()
                options: dict[str, Any] = {
                    "steps": steps,
                    "optimization": optimization,
                    "progress": False,
                }
                own.fit(
                    part,
                    seed=seeds.integer_seed(seed, "learning curve", 1 + repeat, size),
                    **options,
                )
                nats[number, repeat] = -own.log_prob(truth, held_out)
                text = f"{nats[number, repeat].mean():.3f} nats with {size:,}"
                display.update(repeat * len(wanted) + number + 1, text)
    return learning_curve(nats, wanted)


def _checked(sizes: Sequence[int] | None, rows: int) -> list[int]:
    """Return increasing numbers of simulations to fit to, of so many ``rows``."""
    do = "pass increasing numbers of simulations, or more data"
    if sizes is None:
        check_integer(
            "Number of simulations that are not held out",
            rows,
            _FEWEST * _PARTS[0],
            do="pass more data",
        )
        return [rows // part for part in _PARTS]
    check_type("Argument 'sizes'", sizes, (Sequence, np.ndarray), "a list of integers", do)
    wanted = [check_integer("Argument 'sizes', each", size, _FEWEST, rows, do=do) for size in sizes]
    if len(wanted) < 2 or wanted != sorted(set(wanted)):
        raise InputError(
            "Argument 'sizes'", expected="two or more increasing numbers", got=repr(wanted), do=do
        )
    return wanted
