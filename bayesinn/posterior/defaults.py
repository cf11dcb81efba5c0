"""Default networks, chosen by what the simulator declares and by how many simulations there are.

The study behind the choices is paper_results/sbibm.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesinn import flows, summaries
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.bijections.bijection import FEATURES, STEPS
from bayesinn.core import seeds
from bayesinn.core.errors import InputError, check_type, warn
from bayesinn.flows import Flow
from bayesinn.simulation.order import advice_on_order, has_order
from bayesinn.simulation.simulator import Arrays, Simulator
from bayesinn.spaces.parameters import Layout, layout_of
from bayesinn.summaries import Summary
from bayesinn.summaries.summary import disagreement, joint_name, observables_of

#: So many unrelated numbers need no compression before the flow; then, so many of a series.
FEW_NUMBERS = 20
_FEW_OF_A_SERIES = 8
# Numbers in a summary; and where integers are categories, whose probabilities may depend on each
# number of the data.
_UNITS = 32
_WIDE = 64
# Learned numbers of each step of a series with coordinates.
_POSITIONS = 8
# Splines of more parameters than these are behind affine maps. Both are level on the benchmark's
# Gaussian tasks of ten parameters; on `tissue`, of thirteen, affine maps are ahead with 10,000
# simulations and with new ones at each step.
_MOST_PARAMETERS = 12
# Stored simulations, up to which networks overfit so much that several are better.
_FEW_SIMULATIONS = 200_000
_NETWORKS = 3


class Choice(NamedTuple):
    """Summary networks by observables, and why those that were left out were chosen so."""

    networks: dict[str, Summary]
    reasons: dict[str, str]


def choose_flow(flow: Flow | None, layout: Layout) -> Flow:
    """Return the user's flow, or couplings for parameters of a layout."""
    if flow is None:
        # The density of an integer has steps, along its axis. Splines follow them unless the axes
        # are turned.
        mixing = "permutation" if layout.integers else "orthogonal"
        if layout.dimension > _MOST_PARAMETERS:
            return flows.coupling(mixing=mixing)
        transform = Composed([Affine(), Spline()])
        return flows.coupling(blocks=4, transform=transform, mixing=mixing)
    do = "wrap a chain of bijections in bi.flows.InvertibleFlow(...)"
    check_type("Argument 'flow'", flow, Flow, "a Flow, such as bi.flows.coupling(blocks=6)", do)
    return flow


def find_paths(simulator: Simulator) -> tuple[str, list[str]] | None:
    """Return the axis of a series of data, and the parameters that are series along it, if any."""
    places = simulator.labels.coordinates
    axes = {places[name].name for name in simulator.observable_shapes if name in places}
    for axis in sorted(axes):
        paths = [
            name
            for name, shape in simulator.prior.event_shapes.items()
            if name in places and places[name].name == axis and len(shape) == 1
        ]
        if paths:
            return axis, paths
    return None


def choose_posterior_flow(flow: Flow | None, simulator: Simulator) -> Flow:
    """Return the user's flow, or couplings.

    Integers of few values get probabilities beside it, and parameters that are series along an axis
    of the data a chain of conditionals.
    """
    layout = layout_of(simulator.prior)
    found = find_paths(simulator)
    if flow is None and found is not None:
        _, paths = found
        steps = sum(simulator.prior.event_shapes[name][0] for name in paths)
        others = layout._replace(dimension=layout.dimension - steps)
        return flows.Path(paths, choose_flow(None, others))
    if not layout.categories:
        return choose_flow(flow, layout)
    rest = layout._replace(
        dimension=layout.dimension - layout.categories,
        integers=layout.integers - layout.categories,
    )
    inner = choose_flow(flow, rest)
    # Entries of the condition other than features are about whole vectors.
    if inner.categorical or not inner.entries <= {FEATURES}:
        return inner
    return flows.Categorical(inner if rest.dimension else None)


def choose_count(rows: int | None, summary_networks: Mapping[str, Summary]) -> int:
    """Return how many networks to train on a number of simulations.

    There is one network if simulations are new at each step (``rows`` is None), if they are many,
    or if a summary is trained first.
    """
    trained_first = any(summary.trained_first for summary in summary_networks.values())
    few = rows is not None and rows <= _FEW_SIMULATIONS
    return _NETWORKS if few and not trained_first else 1


def refuse_trained_first(networks: Mapping[str, Summary]) -> None:
    """Refuse summaries whose own losses need a posterior's parameters, where there is none."""
    for network in networks.values():
        if network.trained_first:
            raise InputError(
                "Argument 'summary'",
                expected="networks without a part that is trained first, by a loss of its own",
                got=repr(network),
                do="choose another, or train a bi.AmortizedPosterior with it",
            )


