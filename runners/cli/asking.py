"""Asks for the columns of a table that an import needs and that were not named."""

from collections.abc import Collection

import click

from data.importers.changed_columns import Change, ColumnsChanged
from data.importers.guesses import Guess
from edgeline.cli.commands import retype_command
from edgeline.cli.stdout import note
from edgeline.errors import UsageError
from edgeline.labels import join_names
from runners.shared.progress import Progress

# Answers about a column that changed, beside the names of others.
_MISSING, _STOP = "missing", "stop"


def ask_columns(guess: Guess, text: str, on_terminal: bool) -> tuple[str, str]:
    """Returns the column to learn and that of texts; the latter is empty where all columns are used.

    Asks on a terminal, with the guess as the default answer.

    Args:
        guess: The columns of the table and their likely roles; an empty role gives no default.
        text: The column of texts that was named; empty if none was.
        on_terminal: Whether somebody can answer.

    Raises:
        UsageError: There is no terminal to ask on; the error has the whole command with the guess.
    """
    names = [name for name in guess.header if name]
    if on_terminal:
        note(f"{guess.shown} has the columns {join_names(names, 30)}.")
        label = click.prompt("Which column should the model learn", default=guess.label or None, err=True)
        if not text and guess.text not in ("", label):
            question = f"Should it be learned from the texts in {guess.text} alone"
            text = guess.text if click.confirm(question, default=guess.texts_alone, err=True) else ""
        return label, text
    more = ["--text", guess.text] if guess.texts_alone and guess.text and not text else []
    looks = f"{guess.label} looks like it" if guess.label else "No column looks like it"
    raise UsageError(
        "--label is missing.",
        f"A table or texts need a column to learn. {looks}. Columns: {join_names(names, 30)}.",
        f"Run: {retype_command(*more, '--label', guess.label or 'COLUMN')}",
    )


def ask_changes(changed: ColumnsChanged, progress: Progress | None) -> tuple[list[str], list[str]]:
    """Asks what became of columns that earlier spans have; returns the values of --rename and of --drop.

    Raises UsageError with the whole command and the guesses if there is no terminal to ask on, which has
    `progress`, and `changed` itself for a column that is not to be dropped.
    """
    rename, drop = list[str](), list[str]()
    for change in changed.changes:
        answer = change.guess or ("NEW" if change.is_needed else _MISSING)
        if progress:
            with progress.pause():
                answer = _ask_change(change)
        if answer == _MISSING and not change.is_needed:
            drop.append(change.column)
        elif answer == _STOP:
            raise changed
        else:
            rename.append(f"{change.column}={answer}")

    if not progress:
        words = [word for pair in rename for word in ("--rename", pair)]
        words += [word for name in drop for word in ("--drop", name)]
        command = retype_command(*words)
        raise UsageError(changed.found.split("\n"), changed.why, f"{changed.do} If this fits, run: {command}")
    return rename, drop


def _ask_change(change: Change) -> str:
    """Asks for the name that a column has now; it may be missing, or the import may stop."""
    if change.cell:
        question = f"{change.column} had numbers or times, and has {change.cell}. Is it missing from now on?"
        answers = [_MISSING, _STOP]
    else:
        question = f"{change.column} is not in the table. What is it called now?"
        answers = [*change.candidates, *([] if change.is_needed else [_MISSING]), _STOP]
    default = change.guess or (_STOP if change.cell or change.is_needed else _MISSING)
    answer: str = click.prompt(question, default=default, type=click.Choice(answers), err=True)
    return answer


def ask_choice(progress: Progress, question: str, choices: Collection[str], guess: str) -> str:
    """Asks a question about a column that has one of a few answers.

    Args:
        progress: Its live line pauses until the answer.
        question: The choices and the default are shown after it.
        choices: Any other answer is asked for again.
        guess: The default, one of the choices.
    """
    with progress.pause():
        answer: str = click.prompt(question, default=guess, type=click.Choice([*choices]), err=True)
    return answer
