"""External programs as simulators: :func:`command_simulator`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow_probability as tfp

from bayesinn.core.errors import SimulatorError, check_choice
from bayesinn.simulation.declaration import check_known
from bayesinn.simulation.engines.program import PLACES, Program
from bayesinn.simulation.prior import Entry, Prior
from bayesinn.simulation.simulator import Recommended, Simulator, simulator

tfd = tfp.distributions


def command_simulator(
    command: Sequence[str | os.PathLike[str]],
    *,
    prior: Mapping[str, Entry] | tfd.JointDistributionNamed,
    context: Mapping[str, Entry] | tfd.JointDistributionNamed | None = None,
    output: Literal["json", "csv"] = "json",
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    coordinates: Mapping[str, Any] | None = None,
    lengths: Mapping[str, str] | None = None,
    missing: Literal["mask"] | float | None = None,
    workers: int | None = None,
    time_limit: float | None = None,
    on_nonfinite: Literal["raise", "redraw"] = "raise",
    most_failures: float | None = None,
    observed: Mapping[str, Any] | None = None,
    log_likelihood: Callable[..., Any] | None = None,
    exact: Callable[..., dict[str, np.ndarray]] | None = None,
    recommended: Recommended | None = None,
) -> Simulator:
    """Declare an external program as a simulator.

    Worker processes start the program once for each draw.

    The program gets one JSON object on its standard input, ``{"parameters": {...}, "context":
    {...}, "seed": 123}``, with a number or a (nested) list for each name. Or it gets the same in
    its arguments, where these placeholders are replaced:

    - ``{rate}`` by the parameter or context variable of that name, ``{slopes[0]}`` by an element of
      a vector. A format may follow, as in ``{rate:.3f}``; without one a number is written with all
      its digits.
    - ``{seed}`` by a whole number from 0 to 2³¹ - 1, a pure function of the seed and the row of the
      draw. All randomness of the program must come from it.
    - ``{input}`` and ``{output}`` by the names of files in a temporary folder. The first file holds
      the JSON object; the second is read in place of the standard output.

    Write other braces twice: ``{{print}}``.

    The program returns its observables as one JSON object of name to number or (nested) list, where
    null is NaN; or as CSV with a header, a column for each observable and a row for each step. A
    column with a single value is a number.

    The program runs in an empty temporary folder, which is deleted afterwards. The program and
    arguments that name files are looked up at declaration, relative to the current folder, and
    passed as absolute paths. Write ``Path(__file__).parent / "model"`` for a program beside the
    script.

    A draw fails, like one of a Python function that raises (see ``on_nonfinite``), if the program

    - ends with a status other than zero or by a signal,
    - writes output that can't be read, or
    - exceeds the time limit.

    The program and all processes of its group are then killed. Messages have the parameters, the
    seed and the last lines of the standard error.

    Parameters
    ----------
    command : list of str or path, the program and its arguments; no shell reads it
    output : "json" or "csv", what the program writes
    name : str, by default the program's
    others : as for :class:`simulator`, without ``engine`` and ``batched``

    Raises
    ------
    InputError
        If the command is not a list of texts, or the program doesn't exist or may not be run.
    SimulatorError
        If a placeholder names no parameter, or the program fails in the first draws.

    Examples
    --------
    >>> import sys
    >>> import tensorflow_probability as tfp
    >>> code = (
    ...     "import sys; print('x'); print(2 * float(sys.argv[1])); print(int(sys.argv[2]) / 2**31)"
    ... )
    >>> model = command_simulator(
    ...     [sys.executable, "-c", code, "{rate}", "{seed}"],
    ...     prior={"rate": tfp.distributions.LogNormal(0.0, 1.0)},
    ...     output="csv",
    ...     name="model",
    ...     time_limit=10.0,
    ...     workers=1,
    ... )
    >>> model
    Simulator 'model'
      parameters:  rate
      observables: x[2]
    """
    check_choice("Option 'output' of a command simulator", output, ("json", "csv"))
    program = Program(command, output)
    declare = simulator(
        prior=prior,
        context=context,
        name=name,
        labels=labels,
        units=units,
        coordinates=coordinates,
        lengths=lengths,
        missing=missing,
        engine="python",
        workers=workers,
        time_limit=time_limit,
        on_nonfinite=on_nonfinite,
        most_failures=most_failures,
        observed=observed,
        log_likelihood=log_likelihood,
        exact=exact,
        recommended=recommended,
    )
    variables = Prior(prior).names
    if context is not None:
        variables += Prior(context, subject="context").names
    subject = f"Placeholder of command {program.__name__!r}"
    check_known(subject, sorted(program.placeholders), (*variables, *PLACES))
    if taken := sorted(program.placeholders & set(PLACES) & set(variables)):
        raise SimulatorError(
            subject,
            expected="a name that no parameter has",
            got=repr(taken[0]),
            do="rename the parameter",
        )
    return declare(program)
