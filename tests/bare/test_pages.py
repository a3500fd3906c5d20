"""The commands of README and docs, typed one after another by an ordinary user of a bare Debian."""

import os
import re
import resource
import subprocess
from pathlib import Path

import pytest

from tests.edgeline.cli.test_typed import PAGES, ROOT, SHELL, read_page

# It runs a command in a fresh clone, as a user of a Debian that has Python, make, git and a compiler.
FRESH = ROOT.parent / "shared" / "lab" / "fresh" / "fresh.sh"
pytestmark = [
    pytest.mark.bare,
    pytest.mark.skipif(not FRESH.is_file() or os.getuid() != 0, reason=f"needs root and {FRESH}"),
    pytest.mark.timeout(6 * 3600),
]
# These cannot be typed there, each for its reason.
UNTYPED = {
    r"\[SOURCE|WORKSPACE": "a line of usage",
    r"kubeflow|cluster\.yaml|make image|report latest --store": "a cluster",
    r"--adb|answers\.zip": "a phone",
    r"--install|--remove": "systemd",
    r"make (?:phone|wheel)|edgeline phone": "Node",
    r"make (?:cuda|scale)|require_gpu|bench_gpu|--profile published": "gigabytes, for a GPU or Spark",
    r"make lock": "the lock files would change",
    r"make (?:test|drill)|-m drill|benchmarks\.|shelf_data|grocery|movie_reviews": "hours",
    r"serving/client": "a server of TensorFlow",
}
# A reader has values of their own for these.
FILLED_IN = {
    r"s3://(?:bucket|BUCKET)/push": "workspace/push",
    r"\bDIR\b": "workspace/sample",
    r"(promote|reproduce|bench) 3": r"\1 2",
    r"(rollout|promote) 5": r"\1 3",
    r"--set data\.until=span-00012": "--set data.until=span-00008 --set push.key=next/edgeline.key.pem",
    r"span-00012": "span-00001",
    r"max_trials=12": "max_trials=2",
    r"tuner_results/10": "tuner_results/*",
    r'week\."$': 'week." --workload reviews',
    r"predict -$": "predict --workload customers -",
    r"--explain price": "--explain mean_area",
    r"trust-unsigned": "trust-unsigned --yes",
    r"predict readings.csv --store": "predict readings.csv --workload readings --store",
}
# A reader has done these before.
BEFORE = {
    # Without another week, a run has nothing to push.
    r"push\.key=~": ".venv/bin/edgeline data generate --data workspace/sample --weeks 1",
    "edgeline rollback": ".venv/bin/edgeline promote 2 --reason R",
    "--rename town": "sed -i '1s/town/city/; 2,$s/,1/,2/' customers.csv",
    "--drop size": "cut -d, -f2- customers.csv | sed '2,$s/,2/,1/' > without.csv"
    " && mv without.csv customers.csv",
    "--add wind": r"sed -i 's/\r$//; 1s/$/,wind/; 2,50s/$/,4.25/; 51,$s/$/,3.5/' customers.csv",
    "label_issues": "cp $(ls workspace/artifacts/ModelValidator/*/*/label_issues.csv | tail -n 1) . "
    "&& sed -i '2,$ s/$/ok/' label_issues.csv",
    "copied_bundle": "cp -r $(ls -d workspace/push/edge/shelf/[0-9]* | sort -V | tail -n 1) copied_bundle "
    "&& cp ~/.config/edgeline/edgeline.pub.pem .",
}
SERVES = re.compile(r"edgeline (?:ui|tensorboard)|_main ")
# A command on releases asks which model is meant if there are several, so these come last.
OWN_DATA = re.compile("my_|customers|reviews|readings|plant|new.csv|It broke|gestures|ARGS=|make words")


def list_commands():
    """Returns the commands, each with its page, in the order of a reader."""
    first = ("README.md", "docs/start/sample.md", "docs/index.md")

    def place(page):
        return page not in first, "docs/start" not in page, "photos" in page, page

    commands = {}
    for page in sorted(PAGES, key=place):
        for line in SHELL.findall(read_page(page)):
            command = line.partition(" #")[0].strip()
            # Each page has its own `my_data`, and each of these a model of another kind.
            commands.setdefault((command, page if "my_data" in command else ""), (page, command))
    return sorted(commands.values(), key=lambda each: bool(OWN_DATA.search(each[1])))


def type_in_shell(command, **environment):
    """Types a command in the clone; what serves is stopped after two minutes."""
    stop = ("timeout", "120") if SERVES.search(command) else ()
    return subprocess.run(
        [FRESH, "trixie", ROOT, *stop, "bash", "-c", command],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def read_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def is_wrong(command, ended):
    expected = {0, 3, 124} if SERVES.search(command) else {0, 3}
    return ended.returncode not in expected or re.search(r"Traceback|not found", ended.stdout)


def test_each_command_of_readme_and_docs_works_as_it_is_typed(capsys):
    commands = list_commands()
    for pattern in (*UNTYPED, *FILLED_IN, *BEFORE):
        assert any(re.search(pattern, command) for _, command in commands), pattern
    type_in_shell("make setup && .venv/bin/python -m tests.bare.reader").check_returncode()

    wrong, data = [], "my_data"
    for page, command in commands:
        if any(re.search(pattern, command) for pattern in UNTYPED):
            continue
        if "docs/start" in page:
            data = f"{Path(page).stem}_data"
        command = command.replace("my_data", data)
        for pattern, value in FILLED_IN.items():
            command = re.sub(pattern, value, command)
        for pattern, before in BEFORE.items():
            if re.search(pattern, command):
                type_in_shell(before, KEEP="1")

        start = read_cpu_seconds()
        ended = type_in_shell(command, KEEP="1")
        seconds = read_cpu_seconds() - start
        line = f"{page}: {command}: exit {ended.returncode} after {seconds:.0f} s of CPU time"
        if is_wrong(command, ended):
            line += f"\n{ended.stdout[-3000:]}"
            wrong.append(line)
        with capsys.disabled():
            print(line, flush=True)
    assert not wrong, "\n\n".join(wrong)
