"""Priors in words, with all their numbers, and read again from words."""

import ast
import difflib
import functools
import inspect
import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
from bayesinn.core.errors import InputError, distinct
from bayesinn.simulation.prior import Prior

tfd = tfp.distributions
tfb = tfp.bijectors

#: Elements of an array that are written; of a longer one, the first few and two sums.
_MOST_NUMBERS = 64
_FIRST_NUMBERS = 8
_NUMBER = re.compile(r"(?<![A-Za-z_])[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan)(?![A-Za-z_])")
_DEPTH = 10
_FUNCTION = "function of "
# Draws at which distributions that depend on other variables are compared.
_COMPARED_DRAWS = 4


def prior_text(prior: Prior) -> str:
    """Write a prior for people, as in "rate ~ LogNormal(loc=-0.9, scale=0.5)".

    >>> import tensorflow_probability as tfp
    >>> prior_text(Prior({"rate": tfp.distributions.LogNormal(-0.9, 0.5)}))
    'rate ~ LogNormal(loc=-0.9, scale=0.5)'
    """
    texts = entry_texts(prior, {})
    return "; ".join(f"{name} ~ {text}" for name, text in texts.items())


def entry_texts(prior: Prior, draws: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Write the distribution of each variable; one that depends on others as it is at ``draws``."""
    texts = {}
    for name in prior.names:
        needs = prior.needs[name]
        if needs and not draws:
            texts[name] = f"{_FUNCTION}{', '.join(needs)}"
            continue
        parents = {need: tf.convert_to_tensor(draws[need]) for need in needs}
        text = _distribution_text(prior.distribution(name, parents))
        dtype = np.dtype(prior.dtypes[name])
        text += "" if dtype in (np.float32, np.int32) else f", {dtype}"
        texts[name] = f"{_FUNCTION}{', '.join(needs)}, at some draws {text}" if needs else text
    return texts


def array_text(value: np.ndarray) -> str:
    """Write numbers or dates; of many, the first and two sums that any other one would change."""
    array = np.asarray(value)
    if array.size <= _MOST_NUMBERS:
        return _plain_text(array)
    first = _plain_text(array.ravel()[:_FIRST_NUMBERS])
    numbers = array.astype(np.int64).ravel() if array.dtype.kind == "M" else array.ravel()
    numbers = np.nan_to_num(numbers.astype(np.float64))
    weighted = float(numbers @ np.cos(np.arange(len(numbers))))
    shape = " x ".join(map(str, array.shape))
    sums = f"mean {numbers.mean():.9g}, weighted sum {weighted:.9g}"
    return f"{first[:-1]}, ... {shape} numbers, {sums}]"


def same_text(one: str, other: str) -> bool:
    """Tell whether two texts are equal but for the last digits of their numbers.

    The last digits differ between processors, more so where a function has computed the numbers in
    single precision.

    >>> same_text("Normal(loc=0.1, scale=1.0)", "Normal(loc=0.10000000149, scale=1.0)")
    True
    >>> same_text("Normal(loc=0.1, scale=1.0)", "Normal(loc=0.2, scale=1.0)")
    False
    """
    if one == other:
        return True
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        return False
    numbers, others = (np.array(_NUMBER.findall(text), np.float64) for text in (one, other))
    largest = np.max(np.abs(others), initial=0.0, where=np.isfinite(others))
    computed = one.startswith(_FUNCTION)
    relative, absolute = (1e-4, 1e-7 * largest) if computed else (1e-6, 0.0)
    return bool(np.allclose(numbers, others, rtol=relative, atol=absolute, equal_nan=True))


def same_laws(*priors: Prior) -> bool:
    """Tell whether variables have the same distributions in all priors, as far as texts say.

    Distributions that depend on other variables are compared given a few draws of these.
    """
    if not priors:
        return True
    first = priors[0]
    if any(prior.event_shapes != first.event_shapes for prior in priors):
        return False
    if any(prior.needs != first.needs for prior in priors):
        return False
    drawn = first.sample(_COMPARED_DRAWS, seeds.tensor_seed(0, "prior"))
    values = {name: value.numpy() for name, value in drawn.items()}
    texts = [sorted(entry_texts(prior, values).items()) for prior in priors]
    return all(same_text(str(texts[0]), str(other)) for other in texts[1:])


def _distribution_text(distribution: Any) -> str:
    # Which axes are those of a batch and which those of an event, the prior itself decides.
    inner = distribution.distribution if isinstance(distribution, tfd.Independent) else distribution
    return _text(inner, _DEPTH) or type(inner).__name__


def _text(value: Any, depth: int) -> str:
    """Write a part of a distribution; nothing for names, flags, and what has no numbers."""
    if depth == 0 or value is None or isinstance(value, str | bool | type):
        return ""
    if isinstance(value, tfd.Distribution | tfb.Bijector):
        parts = {name: _text(part, depth - 1) for name, part in value.parameters.items()}
        told = ", ".join(f"{name}={part}" for name, part in parts.items() if part)
        return f"{type(value).__name__}({told})"
    if isinstance(value, tf.linalg.LinearOperator):
        return f"{type(value).__name__}({array_text(value.to_dense().numpy())})"
    if isinstance(value, Mapping):
        parts = {str(name): _text(part, depth - 1) for name, part in value.items()}
        return ", ".join(f"{name}: {part}" for name, part in parts.items() if part)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, NotImplementedError):
        array = np.asarray(None)
    if array.dtype.kind in "fiu":
        return array_text(array)
    texts = [_text(part, depth - 1) for part in value] if isinstance(value, list | tuple) else []
    return f"[{', '.join(text for text in texts if text)}]" if any(texts) else ""


def _plain_text(array: np.ndarray) -> str:
    """Write each number with the digits of its own precision, without brackets if it is one."""
    return str(array.astype(str).tolist()).replace("'", "")


# Distributions as text that is read again: ``LogNormal(-0.9, 0.5)``.
#
# Only names of some distributions and bijectors of TensorFlow Probability, numbers and lists of
# them are read; nothing is run. Others need data, functions or much memory to be made.

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
_MOST_NESTED = 6
# Of brackets, before Python reads them: it may end at some thousands.
_BRACKETS = 50
# A covariance of 300 numbers, with all digits.
_LONGEST = 2 * 10**6
_SHOWN = 100
# Numbers of other types than TensorFlow's usual float32 are written with it: float64([0.1, 0.2]).
_TYPES = ("float16", "float64", "int32", "int64", "bool")
# Arguments that are shapes and counts.
_WHOLE = ("sample_shape", "reinterpreted_batch_ndims", "dimension")


def read_distribution(subject: str, text: str) -> tfd.Distribution:
    """Return the distribution that a text names, with its numbers.

    >>> read_distribution("Prior of 'rate'", "Normal(0, scale=2)").stddev().numpy().item()
    2.0
    """
    shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
    try:
        _check_extent(text)
        value = _value(ast.parse(text.strip(), mode="eval").body, _MOST_NESTED)
        if isinstance(value, tfd.Distribution):
            # Some distributions look at their arguments only here.
            _ = value.batch_shape, value.event_shape
    except Exception as error:  # Also whatever TFP raises for wrong numbers.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            subject,
            expected="a distribution with its numbers",
            got=f"{shown}: {reason[:300]}",
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
    return _value_text(distribution)


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
        raise ValueError(f"more than {_MOST_NESTED} distributions and bijectors inside each other")
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
    kind = kinds[name]
    # More arguments than there are names are TFP's to refuse.
    places = [*inspect.signature(kind.__init__).parameters, *len(arguments) * [""]][1:]  # type: ignore[misc]
    given = [_floats(part, place) for part, place in zip(arguments, places, strict=False)]
    return kind(*given, **{key: _floats(part, key) for key, part in options.items()})


def _floats(value: Any, name: str) -> Any:
    """Return numbers as TFP takes them: whole ones are floats, but for shapes and counts of axes.

    A list of texts or of bijectors stays a list.
    """
    if name in _WHOLE:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list) and all(isinstance(part, int | float | list) for part in value):
        return tf.constant(value, tf.float32)
    return value


def _value_text(value: Any) -> str:
    kind = type(value).__name__
    named = _kinds().get(kind) is type(value)
    if named:
        arguments = {key: part for key, part in value.parameters.items() if _told(key, part)}
        return (
            f"{kind}({', '.join(f'{key}={_value_text(part)}' for key, part in arguments.items())})"
        )
    if isinstance(value, list | tuple) and any(isinstance(part, tfb.Bijector) for part in value):
        return f"[{', '.join(map(_value_text, value))}]"
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
