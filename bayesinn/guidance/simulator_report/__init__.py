"""The simulator report: is a simulator ready for training, and what should change?"""

from bayesinn.guidance.simulator_report.pilot import Remark as Remark, Result as Result
from bayesinn.guidance.simulator_report.report import (
    SimulatorReport as SimulatorReport,
    simulator_report as simulator_report,
)
