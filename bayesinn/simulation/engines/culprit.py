"""Find the row of a TensorFlow simulator that fails, and the line; operations tell neither."""

import re
import traceback
from collections.abc import Callable, Sequence

import tensorflow as tf

from bayesinn.core.errors import SimulatorError
from bayesinn.simulation.prior import Values
from bayesinn.simulation.simulations import Arrays, count_rows, take

type Forward = Callable[[Arrays, Arrays, tf.Tensor], Values]


def find_culprit(forward: Forward, parameters: Arrays, context: Arrays, seed: tf.Tensor) -> range:
    """Return the row that fails, by bisection, or the fewest rows found that fail together.

    Each part has its own random numbers.
    """
    rows = range(count_rows(parameters))
    while len(rows) > 1:
        middle = len(rows) // 2
        for part in (rows[:middle], rows[middle:]):
            some = slice(part.start, part.stop)
            try:
                forward(take(parameters, some), take(context, some), seed)
            except tf.errors.OpError:
                rows = part
                break
        else:
            break
    return rows


def explain_operation(
    name: str,
    file: str,
    engine_file: str,
    error: Exception,
    rows: range,
    inputs: Arrays,
    seed: tf.Tensor,
) -> SimulatorError:
    """Return the error of an operation of simulator ``name``, whose function stands in a file.

    It names the parameters and context (``inputs``) of the first of the ``rows`` that fail.
    """
    row = {key: value[rows.start].tolist() for key, value in inputs.items()}
    where = f"with {row}"
    if len(rows) > 1:
        where = f"only with many rows, {rows.start} to {rows.stop - 1}, the first {row}"
    message = getattr(error, "message", str(error))
    # The line above the name of the operation, which TensorFlow writes below its stack, says what
    # is wrong.
    reason = re.search(
        r"assertion failed: .*|\w+(Error|Exception): .*|.+(?=\n\s*\[\[\{\{node )", message
    )
    got = reason.group()[:300] if reason else message.splitlines()[0]
    # Below the engine's own lines stand those of the function.
    lines = re.findall(
        rf'File "{re.escape(file)}", line (\d+), in', message.rpartition(engine_file)[2]
    )
    do = f"correct it{_place(file, lines)}"
    if "Incompatible shapes" in got:
        do += (
            "; parameters and observables are tensors (n, ...): one number for each draw is (n,), "
            'and parameters["name"][:, None] gives it a second axis'
        )
    else:
        do += f", or return NaN where it fails; it fails {where}, seed {seed.numpy().tolist()}"
    return SimulatorError(f"Simulator {name!r}", expected="observables", got=got, do=do)


def line_in(file: str, error: BaseException) -> str:
    """Say in which line of a file an error came up, if known; AutoGraph's own code hides it."""
    stack = getattr(getattr(error, "ag_error_metadata", None), "translated_stack", ())[::-1]
    frames = [*traceback.extract_tb(error.__traceback__), *stack]
    return _place(file, [frame.lineno for frame in frames if frame.filename == file])


def _place(file: str, lines: Sequence[int | str | None]) -> str:
    return f" in line {lines[-1]} of {file}" if lines else ""
