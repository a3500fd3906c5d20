"""`edgeline verify` checks releases; `edgeline keys` makes and changes the keys that they are signed with."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

import click

from edgeline.cli import options
from edgeline.cli.commands import Command, Group
from edgeline.cli.stdout import print_json, say
from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import format_count
from edgeline.release import signing, store, upkeep
from edgeline.release.acceptance import distrust
from edgeline.release.layout import PushFolder, open_folder
from edgeline.release.manifest import Manifest
from edgeline.release.reader import Outlook
from edgeline.release.releases import make_missing_model_error
from edgeline.release.signing import load_public_key, load_signing_key
from edgeline.release.verify import find_bundle_problems, find_problems, foresee_phone, read_bundle
from edgeline.store.locations import Location, locate, read_bytes
from edgeline.workspace.closing import describe_outlook
from edgeline.workspace.known_runs import resolve_place
from edgeline.workspace.owner import find_public_keys, load_own_keys
from edgeline.workspace.place import Place


@click.command(cls=Command)
@click.argument(
    "bundle", required=False, metavar="[BUNDLE]", help="a version, or a folder with a bundle (all)"
)
@options.releases_of
@click.option(
    "--key", metavar="FILE", help="public key of the required signature of production, or of BUNDLE"
)
@options.as_json
def verify(bundle: str | None, place: Place, key: str | None, as_json: bool) -> int:
    """Checks the files, the signature and the predictions of releases, or of a copied bundle."""
    own_key = load_public_key(key) if key else None
    is_folder = bundle is not None and not bundle.isdecimal()
    check = _check_bundle(bundle or "", place) if is_folder else _check_store(bundle, place, own_key)
    error = _find_error(check, own_key)
    golden = ""
    if check.manifest and not error:
        problems, golden = _run_golden(check.folder, check.manifest)
        if problems:
            check, error = replace(check, problems=problems), _explain_golden(check, problems)

    if as_json:
        _print_json(check, error, golden)
        return 1 if error else 0
    if error:
        raise error
    _print_lines(check, own_key, golden, is_whole_store=bundle is None)
    return 0


@dataclass(frozen=True)
class _Check:
    """The problems of a store, of one of its releases, or of a copied bundle."""

    kind: str  # "push" or "bundle"
    where: str
    model: str
    versions: Sequence[int]
    problems: Sequence[str]
    manifest: Manifest | None = None  # of the release whose golden vectors are run; None if one is damaged
    outlook: Outlook | None = None  # of a phone that follows the store

    @property
    def folder(self) -> Location:
        """Returns the folder of the bundle whose golden vectors are run."""
        assert self.manifest is not None
        if self.kind == "bundle":
            return locate(self.where)
        return PushFolder(locate(self.where)).edge(self.model) / str(self.manifest.version)


def _check_bundle(bundle: str, place: Place) -> _Check:
    if place.store:
        raise UsageError(
            f"{bundle} is a bundle in a folder, and --store {place.store} is a release store.",
            "A bundle is checked by itself.",
            "Pass one of the two, or the number of a release beside --store.",
        )
    manifest = read_bundle(locate(bundle))
    problems = find_bundle_problems(locate(bundle), manifest)
    return _Check("bundle", bundle, manifest.model, [manifest.version], problems, manifest)


def _check_store(bundle: str | None, place: Place, own_key: str | None) -> _Check:
    last, where, model = resolve_place(place)
    keys = [own_key] if own_key else find_public_keys(last, where, place.workspace)
    number = int(bundle) if bundle else None
    folder = open_folder(where, keeps=True)
    problems = find_problems(folder, model, number)

    versions = [number] if number else store.list_known_versions(folder, model)
    outlook = None
    if number is None:
        outlook = foresee_phone(folder, model, keys)
        if not problems and outlook.does == "refuses":
            problems = [outlook.sentence]
    manifest = None if problems else store.get(folder, model, number).manifest
    return _Check("push", where, model, versions, problems, manifest, outlook)


def _find_error(check: _Check, own_key: str | None) -> EdgelineError | None:
    """Returns the error of what was checked so far; None if all is well."""
    if check.outlook and check.problems == [check.outlook.sentence]:
        return _explain_refusal(check.where, check.outlook)
    if check.problems:
        return EdgelineError(
            [f"{check.where} differs from what was pushed:", *(f"  - {each}" for each in check.problems)],
            "A release has to be byte for byte what was evaluated, and its audit log has to be complete.",
            "If production is damaged, go back to an intact release with"
            " `edgeline rollback --to V --reason R`. Restore from a backup what the next push does not"
            " rewrite, and copy a bundle again.",
        )
    assert check.manifest is not None
    # The pointer of a store vouches for its releases, also for one that the key before has signed.
    return distrust(check.manifest, None if check.outlook else own_key)


def _explain_golden(check: _Check, problems: Sequence[str]) -> EdgelineError:
    version = check.manifest.version if check.manifest else ""
    return EdgelineError(
        [
            f"{check.where}: {check.model} {version} fails its golden vectors:",
            *(f"  - {problem}" for problem in problems),
        ],
        "Its files match the manifest, but give other results than when they were evaluated.",
        "Go back to an intact release with `edgeline rollback --to V --reason R`. If other releases"
        " pass theirs, this one was assembled from parts of several.",
    )


def _print_json(check: _Check, error: EdgelineError | None, golden: str) -> None:
    problems = check.problems
    if error and not problems:
        problems = [f"{error.found} {error.why}"]
    print_json(
        {
            check.kind: check.where,
            "model": check.model,
            "versions": list(check.versions),
            "problems": problems,
            "golden": golden,
            "signed_by": check.manifest.signed_by if check.manifest else None,
            "least_runtimes": {item.name: item.least_runtime for item in check.manifest.variants}
            if check.manifest
            else {},
        }
    )


def _print_lines(check: _Check, own_key: str | None, golden: str, is_whole_store: bool) -> None:
    """Prints what was found to be right."""
    assert check.manifest is not None
    if is_whole_store:
        releases = format_count(len(check.versions), "release")
        say(f"{check.where}: {releases} of {check.model}: every file, pin and line of history is as pushed.")
    else:
        say(f"{check.where}: every file of {check.model} {check.versions[0]} matches its manifest.")
    release, signer = f"{check.model} {check.manifest.version}", check.manifest.signed_by
    say(f"{release}: {golden}.")

    with_runtime = [item for item in check.manifest.variants if item.least_runtime]
    if with_runtime:
        runtimes = ", ".join(f"{item.least_runtime} ({item.name})" for item in with_runtime)
        say(f"{release}: runs on TFLite of these versions and newer: {runtimes}.")
    if check.outlook:
        for line, style in describe_outlook(check.outlook, datetime.now(timezone.utc)):
            say(line, style)
    if own_key:
        say(f"{'The pointer to ' if check.outlook else ''}{release} is signed with the given key.")
    elif signer:
        say(f"{release} is signed with {signer}. Pass --key FILE to check that it is your key.")
    elif check.kind == "bundle":
        say(f"{release} is not signed: its origin is not verified.")


def _explain_refusal(where: str, outlook: Outlook) -> EdgelineError:
    """Returns the error for a store whose files are as pushed, and whose pointer phones refuse."""
    cures = {
        "stale": "Run `edgeline renew --key FILE`, the private key; weekly runs renew it in time.",
        "expired": "Run the pipeline for a newer release; push.expires_days sets how long one is valid.",
        "clock": "Set the clock of the machine that signed it, or of this one, then run `edgeline renew`.",
        "signature": "If the store changed its key, `edgeline keys rotate` hands it over. If not, somebody"
        " wrote to it: `edgeline repair --trust-unsigned --reason R` shows what it would sign, and asks.",
    }
    return EdgelineError(
        f"{where}: {outlook.sentence}",
        "Every file is as pushed. Phones stay with the release that they have, and get no new one.",
        cures.get(outlook.reason, cures["signature"]),
    )


def _run_golden(bundle: Location, manifest: Manifest) -> tuple[list[str], str]:
    """Runs the golden vectors of an intact bundle; returns the problems, and what was checked."""
    from edgeline.bundle import load_bundle
    from edgeline.edge.golden import find_golden_problems, read_vectors

    vectors = read_vectors(bundle)
    if vectors is None:
        return [], "has no golden vectors"
    if find_spec("ai_edge_litert") is None:
        return [], "golden vectors were not run: ai-edge-litert is not installed here"
    loaded = load_bundle(manifest, lambda name: read_bytes(bundle / name), every=True)
    problems = find_golden_problems(vectors, loaded.contract, loaded.models)
    files = ", ".join(variant.name for variant in manifest.variants)
    return problems, f"{len(vectors.contents)} golden vectors pass, tensors and the scores of {files}"


@click.group(cls=Group)
def keys() -> None:
    """Makes and changes the keys that releases are signed and checked with."""


@keys.command()
@click.option("--out", metavar="DIR", help="folder of the keys (edgeline/ in this user's folder of settings)")
def new(out: str | None) -> int:
    """Makes a key pair; never replaces one."""
    folder = Path(out or click.get_app_dir("edgeline")).absolute()
    say(f"Public key {signing.make_pair(folder)}")
    private, public = (shlex.quote(str(folder / name)) for name in (signing.PRIVATE, signing.PUBLIC))
    say(f"  {public}: goes into the app, and to everyone who verifies releases.")
    say(f"  {private}: signs releases. Keep a copy offline; whoever has it can release in your name.")
    say(f"Next: `edgeline run --set push.key={private}`, then `edgeline verify --key {public}`")
    return 0


@keys.command()
@click.option("--to", required=True, metavar="FILE", help="the new private key")
@options.releases_of
@options.key
def rotate(to: str, place: Place, key: str | None) -> int:
    """Hands a store over to a new key: both sign the pointer, until the new one signs the next change."""
    last, root, model = resolve_place(place)
    old = load_own_keys(last, root, place.workspace, key)
    new = load_signing_key(to)
    pointer = upkeep.rotate(root, model, old["key"], new, old["trusted"])
    if pointer is None:
        raise make_missing_model_error(PushFolder(locate(root)), model)
    version = pointer.production.version
    say(f"The pointer to version {version} of {model} is signed with both keys until {pointer.expires}.")
    say("Before you go on: phones in use need an app that trusts both keys, the old one first.")
    say(f"Then: `edgeline run --set push.key={shlex.quote(str(Path(to).absolute()))}`")
    return 0
