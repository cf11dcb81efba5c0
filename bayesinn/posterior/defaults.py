"""Default networks, chosen by the observables' shapes."""

import math
from collections.abc import Mapping

from bayesinn import flows, summaries
from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type
from bayesinn.flows import Flow
from bayesinn.simulation.simulator import Simulator
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import disagreement, joint_name, observables_of

# A vector of this many numbers needs no compression before the flow.
_FEW_NUMBERS = 8


def choose_flow(flow: Flow | None) -> Flow:
    """Return the user's flow, or six affine coupling blocks."""
    if flow is None:
        return flows.coupling()
    do = "wrap a chain of bijections in bi.flows.InvertibleFlow(...)"
    check_type("Argument 'flow'", flow, Flow, "a Flow, such as bi.flows.coupling(blocks=6)", do)
    return flow


def choose_summaries(
    simulator: Simulator, summary: Summary | Mapping[str, Summary | None] | None
) -> dict[str, Summary]:
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
    networks |= _defaults(
        simulator, [name for name in observables if name not in observables_of(",".join(networks))]
    )
    refusing = [summary for summary in networks.values() if not summary.missing]
    if refusing and simulator.missing is not None:
        expected = "all values"
        do = "choose another network, such as ConvLSTM"
        raise InputError(
            f"{subject}, {refusing[0]!r}", expected=expected, got="missing values", do=do
        )
    # Conditions keep the order of the observables.
    first = {key: min(observables.index(name) for name in observables_of(key)) for key in networks}
    return {key: networks[key] for key in sorted(networks, key=first.__getitem__)}


def _defaults(simulator: Simulator, observables: list[str]) -> dict[str, Summary]:
    """Return ``Identity`` for a few numbers, convolutions for images, one network for all series.

    These are the series that can stand side by side.
    """
    networks: dict[str, Summary] = {}
    together: dict[tuple[int, str | None], list[str]] = {}
    for name in observables:
        shape = simulator.observable_shapes[name]
        count = simulator.lengths.get(name)
        if len(shape) == 3 and count is None:
            networks[name] = summaries.ConvImage(32)
            continue
        if len(shape) > 2:
            expected = "a summary network of your own for data with more axes than an image"
            do = "pass summary=... derived from bi.summaries.Summary"
            raise InputError(
                f"Observable {name!r} of shape {shape}",
                expected=expected,
                got="summary=None",
                do=do,
            )
        if len(shape) < 2 and math.prod(shape) <= _FEW_NUMBERS and count is None:
            networks[name] = summaries.Identity()
        else:
            together.setdefault((shape[0], count), []).append(name)
    return {
        **networks,
        **{joint_name(names): summaries.ConvLSTM(32) for names in together.values()},
    }
