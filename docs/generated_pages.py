"""A hook of MkDocs, which adds what is written from the code: settings, commands, and the report's terms.

It also turns the index of the search into a script, which a page that is opened from the disk can read.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from drill.faults import EFFECTS, FAULTS
from drill.promises import PROMISES
from edgeline.cli.main import Commands
from edgeline.report.page import read_terms
from runners.cli.main import COMMANDS

_SETTINGS = """# Settings

Every setting with its default, the values that it accepts, and its meaning, as `edgeline settings` prints
them. [One run](run.md#settings) describes where settings come from. In a name, `[]` is an item of a list and
`*` any name in a mapping.
"""
_COMMANDS = """# Commands

The help of every command, as `edgeline COMMAND --help` prints it. [One run](run.md#exit-codes) describes the
exit codes.
"""
_COLUMNS = 100


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for path, content in (("settings.md", write_settings()), ("commands.md", "\n".join(write_commands()))):
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts the terms of the report where a page has `<!-- terms -->`, and the tables of the drill."""
    for mark, write in (("terms", write_terms), ("faults", write_faults), ("promises", write_promises)):
        markdown = markdown.replace(f"<!-- {mark} -->", write())
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Writes the sections of all pages as a script, each with the title of its page."""
    folder = Path(config.site_dir, "search")
    entries = json.loads((folder / "search_index.json").read_text(encoding="utf-8"))["docs"]
    titles = {entry["location"]: entry["title"] for entry in entries}
    sections = [
        {**entry, "page": titles[entry["location"].partition("#")[0]]}
        for entry in entries
        if "#" in entry["location"]
    ]
    (folder / "sections.js").write_text(f"const sections = {json.dumps(sections)};\n", encoding="utf-8")


def write_terms() -> str:
    """Writes the terms of the report."""
    return "\n\n".join(f"**{term['name']}.** {term['meaning']}" for term in read_terms())


def write_faults() -> str:
    """Writes the table of the faults of a drill."""
    rows = ["| fault | what happens | weight | share | its week |", "|---|---|---|---|---|"]
    for name, fault in FAULTS.items():
        share = f"{fault.rate:g}" if fault.rate is not None else ""
        rows.append(f"| `{name}` | {fault.summary} | {fault.weight} | {share} | {EFFECTS[fault.effect]} |")
    return "\n".join(rows)


def write_promises() -> str:
    """Writes the list of the promises that a drill proves."""
    return "\n".join(f"- **{it.__name__.replace('_', ' ')}**: {it.__doc__}" for it in PROMISES)


def write_settings() -> str:
    """Writes the page of all settings from `edgeline settings --json`, a table for each group."""
    command = (sys.executable, "-m", "runners.cli", "settings", "--json")
    settings = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    page = [_SETTINGS]
    for group, members in groupby(settings, key=lambda setting: setting["name"].partition(".")[0]):
        page += [f"## {group}\n", "| setting | default | values | meaning |", "|---|---|---|---|"]
        for setting in members:
            default = f"`{json.dumps(setting['default'])}`" if "default" in setting else "none"
            cells = (f"`{setting['name']}`", default, setting["allowed"], setting["description"])
            page.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        page.append("")
    return "\n".join(page)


def write_commands() -> Iterator[str]:
    """Writes the page of all commands, each with its subcommands."""
    yield _COMMANDS
    group = Commands(COMMANDS)
    for name in COMMANDS:
        command = group.load(name)
        assert command is not None
        yield from _write_command(f"edgeline {name}", command, level=2)


def _write_command(name: str, command: click.Command, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=_COLUMNS, max_content_width=_COLUMNS)
    yield f"{'#' * level} {name}\n"
    yield from (f"    {line}".rstrip() for line in command.get_help(context).splitlines())
    yield ""
    for part, inner in getattr(command, "commands", {}).items():
        yield from _write_command(f"{name} {part}", inner, level + 1)
