"""The documentation: it is built without a warning, needs no network, and matches the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown.extensions.toc import slugify

from docs.generated_pages import write_commands, write_settings
from runners.cli.main import COMMANDS
from runners.cli.settings import _list_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
LISTED = _list_settings(None)
SETTINGS = {setting["name"] for setting in LISTED}
GROUPS = {name.partition(".")[0] for name in SETTINGS if "." in name}
LOADED = re.compile(r"<(?:link|script|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")


def name(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Builds the pages; a link or an anchor that leads nowhere fails the build."""
    folder = tmp_path_factory.mktemp("site")
    # With --quiet, MkDocs does not count warnings.
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder))
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_each_page_is_built_and_no_script_of_ours_is_published(site):
    assert {path.stem for path in ROOT.glob("docs/**/*.md")} <= {path.stem for path in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


def test_the_pages_load_nothing_from_another_host(site):
    for path in site.rglob("*.html"):
        assert not LOADED.search(path.read_text(encoding="utf-8")), path
    for path in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text(encoding="utf-8")), (
            path
        )


def test_the_generated_pages_have_every_setting_and_command(site):
    settings, commands = (
        (site / page).read_text(encoding="utf-8") for page in ("settings.html", "commands.html")
    )
    assert all(f"<code>{setting['name']}</code>" in settings for setting in LISTED if "allowed" in setting)
    assert all(
        f"edgeline {command}<" in commands for command in (*COMMANDS, "kubeflow submit", "data import")
    )


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=name)
def test_links_outside_of_docs_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slugify(heading, "-") for heading in headings}, link


def test_each_setting_on_a_page_exists():
    named = re.compile(rf"(?:`|--set '?)((?:{'|'.join(GROUPS)})\.(?!py`|sig`|pub\.)[a-z_]+)(?=[`=.{{])")
    names = {
        (name(page), match) for page in PAGES for match in named.findall(page.read_text(encoding="utf-8"))
    }
    assert len(names) > 50
    assert not sorted(each for each in names if each[1] not in SETTINGS)


def test_each_target_of_make_on_a_page_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for page in PAGES:
        assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.M)) <= {
            *targets
        }, page


def find_private_names():
    """Returns the private names of libraries that the code uses, each with its file."""
    rooms = ("components", "data", "edgeline", "pipeline", "runners", "trainer_module")
    trees = {
        path: ast.parse(path.read_text("utf-8")) for room in rooms for path in (ROOT / room).rglob("*.py")
    }
    ours = {"_exit", "_replace", "_asdict"}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                ours.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                ours.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {
        (node.attr, name(path))
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr, re.I) and node.attr not in ours
    }


def test_the_page_lists_the_private_functions_of_libraries_that_the_code_uses():
    page = (ROOT / "docs" / "building.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(_\w+)` \| [\w-]+ \| `(\S+)` \| `(\S+)` \|$", page, re.MULTILINE)
    assert {(private, path) for private, path, _ in rows} == find_private_names()
    assert all((ROOT / test).is_file() for *_, test in rows)


def test_a_setting_is_one_row_with_its_default_and_a_bar_in_its_values_is_escaped():
    lines = [line for line in write_settings().splitlines() if line.startswith("| `")]
    listed = [setting for setting in LISTED if "allowed" in setting]
    assert len(lines) == len(listed)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)
    assert any(line.startswith("| `trainer.epochs` | `16` |") for line in lines)


def test_the_help_of_a_command_is_shown_with_its_options():
    page = "\n".join(write_commands())
    assert "### edgeline kubeflow submit" in page and "    --wait" in page
