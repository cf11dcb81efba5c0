"""The simulator report: is a simulator fit to train on, and what should change? One file holds one check."""

from bayesinn.workflow.simulator_report.pilot import Advice, Result
from bayesinn.workflow.simulator_report.report import SimulatorReport, simulator_report

__all__ = ["Advice", "Result", "SimulatorReport", "simulator_report"]
