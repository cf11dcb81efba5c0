"""Simulation banks: simulations on disk or in an object store, written and read by chunks."""

from bayesinn.simulation.bank.bank import (
    Bank as Bank,
    open_bank as open_bank,
    read_simulations as read_simulations,
)
