"""Named distributions in order, where later ones may depend on earlier ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import SimulatorError

tfd = tfp.distributions
Entry = tfd.Distribution | Callable[..., tfd.Distribution]
Values = dict[str, tf.Tensor]


class Prior:
    """A joint distribution of named variables.

    Parameters
    ----------
    distributions : mapping of name to distribution, or ``tfd.JointDistributionNamed``
        An entry may also be a function whose argument names are other entries; it gets their values and returns a
        distribution with batch shape (n,).
    subject : str
        Name of the distribution in messages.

    Attributes
    ----------
    names : tuple of str, in the order of declaration
    order : tuple of str, such that each name comes after those it depends on
    event_shapes : dict of name to tuple of int
    dtypes : dict of name to NumPy dtype, as drawn

    Examples
    --------
    >>> prior = Prior({"low": tfd.Uniform(0.0, 1.0), "high": lambda low: tfd.Uniform(low, 2.0)})
    >>> draws = prior.sample(4, seeds.tensor_seed(1, "prior"))
    >>> bool(tf.reduce_all(draws["high"] > draws["low"]))
    True
    """

    def __init__(self, distributions: Mapping[str, Entry] | tfd.JointDistributionNamed, subject: str = "prior") -> None:
        if isinstance(distributions, tfd.JointDistributionNamed):
            model = distributions.model
            distributions = model if isinstance(model, Mapping) else model._asdict()
        if not isinstance(distributions, Mapping) or not distributions:
            raise SimulatorError(
                f"The {subject}",
                expected="a dict of TFP distributions with at least one entry, or a tfd.JointDistributionNamed",
                got=repr(distributions) if not isinstance(distributions, Mapping) else "an empty dict",
                do='write for example prior={"rate": tfd.LogNormal(0.0, 1.0)}',
            )
        self.subject = subject
        self._entries = dict(distributions)
        self.names = tuple(self._entries)
        for name, entry in self._entries.items():
            alone = isinstance(entry, tfd.Distribution) and not isinstance(entry, tfd.JointDistribution)
            if not isinstance(name, str) or not (
                alone or (callable(entry) and not isinstance(entry, tfd.Distribution))
            ):
                raise SimulatorError(
                    f"Entry {name!r} of the {subject}",
                    expected="a name with a TFP distribution, or with a function that returns one",
                    got=type(entry).__name__,
                    do="use tfp.distributions, for example tfd.Normal(0.0, 1.0)",
                )
        self._needs = {name: _argument_names(entry) for name, entry in self._entries.items()}
        self.order = self._dependency_order()
        trial = self.sample(2, tf.constant([0, 0], tf.int32))
        self.event_shapes = {name: tuple(trial[name].shape[1:]) for name in self.names}
        self.dtypes = {name: trial[name].dtype.as_numpy_dtype for name in self.names}

    def needs(self, name: str) -> tuple[str, ...]:
        """Return the names of the variables that this one's distribution depends on."""
        return self._needs[name]

    def distribution(self, name: str, given: Mapping[str, tf.Tensor]) -> tfd.Distribution:
        """Return the distribution, with batch shape () or (n,), of one variable given those that it depends on."""
        entry = self._entries[name]
        if isinstance(entry, tfd.Distribution):
            return _batch_axes_as_event(entry, keep=0)
        return _batch_axes_as_event(entry(**{need: given[need] for need in self._needs[name]}), keep=1)

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

    def _dependency_order(self) -> tuple[str, ...]:
        order: list[str] = []
        while left := {name: needs for name, needs in self._needs.items() if name not in order}:
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


def _argument_names(entry: Entry) -> tuple[str, ...]:
    return () if isinstance(entry, tfd.Distribution) else tuple(inspect.signature(entry).parameters)


def _batch_axes_as_event(distribution: Any, keep: int) -> tfd.Distribution:
    """Make ``tfd.Normal([0.0, 0.0], 1.0)`` one vector variable, not a batch of priors."""
    extra = distribution.batch_shape.rank - keep
    return tfd.Independent(distribution, extra) if extra > 0 else distribution
