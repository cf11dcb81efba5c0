"""The verdict in a terminal: in colour, with its sentence and what to do."""

from rich.console import Console

from bayesinn.diagnosis.diagnosis import Diagnosis


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the verdict with a bar for each check, in colour where the terminal has some."""
    # A file gets whole lines.
    Console(highlight=False).print(diagnosis, soft_wrap=True)


def write_verdict(diagnosis: Diagnosis) -> str:
    """Write grade, sentence and actions of a verdict, a line each.

    What would decide the undecided checks is said once, in the sentence.
    """
    told = [action for action in diagnosis.actions if action not in diagnosis.text]
    return "\n".join([f"{diagnosis.grade}: {diagnosis.text}", *(f"  to do: {do}" for do in told)])
