"""How functions compute: compiled, with XLA where that works; precision, products, dropout."""

# ruff: noqa: E402

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from bayesinn.core.errors import BayesinnError, InputError, TrainingError, check_choice
from bayesinn.core.private_api import bijector_memory, custom_gradients
from bayesinn.core.process import ProcessSetting
from bayesinn.core.startup import clear_programs


def _check_backend(chosen: str) -> None:
    if chosen != "tensorflow":
        raise InputError(
            "Backend of Keras",
            expected="'tensorflow'",
            got=repr(chosen),
            do='set KERAS_BACKEND=tensorflow, or os.environ["KERAS_BACKEND"] = "tensorflow" before '
            "Keras is imported",
        )


# Before Keras: the import of a backend that is not installed fails. Packages of networks import
# this module first.
_check_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")

import keras
from keras import layers

_check_backend(keras.config.backend())


class AnyRows:
    """A function of tensors and nested dicts of tensors, compiled once for any number of rows.

    ``leading`` says for each argument how many leading axes are left open when it is traced; 0 for
    numbers and seeds. A new structure, dtype or number of axes is traced anew. TensorFlow's own
    rule, to trace each new shape until it relaxes, costs more, and warns of retracing where nothing
    is wrong, as with several posteriors in one session.
    """

    #: The process that called the first compiled function.
    _process: int | None = None

    def __init__(
        self, function: Callable[..., Any], leading: tuple[int, ...], autograph: bool = False
    ) -> None:
        self._function = tf.function(function, autograph=autograph)
        self._leading = leading
        self._traced: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        AnyRows._process = AnyRows._process or os.getpid()
        if AnyRows._process != os.getpid():
            raise InputError(
                "TensorFlow in a forked process",
                expected="the process that started TensorFlow, whose threads do not follow into a "
                "fork",
                got=f"process {os.getpid()}, forked from {AnyRows._process}; it would wait forever",
                do='start processes with multiprocessing.get_context("spawn"), or with loky',
            )
        arguments = map_tensors(tf.convert_to_tensor, arguments)
        specs = tuple(
            _specs(argument, axes) for argument, axes in zip(arguments, self._leading, strict=True)
        )
        key = (repr(tf.nest.map_structure(lambda spec: None, specs)), tuple(tf.nest.flatten(specs)))
        if key not in self._traced:
            with released_graphs():
                self._traced[key] = self._function.get_concrete_function(*specs)
        return self._traced[key](*arguments)


@contextlib.contextmanager
def released_graphs() -> Iterator[None]:
    """Let the graphs that are traced inside go when nobody needs them any more.

    TensorFlow registers the gradient of each function with a custom one (SiLU is such) for ever,
    and TFP's bijectors remember what they computed: both hold the graph, 10 MB for each training of
    small networks. Afterwards, no gradients of these graphs can be taken. Inside of another trace,
    which may take them, nothing is released.
    """
    with _graphs if tf.executing_eagerly() else contextlib.nullcontext():
        yield


def _release(known: set[str] | None) -> None:
    """Let go of custom gradients that are not among the known, and of what bijectors remember.

    None, while a block is open, lets nothing go: another thread may be tracing.
    """
    if known is None:
        return
    gradients = custom_gradients()
    for name in set(gradients) - known:
        if name.startswith("CustomGradient-"):
            del gradients[name]
    remembered = bijector_memory()
    for key in list(remembered):
        key.cancel()
        remembered.pop(key, None)


#: Registered gradients when the first of the open blocks began, in all threads.
_graphs = ProcessSetting(lambda: set(custom_gradients()), _release, None)


def has_gpu() -> bool:
    """Tell whether TensorFlow sees a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def count_threads() -> int:
    """Return the number of threads that TensorFlow takes for an operation."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return threads or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0) or os.cpu_count() or 1


def map_tensors(function: Callable[..., Any], *structures: Any) -> Any:
    """Apply a function to the tensors of nested structures of one form.

    None, which stands for an absent tensor, stays None.
    """
    return tf.nest.map_structure(
        lambda *values: None if values[0] is None else function(*values), *structures
    )


def in_parts(call: Callable[[Any, int], Any], rows: Any, size: int) -> Any:
    """Call a function on at most ``size`` rows of nested arrays at a time; join its results."""
    parts = []
    for number, start in enumerate(range(0, len(tf.nest.flatten(rows)[0]), size)):
        part = map_tensors(
            lambda value, start=start: tf.convert_to_tensor(value[start : start + size]), rows
        )
        parts.append(map_tensors(np.asarray, call(part, number)))
    return (
        parts[0] if len(parts) == 1 else map_tensors(lambda *values: np.concatenate(values), *parts)
    )


def _specs(argument: Any, axes: int) -> Any:
    return map_tensors(
        lambda value: tf.TensorSpec([None] * axes + value.shape[axes:].as_list(), value.dtype),
        argument,
    )


_OPTIMISER = "arithmetic_optimization"
_unsorted_sums = ProcessSetting(
    lambda: tf.config.optimizer.get_experimental_options().get(_OPTIMISER, True),
    lambda on: tf.config.optimizer.set_experimental_options({_OPTIMISER: on}),
    False,
)


def reproducible_sums() -> ProcessSetting:
    """Keep TensorFlow from reordering sums, and restore the user's setting.

    Its arithmetic optimiser sorts the terms of a sum by the names of operations. Layers are
    numbered through the whole process, so that the same training would differ by rounding when
    another has run before it. Training steps were 3 to 6 % faster without it.
    """
    return _unsorted_sums


#: Whether to compile with XLA: where it can, always, or never.
XLA = Literal["auto"] | bool


_for_xla: ContextVar[bool] = ContextVar("for_xla", default=False)


