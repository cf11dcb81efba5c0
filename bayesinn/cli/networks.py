"""Networks in the words of the command line.

Examples are ``set-transformer`` and ``coupling:blocks=8,transform=spline``.
"""

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from bayesinn import flows, summaries
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.cli.options import SIZES
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.hierarchical import HierarchicalPosterior
from bayesinn.posterior.amortized import AmortizedPosterior, TrainedPosterior
from bayesinn.simulation.simulator import Simulator
from bayesinn.summaries import Summary

_SUMMARIES: dict[str, Callable[..., Any]] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower(): kind
    for kind in vars(summaries).values()
    if isinstance(kind, type) and issubclass(kind, Summary) and kind is not Summary
}


@dataclass(frozen=True)
class Wanted:
    """What to train: networks, and how many of them; None for what is left to the defaults.

    With ``group``, a hierarchical posterior is trained, on data sets of ``sizes`` members.
    """

    summary: Summary | Mapping[str, Summary] | None = None
    flow: Flow | None = None
    count: int | None = None
    group: Mapping[str, Sequence[str]] | None = None
    sizes: tuple[int, int] = SIZES

    def posterior(self, simulator: Simulator) -> TrainedPosterior:
        """Return an untrained posterior."""
        if self.group is None:
            return AmortizedPosterior(simulator, self.summary, self.flow, self.count)
        return HierarchicalPosterior(
            simulator, self.group, self.sizes, self.summary, flow=self.flow
        )

    def like(self, start: TrainedPosterior) -> Self:
        """Return the same with another posterior's networks and group where they are left out."""
        known = start.configuration()
        summary = self.summary or known["summaries"]
        found = replace(self, summary=summary, flow=self.flow or known["flow"])
        if self.group is None and "group" in known:
            return replace(found, group=known["group"], sizes=known["sizes"])
        return found


def named_model(
    summary: Sequence[str], flow: str | None, count: int | None, levels: Mapping[str, Any] = {}
) -> Wanted:
    """Return what to train, of networks that texts name; ``levels`` are fields by name."""
    return Wanted(named_summary(summary), named_flow(flow), count, **levels)


def _is_complete_flow(recipe: Any) -> bool:
    """Return whether a public name is a function or class that makes a flow without arguments."""
    if not (inspect.isfunction(recipe) or (isinstance(recipe, type) and issubclass(recipe, Flow))):
        return False
    parameters = inspect.signature(recipe).parameters.values()
    return recipe is not Flow and all(one.default is not one.empty for one in parameters)


_FLOWS: dict[str, Callable[..., Any]] = {
    name: recipe for name, recipe in vars(flows).items() if _is_complete_flow(recipe)
}
_TRANSFORMS: dict[str, Callable[..., Any]] = {
    "affine": Affine,
    "spline": lambda: Composed([Affine(), Spline()]),
}


def named_flow(text: str | None) -> Flow | None:
    """Return the flow that a text names; None for None."""
    return None if text is None else _make("Flow", text, _FLOWS)


def named_summary(texts: Sequence[str]) -> Summary | Mapping[str, Summary] | None:
    """Return the summary network that a text names, or networks by observable.

    A text for one observable is written as ``cases=conv-lstm``.
    """
    networks: dict[str, Summary] = {}
    for text in texts:
        observables, _, network = (
            text.partition("=") if "=" in text.partition(":")[0] else ("", "", text)
        )
        networks[observables] = _make("Summary", network, _SUMMARIES)
    if "" in networks and len(texts) > 1:
        raise InputError(
            "Summary",
            expected="networks for different observables",
            got=", ".join(texts),
            do="write one network for all, or OBSERVABLE=NETWORK for each",
        )
    return networks.get("", networks or None)


def _make(subject: str, text: str, known: Mapping[str, Callable[..., Any]]) -> Any:
    name, _, options = text.partition(":")
    name = _choose(subject, name.strip(), known)
    parameters = inspect.signature(known[name]).parameters
    given = {}
    # Commas inside of brackets belong to a value.
    for option in re.split(r",(?![^\[(]*[\])])", options) if options else ():
        key, equals, value = option.partition("=")
        if not equals:
            raise InputError(
                f"{subject} {name!r}, option",
                expected="an option and its value",
                got=repr(option),
                do=f"write it as in {name}:{next(iter(parameters))}=...",
            )
        key = _choose(f"Option of {subject.lower()} {name!r}", key.strip(), parameters)
        given[key] = (
            _TRANSFORMS[_choose(key, value, _TRANSFORMS)]()
            if key == "transform"
            else _value(value.strip())
        )
    try:
        return known[name](**given)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{subject} {text!r}",
            expected=f"values that {name} takes",
            got=f"{type(error).__name__}: {error}",
            do="correct them",
        ) from error


def _choose(subject: str, name: str, known: Mapping[str, Any]) -> str:
    """Return the known name that is meant, whatever its hyphens and capitals."""
    plain = {re.sub("[-_ ]", "", key).lower(): key for key in known}
    if (key := re.sub("[-_ ]", "", name).lower()) in plain:
        return plain[key]
    close = difflib.get_close_matches(key, plain, n=1)
    raise InputError(
        subject,
        expected=f"one of {', '.join(known)}",
        got=repr(name),
        do=(f"did you mean {plain[close[0]]!r}?" if close else "check the spelling"),
    )


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
