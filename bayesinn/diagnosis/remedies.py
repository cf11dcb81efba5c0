"""Remedies that several checks give."""

TRAIN = (
    "Train for more steps, until the loss is flat; then give the flow more blocks. Diagnose again."
)
SUMMARY = (
    "look at the summary network (does its output vary with the data? is its vector long enough?)"
)
