"""The simulator report: is a simulator fit to train on, and what should change?"""

from bayesinn.workflow.simulator_report.advice import Advice
from bayesinn.workflow.simulator_report.report import simulator_report
from bayesinn.workflow.simulator_report.result import SimulatorReport

__all__ = ["Advice", "SimulatorReport", "simulator_report"]
