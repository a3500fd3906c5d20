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


@pytest.fixture
def opened(site, browser):
    """Opens a page from the disk, as a reader of `site/index.html` does."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    yield lambda name: page.goto(f"{site.as_uri()}/{name}") and page
    page.close()
    assert errors == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [("--if-changed", "Commands: edgeline run"), ("golden vectors", "What is pushed: Golden vectors")],
)
def test_the_search_finds_on_pages_that_are_opened_from_the_disk(opened, query, expected):
    page = opened("start/photos.html")
    page.fill("#rtd-search-form input", query)
    page.press("#rtd-search-form input", "Enter")
    page.get_by_role("link", name=expected).click()
    assert query in page.inner_text("[role=main]").lower()


def test_the_search_says_so_where_it_finds_nothing(opened):
    page = opened("search.html?q=no-such-word")
    page.wait_for_function(
        "document.querySelector('#mkdocs-search-results').textContent === 'No results found'"
    )


def test_the_menu_shows_the_name_and_the_search_on_each_page(opened):
    for name in ("index.html", "troubleshooting.html", "building.html"):
        box = opened(name).locator(".wy-side-nav-search").bounding_box()
        assert box["y"] == 0


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


def find_figures():
    """Yields the tables of the page of measurements by row, each with the commands that print its figures."""
    page = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    for section in page.split("\n## ")[1:]:
        commands = []
        for block in section.split("\n\n"):
            if block.startswith("    "):
                commands += [line.strip() for line in block.splitlines()]
            if block.startswith("|"):
                for row in block.splitlines()[2:]:
                    yield row, re.findall(r"`((?:\.venv/bin/|make |du )[^`]*)`", row) or commands


def test_each_row_of_the_measurements_names_a_command_that_is_kept():
    figures = list(find_figures())
    commands = {command for _, named in figures for command in named}
    assert len(figures) > 30 and not [row for row, named in figures if not named]
    for command in commands:
        for module in re.findall(r"python -m ((?:benchmarks|tests)\.\S+)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), command
        for path, test in re.findall(r"pytest (\S+) -k (\w+)", command):
            assert re.search(rf"^def test_\w*{test}", (ROOT / path).read_text(encoding="utf-8"), re.M), (
                command
            )
    measured = " ".join(commands)
    assert [path.stem for path in ROOT.glob("benchmarks/*.py") if f".{path.stem} " not in measured] == []


# The methods in which an object of ours gets its own names: what is set elsewhere may be a library's.
BEGINNINGS = {"__init__", "__new__", "__post_init__", "__enter__", "setup", "start_bundle", "_begin_files"}


def list_own_names(tree):
    """Yields the names that a file of ours gives to its functions, values and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if isinstance(node, ast.FunctionDef):
            is_setter = any(ast.unparse(name).endswith(".setter") for name in node.decorator_list)
            if node.name in BEGINNINGS or is_setter:
                yield from (
                    inner.attr
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
                )


def find_private_names():
    """Returns the private names of libraries that the code uses, each with its file."""
    rooms = ("components", "data", "drill", "edgeline", "pipeline", "runners", "trainer_module")
    trees = {
        path: ast.parse(path.read_text("utf-8")) for room in rooms for path in (ROOT / room).rglob("*.py")
    }
    ours = {"_exit", "_replace", "_asdict"}.union(*map(list_own_names, trees.values()))
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
