"""`edgeline repair`: completes what a killed writer left; a person vouches for what nobody has signed."""

import sys

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.stdout import say
from edgeline.errors import UsageError
from edgeline.release import store, upkeep
from edgeline.release.layout import MANIFEST, MOST_DOCUMENT_BYTES, SIGNATURE
from edgeline.release.signing import Keys, is_signed, list_public_keys
from edgeline.release.trust import Claim
from edgeline.store.locations import read_bytes
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.owner import load_own_keys
from edgeline.workspace.place import Place


@click.command(cls=Command)
@options.releases_of
@options.key
@click.option(
    "--trust-unsigned", is_flag=True, help="show what nobody has signed, ask, and sign it; needs --reason"
)
@click.option("--yes", is_flag=True, help="sign it without asking")
@click.option("--reason", default="", metavar="R", help="the reason, for the audit log")
def repair(place: Place, key: str | None, trust_unsigned: bool, yes: bool, reason: str) -> int:
    """Completes what a killed writer left; signs what nobody has signed, once you have looked."""
    last, root, model = resolve_place(place)
    if not trust_unsigned:
        store.repair(root)
        say(f"{root}: files, pins and log are in line with what is in production.")
        return 0

    keys = load_own_keys(last, root, place.workspace, key)
    claim = upkeep.find_claim(root, model, **keys)
    if claim is None:
        say(f"{root}: everything of {model} is signed already.")
        return 0
    _show(claim, keys)
    if not yes and not _ask():
        say("Nothing was signed.")
        return 1
    pointer = upkeep.trust(root, model, claim=claim, reason=reason, **keys)
    say(f"Version {pointer.production.version} of {model} is in production, signed until {pointer.expires}.")
    return 0


def _show(claim: Claim, keys: Keys) -> None:
    """Prints what would be signed."""
    say(claim.reason, "bold yellow")
    say("This would be signed, for every phone that trusts your key:")
    origin = "as a key of yours signed it" if claim.pointer else "by what lies in the store"
    production = claim.production
    say(f"  production   version {production.version}, {origin}")
    say(f"               manifest {production.manifest_sha256}")
    if claim.candidate:
        say(f"  candidate    version {claim.candidate.version}, for {claim.candidate.share}")
    for change in claim.changes:
        about = f"{change.when}, {change.who}: {change.reason}"
        say(f"  change {change.number:<5} {change.action}, version {change.to_version}, {about}")
    for release in claim.releases:
        manifest = release.manifest
        origin = "a key of yours" if _is_own(release, keys) else "NO key of yours"
        about = f"made {manifest.created} by run {manifest.run}"
        say(f"  release      version {release.version}, signed with {origin}, {about}")
        say(f"               manifest {release.manifest_sha256}")


def _is_own(release: store.Release, keys: Keys) -> bool:
    """Returns true if a key of the owner signed the manifest of a release."""
    try:
        raw = read_bytes(release.edge / MANIFEST, MOST_DOCUMENT_BYTES)
        signature = read_bytes(release.edge / SIGNATURE, MOST_DOCUMENT_BYTES)
    except OSError:
        return False
    return any(is_signed(raw, signature, key) for key in list_public_keys(keys))


def _ask() -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked here.",
            "What nobody has signed is signed only after a person has looked at it.",
            "Type the command at a terminal, or, once you have looked, pass --yes.",
        )
    return click.confirm("Sign it", default=False)
