"""Attacks on secrets: planted in each setting, option and variable, they are recorded and shown nowhere."""

import base64
import json
import logging
import subprocess
import sys

import pytest

from edgeline.errors import EdgelineError, UsageError
from edgeline.failures import describe_error
from edgeline.secrets import find_secret, find_secret_argument, is_key, redact
from edgeline.settings_layers import walk
from edgeline.visible import GuardedRecord
from pipeline.settings import Settings, load_settings
from runners.cli.main import main
from runners.local.listeners import make_listeners
from runners.local.run import run
from runners.shared.run_options import NamedSettings, RunOptions
from tests.runners.cli.process import add_week

PLANTED = "hunter2hunter2"
KEY = bytes(range(7, 256, 8))
PEM = f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----"
AWS_KEY = "AKIAIOSFODNN7EXAMPLE"
# Texts with a secret that says what it is.
SECRETS = (
    f"https://me:{PLANTED}@host.example/x",
    f"s3://{PLANTED}@bucket/x",
    f"postgresql+psycopg://me:{PLANTED}/@x@host/db",
    f"https://host.example/?access_key={PLANTED}",
    f"https://host.example/?a=b&X-Amz-Signature={PLANTED}",
    f"postgresql://host/db?sslmode=require&password={PLANTED}",
    PEM,
    f"see {AWS_KEY}",
    f"xoxb-{PLANTED}",
)


def is_shown(text):
    return PLANTED in text or AWS_KEY in text or KEY.hex() in text


def list_texts():
    """Returns each setting that takes a text, and how a text is nested in it."""
    schema = Settings.model_json_schema()
    for name, node in walk(schema, schema):
        kinds = [node, *node.get("anyOf", ())]
        if any(kind.get("type") == "string" and "const" not in kind for kind in kinds):
            yield name


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_no_setting_takes_a_text_with_a_secret_or_shows_it(secret):
    names = list(list_texts())
    assert len(names) > 40
    for name in names:
        value = secret
        for part in reversed(name.replace("*", "X").split(".")):
            value = {part.removesuffix("[]"): [value] if part.endswith("[]") else value}
        with pytest.raises(UsageError) as caught:
            load_settings({}, parameters=value)
        assert not is_shown(str(caught.value)), name


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
@pytest.mark.parametrize("name", ["registry.uri", "trainer.epochs", "nothing", "[x"])
def test_a_setting_of_the_command_line_is_refused_without_its_value(capsys, name, secret):
    for text in (json.dumps(secret), f"[{json.dumps(secret)}", secret):
        assert main(["run", "--set", f"{name}={text}"]) == 2
        output = "".join(capsys.readouterr())
        assert not is_shown(output), output


@pytest.mark.parametrize(
    "key",
    [
        KEY.hex(),
        KEY.hex().upper(),
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + KEY).decode(),
        PEM,
    ],
)
def test_a_key_in_place_of_its_file_is_refused_and_not_shown(key):
    with pytest.raises(UsageError, match=r"the value (is the key itself|has a private key)") as caught:
        load_settings({}, parameters={"push": {"key": key}})
    assert key[:20] not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "~/keys/release.pem",
        "/mnt/secrets/edgeline/signing/production/keyfile",
        "k",
        "/home/Me2/A" + "/b" * 40,
    ],
)
def test_a_path_is_no_key(path):
    assert not is_key(path)


@pytest.mark.parametrize(
    "command",
    [
        ["curl", "-H", f"Authorization: Bearer {PLANTED}", "https://host.example"],
        ["sh", "-c", f"curl -H 'X-Api-Key: {PLANTED}' https://host.example"],
        ["notify", "--token", PLANTED],
        ["notify", f"--api-key={PLANTED}"],
        ["env", f"SLACK_TOKEN={PLANTED}", "notify"],
        ["curl", "-u", f"me:{PLANTED}", "https://host.example"],
        ["curl", f"https://hooks.slack.com/services/T00000000/B00000000/{PLANTED}"],
        ["curl", f"https://host.example/?token={PLANTED}"],
        ["notify", f"xoxb-{PLANTED}"],
        ["notify", KEY.hex()],
    ],
)
def test_a_command_of_alerts_with_a_secret_among_its_arguments_is_refused(command):
    with pytest.raises(UsageError, match=r"alerts\.command") as caught:
        load_settings({}, parameters={"alerts": {"command": command}})
    assert not is_shown(str(caught.value))


@pytest.mark.parametrize(
    "command",
    [
        ["/opt/notify", "--urgent", "--key-file", "/run/secrets/key"],
        ["mail", "-s", "Subject: news", "me@example.com"],
        ["sh", "-c", "curl --data @- https://host.example:8080/hook"],
        ["env", "PATH=/opt/bin", "notify"],
    ],
)
def test_a_command_of_alerts_without_one_is_taken(command):
    assert not find_secret_argument(command)
    assert list(load_settings({}, parameters={"alerts": {"command": command}}).alerts.command) == command


