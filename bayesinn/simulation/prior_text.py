"""Priors in words, with all their numbers, and whether two such texts say the same."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core import seeds
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
        given = {need: tf.convert_to_tensor(draws[need]) for need in needs}
        text = _distribution_text(prior.distribution(name, given))
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
