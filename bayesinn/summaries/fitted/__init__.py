"""Summaries that fit a working model of the data to each observation by Fisher scoring."""

from bayesinn.summaries.fitted.fisher_scoring import FisherScoring

__all__ = ["FisherScoring"]
