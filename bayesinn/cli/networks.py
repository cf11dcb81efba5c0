"""Networks in words: ``set-transformer``, ``coupling:blocks=8,transform=spline``.

The command line takes them.
"""

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bayesinn import flows, summaries
from bayesinn.bijections import Affine, Composed, Spline
from bayesinn.core.errors import InputError
from bayesinn.flows import Flow
from bayesinn.summaries import Summary

_SUMMARIES: dict[str, Callable[..., Any]] = {
    re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower(): kind
    for kind in vars(summaries).values()
    if isinstance(kind, type) and issubclass(kind, Summary) and kind is not Summary
}
_FLOWS: dict[str, Callable[..., Any]] = {
    recipe.__name__: recipe
    for recipe in (
        *(flows.coupling, flows.autoregressive, flows.hint, flows.residual),
        *(flows.FlowMatching, flows.Diffusion, flows.Consistency, flows.MixtureDensity),
    )
}
_TRANSFORMS: dict[str, Callable[..., Any]] = {
    "affine": Affine,
    "spline": lambda: Composed([Affine(), Spline()]),
}


def named_flow(text: str | None) -> Flow | None:
    """Return the flow that a text names; None for None."""
    return None if text is None else _made("Flow", text, _FLOWS)


def named_summary(texts: Sequence[str]) -> Summary | Mapping[str, Summary] | None:
    """Return the summary network that a text names, or networks by observable.

    The texts for observables are as ``cases=conv-lstm``.
    """
    networks: dict[str, Summary] = {}
    for text in texts:
        observables, _, network = (
            text.partition("=") if "=" in text.partition(":")[0] else ("", "", text)
        )
        networks[observables] = _made("Summary", network, _SUMMARIES)
    if "" in networks and len(texts) > 1:
        do = "write one network for all, or OBSERVABLE=NETWORK for each"
        raise InputError(
            "Summary", expected="networks for different observables", got=", ".join(texts), do=do
        )
    return networks.get("", networks or None)


def _made(subject: str, text: str, known: Mapping[str, Callable[..., Any]]) -> Any:
    name, _, options = text.partition(":")
    name = _chosen(subject, name.strip(), known)
    parameters = inspect.signature(known[name]).parameters
    given = {}
    # Commas inside of brackets belong to a value.
    for option in re.split(r",(?![^\[(]*[\])])", options) if options else ():
        key, equals, value = option.partition("=")
        if not equals:
            got = repr(option)
            do = f"write it as in {name}:{next(iter(parameters))}=..."
            raise InputError(
                f"{subject} {name!r}, option", expected="an option and its value", got=got, do=do
            )
        key = _chosen(f"Option of {subject.lower()} {name!r}", key.strip(), parameters)
        given[key] = (
            _TRANSFORMS[_chosen(key, value, _TRANSFORMS)]()
            if key == "transform"
            else _value(value.strip())
        )
    try:
        return known[name](**given)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        expected = f"values that {name} takes"
        got = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{subject} {text!r}", expected=expected, got=got, do="correct them"
        ) from error


def _chosen(subject: str, name: str, known: Mapping[str, Any]) -> str:
    """Return the known name that is meant, whatever its hyphens and capitals."""
    plain = {re.sub("[-_ ]", "", key).lower(): key for key in known}
    if (key := re.sub("[-_ ]", "", name).lower()) in plain:
        return plain[key]
    close = difflib.get_close_matches(key, plain, n=1)
    do = f"did you mean {plain[close[0]]!r}?" if close else "check the spelling"
    raise InputError(subject, expected=f"one of {', '.join(known)}", got=repr(name), do=do)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
