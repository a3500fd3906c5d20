"""Alerts as settings: what is a place of a secret, what is no channel, and that no mistake shows a secret."""

import pytest

from edgeline.errors import UsageError
from pipeline.settings import load

SECRET = "https://hooks.example.com/services/s3cr3t"


def alerts(*overrides):
    return load({}, overrides=[f"alerts.{override}" for override in overrides]).alerts


def test_each_channel_is_set_by_itself():
    email = "email={host: mail.example.com, to: [a@example.com], user: /u, password: $PASSWORD}"
    every = alerts("webhook=$HOOK", email, "command=[notify, --urgent]")
    assert every.channels == ("webhook", "email", "command")
    assert alerts("webhook=/run/secrets/hook").channels == ("webhook",)
    assert alerts().channels == ()


@pytest.mark.parametrize(
    "overrides",
    [
        (f"webhook={SECRET}", f"email={SECRET}", f"command=[curl, --token={SECRET}]"),
        (
            f"webhook={{url: '{SECRET}'}}",
            f"email={{host: h, to: [a@b], user: $U, password: '{SECRET}'}}",
            "command=[curl, 'https://me:s3cr3t@example.com']",
        ),
        (f"webhook=[{SECRET}]", f"email={{host: h, to: [a@b], passwort: '{SECRET}'}}"),
    ],
)
def test_a_secret_where_its_place_should_be_is_refused_and_not_shown(overrides):
    with pytest.raises(UsageError) as refused:
        alerts(*overrides)
    assert "s3cr3t" not in str(refused.value)
    for override in overrides:
        assert f"alerts.{override.partition('=')[0]}" in str(refused.value)


def test_what_could_not_be_sent_is_told_before_a_run():
    with pytest.raises(UsageError) as refused:
        alerts("email={host: mail.example.com}", "stale_days=0", "stale_day=3")
    for reason in ("needs both host and to", "not a whole number from 1", "Did you mean alerts.stale_days?"):
        assert reason in str(refused.value)
    with pytest.raises(UsageError, match="a login needs both user and password"):
        alerts("email={host: h, to: [a@b], user: $U}")


def test_whom_a_run_tells_is_no_reason_to_train_again():
    one, other = load({}, overrides=["alerts.webhook=$HOOK"]), load({})
    assert one.recorded() == other.recorded()
