"""The report: one HTML file, the verdict first, that needs nothing else to be read."""

from bayesinn.diagnosis.report.render import render as render
from bayesinn.diagnosis.report.section import (
    Figure as Figure,
    Section as Section,
    save_all as save_all,
)
