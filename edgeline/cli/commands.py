"""Commands and groups of click whose usage errors have the three parts of the project's errors."""

import itertools
import re
import shlex
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from edgeline.errors import UsageError, find_nearest, suggest
from edgeline.secrets import find_secret

_OPTION = re.compile(r"--?[A-Za-z]\S*")
_TYPED = "edgeline.typed"


class Command(click.Command):
    """A command that refuses an option as the value of the one before it, except in `--name=-value`.

    click would take `--reason --undo` as the reason `--undo`, and exclude a span that was to be read again.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the arguments; every usage error names its command.

        Raises UsageError for an option whose value has a secret, which it does not show; settings are checked
        by themselves.
        """
        ctx.meta[_TYPED] = tuple(args)
        try:
            valued = [option for option in self.params if not getattr(option, "is_flag", True)]
            with_value = set(itertools.chain.from_iterable(option.opts for option in valued))
            for name, value in itertools.pairwise(args):
                if name in with_value and _OPTION.fullmatch(value):
                    raise click.BadOptionUsage(name, f"Option {name!r} requires an argument.")
                if name in with_value and name != "--set":
                    _refuse_secret(name, value)
            for word in args:
                name, _, value = word.partition("=")
                if name in with_value and name != "--set":
                    _refuse_secret(name, value)
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def get_short_help_str(self, limit: int = 45) -> str:
        """Returns the uncut summary for a list of commands."""
        return (self.help or "").partition("\n\n")[0]


def retype_command(*more: str) -> str:
    """Returns the running command as it was typed, with more words for its options."""
    context: click.Context | None = click.get_current_context()
    words = list(context.meta[_TYPED]) if context else []
    end = words.index("--") if "--" in words else len(words)
    names = list[str]()
    while context is not None:
        names.insert(0, context.command.name or "")
        context = context.parent
    return " ".join(["edgeline", *filter(None, names), shlex.join([*words[:end], *more, *words[end:]])])


def _refuse_secret(name: str, value: str) -> None:
    if secret := find_secret(value):
        raise UsageError(
            f"{name} has {secret}.",
            "Records, messages and logs show this value, and would show it too.",
            "Remove it. Keys of a bucket are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or"
            " ~/.aws; KFP_TOKEN or KFP_COOKIES log in to a cluster.",
        )


class Group(Command, click.Group):
    """A group that lists its commands in the order in which they were added, also where none is named."""

    command_class = Command

    def __init__(self, *, subcommand_metavar: str = "ACTION ...", **options: Any) -> None:
        super().__init__(subcommand_metavar=subcommand_metavar, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all commands."""
        return list(self.commands)


def explain_usage_error(error: click.UsageError) -> UsageError:
    """Returns a usage error of click in three parts, with the closest known name or value."""
    assert error.ctx is not None
    command = error.ctx.command_path
    message = error.format_message()
    hint = ""
    if isinstance(error, click.NoSuchCommand):
        assert isinstance(error.ctx.command, click.Group)
        message = error.message
        hint = suggest(error.command_name, error.ctx.command.commands)
    elif isinstance(error, click.NoSuchOption):
        options = set().union(*(option.opts for option in error.ctx.command.get_params(error.ctx)))
        message = error.message
        hint = suggest(error.option_name, options)
    elif isinstance(error, click.BadParameter) and error.param:
        hint = _suggest_value(error.message.partition(" ")[0].strip("'"), error.param.type)
    return UsageError(f"{command}: {message.rstrip('.')}.", hint, f"See `{command} --help`.")


def _suggest_value(value: str, wanted: click.ParamType) -> str:
    """Asks whether the nearest value of a type was meant; empty if none is near, or it has too many."""
    if isinstance(wanted, click.Choice):
        return suggest(value, wanted.choices)
    days_ago = {"today": 0, "yesterday": 1}
    if isinstance(wanted, click.DateTime) and (day := find_nearest(value, days_ago)):
        return f"Did you mean {datetime.now(timezone.utc) - timedelta(days_ago[day]):%Y-%m-%d}?"
    return ""
