"""The settings of alerts: their channels, and the thresholds of trouble. Secrets are only named here."""

import re
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from edgeline.secrets import find_secret_argument
from edgeline.settings_group import Fraction, Group

Channel = Literal["webhook", "email", "command"]
_PLACE = re.compile(r"\$[A-Z_][A-Z0-9_]*|[/~].+")


def _check_place(value: object) -> object:
    if not isinstance(value, str) or not _PLACE.fullmatch(value):
        # The message does not show the value, which may be the secret itself.
        raise ValueError(
            "the value must be the place of the secret: an environment variable, $NAME, or a file, /PATH"
        )
    return value


SecretPlace = Annotated[str, BeforeValidator(_check_place)]


class EmailSettings(Group):
    """A mail server with STARTTLS; without `host`, no mail is sent."""

    host: str | None = None
    """Name of the mail server; null sends no mail."""
    port: int = Field(587, ge=1, le=65_535)
    """Port of the mail server."""
    to: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Addresses of the recipients."""
    sender: str | None = None
    """Address of the sender; null for the first of `to`."""
    user: SecretPlace | None = None
    """Place of the user's name: $NAME or a file, /PATH. Null, like `password`, for a server without login."""
    password: SecretPlace | None = None
    """Place of the password, as of `user`."""

    @model_validator(mode="after")
    def _check_pairs(self) -> "EmailSettings":
        if bool(self.host) != bool(self.to) or (self.user is None) != (self.password is None):
            raise ValueError("a mail needs both host and to, and a login needs both user and password")
        return self


class AlertSettings(Group):
    """The channels and thresholds of alerts; without webhook, e-mail or command, none are sent."""

    webhook: SecretPlace | None = None
    """Place of the webhook's URL, which is a secret: an environment variable ($NAME) or a file (/PATH). The
    webhook has to accept the JSON of Slack's incoming webhooks. Null sends nothing."""
    email: EmailSettings = EmailSettings()
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """A program and its arguments; it gets the message as JSON on its standard input."""
    stale_days: int = Field(21, ge=1, le=3650)
    """The promised age of production in days: when it is older, an alert is sent, and `edgeline status` says
    so."""
    expiry_days: int = Field(14, ge=0, le=3650)
    """Days before the release in production expires at which an alert is sent."""
    max_drop: Fraction = 0.01
    """An alert is sent if a pushed model is worse by more than this than production on the same examples, in
    accuracy overall or in recall of a class."""
    max_quarantine_rise: Fraction = 0.02
    """An alert is sent if the newest span's quarantined share is more than this above the median of the spans
    before it."""
    min_free_gb: float = Field(5.0, ge=0, le=1_000_000)
    """An alert is sent below this free space in GB (10^9 bytes) on the disks of workspace and releases."""
    slow_factor: float = Field(2.0, gt=1, le=1000)
    """An alert is sent if a step takes more than this many times its median in earlier runs."""

    @field_validator("command")
    @classmethod
    def _refuse_secrets(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if find_secret_argument(command):
            raise ValueError(
                "the command has a secret among its arguments; pass it by the environment or a file"
            )
        return command

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Returns the channels that are set."""
        pairs = zip(get_args(Channel), (self.webhook, self.email.host, self.command), strict=True)
        return tuple(channel for channel, setting in pairs if setting)
