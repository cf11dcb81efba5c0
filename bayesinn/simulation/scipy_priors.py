"""Priors that people have: SciPy's frozen distributions, and classes of their own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import SimulatorError

tfb = tfp.bijectors
tfd = tfp.distributions

Frozen = Callable[..., tfd.Distribution]


def _moved(distribution: tfd.Distribution, loc: float = 0.0, scale: float = 1.0) -> Any:
    """Return the distribution of ``loc + scale * x``; itself if that changes nothing."""
    if scale != 1.0:
        distribution = tfb.Scale(np.float32(scale))(distribution)
    return tfb.Shift(np.float32(loc))(distribution) if loc else distribution


def _log_uniform(a: float, b: float, loc: float, scale: float) -> tfd.Distribution:
    return _moved(tfb.Exp()(tfd.Uniform(math.log(a * scale), math.log(b * scale))), loc)


#: SciPy's continuous distributions by name: functions of shapes, loc and scale.
_CONTINUOUS: dict[str, Frozen] = {
    "norm": tfd.Normal,
    "uniform": lambda loc, scale: tfd.Uniform(loc, loc + scale),
    "lognorm": lambda s, loc, scale: _moved(tfd.LogNormal(math.log(scale), s), loc),
    "loguniform": _log_uniform,
    "reciprocal": _log_uniform,
    "expon": lambda loc, scale: _moved(tfd.Exponential(1.0 / scale), loc),
    "gamma": lambda a, loc, scale: _moved(tfd.Gamma(a, 1.0 / scale), loc),
    "erlang": lambda a, loc, scale: _moved(tfd.Gamma(a, 1.0 / scale), loc),
    "invgamma": lambda a, loc, scale: _moved(tfd.InverseGamma(a, scale), loc),
    "chi2": lambda df, loc, scale: _moved(tfd.Gamma(0.5 * df, 0.5 / scale), loc),
    "chi": lambda df, loc, scale: _moved(tfd.Chi(df), loc, scale),
    "beta": lambda a, b, loc, scale: _moved(tfd.Beta(a, b), loc, scale),
    "halfnorm": lambda loc, scale: _moved(tfd.HalfNormal(scale), loc),
    "halfcauchy": tfd.HalfCauchy,
    "cauchy": tfd.Cauchy,
    "truncnorm": lambda a, b, loc, scale: tfd.TruncatedNormal(
        loc, scale, loc + a * scale, loc + b * scale
    ),
    "t": tfd.StudentT,
    "laplace": tfd.Laplace,
    "logistic": tfd.Logistic,
    "gumbel_r": tfd.Gumbel,
    "weibull_min": lambda c, loc, scale: _moved(tfd.Weibull(c, scale), loc),
    "pareto": lambda b, loc, scale: _moved(tfd.Pareto(b, scale), loc),
    "invgauss": lambda mu, loc, scale: _moved(tfd.InverseGaussian(mu * scale, scale), loc),
    "vonmises": lambda kappa, loc, scale: _moved(tfd.VonMises(loc, kappa), scale=scale),
    "triang": lambda c, loc, scale: tfd.Triangular(loc, loc + scale, loc + c * scale),
}
_PLACE = {"loc": 0.0, "scale": 1.0}
#: Discrete ones: functions of shapes.
_DISCRETE: dict[str, Frozen] = {
    "poisson": tfd.Poisson,
    "binom": lambda n, p: tfd.Binomial(n, probs=p),
    "nbinom": lambda n, p: tfd.NegativeBinomial(n, probs=1.0 - p),
    "bernoulli": lambda p: tfd.Bernoulli(probs=p),
}
#: Distributions of vectors, functions of SciPy's attributes.
_VECTORS: dict[str, Frozen] = {
    "dirichlet": lambda frozen: tfd.Dirichlet(_single(frozen.alpha)),
    "multivariate_normal": lambda frozen: tfd.MultivariateNormalTriL(
        _single(frozen.mean), _single(np.linalg.cholesky(frozen.cov))
    ),
}
#: Those that TFP lacks, or whose support no smooth map reaches, and what to do.
_INSTEAD = {
    "randint": "take tfd.FiniteDiscrete(range(low, high), probs=[...])",
    "skewnorm": "take tfd.SinhArcsinh(loc, scale, skewness)",
}


def as_tfp(subject: str, entry: Any) -> Any:
    """Return a prior's entry as a TFP distribution, if it is one of SciPy's or of a user's class.

    A user's class has ``sample(n, seed)`` and ``log_prob(values)``, of TensorFlow operations: its
    draws are made inside the compiled step. Its bounds are ``low`` and ``high``, if there are any.
    Anything else is returned as it is.

    >>> from scipy import stats
    >>> as_tfp("Entry 'size'", stats.uniform(1, 8)).high.numpy()
    np.float32(9.0)
    """
    kind = type(entry).__name__
    if type(entry).__module__.startswith("scipy.stats"):
        return _of_scipy(subject, entry)
    if kind == "BoxUniform" and hasattr(entry, "base_dist"):
        box = entry.base_dist
        return tfd.Uniform(_single(box.low), _single(box.high))
    if not isinstance(entry, tfd.Distribution | type) and hasattr(entry, "sample"):
        return OwnDistribution(subject, entry)
    return entry


def _of_scipy(subject: str, frozen: Any) -> tfd.Distribution:
    """Return the TFP distribution of a frozen one, all of whose arguments are numbers."""
    if (vector := _VECTORS.get(type(frozen).__name__.removesuffix("_frozen"))) is not None:
        return vector(frozen)
    family = getattr(frozen, "dist", None)
    if family is None:
        name = getattr(frozen, "name", type(frozen).__name__.removesuffix("_frozen"))
        frozen_now = f"freeze it: scipy.stats.{name}(...), with numbers as arguments"
        raise _lacking(subject, name, _INSTEAD.get(name, frozen_now))
    name = family.name
    shapes = re.findall(r"\w+", family.shapes or "")
    arguments = dict(zip([*shapes, "loc", "scale"], frozen.args, strict=False)) | frozen.kwds
    values = {key: _single(arguments.get(key, default)) for key, default in _PLACE.items()}
    shape_values = [_single(arguments[key]) for key in shapes]
    if name in _CONTINUOUS:
        return _CONTINUOUS[name](*shape_values, **values)
    if name in _DISCRETE and not np.any(values["loc"]):
        return _DISCRETE[name](*shape_values)
    if name in _DISCRETE:
        raise _lacking(subject, f"{name} with loc", "add loc in the simulator")
    raise _lacking(subject, name, _INSTEAD.get(name, "choose one of tfp.distributions"))


def _lacking(subject: str, name: str, do: str) -> SimulatorError:
    known = ", ".join(sorted({*_CONTINUOUS, *_DISCRETE, *_VECTORS}))
    return SimulatorError(
        subject,
        expected=f"a TFP distribution, or one of scipy.stats that TFP has, too: {known}",
        got=f"scipy.stats.{name}",
        do=do,
    )


def _single(value: Any) -> Any:
    """Return numbers in single precision; a single one as a Python number of that precision."""
    array = np.asarray(value, np.float32)
    return float(array) if array.ndim == 0 else array


class OwnDistribution(tfd.Distribution):
    """A distribution by a user's class with ``sample(n, seed)`` and ``log_prob(values)``."""

    def __init__(self, subject: str, author: Any) -> None:
        self._author = author
        self._subject = subject
        if not callable(getattr(author, "log_prob", None)):
            raise self._fault("methods sample(n, seed) and log_prob(values)", "no log_prob")
        draws = self._draw(2, tf.constant([0, 0]))
        self._event = tuple(draws.shape[1:])
        density = tf.convert_to_tensor(author.log_prob(draws))
        if tuple(density.shape) != (2,):
            raise self._fault("log densities (n,) of n values", f"shape {tuple(density.shape)}")
        self._bounds = [getattr(author, name, None) for name in ("low", "high")]
        super().__init__(
            dtype=draws.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters={"subject": subject, "author": author},
            name=type(author).__name__,
        )

    def _draw(self, n: Any, seed: tf.Tensor) -> tf.Tensor:
        draws = tf.convert_to_tensor(self._author.sample(n, seed))
        if draws.shape.rank == 0 or (isinstance(n, int) and draws.shape[0] != n):
            raise self._fault(f"draws (n, ...), here ({n}, ...)", f"shape {tuple(draws.shape)}")
        return draws

    def _fault(self, expected: str, got: str) -> SimulatorError:
        do = "write both of TensorFlow operations, as draws are made inside the compiled step"
        return SimulatorError(
            f"{self._subject}, {type(self._author).__name__}", expected=expected, got=got, do=do
        )

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return self._draw(n, seed)

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        return self._author.log_prob(value)

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape(self._event)

    def _default_event_space_bijector(self) -> tfb.Bijector:
        low, high = (None if one is None else tf.cast(one, self.dtype) for one in self._bounds)
        if low is not None and high is not None:
            return tfb.Sigmoid(low, high)
        if low is not None:
            return tfb.Chain([tfb.Shift(low), tfb.Exp()])
        if high is not None:
            return tfb.Chain([tfb.Shift(high), tfb.Scale(tf.constant(-1.0, self.dtype)), tfb.Exp()])
        return tfb.Identity()
