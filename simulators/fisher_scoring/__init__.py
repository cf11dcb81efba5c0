"""Posteriors far narrower than their prior: a working model, fitted to each observation.

:class:`FisherScoring` is the summary that fits a :class:`WorkingModel`, and :class:`Straightened`
makes a flow see parameters as the fit does. The Covid-19 model uses them.
"""

from .flow import Straightened as Straightened
from .scoring import FisherScoring as FisherScoring
from .working_model import WorkingModel as WorkingModel
