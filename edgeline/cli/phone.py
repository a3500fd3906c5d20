"""`edgeline phone`: the page that runs the model in production on a phone."""

import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import click

from edgeline.cli import options
from edgeline.cli.commands import Command
from edgeline.cli.releases import resolve_place
from edgeline.cli.stdout import note, say
from edgeline.phone.site import Site
from edgeline.release.signing import load_public_key
from edgeline.workspace.place import Place

_BY_TLS = """\
The phone warns of an unknown certificate; you may go on. To use the page offline too, install
{base}ca.crt on the phone first, as a CA certificate; on an iPhone, trust it also
under General, About, Certificate Trust Settings. It is good for this machine's address alone."""
_BY_HTTP = """\
By http a phone can predict, but not verify, install or work offline. Pass --tls, or --out DIR
for a web server that has https."""


@click.command(cls=Command)
@options.releases_of
@click.option("--port", type=click.IntRange(0, 65535), default=8443, metavar="P", help="the port (8443)")
@click.option("--out", type=Path, metavar="DIR", help="write a folder for a web server of your own instead")
@click.option("--tls", is_flag=True, help="serve by https, with a certificate for this machine's address")
@click.option(
    "--key",
    "keys",
    metavar="FILE",
    multiple=True,
    help="public key that has to sign the pointer (the one that has); again for a newer one that may too",
)
@click.option(
    "--expired",
    type=click.Choice(["warn", "refuse"]),
    default="warn",
    help="what phones do with a release that is over: warn of it, or refuse to answer (warn)",
)
def phone(
    place: Place,
    port: int,
    out: Path | None,
    tls: bool,
    keys: tuple[str, ...],
    expired: Literal["warn", "refuse"],
) -> int:
    """Serves a page that checks the model in production and runs it on phones, also offline."""
    _, root, model = resolve_place(place)
    site = Site(root, model, [load_public_key(key) for key in keys], expired)
    what = f"{model} {site.manifest.version}"
    if not site.keys:
        note(f"{what} is not signed: the page will say that its origin cannot be verified.")
    if out:
        site.write(out)
        say(f"{out}: the page and {what}. Serve it by https, and run this again after each push.")
        return 0
    address = find_address()
    if tls:
        from edgeline.phone.certificate import make_certificate, wrap

        certificate = make_certificate(Path(click.get_app_dir("edgeline")), address)
        server = wrap(site.serve(port, certificate.authority), certificate)
    else:
        server = site.serve(port)
    base = f"http{'s' if tls else ''}://{address}:{server.server_port}/"
    if sys.stdout.isatty():
        import segno

        segno.make(base).terminal(compact=True)
    say(f"{what}: {base} (Ctrl-C ends it)")
    for line in (_BY_TLS if tls else _BY_HTTP).format(base=base).split("\n"):
        say(line)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def find_address() -> str:
    """Returns the address by which others in the network reach this machine; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
