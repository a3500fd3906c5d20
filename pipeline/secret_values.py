"""Secrets: what must not stand in settings, since runs record them and compiled pipelines show them."""

import re

_SECRET = re.compile(
    "SECRETS?|TOKENS?|PASS(WORDS?|WD|PHRASE)?|PWD|CREDENTIALS?|(API)?KEYS?|COOKIES?|AUTH(ORIZATION)?"
)
# As the last word: the place of a secret, or what everybody may know.
_PLACE = re.compile("FILE|PATH|DIR|SOCK|URL|URI|ENDPOINT|HOST|PORT")
_PUBLIC = {"KMS", "PUBLIC"}
_PATHS = ("GOOGLE_APPLICATION_CREDENTIALS",)
_USER = re.compile(r"://[^/\s]*@")
_PASSWORD = re.compile(r"://[^/\s@]*:.*@|[?&]\w*(password|token|secret)\w*=", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Whether the name of a variable or an option says that its value is a secret."""
    words = re.split(r"[^A-Z0-9]+", name.upper())
    if _PLACE.fullmatch(words[-1]) or name.upper() in _PATHS or _PUBLIC & {*words}:
        return False
    return any(map(_SECRET.fullmatch, words))


def names_user(text: str) -> bool:
    """Whether a URL in the text has a user in it, and so mostly a password: `https://me:secret@host`."""
    return _USER.search(text) is not None


def refuse_user(url: str) -> str:
    """A URL that has no user in it.

    Raises:
        ValueError: It has one; the message does not show it.
    """
    if names_user(url):
        raise ValueError("it has a user or password before an @, which every run would record")
    return url


def refuse_password(url: str) -> str:
    """As `refuse_user`, but of a URL that may have a user, and no password."""
    if _PASSWORD.search(url):
        raise ValueError(
            "it has a password, which every run would record. Leave it to PGPASSWORD or ~/.pgpass, that of a"
            " server to MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN"
        )
    return url
