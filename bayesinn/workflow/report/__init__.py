"""The report: one HTML file, the verdict first, that needs nothing else to be read."""

from bayesinn.workflow.report.render import Verdict, render
from bayesinn.workflow.report.section import Figure, Section, save_all

__all__ = ["Figure", "Section", "Verdict", "render", "save_all"]
