"""The contract of combinations of estimators, which are saved and loaded with their members."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Never, Self

from bayesinn.core.configuration import Registered, public_name
from bayesinn.core.errors import InputError
from bayesinn.core.storage import write_members
from bayesinn.core.validation import check_type
from bayesinn.estimators.estimator import Estimator
from bayesinn.simulation.identity_rows import remembering


class Joined(Registered, ABC):
    """Combination of several estimators, such as an ensemble; it is not trained itself.

    An author writes :attr:`members`, :meth:`entries`, :attr:`schema` and :meth:`from_members`.
    """

    #: Kind of model in a manifest, whose entry "class" names the class.
    kind: ClassVar[str] = "Ensemble"
    #: Types of what :meth:`entries` returns.
    schema: ClassVar[Mapping[str, Any]] = {}

    @property
    @abstractmethod
    def members(self) -> Sequence[Any]:
        """The combined estimators, or combinations of them."""

    @property
    def fingerprint(self) -> str:
        """What tells it from others: its members, and how they are combined."""
        parts = [self.entries(), *(member.fingerprint for member in self.members)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def unfinished(self) -> str:
        """What the training of a member lacks, in a sentence; empty if none lacks anything."""
        return next(
            filter(None, (getattr(member, "unfinished", "") for member in self.members)), ""
        )

    def entries(self) -> dict[str, Any]:
        """Return the entries of a manifest beside the members, in plain values."""
        return {}

    @classmethod
    @abstractmethod
    def from_members(cls, members: Sequence[Any], entries: Mapping[str, Any]) -> Self:
        """Return the combination that a manifest describes, with its loaded members."""

    def fit(self, *arguments: Any, **options: Any) -> Never:
        """Refuse: members are fitted before they are joined."""
        name = type(self).__name__
        raise InputError(
            f"fit of {name}",
            expected="an estimator with networks of its own",
            got=f"{len(self.members)} that are joined, each with its own",
            do=f"fit each of them, then join them: bi.{name}([...])",
        )

    @remembering()
    def save(self, folder: str | Path) -> Path:
        """Write all members into a folder for :func:`bayesinn.load`, and return the folder.

        The files are ``manifest.json`` and a subfolder with a folder for each member.
        """
        do = "join posteriors that are trained and saved, such as bi.AmortizedPosterior"
        for number, member in enumerate(self.members, 1):
            subject = f"Member {number} of the {type(self).__name__}"
            check_type(subject, member, (Estimator, Joined), "what can be saved", do)
        entries = {"class": public_name(type(self)), **self.entries()}
        return write_members(folder, self.kind, entries, [member.save for member in self.members])
