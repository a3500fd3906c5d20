"""Asks for the columns of a table that an import needs and that were not named."""

from collections.abc import Collection

import click

from data.importers.guesses import Guess
from edgeline.cli.commands import retype_command
from edgeline.cli.stdout import note
from edgeline.errors import UsageError
from edgeline.labels import join_names
from runners.shared.progress import Progress


def ask_columns(guess: Guess, text: str, on_terminal: bool) -> tuple[str, str]:
    """Returns the column to learn and that of texts; the latter is empty where all columns are used.

    Asks on a terminal, with the guess as the default answer. `text` is the column that was named.

    Raises:
        UsageError: There is no terminal to ask on; the error has the whole command with the guess.
    """
    if on_terminal:
        note(f"{guess.shown} has the columns {join_names(guess.header, 30)}.")
        label = click.prompt("Which column should the model learn", default=guess.label or None, err=True)
        if not text and guess.text not in ("", label):
            question = f"Should it be learned from the texts in {guess.text} alone"
            text = guess.text if click.confirm(question, default=guess.texts_alone, err=True) else ""
        return label, text
    more = ["--text", guess.text] if guess.texts_alone and guess.text and not text else []
    looks = f"{guess.label} looks like it" if guess.label else "No column looks like it"
    raise UsageError(
        "--label is missing.",
        f"A table or texts need a column to learn. {looks}. Columns: {join_names(guess.header, 30)}.",
        f"Run: {retype_command(*more, '--label', guess.label or 'COLUMN')}",
    )


def ask_choice(progress: Progress, question: str, choices: Collection[str], guess: str) -> str:
    """Asks a question about a column that has one of a few answers."""
    with progress.pause():
        answer: str = click.prompt(question, default=guess, type=click.Choice([*choices]), err=True)
    return answer
