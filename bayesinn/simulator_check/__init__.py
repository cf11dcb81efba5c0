"""The simulator report: is a simulator fit to train on, and what should change?"""

from bayesinn.simulator_check.advice import Advice
from bayesinn.simulator_check.report import simulator_report
from bayesinn.simulator_check.result import SimulatorReport

__all__ = ["Advice", "SimulatorReport", "simulator_report"]
