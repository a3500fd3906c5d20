"""Commands in a text for a page or a mail are spelled as in the docs, and nothing else is changed."""

import pytest

from edgeline.project import spell_commands


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("edgeline renew --store s", ".venv/bin/edgeline renew --store s"),
        ("Look: edgeline report latest", "Look: .venv/bin/edgeline report latest"),
        ("See `edgeline --help`, and run.", "See `.venv/bin/edgeline --help`, and run."),
        ("`.venv/bin/edgeline gc`", "`.venv/bin/edgeline gc`"),
        ("edgeline gc --store 'an edgeline data'", ".venv/bin/edgeline gc --store 'an edgeline data'"),
        ("/our edgeline data/push is full.", "/our edgeline data/push is full."),
    ],
)
def test_commands_are_spelled_as_in_the_docs_and_paths_stay(text, spelled):
    assert spell_commands(text) == spelled
