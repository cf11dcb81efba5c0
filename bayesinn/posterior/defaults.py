"""Default networks, chosen by what the simulator declares and by how many simulations there are.

The study is paper_results/sbibm.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from bayesinn import flows, summaries
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type
from bayesinn.flows import Flow
from bayesinn.simulation.simulator import Simulator
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import disagreement, joint_name, observables_of

# So many unrelated numbers need no compression before the flow, and so many of a series.
_FEW_NUMBERS = 20
_FEW_OF_A_SERIES = 8
# Splines of more parameters than these cost more than they gain.
_MOST_PARAMETERS = 30
# Stored simulations, up to which networks overfit so much that several are better.
_FEW_SIMULATIONS = 200_000
_NETWORKS = 3


class Choice(NamedTuple):
    """Summary networks by observables, and why those that were left out were chosen so."""

    networks: dict[str, Summary]
    reasons: dict[str, str]


def choose_flow(flow: Flow | None, parameters: int) -> Flow:
    """Return the user's flow, or couplings for so many unconstrained parameters."""
    if flow is None:
        if parameters > _MOST_PARAMETERS:
            return flows.coupling()
        return flows.coupling(blocks=4, transform=Composed([Affine(), Spline()]))
    do = "wrap a chain of bijections in bi.flows.InvertibleFlow(...)"
    check_type("Argument 'flow'", flow, Flow, "a Flow, such as bi.flows.coupling(blocks=6)", do)
    return flow


def choose_count(rows: int | None, summary_networks: Mapping[str, Summary]) -> int:
    """Return how many networks to train on so many simulations, None if they are new at each step.

    A summary that is trained first allows one.
    """
    trained_first = any(summary.trained_first for summary in summary_networks.values())
    few = rows is not None and rows <= _FEW_SIMULATIONS
    return _NETWORKS if few and not trained_first else 1


def refuse_trained_first(networks: Mapping[str, Summary]) -> None:
    """Refuse summaries whose own losses need a posterior's parameters, where there is none."""
    for network in networks.values():
        if network.trained_first:
            expected = "networks without a part that is trained first, by a loss of its own"
            do = "choose another, or train a bi.AmortizedPosterior with it"
            raise InputError("Argument 'summary'", expected=expected, got=repr(network), do=do)


def choose_summaries(
    simulator: Simulator, summary: Summary | Mapping[str, Summary | None] | None
) -> Choice:
    """Return summary networks by the observables they see: the user's, else defaults."""
    subject = "Argument 'summary'"
    observables = list(simulator.observable_shapes)
    summary = {} if summary is None else summary
    if isinstance(summary, Summary):
        summary = {joint_name(observables): summary}
    if not isinstance(summary, Mapping) or not all(
        isinstance(s, Summary | None) for s in summary.values()
    ):
        expected = (
            "a summary network such as bi.summaries.ConvLSTM(32), or a dict of them by observable"
        )
        given = summary if isinstance(summary, type) else None
        do = (
            f"pass {given.__name__}(...), an instance"
            if given
            else "derive your own from bi.summaries.Summary"
        )
        if isinstance(summary, str):
            do = "pass an object, such as bi.summaries.MLP(); names are for the command line"
        raise InputError(subject, expected=expected, got=repr(summary), do=do)
    seen = [name for key in summary for name in observables_of(key)]
    if len(set(seen)) < len(seen) or not set(seen) <= set(observables):
        raise InputError(
            subject,
            expected=f"observables {observables}, each once",
            got=f"{seen}",
            do="check the names",
        )
    for key in summary:
        together = observables_of(key)
        why_not = (
            disagreement(together, simulator.observable_shapes, simulator.lengths)
            if len(together) > 1
            else None
        )
        if why_not is not None:
            expected = "observables with the same steps, which can stand side by side"
            do = f"write summary={{{observables[0]!r}: ..., ...}}; those left out get a default"
            raise InputError(
                f"{subject}, one network for {together}", expected=expected, got=why_not, do=do
            )
    networks = {
        joint_name(observables_of(key)): value
        for key, value in summary.items()
        if value is not None
    }
    for key, network in networks.items():
        if network.times is not None:
            _check_times(simulator, key, network)
    rest = [name for name in observables if name not in observables_of(",".join(networks))]
    defaults = _defaults(simulator, rest)
    networks |= defaults.networks
    refusing = [summary for summary in networks.values() if not summary.missing]
    if refusing and simulator.missing is not None:
        expected = "all values"
        do = "choose another network, such as ConvLSTM"
        raise InputError(
            f"{subject}, {refusing[0]!r}", expected=expected, got="missing values", do=do
        )
    # Conditions keep the order of the observables.
    first = {key: min(observables.index(name) for name in observables_of(key)) for key in networks}
    ordered = {key: networks[key] for key in sorted(networks, key=first.__getitem__)}
    return Choice(ordered, defaults.reasons)


def _check_times(simulator: Simulator, key: str, network: Summary) -> None:
    """Refuse a network that sees no times, or them alone."""
    times = str(network.times)
    shapes = {name: simulator.observable_shapes[name] for name in observables_of(key)}
    shapes |= {k: v for k, v in simulator.shapes["context"].items() if k == times}
    steps = {shape[:1] for shape in shapes.values()}
    if len(shapes) < 2 or len(shapes.get(times, ())) != 1 or len(steps) > 1:
        expected = f"an observable or context {times!r} (steps,), and data of as many steps"
        do = f"pass summary={{'{times}, level': ...}}, or {{'level': ...}} if times are context"
        raise InputError(
            f"Argument 'summary', {network!r}", expected=expected, got=f"{shapes}", do=do
        )


def _defaults(simulator: Simulator, observables: list[str]) -> Choice:
    """Return networks by what observables are; one for all series that can stand side by side."""
    networks: dict[str, Summary] = {}
    reasons: dict[str, str] = {}
    series: dict[tuple[int, str | None], list[str]] = {}
    for name in observables:
        shape = simulator.observable_shapes[name]
        count = simulator.lengths.get(name)
        is_series = len(shape) > 1 or count is not None or name in simulator.labels.coordinates
        most = _FEW_OF_A_SERIES if is_series else _FEW_NUMBERS
        if len(shape) == 3 and count is None:
            networks[name] = summaries.ConvImage(32)
            reasons[name] = "three axes: an image"
        elif len(shape) > 2:
            expected = "a summary network of your own for data with more axes than an image"
            do = "pass summary=... derived from bi.summaries.Summary"
            raise InputError(
                f"Observable {name!r} of shape {shape}",
                expected=expected,
                got="summary=None",
                do=do,
            )
        elif count is None and math.prod(shape) <= most:
            networks[name] = summaries.Identity()
            reasons[name] = f"at most {most} numbers, which need no compression"
        elif not is_series:
            networks[name] = summaries.MLP(32)
            reasons[name] = "taken for a vector; a series declares coordinates={...}"
        else:
            series.setdefault((shape[0], count), []).append(name)
    for names in series.values():
        networks[joint_name(names)] = summaries.ConvLSTM(32)
        one = simulator.observable_shapes[names[0]]
        reasons[joint_name(names)] = (
            "taken for a series; for rows in any order pass DeepSet() or SetTransformer()"
            if len(one) == 2 and names[0] not in simulator.labels.coordinates
            else "a series, by its coordinates or lengths"
        )
    return Choice(networks, reasons)