def is_for_xla() -> bool:
    """Return whether the function that is being traced will be compiled by XLA."""
    return _for_xla.get()


@contextlib.contextmanager
def tracing_for_xla(on: bool = True) -> Iterator[None]:
    """Say to what is traced inside that XLA compiles it: it may be written for that."""
    token = _for_xla.set(on)
    try:
        yield
    finally:
        _for_xla.reset(token)


def compiled_by_xla(function: Callable[..., Any], autograph: bool = False) -> Callable[..., Any]:
    """Compile a function with XLA, whose parts learn of it from :func:`is_for_xla`."""

    @functools.wraps(function)
    def traced(*arguments: Any) -> Any:
        with tracing_for_xla():
            return function(*arguments)

    return tf.function(traced, autograph=autograph, jit_compile=True)


class Compiled(NamedTuple):
    """A compiled function, whether XLA compiled it, and a note why not where that was asked for."""

    call: Callable[..., Any]
    xla: bool
    note: str = ""


def compiled(
    function: Callable[..., Any], *trial: Any, xla: XLA, subject: str, autograph: bool = False
) -> Compiled:
    """Compile a function with XLA where that works, else into a plain graph.

    If XLA can't compile the function, the result has a note about the ``subject`` that says so.

    ``trial`` are arguments of the right shapes, on which the function is run once. A TrainingError
    is raised when ``xla`` is True and XLA has no kernel for some operation.
    """
    check_choice(f"Option 'xla' of {subject}", xla, ("auto", True, False))
    plain = tf.function(function, autograph=autograph)
    if xla is False:
        return Compiled(plain, False)
    try:
        try:
            fused = _compile_and_run(function, trial, autograph)
        except (tf.errors.OutOfRangeError, tf.errors.DataLossError):
            # A program that was kept on disk is damaged.
            if not clear_programs():
                raise
            fused = _compile_and_run(function, trial, autograph)
    except BayesinnError:
        raise
    except (tf.errors.OpError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        if xla is True:
            raise TrainingError(
                f"{subject} with xla=True",
                expected="operations that XLA has kernels for",
                got=reason,
                do="use xla='auto' to fall back to the plain graph",
            ) from error
        return Compiled(
            plain, False, f"{subject} runs in the plain graph, XLA can't compile it: {reason}"
        )
    return Compiled(fused, True)


def _compile_and_run(function: Callable[..., Any], trial: Sequence[Any], autograph: bool) -> Any:
    """Compile a function with XLA, and run it once."""
    fused = compiled_by_xla(function, autograph)
    # Inside another function, as where it is used: called by itself, XLA would compile it once more
    # there.
    tf.function(fused, autograph=False)(*trial)
    return fused


_setting = ProcessSetting(
    tf.config.experimental.tensor_float_32_execution_enabled,
    tf.config.experimental.enable_tensor_float_32_execution,
    False,
)


def full_precision() -> ProcessSetting:
    """Switch TensorFloat-32 off inside a ``with`` block, and back to the user's setting after it.

    On recent GPUs, TensorFlow rounds the factors of matrix products and convolutions to 10 bits of
    mantissa by default. A rotation forwards and backwards is then off by 1e-3, not 1e-6, and the
    log-determinant of a spline by up to 0.5.

    Operations read the setting when they run; XLA may also read it when it compiles, so the first
    call of a compiled function belongs into the block.

    Examples
    --------
    >>> import tensorflow as tf
    >>> with full_precision():
    ...     tf.config.experimental.tensor_float_32_execution_enabled()
    False
    >>> tf.config.experimental.tensor_float_32_execution_enabled()
    True
    """
    return _setting


def check_precision() -> None:
    """Raise unless Keras computes in single precision."""
    policy = keras.config.dtype_policy().name
    default = keras.config.floatx()
    if (policy, default) != ("float32", "float32"):
        raise InputError(
            "Precision of Keras",
            expected="float32, in which networks compute here",
            got=f"dtype policy {policy!r}, floatx {default!r}",
            do='call keras.config.set_floatx("float32") and '
            'keras.config.set_dtype_policy("float32"), or mend keras.json',
        )


check_precision()


# Not recurrent layers: a state that is a sum over hundreds of steps needs more than 8 bits.
_kinds: list[type] = [
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
]


def product[Kind: type[layers.Layer]](kind: Kind) -> Kind:
    """Decorate a layer with an ``activation`` whose products may be computed in bfloat16."""
    _kinds.append(kind)
    return kind


def is_product(layer: layers.Layer) -> bool:
    """Return whether the products of a layer may be computed in bfloat16."""
    return isinstance(layer, tuple(_kinds))


class Dropout(keras.layers.Dropout):
    """Keras' dropout with a named generator of random numbers.

    Keras leaves the choice to the compiler, and XLA's own choice is slow: on a CPU, a training step
    of 1.6 ms took 51 ms. The arguments are those of Keras: ``rate``, the share of elements that are
    dropped in training, and ``seed``.

    Examples
    --------
    >>> import tensorflow as tf
    >>> layer = Dropout(0.5, seed=1)
    >>> sorted(set(layer(tf.ones((2, 50)), training=True).numpy().ravel().tolist()))
    [0.0, 2.0]
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Set a share ``rate`` of the elements to zero while training, and scale up the others."""
        if not training or self.rate == 0.0:
            return inputs
        # As Keras does: XLA takes no other type of seed.
        seed = tf.cast(tf.math.floormod(self.seed_generator.next(), tf.int32.max - 1), tf.int32)
        shape = self.noise_shape and [
            size or tf.shape(inputs)[axis] for axis, size in enumerate(self.noise_shape)
        ]
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed, rng_alg="philox", noise_shape=shape
        )
