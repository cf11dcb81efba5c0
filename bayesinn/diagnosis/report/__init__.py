"""The report: one HTML file, the verdict first, that needs nothing else to be read."""

from bayesinn.diagnosis.report.page import (
    Figure as Figure,
    Section as Section,
    render as render,
    save_all as save_all,
    say as say,
    write_list as write_list,
)
