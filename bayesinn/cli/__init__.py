"""The command line: commands, run folders, and files that people have."""

from bayesinn.cli import (
    commands_on_models as commands_on_models,
    commands_on_runs as commands_on_runs,
)
from bayesinn.cli.commands import app as app, main as main
