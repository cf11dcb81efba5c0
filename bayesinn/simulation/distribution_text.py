"""Distributions as text that is read again: ``LogNormal(-0.9, 0.5)``.

Only names of some distributions and bijectors of TensorFlow Probability, numbers and lists of them
are read; nothing is run. Others need data, functions or much memory to be made.
"""

import ast
import difflib
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import InputError
from bayesinn.core.validation import distinct

tfd = tfp.distributions
tfb = tfp.bijectors

_EXAMPLE = "write for example LogNormal(-0.9, 0.5), Uniform(1, 9) or Normal([0, 0], 1)"
_DISTRIBUTIONS = """
Bernoulli Beta BetaBinomial Binomial Categorical Cauchy Chi Chi2 ContinuousBernoulli Deterministic
Dirichlet DirichletMultinomial ExpGamma ExponentiallyModifiedGaussian Exponential FiniteDiscrete
Gamma GammaGamma GeneralizedExtremeValue GeneralizedNormal GeneralizedPareto Geometric Gumbel
HalfCauchy HalfNormal HalfStudentT Horseshoe Independent InverseGamma InverseGaussian JohnsonSU
Kumaraswamy LKJ Laplace LogLogistic LogNormal Logistic LogitNormal MixtureSameFamily Moyal
Multinomial MultivariateNormalDiag MultivariateNormalFullCovariance MultivariateNormalTriL
NegativeBinomial Normal NormalInverseGaussian OneHotCategorical PERT Pareto Poisson PowerSpherical
Sample SinhArcsinh Skellam SphericalUniform StudentT TransformedDistribution Triangular
TruncatedCauchy TruncatedNormal TwoPieceNormal TwoPieceStudentT Uniform VonMises VonMisesFisher
Weibull WishartTriL Zipf
"""
_BIJECTORS = """
Ascending Chain CholeskyOuterProduct CorrelationCholesky Cumsum Exp Expm1 FillScaleTriL GumbelCDF
Identity Invert KumaraswamyCDF Log Log1p MoyalCDF NormalCDF Power Reciprocal Scale
ScaleMatvecDiag ScaleMatvecTriL Shift Sigmoid Sinh SoftClip SoftmaxCentered Softplus Softsign Square
Tanh Transpose WeibullCDF
"""
# A draw of transformations of transformations takes three times as long for each more: 43 s for 10.
_DEPTH = 6
# Of brackets, before Python reads them: it may end at some thousands.
_BRACKETS = 50
# A covariance of 300 numbers, with all digits.
_LONGEST = 2 * 10**6
_SHOWN = 100
# Numbers of other types than TensorFlow's usual float32 are written with it: float64([0.1, 0.2]).
_TYPES = ("float16", "float64", "int32", "int64", "bool")


def read_distribution(subject: str, text: str) -> tfd.Distribution:
    """Return the distribution that a text names, with its numbers.

    >>> read_distribution("Prior of 'rate'", "Normal(0, scale=2)").stddev().numpy().item()
    2.0
    """
    shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
    try:
        _check_extent(text)
        value = _value(ast.parse(text.strip(), mode="eval").body, _DEPTH)
    except Exception as error:  # Also whatever TFP raises for wrong numbers.
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            subject,
            expected="a distribution with its numbers",
            got=f"{shown}: {told[:300]}",
            do=_EXAMPLE,
        ) from error
    if not isinstance(value, tfd.Distribution):
        raise InputError(subject, expected="a distribution", got=shown, do=_EXAMPLE)
    return value


def _check_extent(text: str) -> None:
    """Raise a ValueError for texts that are too long, or too deeply nested."""
    if len(text) > _LONGEST:
        raise ValueError(f"{len(text):,} characters, at most {_LONGEST:,} are read")
    depth = itertools.accumulate((letter in "([{") - (letter in ")]}") for letter in text)
    if max(depth, default=0) > _BRACKETS:
        raise ValueError(f"more than {_BRACKETS} brackets inside each other")


def write_distribution(distribution: tfd.Distribution) -> str:
    """Write a distribution with all of its numbers; a ValueError if it has more than these.

    >>> write_distribution(tfd.LogNormal(-0.5, 0.25))
    'LogNormal(loc=-0.5, scale=0.25)'
    """
    return _text(distribution)


@functools.cache
def _kinds() -> dict[str, type]:
    """Return distributions, and bijectors where these don't have the name, by name."""
    bijectors = {name: getattr(tfb, name) for name in _BIJECTORS.split()}
    return bijectors | {name: getattr(tfd, name) for name in _DISTRIBUTIONS.split()}


def _value(node: ast.expr, depth: int) -> Any:
    """Return what a part of a text says; ``depth`` calls may still be inside each other."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part, depth) for part in node.elts]
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if not isinstance(node.func, ast.Name):
        raise ValueError(f"{ast.unparse(node.func)!r} is no name of a distribution")
    if depth == 0:
        raise ValueError(f"more than {_DEPTH} distributions and bijectors inside each other")
    arguments = [_value(part, depth - 1) for part in node.args]
    options = distinct((str(part.arg), _value(part.value, depth - 1)) for part in node.keywords)
    name = node.func.id
    if name in _TYPES:
        return tf.constant(*arguments, dtype=name)
    kinds = _kinds()
    if name not in kinds:
        plain = {key.lower(): key for key in kinds}
        close = difflib.get_close_matches(name.lower(), plain, n=1)
        hint = f", did you mean {plain[close[0]]!r}?" if close else ""
        raise ValueError(f"{name!r} is no distribution that can be read from text{hint}")
    return kinds[name](*[_floats(part) for part in arguments], **_all_floats(options))


def _floats(value: Any) -> Any:
    """Return numbers as TFP takes them: whole ones are floats, but for shapes and counts of axes.

    A list of texts or of bijectors stays a list.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list) and all(isinstance(part, int | float | list) for part in value):
        return tf.constant(value, tf.float32)
    return value


def _all_floats(options: Mapping[str, Any]) -> dict[str, Any]:
    whole = ("sample_shape", "reinterpreted_batch_ndims", "validate_args", "allow_nan_stats")
    return {key: part if key in whole else _floats(part) for key, part in options.items()}


def _text(value: Any) -> str:
    kind = type(value).__name__
    named = _kinds().get(kind) is type(value)
    if named:
        given = {key: part for key, part in value.parameters.items() if _told(key, part)}
        return f"{kind}({', '.join(f'{key}={_text(part)}' for key, part in given.items())})"
    if isinstance(value, list | tuple) and any(isinstance(part, tfb.Bijector) for part in value):
        return f"[{', '.join(map(_text, value))}]"
    if value is None or isinstance(value, bool | str):
        return repr(value)
    if isinstance(value, tf.Tensor | tf.Variable | np.ndarray | np.number):
        array = np.asarray(value)
        numbers = repr(array.tolist())
        if array.dtype == np.float32 and np.isfinite(array).all():
            return numbers
        if array.dtype.name in _TYPES and np.isfinite(array.astype(float)).all():
            return f"{array.dtype.name}({numbers})"
    elif np.asarray(value).dtype.kind in "fiu" and np.isfinite(np.asarray(value)).all():
        return repr(np.asarray(value).tolist())
    raise ValueError(f"{type(value).__name__} can't be written as text")


def _told(key: str, value: Any) -> bool:
    """Whether an argument is written: not names, nor what is left out or is a switch for checks."""
    if getattr(value, "__name__", "").startswith("_default"):  # TFP's own functions
        return False
    return value is not None and key not in ("name", "validate_args", "allow_nan_stats", "dtype")
