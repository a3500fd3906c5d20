"""`edgeline settings`: the list of all settings, made from their types and descriptions."""

import json
from collections.abc import Iterator
from textwrap import TextWrapper
from typing import Any

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import find_terminal_width, print_json, say
from edgeline.errors import UsageError

_EPILOG = (
    "Defaults are those that a workload, a profile and --set override. In a name, [] is an item of a list"
    " and * any name in a mapping."
)


@click.command(cls=Command, epilog=_EPILOG)
@click.argument("name", required=False, help="a group, such as trainer, or a setting, such as trainer.epochs")
@options.as_json
def settings(name: str | None, as_json: bool) -> int:
    """Lists all settings, those of a group, or one: default, range and meaning."""
    listed = _list_settings(name)
    if as_json:
        return print_json([setting for setting in listed if "allowed" in setting])
    for line in "\n".join(line for setting in listed for line in _format(setting)).strip("\n").split("\n"):
        say(line)
    return 0


def _list_settings(name: str | None) -> list[dict[str, Any]]:
    """Returns name, allowed values, default and description; a group of settings has no allowed values."""
    from edgeline.settings_layers import describe_allowed, match_patterns, suggest_key, walk
    from pipeline.settings import Settings

    schema = Settings.model_json_schema()
    nodes = {key: node for key, node in walk(schema, schema, each_name=False) if "description" in node}
    if name:
        match = next((pattern for pattern in match_patterns(name.split(".")) if pattern in nodes), None)
        if match is None:
            hint = suggest_key(name, nodes).strip()
            raise UsageError(f"There is no setting {name}.", hint, "`edgeline settings` lists all settings.")
        nodes = {key: node for key, node in nodes.items() if f"{key}.".startswith((f"{match}.", f"{match}["))}
    return [
        {
            "name": key,
            **({} if "properties" in node else {"allowed": describe_allowed(schema, node)}),
            **({"default": node["default"]} if "default" in node else {}),
            "description": " ".join(node["description"].split()),
        }
        for key, node in nodes.items()
    ]


def _format(setting: dict[str, Any]) -> Iterator[str]:
    wrapper = TextWrapper(find_terminal_width(), break_long_words=False, break_on_hyphens=False)
    if "allowed" not in setting:
        yield from ("", *wrapper.wrap(f"{setting['name']}: {setting['description']}"))
        return
    wrapper.subsequent_indent = " " * 4
    default = f"= {json.dumps(setting['default'])}" if "default" in setting else "has no default"
    yield from wrapper.wrap(f"{setting['name']} {default} ({setting['allowed']})")
    wrapper.initial_indent = " " * 4
    yield from wrapper.wrap(setting["description"])