def choose_summaries(
    simulator: Simulator,
    summary: Summary | Mapping[str, Summary | None] | None,
    flow: Flow | None = None,
) -> Choice:
    """Return summary networks by the observables they see: the user's, else defaults.

    What is chosen suits the flow: wider networks where integers are categories, and those that keep
    the axis of time where it reads steps.
    """
    observables = list(simulator.observable_shapes)
    summary = {} if summary is None else summary
    if isinstance(summary, Summary):
        summary = {joint_name(observables): summary}
    _check_form(summary)
    _check_observables(simulator, summary)
    networks = {
        joint_name(observables_of(key)): value
        for key, value in summary.items()
        if value is not None
    }
    for key, network in networks.items():
        if network.times is not None:
            _check_times(simulator, key, network)
        if network.images and simulator.missing is not None:
            _check_channels(simulator, key, network)
        if network.nested and simulator.missing is not None:
            _warn_of_marks(simulator, key)
    rest = [name for name in observables if name not in observables_of(",".join(networks))]
    defaults = _defaults(simulator, rest, flow)
    networks |= defaults.networks
    refusing = [summary for summary in networks.values() if not summary.missing]
    if refusing and simulator.missing is not None:
        raise InputError(
            f"Argument 'summary', {refusing[0]!r}",
            expected="all values",
            got="missing values",
            do="choose another network, such as ConvLSTM(); one in Noisy(...) takes none",
        )
    # Conditions keep the order of the observables.
    first = {key: min(observables.index(name) for name in observables_of(key)) for key in networks}
    ordered = {key: networks[key] for key in sorted(networks, key=first.__getitem__)}
    return Choice(ordered, defaults.reasons)


def recommended_summaries(
    simulator: Simulator, summary: Summary | Mapping[str, Summary | None] | None
) -> Choice:
    """Return the user's summary networks, else those that the simulator recommends, else defaults.

    Networks with a part that is trained first are recommended to posteriors alone.
    """
    if summary is not None:
        return choose_summaries(simulator, summary)
    choice = choose_summaries(simulator, simulator.recommended.summary)
    if any(network.trained_first for network in choice.networks.values()):
        choice = choose_summaries(simulator, None)
    return choice


def _check_channels(simulator: Simulator, key: str, network: Summary) -> None:
    """Refuse images without channels where values may be missing: presence would be columns."""
    axes = ["height", "width"] if network.order is None else ["elements", "height", "width"]
    for name in observables_of(key):
        shape = simulator.observable_shapes[name]
        if len(shape) == len(axes):
            raise InputError(
                f"Argument 'summary', a network of images for {name!r}",
                expected=f"shape ({', '.join(axes)}, channels) where pixels may be missing",
                got=f"{shape}",
                do=f"return {name}[..., None] from the simulator",
            )


def _warn_of_marks(simulator: Simulator, key: str) -> None:
    """Warn of nested data without channels, where marks of missing values would be elements.

    Posteriors that were saved with such networks can still be loaded.
    """
    for name in observables_of(key):
        shape = simulator.observable_shapes[name]
        if len(shape) == 2:
            warn(
                f"The summary of {name!r} of shape {shape} sees marks of missing values as "
                f"{shape[1]} more values of each element, and can hardly tell which values are "
                f"missing. Return {name}[..., None] from the simulator: marks are then a channel."
            )


def _check_form(summary: Any) -> None:
    """Refuse what is no dict of networks, such as a class or a name."""
    if isinstance(summary, Mapping) and all(
        isinstance(network, Summary | None) for network in summary.values()
    ):
        return
    do = "derive your own from bi.summaries.Summary"
    if isinstance(summary, type):
        do = f"pass {summary.__name__}(...), an instance"
    elif isinstance(summary, str):
        do = "pass an object, such as bi.summaries.MLP(); names are for the command line"
    raise InputError(
        "Argument 'summary'",
        expected="a summary network such as bi.summaries.ConvLSTM(32), or a dict of them by "
        "observable",
        got=repr(summary),
        do=do,
    )


def _check_observables(simulator: Simulator, summary: Mapping[str, Summary | None]) -> None:
    """Refuse names that are no observables or are repeated, and data that can't stand together."""
    observables = list(simulator.observable_shapes)
    seen = [name for key in summary for name in observables_of(key)]
    if len(set(seen)) < len(seen) or not set(seen) <= set(observables):
        raise InputError(
            "Argument 'summary'",
            expected=f"observables {observables}, each once",
            got=f"{seen}",
            do="check the names",
        )
    for key in summary:
        together = observables_of(key)
        if len(together) == 1:
            continue
        why_not = disagreement(together, simulator.observable_shapes, simulator.lengths)
        if why_not is not None:
            raise InputError(
                f"Argument 'summary', one network for {together}",
                expected="observables with the same steps, which can stand side by side",
                got=why_not,
                do=f"write summary={{{observables[0]!r}: ..., ...}}; those left out get a default",
            )


