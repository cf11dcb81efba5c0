"""Posteriors that can be fitted anew, which advice and rounds ask for."""

from collections.abc import Callable
from typing import Any, Protocol, Self, runtime_checkable

from bayesinn.core.errors import InputError
from bayesinn.core.validation import check_type
from bayesinn.posterior.posterior import Posterior


@runtime_checkable
class FittedPosterior(Posterior, Protocol):
    """A posterior that is an :class:`bayesinn.Estimator`, too: a trained one, or one of a user."""

    identity: dict[str, Any] | None

    def untrained(self) -> Self:
        """Return a posterior of the same simulator and configuration that was never trained."""

    @property
    def fit(self) -> Callable[..., Self]:
        """Train on simulations, with the arguments of :meth:`bayesinn.Estimator.fit`."""

    def save(self, folder: Any) -> Any:
        """Write the posterior into a folder."""

    def network_configuration(self) -> dict[str, Any]:
        """Return the configuration in plain values."""


def check_fitted(posterior: Any, purpose: str, density: tuple[str, ...]) -> None:
    """Refuse what can't be fitted anew, or has a density of another kind than these."""
    subject = "Argument 'posterior'"
    do = "pass bi.AmortizedPosterior(simulator)"
    check_type(subject, posterior, Posterior, "a posterior", do)
    if not isinstance(posterior, FittedPosterior):
        expected = f"a posterior that can be fitted anew, for {purpose}"
        do += ", or a class of yours from bi.Estimator and bi.Posterior; of an ensemble, a member"
        raise InputError(subject, expected=expected, got=repr(posterior), do=do)
    if posterior.density not in density:
        raise InputError(
            subject,
            expected=f"a posterior with a density that is {' or '.join(density)}, for {purpose}",
            got=f"one {posterior.density or 'without'}, {posterior!r}",
            do="use another flow, and a prior with at most three integers",
        )
