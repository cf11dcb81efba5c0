"""Distributions as text that is read again: ``LogNormal(-0.9, 0.5)``.

Only names of distributions and bijectors of TensorFlow Probability, numbers and lists of them are
read; nothing is run.
"""

import ast
import difflib
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bayesinn.core.errors import InputError

tfd = tfp.distributions
tfb = tfp.bijectors

_EXAMPLE = "write for example LogNormal(-0.9, 0.5), Uniform(1, 9) or Normal([0, 0], 1)"
# Numbers of other types than TensorFlow's usual float32 are written with it: float64([0.1, 0.2]).
_TYPES = ("float16", "float64", "int32", "int64", "bool")


def read_distribution(subject: str, text: str) -> tfd.Distribution:
    """Return the distribution that a text names, with its numbers.

    >>> read_distribution("Prior of 'rate'", "Normal(0, scale=2)").stddev().numpy().item()
    2.0
    """
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, RecursionError, tf.errors.OpError) as error:
        raise InputError(
            subject,
            expected="a distribution with its numbers",
            got=f"{text!r}: {str(error).splitlines()[0]}",
            do=_EXAMPLE,
        ) from error
    if not isinstance(value, tfd.Distribution):
        raise InputError(subject, expected="a distribution", got=repr(text), do=_EXAMPLE)
    return value


def write_distribution(distribution: tfd.Distribution) -> str:
    """Write a distribution with all of its numbers; a ValueError if it has more than these.

    >>> write_distribution(tfd.LogNormal(-0.5, 0.25))
    'LogNormal(loc=-0.5, scale=0.25)'
    """
    return _text(distribution)


@functools.cache
def _kinds() -> dict[str, type]:
    """Return distributions, and bijectors where these don't have the name, by name."""
    found: dict[str, type] = {}
    for module, base in ((tfb, tfb.Bijector), (tfd, tfd.Distribution)):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, base) and kind is not base:
                found[name] = kind
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part) for part in node.elts]
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    if not isinstance(node.func, ast.Name):
        raise ValueError(f"{ast.unparse(node.func)!r} is no name of a distribution")
    arguments = [_value(part) for part in node.args]
    options = {str(part.arg): _value(part.value) for part in node.keywords}
    name = node.func.id
    if name in _TYPES:
        return tf.constant(*arguments, dtype=name)
    kinds = _kinds()
    if name not in kinds:
        plain = {key.lower(): key for key in kinds}
        close = difflib.get_close_matches(name.lower(), plain, n=1)
        hint = f", did you mean {plain[close[0]]!r}?" if close else ""
        raise ValueError(f"{name!r} is no distribution of TensorFlow Probability{hint}")
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
