"""Bad usage, which is an error in three parts, and options that are not taken for values."""

import json

import pytest

from data.spans.exclusions import find_excluded_spans
from runners.cli.main import main
from tests.runners.cli.process import add_week


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["stauts"], "Did you mean status?"),
        (["run", "--dta", "x"], "Did you mean --data?"),
        (["data", "genrate"], "Did you mean generate?"),
        (["train"], "Did you mean run?"),
        (["help", "stauts"], "Did you mean status?"),
        (["show", "yesterday"], "Did you mean latest?"),
        (["step", "trainer"], "Did you mean Trainer?"),
        (["rollback"], "--reason"),
        (["rollback", "--reason", "r", "--to", "three"], "'three' is not a valid integer."),
        (["status", "extra"], "unexpected extra argument (extra)."),
        (["run", "--if-changed=yes"], "edgeline run: Option '--if-changed' does not take a value."),
        (["run", "--set"], "edgeline run: Option '--set' requires an argument."),
        (["kubeflow", "compile"], "Missing option '-o' / '--output'."),
        (["kubeflow", "compile", "-o", "/tmp"], "File '/tmp' is a directory."),
        (["kubeflow", "watch", "r", "--timeout", "0"], "'0' is not a number of seconds above 0."),
        (["kubeflow", "watch", "r", "--timeout", "soon"], "'soon' is not a number of seconds above 0."),
        (["kubeflow", "schedule"], "Exactly one of --cron --list"),
        (["kubeflow", "schedule", "--list", "--delete"], "Exactly one of --cron --list"),
        (["schedule", "--systemd", "--cron"], "Exactly one of the options --systemd --cron"),
        (["run", "--workload", "shelff"], "Did you mean shelf?"),
        # Both settings count where the option comes twice.
        (["run", "--set", "trainer.epoch=3", "--set=data.windw=2"], "Did you mean trainer.epochs?"),
        (["runs", "--outcome", "hold"], "Did you mean held?"),
        (["runs", "--since", "yesterday"], "Did you mean 20"),
        (["run", "--profile", "publishd"], "Did you mean published?"),
        (["show", "20261005-091234"], "Did you mean 20261005-091233?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_ends_with_2_and_a_hint(workspace, monkeypatch, capsys, arguments, hint):
    monkeypatch.chdir(workspace.parent)

    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert hint in err and len(err.splitlines()) in (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        ([], 2, ["run", "status", "kubeflow"]),
        (["help"], 0, ["run", "status", "kubeflow"]),
        (["data"], 2, ["generate", "import", "relabel"]),
        (["help", "data"], 0, ["generate", "import", "relabel"]),
        (["help", "data", "import"], 0, ["--label", "--time"]),
        (["kubeflow"], 2, ["submit", "retry"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_without_an_action_and_with_help_there_is_a_list(capsys, arguments, code, names):
    assert main(arguments) == code

    out, err = capsys.readouterr()
    listed, other = (err, out) if code else (out, err)
    assert other == ""
    assert listed.startswith("Usage: edgeline")
    assert all(f"\n  {name} " in listed for name in names)


def test_bad_usage_with_json_is_json_too_in_the_same_three_parts(capsys):
    assert main(["run", "--json", "--set", "trainer.epoch=3"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2
    assert main(["status", "--json", "--worksapce", "x"]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "outcome": "failed",
        "exit_code": 2,
        "error": {
            "found": "edgeline status: No such option '--worksapce'.",
            "why": "Did you mean --workspace?",
            "do": "See `edgeline status --help`.",
        },
    }


@pytest.mark.parametrize("reason", ["--undo", "-x"])
def test_an_option_is_never_taken_for_the_value_of_the_one_before(tmp_path, capsys, reason):
    add_week(tmp_path)

    assert main(["data", "exclude", "span-00001", "--data", str(tmp_path), "--reason", reason]) == 2

    assert "Option '--reason' requires an argument." in capsys.readouterr().err
    assert not find_excluded_spans(tmp_path)


@pytest.mark.parametrize("given", [["--reason=-x"], ["--reason", "-5 °C"], ["--reason", "-"]])
def test_a_value_may_begin_with_a_dash(tmp_path, given):
    add_week(tmp_path)

    assert main(["data", "exclude", "span-00001", "--data", str(tmp_path), *given]) == 0

    assert find_excluded_spans(tmp_path)["span-00001"].reason == given[-1].removeprefix("--reason=")
