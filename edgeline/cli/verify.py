"""`edgeline verify` checks releases; `edgeline keys` makes and changes the keys that they are signed with."""

import shlex
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

import click

from edgeline.cli import options
from edgeline.cli.commands import Command, Group
from edgeline.cli.stdout import print_json, say
from edgeline.errors import EdgelineError, UsageError
from edgeline.labels import format_count
from edgeline.release import signing, store
from edgeline.release.acceptance import distrust
from edgeline.release.layout import PushFolder
from edgeline.release.manifest import Manifest
from edgeline.release.reader import Outlook
from edgeline.release.releases import make_missing_model_error
from edgeline.release.signing import load_public_key, load_signing_key
from edgeline.release.verify import find_bundle_problems, foresee_phone, read_bundle
from edgeline.store.locations import Location, locate, read_bytes
from edgeline.workspace.closing import describe_outlook
from edgeline.workspace.known_runs import Place, resolve_place
from edgeline.workspace.owner import find_public_keys, load_keys


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
    number = int(bundle) if bundle and bundle.isdecimal() else None
    outlook = None
    if bundle and number is None:
        if place.store:
            raise UsageError(
                f"{bundle} is a bundle in a folder, and --store {place.store} is a release store.",
                "A bundle is checked by itself.",
                "Pass one of the two, or the number of a release beside --store.",
            )
        kind, where, manifest = "bundle", bundle, read_bundle(locate(bundle))
        model, versions = manifest.model, [manifest.version]
        problems = find_bundle_problems(locate(bundle), manifest)
    else:
        kind, (last, where, model), manifest = "push", resolve_place(place), None
        keys = [own_key] if own_key else find_public_keys(last, where, place.workspace)
        problems = store.verify(where, model, number, keys)
        versions = list(store.list_known_versions(where, model)) if number is None else [number]
        outlook = foresee_phone(where, model, keys) if number is None else None
        if not problems:
            release = store.get(where, model, number)
            manifest, edge = release.manifest, release.edge
    # The pointer of a store vouches for its releases, also for one that the key before has signed.
    error = distrust(manifest, None if outlook else own_key) if manifest and not problems else None
    golden = ""
    if outlook and problems == [outlook.sentence]:
        error = _explain_refusal(where, outlook)
    elif problems:
        error = EdgelineError(
            [f"{where} differs from what was pushed:", *(f"  - {problem}" for problem in problems)],
            "A release has to be byte for byte what was evaluated, and its audit log has to be complete.",
            "If production is damaged, go back to an intact release with"
            " `edgeline rollback --to V --reason R`. Restore from a backup what the next push does not"
            " rewrite, and copy a bundle again.",
        )
    elif manifest and not error:
        problems, golden = _run_golden(locate(where) if kind == "bundle" else edge, manifest)
        if problems:
            error = EdgelineError(
                [
                    f"{where}: {model} {manifest.version} fails its golden vectors:",
                    *(f"  - {problem}" for problem in problems),
                ],
                "Its files match the manifest, but give other results than when they were evaluated.",
                "Go back to an intact release with `edgeline rollback --to V --reason R`. If other releases"
                " pass theirs, this one was assembled from parts of several.",
            )
    signed_by, facts = manifest.signed_by if manifest else None, {kind: where, "model": model}
    if as_json:
        listed = problems or ([f"{error.found} {error.why}"] if error else [])
        print_json(
            {**facts, "versions": versions, "problems": listed, "golden": golden, "signed_by": signed_by}
        )
        return 1 if error else 0
    if error:
        raise error
    files = f"every file of {model} {versions[0]} matches its manifest."
    releases = format_count(len(versions), "release")
    everything = f"{releases} of {model}: every file, pin and line of history is as pushed."
    say(f"{where}: {files if bundle else everything}")
    assert manifest is not None
    what = f"{model} {manifest.version}"
    say(f"{what}: {golden}.")
    if outlook:
        for line, style in describe_outlook(outlook, datetime.now(timezone.utc)):
            say(line, style)
    if own_key:
        say(f"{'The pointer to ' if outlook else ''}{what} is signed with the given key.")
    elif signed_by:
        say(f"{what} is signed with {signed_by}. Pass --key FILE to check that it is your key.")
    elif kind == "bundle":
        say(f"{what} is not signed: its origin is not verified.")
    return 0


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
    from edgeline.edge.golden import find_golden_problems, read_vectors
    from edgeline.runtime import load_bundle

    vectors = read_vectors(bundle)
    if vectors is None:
        return [], "has no golden vectors"
    if find_spec("ai_edge_litert") is None:
        return [], "golden vectors were not run: ai-edge-litert is not installed here"
    loaded = load_bundle(manifest, lambda name: read_bytes(bundle / name), every=True)
    problems = find_golden_problems(vectors, loaded.contract, loaded.models)
    files = ", ".join(variant.name for variant in manifest.variants)
    return problems, f"{len(vectors.contents)} golden vectors pass, tensors and the scores of {files}"


@click.group(cls=Group, no_args_is_help=False, subcommand_metavar="ACTION ...")
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
    old, new = load_keys(last, root, place.workspace, key), load_signing_key(to)
    pointer = store.rotate(root, model, old["key"], new, old["trusted"])
    if pointer is None:
        raise make_missing_model_error(PushFolder(locate(root)), model)
    version = pointer.production.version
    say(f"The pointer to version {version} of {model} is signed with both keys until {pointer.expires}.")
    say("Before you go on: phones in use need an app that trusts both keys, the old one first.")
    say(f"Then: `edgeline run --set push.key={shlex.quote(str(Path(to).absolute()))}`")
    return 0