def _check_times(simulator: Simulator, key: str, network: Summary) -> None:
    """Refuse a network that sees no times, or them alone."""
    times = str(network.times)
    shapes = {name: simulator.observable_shapes[name] for name in observables_of(key)}
    context = simulator.shapes["context"]
    shapes |= {name: shape for name, shape in context.items() if name == times}
    steps = {shape[:1] for shape in shapes.values()}
    if len(shapes) < 2 or len(shapes.get(times, ())) != 1 or len(steps) > 1:
        raise InputError(
            f"Argument 'summary', {network!r}",
            expected=f"an observable or context {times!r} (steps,), and data of as many steps",
            got=f"{shapes}",
            do=f"pass summary={{'{times}, NAME': ...}} with the name of the data, or "
            "{'NAME': ...} if times are context",
        )


def _defaults(simulator: Simulator, observables: list[str], flow: Flow | None) -> Choice:
    """Return networks by what observables are; one for all series that can stand side by side."""
    units = _WIDE if flow is not None and flow.categorical else _UNITS
    found = find_paths(simulator) if flow is not None and STEPS in flow.entries else None
    networks: dict[str, Summary] = {}
    reasons: dict[str, str] = {}
    series: dict[tuple[int, str | None], list[str]] = {}
    for name in observables:
        chosen = None if _is_along(simulator, name, found) else _default(simulator, name, units)
        if chosen is None:
            steps = simulator.observable_shapes[name][0]
            series.setdefault((steps, simulator.lengths.get(name)), []).append(name)
        else:
            networks[name], reasons[name] = chosen
    for names in series.values():
        key = joint_name(names)
        networks[key], reasons[key] = _of_series(simulator, names, units)
        if all(_is_along(simulator, name, found) for name in names):
            networks[key] = summaries.Steps(units)
            reasons[key] = "steps of a series, on which parameters are paths"
    return Choice(networks, reasons)


def _is_along(simulator: Simulator, name: str, paths: tuple[str, list[str]] | None) -> bool:
    """Tell whether an observable is a series along the axis of paths."""
    place = simulator.labels.coordinates.get(name)
    return paths is not None and place is not None and place.name == paths[0]


def _of_series(simulator: Simulator, names: list[str], units: int) -> tuple[Summary, str]:
    """Return the network of series that stand side by side, and why."""
    if names[0] in simulator.lengths:
        return summaries.ConvLSTM(units), "a series, by its lengths"
    if not set(names) <= set(simulator.labels.coordinates):
        why = (
            "taken for a series, whose rows have an order; if they are exchangeable, pass DeepSet()"
        )
        return summaries.ConvLSTM(units), why
    return summaries.ConvLSTM(
        units, positions=_POSITIONS, linear=True
    ), "a series, by its coordinates"


def warn_of_sets(simulator: Simulator, networks: Mapping[str, Summary], rows: Arrays) -> None:
    """Warn where networks that were chosen by default read rows in an order that they don't have.

    ``rows`` are simulations (n, ...), on which the order is tested.
    """
    data_names = {*simulator.observable_shapes, *simulator.context_names}
    # Of a comparison, the number of the model.
    parameters = {name: value for name, value in rows.items() if name not in data_names}
    for key, network in networks.items():
        names = observables_of(key)
        values = [rows[name] for name in names]
        declared = set(names) & {*simulator.labels.coordinates, *simulator.lengths}
        few = isinstance(network, summaries.Identity)
        if declared or few or values[0].ndim > 3:
            continue
        each = [value.reshape(*value.shape[:2], -1) for value in values]
        data = np.concatenate(each, axis=2)
        if has_order(data, parameters, seeds.generator(0, "order")) is False:
            warn(
                f"{key!r} shows no order in {len(data):,} simulations, and {network!r}, chosen by "
                f"default, reads it in order. {advice_on_order(key, data.shape[1])}"
            )


def _default(simulator: Simulator, name: str, units: int) -> tuple[Summary, str] | None:
    """Return the network of an observable, and why; None for a series, which may have others."""
    shape = simulator.observable_shapes[name]
    counted = name in simulator.lengths
    if len(shape) == 3 and not counted:
        return summaries.ConvImage(units), "three axes: an image"
    if len(shape) > 2:
        raise InputError(
            f"Observable {name!r} of shape {shape}",
            expected="a summary network of your own for data with more axes than an image",
            got="summary=None",
            do="pass summary=... derived from bi.summaries.Summary",
        )
    is_series = len(shape) > 1 or counted or name in simulator.labels.coordinates
    most = _FEW_OF_A_SERIES if is_series else FEW_NUMBERS
    if not counted and math.prod(shape) <= most:
        return summaries.Identity(), f"at most {most} numbers, which need no compression"
    if is_series:
        return None
    network = summaries.MLP(units, linear=units > _UNITS)
    return network, "taken for a vector; a series declares coordinates={...}"