def test_a_parameter_of_an_own_step_that_is_a_secret_is_refused():
    step = {"component": "a.B", "parameters": {"api_token": PLANTED}}
    with pytest.raises(UsageError, match="api_token is a secret") as caught:
        load_settings({}, parameters={"steps": {"Clean": step}})
    assert not is_shown(str(caught.value))


@pytest.mark.parametrize("command", [["status"], ["verify"], ["alert"], ["renew"], ["promote", "1"]])
@pytest.mark.parametrize("joined", [False, True])
def test_no_command_takes_a_store_with_a_password_or_prints_it(
    tmp_path, monkeypatch, capsys, command, joined
):
    monkeypatch.chdir(tmp_path)
    for secret in SECRETS[:4]:
        place = [f"--store={secret}"] if joined else ["--store", secret]
        assert main([*command, *place]) == 2
        output = "".join(capsys.readouterr())
        assert "--store has " in output and not is_shown(output)


@pytest.mark.parametrize(
    "text",
    [
        "http://minio:9000/a@b",
        "postgresql+psycopg://me@host/db",
        "me@host.example",
        "https://h/?tokens=",
        "a: b",
    ],
)
def test_addresses_without_a_secret_are_taken_and_shown(text):
    assert find_secret(text) == "" and redact(text) == text


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_an_error_of_any_origin_shows_no_secret_on_the_console_in_records_and_in_logs(secret):
    error = EdgelineError(f"{secret} is away.", f"It is {secret}", f"Look at {secret}")
    for shown in (str(error), repr(error.problem), repr(EdgelineError.from_problem(error.problem))):
        assert not is_shown(shown)
    assert not is_shown(repr(describe_error(RuntimeError(f"cannot connect to {secret}"), "Trainer")))
    try:
        raise ValueError(secret)
    except ValueError as trouble:
        record = GuardedRecord(
            "edgeline",
            logging.ERROR,
            "a.py",
            1,
            "lost %s",
            (secret,),
            (ValueError, trouble, trouble.__traceback__),
        )
    assert not is_shown(logging.Formatter().format(record))


# A worker that fails as a proxy, a store or a registry lets it fail.
WORKER = """
import logging, os, sys
from pathlib import Path
from edgeline.failures import describe_error
from edgeline.records.events import EventWriter, Failed, Warned
from edgeline.visible import guard_logs
from edgeline.workspace.runs import RunFolder

guard_logs()
logging.basicConfig(level=logging.INFO)
tell = EventWriter(RunFolder(Path(sys.argv[1])).events)
tell(Warned("The proxy is slow."))
try:
    raise RuntimeError(f"cannot connect to proxy {os.environ['HTTPS_PROXY']}")
except RuntimeError as error:
    logging.exception("failed with %s", os.environ["AWS_ENDPOINT_URL"])
    tell(Failed(describe_error(error, "Trainer")))
sys.exit(1)
"""


def start(arguments, log, environment, lock):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


@pytest.mark.e2e
def test_nothing_that_a_run_leaves_or_prints_has_a_secret_of_its_environment(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    add_week(tmp_path / "photos")
    program = tmp_path / "notify"
    program.write_text(f"#!{sys.executable}\nimport os, sys\nsys.exit(os.environ['NOTIFY_TOKEN'] == '')\n")
    program.chmod(0o755)
    monkeypatch.setenv("NOTIFY_TOKEN", PLANTED)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{PLANTED}@127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AWS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PLANTED}@127.0.0.1:9")
    alerts = (f"alerts.command=[{program}]", "alerts.min_free_gb=0")
    workspace, outputs = tmp_path / "workspace", list[str]()
    assert (
        run(
            RunOptions(NamedSettings("shelf", None, alerts), tmp_path / "photos", workspace),
            make_listeners(),
            start,
        )
        == 1
    )
    outputs.append("".join(capfd.readouterr()))
    assert "cannot connect to proxy http://me:***@127.0.0.1:9" in outputs[0]
    away = ["--data", "photos", "--set", "push.destination=s3://bucket/push"]
    for command in (["run", *away], ["status"], ["show", "latest"], ["report"], ["show", "latest", "--json"]):
        main(command)
        outputs.append("".join(capfd.readouterr()))
    assert "at http://me:***@127.0.0.1:9" in outputs[1]
    files = [path for path in workspace.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"run.json", "facts.json", "report.html", "run.log", "mlflow.db", "alerts-shelf.json"} <= names
    for path in files:
        content = path.read_bytes()
        assert PLANTED.encode() not in content and AWS_KEY.encode() not in content, path
    assert not any(map(is_shown, outputs))
