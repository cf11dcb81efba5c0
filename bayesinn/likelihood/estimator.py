"""Estimators of the likelihood; their posteriors have any number of trials and any prior."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_integer, check_type, warn
from bayesinn.estimators.estimator import Estimator
from bayesinn.likelihood.posterior import LikelihoodPosterior, VectorDensity
from bayesinn.likelihood.score import Score, TrialErrors
from bayesinn.simulation.derived import derived_simulator
from bayesinn.simulation.prior import Entry, Prior, support_of
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.observations import axes
from bayesinn.spaces.parameters import ParameterSpace

tfd = tfp.distributions

_CHECKED_DRAWS = 2_000


class LikelihoodEstimator(Estimator):
    """A likelihood, up to a factor that doesn't depend on the parameters.

    An author writes :meth:`score`.
    """

    ask = (
        "make its posterior in Python: bi.load(folder).posterior(observed), or "
        ".posterior(trials=n) to diagnose"
    )
    simulated = True
    simulator: Simulator
    _known: VectorDensity | None = None
    _errors: TrialErrors | None = None

    @abstractmethod
    def score(self) -> Score:
        """Return the evaluator of the trained likelihood."""

    def posterior(
        self,
        observed: Mapping[str, Any] | None = None,
        *,
        prior: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
        trials: int | None = None,
        chains: int = 8,
    ) -> LikelihoodPosterior:
        """Return the posterior, sampled by NUTS.

        Parameters
        ----------
        observed : dict of name to array
            The default data of the posterior: observables (...) as the simulator declares them, or
            (trials, ...) of independent trials with the same parameters; context without that axis.
        prior : dict of TFP distributions
            Prior in place of the simulator's, for the same parameters and inside its support. Far
            from the simulator's prior, the likelihood was never trained.
        trials : int
            Number of independent trials in each data set, if ``observed`` is left out.
        chains : int, number of chains, 2 or more

        Examples
        --------
        >>> import bayesinn as bi
        >>> likelihood = bi.AmortizedLikelihood(bi.get_simulator("linear"))
        >>> _ = likelihood.fit(steps=20, batch_size=64, seed=1, progress=False)
        >>> likelihood.posterior({"y": [1.5, 1.1, 0.9]}).simulator.observable_shapes
        {'y': (3,)}
        """
        simulator = self.simulator
        if observed is not None:
            trials = self._count_trials(observed, trials)
        if trials is not None:
            trials = check_integer("Argument 'trials'", trials)
        check_integer("Argument 'chains'", chains, least=2)
        space = self.score().parameters
        if space.discrete:
            raise InputError(
                f"Posterior of {simulator.name!r} by NUTS",
                expected="continuous parameters, which chains can move in",
                got=f"integers: {list(space.discrete)}",
                do="use bi.AmortizedPosterior, or round a continuous parameter in the simulator",
            )
        if prior is not None:
            _check_prior(Prior(prior), space)
        elif simulator.on_nonfinite == "redraw":
            warn(
                f"The prior of {simulator.name!r} includes parameters for which simulations fail, "
                "where nothing was learned. Pass posterior(prior=...) without them if there are "
                "some, or use bi.AmortizedPosterior, whose prior is that of parameters that succeed"
            )
        derived = derived_simulator(simulator, trials, prior)
        density = self._density() if prior is None else VectorDensity(derived.prior, self.score())
        # Others may take hours for so many simulations.
        cheap = simulator.simulates and simulator.in_graph
        errors = self.trial_errors if cheap else None
        return LikelihoodPosterior(derived, density, trials, observed, chains, errors)

    def trial_errors(self) -> TrialErrors:
        """Measure how far errors, which add up over trials, shift posteriors of several trials.

        It takes 100,000 simulations, once for each training. Posteriors of several trials ask for
        it before they are first sampled, if the simulator is one of TensorFlow or JAX.

        Returns
        -------
        TrialErrors
            With ``most_trials``, the number up to which the likelihood holds, and ``shift(trials)``
        """
        if not self.simulator.simulates:
            raise InputError(
                f"Errors of the likelihood of {self.simulator.name!r}",
                expected="a simulator that can be run, to measure them",
                got="stored simulations",
                do="diagnose likelihood.posterior(trials=...) on data sets that were kept aside",
            )
        score = self.score()
        if self._errors is None or self._errors.score is not score:
            self._errors = TrialErrors(score, self.simulator)
        return self._errors

    def _density(self) -> VectorDensity:
        """Return the density with the simulator's own prior, made once for each training."""
        score = self.score()
        if self._known is None or self._known.score is not score:
            self._known = VectorDensity(self.simulator.prior, score)
        return self._known

    def _count_trials(self, observed: Mapping[str, Any], trials: int | None) -> int | None:
        """Return the number of trials that were observed; None for data without such an axis."""
        do = "pass observables and context by name"
        check_type("Argument 'observed'", observed, Mapping, "a dict of name to array", do)
        counts = {}
        for name, shape in self.simulator.observable_shapes.items():
            more = axes(observed[name]) - len(shape) if name in observed else 0
            if more > 1:
                raise InputError(
                    f"Argument 'observed', {name!r}",
                    expected=f"one data set, {shape} or (trials, ...)",
                    got=f"an array with {more} axes more than that",
                    do="for several data sets: likelihood.posterior(trials=n).sample(data)",
                )
            if more == 1:
                counts[name] = len(observed[name])
        for name, shape in self.simulator.shapes["context"].items():
            if name in observed and axes(observed[name]) > len(shape):
                raise InputError(
                    f"Argument 'observed', context {name!r}",
                    expected="one value, which all trials of a data set share",
                    got=f"{len(observed[name])} values",
                    do="pass one, or add up likelihood.log_prob of each in a sampler of your own",
                )
        if 0 in counts.values():
            raise InputError(
                "Argument 'observed'",
                expected="one trial or more",
                got=f"{counts}",
                do="draw from the prior, which is the posterior without trials",
            )
        numbers = set(counts.values())
        if counts and trials is not None:
            numbers.add(trials)
        if len(numbers) > 1:
            raise InputError(
                "Argument 'observed'",
                expected="the same number of trials of each observable",
                got=f"{counts}" if trials is None else f"{counts}, trials={trials}",
                do="count them",
            )
        return next(iter(counts.values()), trials)


def _check_prior(prior: Prior, space: ParameterSpace) -> None:
    """Refuse a prior of other parameters, or outside the support of the training prior."""
    subject = "Argument 'prior'"
    if prior.event_shapes != space.event_shapes:
        raise InputError(
            subject,
            expected=f"a prior of {space.event_shapes}",
            got=f"{prior.event_shapes}",
            do="name the parameters as the simulator does",
        )
    draws = prior.sample(_CHECKED_DRAWS, seeds.tensor_seed(0, "prior"))
    laws = {name: prior.distribution(name, draws) for name in prior.names}
    integers = [name for name, law in laws.items() if support_of(name, law).discrete]
    if integers:
        raise InputError(
            subject,
            expected="continuous parameters, which chains can move in",
            got=f"integers: {integers}",
            do="give them continuous distributions",
        )
    share = float(tf.reduce_mean(tf.cast(space.possible(draws), tf.float32)))
    if share < 1.0:
        raise InputError(
            subject,
            expected="a prior inside the support of the one that the likelihood was trained on",
            got=f"{100 * (1.0 - share):.2g} % of its draws outside",
            do="narrow it, or train with a wider prior",
        )
