import click
import pytest

from edgeline.cli.main import COMMANDS, Commands
from edgeline.errors import UsageError


def test_without_the_project_its_commands_are_not_listed_and_say_what_they_need():
    assert set(Commands(COMMANDS).commands) == set(COMMANDS) and "run" not in COMMANDS
    with click.Context(Commands(COMMANDS)) as context, pytest.raises(UsageError, match="needs the project"):
        Commands(COMMANDS).resolve_command(context, ["run", "--json"])
