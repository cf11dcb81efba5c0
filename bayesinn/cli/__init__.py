"""The command line: commands, run folders, and files that people have."""

from bayesinn.cli.commands import app as app, main as main
