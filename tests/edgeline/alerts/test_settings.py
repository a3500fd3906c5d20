"""The settings of alerts: which are valid, and that no error shows a secret."""

import pytest

from edgeline.errors import UsageError
from pipeline.settings import load_settings

SECRET = "https://hooks.example.com/services/s3cr3t"


def load_alerts(*overrides):
    return load_settings({}, overrides=[f"alerts.{override}" for override in overrides]).alerts


def test_each_channel_is_set_by_itself():
    email = "email={host: mail.example.com, to: [a@example.com], user: /u, password: $PASSWORD}"
    settings = load_alerts("webhook=$HOOK", email, "command=[notify, --urgent]")
    assert settings.channels == ("webhook", "email", "command")
    assert load_alerts("webhook=/run/secrets/hook").channels == ("webhook",)
    assert load_alerts().channels == ()


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
    with pytest.raises(UsageError) as caught:
        load_alerts(*overrides)
    assert "s3cr3t" not in str(caught.value)
    for override in overrides:
        assert f"alerts.{override.partition('=')[0]}" in str(caught.value)


def test_settings_that_could_send_nothing_are_refused_before_a_run():
    with pytest.raises(UsageError) as caught:
        load_alerts("email={host: mail.example.com}", "stale_days=0", "stale_day=3")
    for reason in ("needs both host and to", "not a whole number from 1", "Did you mean alerts.stale_days?"):
        assert reason in str(caught.value)
    with pytest.raises(UsageError, match="a login needs both user and password"):
        load_alerts("email={host: h, to: [a@b], user: $U}")


def test_a_change_of_alerts_is_no_reason_to_train_again():
    one, other = load_settings({}, overrides=["alerts.webhook=$HOOK"]), load_settings({})
    assert one.recorded() == other.recorded()
