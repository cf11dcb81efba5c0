"""What a report says of the simulator: its words, its parameters with priors, its data."""

import inspect
import re

import numpy as np
import pandas as pd

from bayesinn.diagnosis.report import Section
from bayesinn.simulation.prior_text import entry_texts
from bayesinn.simulation.simulator import Simulator

# What has more digits than a reader of a report needs.
_NUMBER = re.compile(r"-?\d+\.\d{4,}(e[+-]?\d+)?")
_LIST = re.compile(r"\[([^\[\]]*)\]")
_MOST_LISTED = 8


def first_paragraph(simulator: Simulator) -> str:
    """Return the first paragraph of the simulator's docstring; empty without one."""
    text = inspect.cleandoc(simulator.__doc__ or "").partition("\n\n")[0]
    return " ".join(text.split())


def describe_data(simulator: Simulator) -> str:
    """Write each observable: number of values, along which coordinate, unit.

    >>> import bayesinn as bi
    >>> describe_data(bi.get("sir"))
    'cases: 14 values, date 2020-03-02 to 2020-03-15, people'
    """
    return "; ".join(
        ", ".join(filter(None, [f"{name}: {_write_shape(shape)}", *_axis(simulator, name)]))
        for name, shape in simulator.observable_shapes.items()
    )


def shorten_numbers(text: str) -> str:
    """Return a prior's text with four significant digits of each number, and without long lists.

    >>> shorten_numbers("FiniteDiscrete(outcomes=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], logits=0.123456)")
    'FiniteDiscrete(outcomes=[0, 1, 2, ..., 9], logits=0.1235)'
    """
    return _NUMBER.sub(_shorten, _LIST.sub(_shorten_list, text))


def model_section(simulator: Simulator) -> Section:
    """Return the section on the simulator: its docstring, data, parameters with units and priors.

    Shapes and arguments at the head of a docstring are left as they are written there.
    """
    priors = entry_texts(simulator.prior, {})
    labels = simulator.labels
    rows = {
        name: {
            "Unit": labels.unit(name) or "\N{EN DASH}",
            "Values": _write_shape(shape),
            "Prior": shorten_numbers(priors[name]),
        }
        for name, shape in simulator.prior.event_shapes.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Parameter")
    text = inspect.cleandoc(simulator.__doc__ or "")
    data = f"Data: {describe_data(simulator)}."
    return Section(
        f"The model: {simulator.name}", "\n\n".join(filter(None, [text, data])), table=table
    )


def _shorten_list(found: re.Match[str]) -> str:
    numbers = found[1].split(", ")
    if len(numbers) <= _MOST_LISTED or "..." in numbers:
        return found[0]
    return f"[{', '.join(numbers[:3])}, ..., {numbers[-1]}]"


def _shorten(number: re.Match[str]) -> str:
    return f"{float(number[0]):.4g}"


def _write_shape(shape: tuple[int, ...]) -> str:
    size = int(np.prod(shape))
    values = "1 value" if size == 1 else f"{size:,} values"
    return f"{' x '.join(map(str, shape))} values" if len(shape) > 1 else values


def _axis(simulator: Simulator, name: str) -> list[str]:
    coordinate = simulator.labels.coordinates.get(name)
    unit = simulator.labels.unit(name)
    if coordinate is None:
        return [unit]
    ends = f"{coordinate.step(0)} to {coordinate.step(len(coordinate.values) - 1)}"
    axis_unit = simulator.labels.unit(coordinate.name)
    return [f"{coordinate.name} {ends} {axis_unit}".rstrip(), unit]
