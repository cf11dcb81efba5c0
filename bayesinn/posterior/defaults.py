"""Default networks, chosen by the observables' shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bayesinn import flows, summaries
from bayesinn.core.errors import InputError
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
    if not isinstance(flow, Flow):
        raise InputError(
            "Argument 'flow'",
            expected="a Flow, such as bi.flows.coupling(blocks=6)",
            got=repr(flow),
            do="wrap a chain of bijections in bi.flows.InvertibleFlow(...)",
        )
    return flow


def choose_summaries(
    simulator: Simulator, summary: Summary | Mapping[str, Summary | None] | None
) -> dict[str, Summary]:
    """Return summary networks by the observables that they see: the user's, and defaults for those left out."""
    observables = list(simulator.observable_shapes)
    if summary is None:
        summary = {}
    if isinstance(summary, Summary):
        summary = {joint_name(observables): summary}
    if not isinstance(summary, Mapping) or not all(isinstance(s, Summary | None) for s in summary.values()):
        raise InputError(
            "Argument 'summary'",
            expected="a summary network such as bi.summaries.ConvLSTM(32), or a dict of them by observable",
            got=repr(summary),
            do="derive your own from bi.summaries.Summary",
        )
    seen = [name for key in summary for name in observables_of(key)]
    if len(set(seen)) < len(seen) or not set(seen) <= set(observables):
        raise InputError(
            "Argument 'summary'", expected=f"observables {observables}, each once", got=f"{seen}", do="check the names"
        )
    for key in summary:
        together = observables_of(key)
        why_not = disagreement(together, simulator.observable_shapes, simulator.lengths) if len(together) > 1 else None
        if why_not is not None:
            raise InputError(
                f"Argument 'summary', one network for {together}",
                expected="observables with the same steps, which can stand side by side",
                got=why_not,
                do=f"write summary={{{observables[0]!r}: ..., ...}}; those left out get a default",
            )
    given = {joint_name(observables_of(key)): value for key, value in summary.items() if value is not None}
    # Conditions keep the order of the observables, but for a summary with a frame, which comes first.
    chosen = _defaults(simulator, [name for name in observables if name not in observables_of(",".join(given))])
    networks = {**given, **chosen}
    order = sorted(
        networks,
        key=lambda key: (
            not networks[key].frames,
            min(observables.index(name) for name in observables_of(key)),
        ),
    )
    framing = [key for key in order if networks[key].frames]
    if len(framing) > 1:
        raise InputError(
            "Argument 'summary'",
            expected="at most one summary with a frame for the parameters, such as FisherScoring",
            got=f"{framing}",
            do="give the other observables another network",
        )
    return {key: networks[key] for key in order}


def _defaults(simulator: Simulator, observables: list[str]) -> dict[str, Summary]:
    """Return ``Identity`` for a few numbers, and one Conv + LSTM for series that can stand side by side."""
    networks: dict[str, Summary] = {}
    groups: list[list[str]] = []
    for name in observables:
        if _are_few(simulator, name):
            networks[name] = summaries.Identity()
            continue
        for group in groups:
            if disagreement([*group, name], simulator.observable_shapes, simulator.lengths) is None:
                group.append(name)
                break
        else:
            groups.append([name])
    return {**networks, **{joint_name(group): summaries.ConvLSTM(32) for group in groups}}


def _are_few(simulator: Simulator, name: str) -> bool:
    shape = simulator.observable_shapes[name]
    if len(shape) > 2:
        raise InputError(
            f"Observable {name!r} of shape {shape}",
            expected="a summary network of your own for data with more than two axes",
            got="summary=None",
            do="pass summary=... derived from bi.summaries.Summary",
        )
    return math.prod(shape) <= _FEW_NUMBERS and len(shape) < 2 and name not in simulator.lengths
