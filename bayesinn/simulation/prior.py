"""Named distributions in order, where later ones may depend on earlier ones."""

import inspect
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import BayesinnError, InputError, SimulatorError
from bayesinn.core.memory import check_memory

tfd = tfp.distributions
Entry = tfd.Distribution | Callable[..., tfd.Distribution]
Values = dict[str, tf.Tensor]


class Prior:
    """A joint distribution of named variables.

    An entry is a distribution, or a function whose argument names are other entries: it gets their
    values and returns a distribution with batch shape (n,). Messages call the whole ``subject``.

    ``names`` are in the order of declaration; in ``order`` each comes after its ``needs``, the
    names it depends on; ``entries`` are as declared. ``event_shapes`` and ``dtypes`` (NumPy's) are
    those of draws.

    Examples
    --------
    >>> prior = Prior({"low": tfd.Uniform(0.0, 1.0), "high": lambda low: tfd.Uniform(low, 2.0)})
    >>> draws = prior.sample(4, seeds.tensor_seed(1, "prior"))
    >>> bool(tf.reduce_all(draws["high"] > draws["low"]))
    True
    """

    def __init__(
        self,
        distributions: Mapping[str, Entry] | tfd.JointDistributionNamed,
        subject: str = "prior",
    ) -> None:
        if isinstance(distributions, tfd.JointDistributionNamed):
            model = distributions.model
            distributions = model if isinstance(model, Mapping) else model._asdict()
        if not isinstance(distributions, Mapping) or not distributions:
            raise SimulatorError(
                f"The {subject}",
                expected=(
                    "a dict of TFP distributions with at least one entry, or a "
                    "tfd.JointDistributionNamed"
                ),
                got="an empty dict" if isinstance(distributions, Mapping) else repr(distributions),
                do='write for example prior={"rate": tfd.LogNormal(0.0, 1.0)}',
            )
        self.subject = subject
        self.entries = dict(distributions)
        self.names = tuple(self.entries)
        self.needs: dict[str, tuple[str, ...]] = {}
        for name, entry in self.entries.items():
            fixed = isinstance(entry, tfd.Distribution)
            joint = isinstance(entry, tfd.JointDistribution)
            if not isinstance(name, str) or joint or not (fixed or callable(entry)):
                raise SimulatorError(
                    f"Entry {name!r} of the {subject}",
                    expected="a name with a TFP distribution, or with a function that returns one",
                    got=type(entry).__name__,
                    do="use tfp.distributions, for example tfd.Normal(0.0, 1.0)",
                )
            self.needs[name] = () if fixed else tuple(inspect.signature(entry).parameters)
        self.order = self._dependency_order()
        self._check_sizes()
        try:
            # No vector has as many elements as both numbers of draws.
            trials = {n: self.sample(n, tf.constant([0, 0], tf.int32)) for n in (3, 2)}
        except BayesinnError:
            raise
        except Exception as error:  # whatever a distribution, or a function of the user, raises
            raise SimulatorError(
                f"The {self.subject}",
                expected="distributions that two and three draws can be taken from",
                got=f"{type(error).__name__}: {str(error)[:200]}",
                do="draw from each of them by itself",
            ) from error
        for n, trial in trials.items():
            for name in self.names:
                _check_batch(f"Entry {name!r} of the {self.subject}", trial[name].shape, n)
        self.event_shapes = {name: tuple(trial[name].shape[1:]) for name in self.names}
        self.dtypes = {name: trial[name].dtype.as_numpy_dtype for name in self.names}

    def distribution(self, name: str, given: Mapping[str, tf.Tensor]) -> tfd.Distribution:
        """Return the distribution, batch shape () or (n,), of one variable given its parents.

        The parents are the variables that it depends on.
        """
        distribution = self.entries[name]
        batch_axes = 0
        if not isinstance(distribution, tfd.Distribution):
            distribution = distribution(**{need: given[need] for need in self.needs[name]})
            batch_axes = 1
            if not isinstance(distribution, tfd.Distribution):
                raise SimulatorError(
                    f"Entry {name!r} of the {self.subject}",
                    expected="a function that returns a TFP distribution",
                    got=type(distribution).__name__,
                    do="return for example tfd.Normal(mean, 1.0)",
                )
        # tfd.Normal([0.0, 0.0], 1.0) is one vector variable, not a batch of priors.
        extra = distribution.batch_shape.rank - batch_axes
        return tfd.Independent(distribution, extra) if extra > 0 else distribution

    def sample(self, n: int | tf.Tensor, seed: tf.Tensor) -> Values:
        """Draw n times from the joint distribution; the seed is a tensor (2,)."""
        drawn: Values = {}
        for name, own_seed in zip(self.order, seeds.split(seed, len(self.order)), strict=True):
            distribution = self.distribution(name, drawn)
            sample_shape = [n] if distribution.batch_shape.rank == 0 else []
            drawn[name] = distribution.sample(sample_shape, seed=own_seed)
        return {name: drawn[name] for name in self.names}

    def cast(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return values in the dtypes of draws."""
        return {name: values[name].astype(dtype) for name, dtype in self.dtypes.items()}

    def refuse_fractions(self, values: Mapping[str, np.ndarray]) -> None:
        """Raise for fractions where draws are integers."""
        for name, dtype in self.dtypes.items():
            fractions = values[name] != np.floor(values[name])
            if np.issubdtype(dtype, np.integer) and np.any(fractions):
                raise InputError(
                    f"Values of {name!r}",
                    expected="integers, as the prior draws",
                    got=f"{values[name][fractions][0]}, and {np.sum(fractions)} fractions in all",
                    do="round them",
                )

    def _check_sizes(self) -> None:
        """Refuse variables of which three draws don't fit into memory."""
        for name, entry in self.entries.items():
            if isinstance(entry, tfd.Distribution):
                shape = entry.batch_shape.concatenate(entry.event_shape)
                numbers = shape.num_elements() or 0
                check_memory(
                    f"Entry {name!r} of the {self.subject}",
                    3 * numbers * entry.dtype.size,
                    got=f"{numbers:,} numbers in each of three draws",
                    do="declare fewer",
                    error=SimulatorError,
                )

    def _dependency_order(self) -> tuple[str, ...]:
        order: list[str] = []
        while left := {name: needs for name, needs in self.needs.items() if name not in order}:
            ready = [name for name, needs in left.items() if set(needs) <= set(order)]
            if not ready:
                raise SimulatorError(
                    f"Entries {sorted(left)} of the {self.subject}",
                    expected="functions whose argument names are other entries, without a circle",
                    got=f"arguments {left}",
                    do=f"name the arguments after the entries {list(self.names)}",
                )
            order.extend(ready)
        return tuple(order)


def _check_batch(subject: str, shape: tf.TensorShape, n: int) -> None:
    """Raise unless draws have a row for each of ``n``."""
    if shape.rank == 0 or shape[0] != n:
        raise SimulatorError(
            subject,
            expected=f"draws of shape (n, ...), here ({n}, ...)",
            got=f"{tuple(shape)}",
            do=(
                "let the function return a distribution with the batch shape () or (n,); for "
                "vectors, spread a parent along them: tfd.Normal(a[:, None] + [0.0, 1.0], 1.0)"
            ),
        )
