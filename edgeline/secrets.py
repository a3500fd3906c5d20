"""Secrets in texts: what is recorded refuses them, and what is printed shows `***` in their place.

Settings, options of commands, arguments of programs, errors and logs all ask here.
"""

import re
from collections.abc import Sequence

_SECRET = re.compile(
    r"SECRETS?|TOKENS?|\w*PASS(WORDS?|WD|PHRASE)|PASS|PWD|CREDENTIALS?|(API)?KEYS?|COOKIES?|AUTH(ORIZATION)?"
    r"|SIG(NATURE)?|BEARER"
)
# A name with one of these as its last word is the place of a secret, or public.
_PLACE = re.compile("FILE|PATH|DIR|SOCK|URL|URI|ENDPOINT|HOST|PORT")
_PUBLIC = {"KMS", "PUBLIC", "VIEW"}  # MLflow's pages name a view by its viewStateShareKey
_PATHS = ("GOOGLE_APPLICATION_CREDENTIALS",)

# The user of a database is no secret: the password comes from elsewhere, and is asked for there.
_USER = re.compile(
    # A password may have any character, and an address has a port there.
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)?://(?P<user>[^/?#\s:]*(?::(?!\d+(?:[/?#\s]|$))\S*)?)@"
)
_DATABASE = re.compile(r"(postgres|mysql|mariadb|mssql|oracle|redshift|snowflake)", re.IGNORECASE)
# How errors and help write the form of a URL.
_EXAMPLE = "USER:PASSWORD"
_PARAMETER = re.compile(r"(?P<before>[?&;#](?P<name>[\w.-]+)=)(?P<value>[^&;#\s'\"]+)")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(.*?-----END [A-Z0-9 ]*-----|.*)", re.DOTALL)
# The forms of tokens whose givers made them to be recognized.
_TOKEN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|hf_[A-Za-z0-9]{30,}|AIza[\w-]{35}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*)"
)
_HOOK = re.compile(r"://hooks\.[\w.-]+/\S{20,}")
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64,}")
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/_-]{42,}={0,2}")
# No word of a path is so long and has letters of both cases and digits.
_RANDOM = re.compile(r"(?=[^/]*[a-z])(?=[^/]*[A-Z])(?=[^/]*[0-9])[A-Za-z0-9+_-]{20,}")


def names_secret(name: str) -> bool:
    """Returns True if the name of a variable or an option says that its value is a secret."""
    words = re.split(r"[^A-Z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper())
    if _PLACE.fullmatch(words[-1]) or name.upper() in _PATHS or _PUBLIC & {*words}:
        return False
    return any(map(_SECRET.fullmatch, words))


def is_key(text: str) -> bool:
    """Tells whether a text is a key itself rather than its path: PEM, or its bytes in hex or base64."""
    compact = "".join(text.split())
    if "-----BEGIN" in text or _HEX_KEY.fullmatch(compact):
        return True
    return bool(_BASE64_KEY.fullmatch(compact) and _RANDOM.search(compact))


def find_secret(text: str) -> str:
    """Returns in words which secret a text contains, such as `a private key`; empty for none."""
    if any(map(_is_login, _USER.finditer(text))):
        return "a user or password before an @"
    if any(names_secret(match["name"]) for match in _PARAMETER.finditer(text)):
        return "a password or key among the parameters of a URL"
    if _PRIVATE_KEY.search(text):
        return "a private key"
    return "an access token" if _TOKEN.search(text) else ""


def _is_login(match: re.Match[str]) -> bool:
    """Tells whether the user in a URL is more than the name of a user of a database."""
    is_database = bool(_DATABASE.match(match["scheme"] or ""))
    return match["user"] != _EXAMPLE and (":" in match["user"] or not is_database)


def find_secret_argument(words: Sequence[str]) -> bool:
    """Tells whether a program gets a secret by its arguments, which all users of a machine can read."""
    if any(map(find_secret, words)):
        return True
    is_value = False
    for word in filter(None, re.split(r"[\s'\"]+", " ".join(words))):
        name, sign, _ = re.match(r"(?s)-*([\w.-]*)\s*([=:]?)(.*)", word).groups()  # type: ignore[union-attr]
        # An address such as https://... is no header.
        is_named = bool(sign) and names_secret(name) and "://" not in word.partition(sign)[0] + sign
        is_option = word.startswith("-") and names_secret(name)
        if is_option or is_named or is_key(word) or _HOOK.search(word):
            return True
        if is_value and ":" in word:
            return True
        is_value = word in ("-u", "--user")
    return False


def redact(text: str) -> str:
    """Returns a text with `***` in place of each secret in it that `find_secret` finds."""
    if "://" in text:
        text = _USER.sub(_redact_login, text)
    if "=" in text:
        text = _PARAMETER.sub(_redact_parameter, text)
    return _TOKEN.sub("***", _PRIVATE_KEY.sub("***", text))


def _redact_login(match: re.Match[str]) -> str:
    if not _is_login(match):
        return match[0]
    name, colon, _ = match["user"].partition(":")
    return f"{match['scheme'] or ''}://{f'{name}:' if colon else ''}***@"


def _redact_parameter(match: re.Match[str]) -> str:
    return f"{match['before']}***" if names_secret(match["name"]) else match[0]
