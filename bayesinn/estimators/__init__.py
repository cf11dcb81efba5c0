"""Estimators: fitting, checkpoints, history, saving and loading for all that is estimated."""

import bayesinn.core.environment  # noqa: F401
from bayesinn.estimators.estimator import Estimator as Estimator
from bayesinn.estimators.joined import Joined as Joined
from bayesinn.estimators.loading import load as load
