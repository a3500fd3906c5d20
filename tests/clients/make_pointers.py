"""Writes clients/pointers.json, the table of what a phone does.

    .venv/bin/python -m tests.clients.make_pointers

Readers in all languages are tested with it. Each case has the public keys that an app pins, the oldest first;
what the phone remembers of the last pointer that it accepted, or null; the time; the client, by whose id it
takes its side of a canary; and the text of current.json, or null where there is none. With `fill`, so many
bytes of a character follow the text until the file has that length. `expected` is the version that the phone
switches to or stays with, or the reason, as in edgeline/release/refusals.json, and its facts.

It is written without Edgeline's own writer of pointers, so that it can hold what that one never writes.
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeline.release.signing import encode_for_signing
from tests.edgeline.release.candidates import make_key, name_key

POINTERS = Path(__file__).parents[2] / "clients/pointers.json"
TYPE = "application/vnd.edgeline.pointer+json"
OLD, NEW, FOREIGN = 1, 2, 3  # numbers of keys
NAMES = {number: name_key(number) for number in (OLD, NEW, FOREIGN)}
NOW, MODEL = "2026-10-05T08:00:00Z", "shelf"
MOST = 4_000_000  # bytes of current.json
HUGE = 10**15

Json = dict[str, Any]


def release(version: int, digest: str = "", **percent: object) -> Json:
    return {"version": version, "manifest_sha256": digest or f"{version:064x}", **percent}


def candidate(percent: float = 50) -> Json:
    """Makes the candidate of version 5; by clients/canary.json phone-1 has the number 5360, phone-2 3720."""
    return release(5, percent=percent)


def pointer(**changes: object) -> Json:
    fields: Json = {
        "model": MODEL,
        "counter": 3,
        "rollbacks": 0,
        "issued": "2026-10-01T08:00:00Z",
        "expires": "2026-10-31T08:00:00Z",
        "production": release(2),
    }
    return {**fields, **changes}


def without(name: str) -> Json:
    return {key: value for key, value in pointer().items() if key != name}


def sign(number: int, payload: bytes, payload_type: str = TYPE) -> Json:
    signature = make_key(number).sign(encode_for_signing(payload_type, payload))
    return {"keyid": NAMES[number], "sig": base64.b64encode(signature).decode()}


def spoil(number: int) -> Json:
    """Makes a signature of a key with wrong bytes."""
    return {"keyid": NAMES[number], "sig": base64.b64encode(b"0" * 64).decode()}


def seal(payload: object, *signers: int | Json, payload_type: str = TYPE) -> Json:
    """Makes the envelope of a payload; a signer is the number of a key, or a signature as it is."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload, sort_keys=True).encode()
    signatures = [sign(each, raw, payload_type) if isinstance(each, int) else each for each in signers]
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(raw).decode(),
        "signatures": signatures,
    }


def write(signed: object, **others: object) -> str:
    """Returns the text of current.json with an envelope, and other keys, which nobody signs."""
    return json.dumps({**others, "signed": signed})


def signed(*signers: int | Json, **changes: object) -> str:
    return write(seal(pointer(**changes), *signers))


def remember(key: int | None = OLD, runs: Json | None = None, **changes: object) -> Json:
    """Makes what a phone remembers of a pointer: who signed it, and the release that the phone runs."""
    accepted = pointer(**changes)
    name = NAMES[key] if key else None
    return {"key": name, "pointer": accepted, "release": runs or accepted["production"], "epoch": 0}


def case(
    name: str,
    expected: Json,
    current: str | None,
    keys: Sequence[int] = (OLD,),
    seen: Json | None = None,
    now: str = NOW,
    client: str = "phone-1",
    fill: Json | None = None,
) -> Json:
    phone = {"model": MODEL, "client": client, "now": now, "keys": [NAMES[key] for key in keys], "seen": seen}
    filled = {"fill": fill} if fill else {}
    return {"name": name, **phone, "current": current, **filled, "expected": expected}


def switches(version: int) -> Json:
    return {"switches": version}


def stays(version: int) -> Json:
    return {"stays": version}


def refused(reason: str, **facts: object) -> Json:
    return {"refused": reason, "facts": facts}


def distrusted(*keys: int) -> Json:
    """Expects that none of the keys signed it."""
    return refused("signature", key=", ".join(NAMES[key] for key in keys))


def list_documents() -> list[Json]:
    """Lists files that are, or are not, the envelope of a pointer."""
    large = refused("large", file="current.json", most=MOST)
    broken = refused("pointer")
    bad = {
        "a file that is empty": "",
        "the page of a captive portal": "<html>log in</html>",
        "a file that was cut off": signed(OLD)[:-9],
        "a list in place of an object": "[1, 2]",
        "a file of a store before there were signed pointers": '{"version": 2}',
        "null in place of the envelope": write(None),
        "an envelope of something else": write(seal(pointer(), OLD, payload_type="application/json")),
        "an envelope without a list of signatures": write({**seal(pointer()), "signatures": None}),
        "a key that is none": signed({**sign(OLD, b""), "keyid": "the old one"}),
        "more than eight signatures": signed(*[FOREIGN] * 8, OLD),
        "a payload that is not base64": write({**seal(pointer(), OLD), "payload": "{}"}),
        "a payload that is not JSON": write(seal(b"version 2", OLD)),
        "a payload that is a list": write(seal([pointer()], OLD)),
        "a pointer without a release": write(seal(without("production"), OLD)),
        "a pointer without a model": write(seal(without("model"), OLD)),
        "a pointer without a count of rollbacks": write(seal(without("rollbacks"), OLD)),
        "a counter of 0": signed(OLD, counter=0),
        "a counter that is a text": signed(OLD, counter="3"),
        "a counter with a fraction": signed(OLD, counter=3.5),
        "rollbacks below 0": signed(OLD, rollbacks=-1),
        "a release of version 0": signed(OLD, production=release(0)),
        "a digest that is too short": signed(OLD, production=release(2, "a" * 63)),
        "a time that is none": signed(OLD, issued="yesterday"),
        "a pointer that expires before it was issued": signed(OLD, expires="2026-09-30T08:00:00Z"),
        "a candidate on no phone": signed(OLD, candidate=candidate(0)),
        "a candidate on all phones": signed(OLD, candidate=candidate(100)),
        "a candidate without a share": signed(OLD, candidate=release(5)),
    }
    return [
        case("no file", refused("missing", file="current.json"), None),
        case("as many bytes as it may have", switches(2), signed(OLD), fill={"with": " ", "length": MOST}),
        case("one byte more", large, signed(OLD), fill={"with": " ", "length": MOST + 1}),
        *(case(name, broken, text) for name, text in bad.items()),
        case("brackets without an end", broken, '{"signed": ', fill={"with": "[", "length": 100_000}),
        case("new keys in the pointer", switches(2), signed(OLD, later={"than": ["this"]}, counter=4)),
        case("a pointer that vouches for the log", switches(2), signed(OLD, log={"sha256": "a" * 64})),
        case("keys that nobody signed", switches(2), write(seal(pointer(), OLD), version=9, change={})),
    ]


def list_signatures() -> list[Json]:
    """Lists who signed, and whom the phone trusts."""
    forged = seal(pointer(production=release(9)), sign(OLD, json.dumps(pointer(), sort_keys=True).encode()))
    both = (OLD, NEW)
    new, old = remember(NEW), remember(OLD)
    huge, huge_of_nobody = (remember(key, counter=HUGE, rollbacks=HUGE) for key in (OLD, None))
    lower = {"counter": 1, "production": release(1)}
    return [
        case("signed with the pinned key", switches(2), signed(OLD)),
        case("no signature", distrusted(OLD), signed()),
        case("signed with a foreign key", distrusted(OLD), signed(FOREIGN)),
        case("a signature with wrong bytes", distrusted(OLD), signed(spoil(OLD))),
        case("a signature that is no base64", distrusted(OLD), signed({**spoil(OLD), "sig": "%"})),
        case("the signature of another pointer", distrusted(OLD), write(forged)),
        case("a foreign signature before the right one", switches(2), signed(FOREIGN, OLD)),
        case("no key pinned, a store with a key", switches(2), signed(OLD), ()),
        case("no key pinned, a store without one", switches(2), signed(), ()),
        case("no key pinned, wrong bytes", distrusted(OLD), signed(spoil(OLD)), ()),
        case("no key pinned, the key of before", stays(2), signed(OLD), (), old),
        case("no key pinned, another key than before", distrusted(OLD), signed(NEW), (), old),
        case("no key pinned, no signature any more", distrusted(OLD), signed(), (), old),
        case("no key pinned, the first signature", stays(2), signed(OLD), (), remember(None)),
        case("both keys sign, the old one is pinned", switches(2), signed(*both), (OLD,)),
        case("both keys sign, the new one is pinned", switches(2), signed(*both), (NEW,)),
        case("both keys sign, both are pinned", switches(2), signed(*both), both),
        case("both keys sign, no key pinned, the old one of before", stays(2), signed(*both), (), old),
        case("both are pinned, the old one signs as before", stays(2), signed(OLD), both, old),
        case("both are pinned, the new one signs at last", stays(2), signed(NEW), both, old),
        case("both are pinned, the new one has signed before", stays(2), signed(*both), both, new),
        case("the old key after the new one", distrusted(NEW), signed(OLD), both, new),
        case("the old key, wrong bytes of the new one", distrusted(NEW), signed(OLD, spoil(NEW)), both, new),
        case("the app pins another key than before", stays(2), signed(NEW), (NEW,), old),
        case("the key of before is no longer pinned", distrusted(NEW), signed(OLD), (NEW,), old),
        case("the new key after a huge counter", switches(1), signed(NEW, **lower), both, huge),
        case("a key after a huge counter of nobody", switches(1), signed(OLD, **lower), seen=huge_of_nobody),
    ]


def list_times() -> list[Json]:
    """Lists the model, and the times between which a pointer is believed."""
    other = refused("other", found="door", model=MODEL)
    issued, late = "2026-10-06T08:00:01Z", "2026-10-31T08:00:00Z"
    stale = refused("stale", expires=late)
    return [
        case("another model", other, signed(OLD, model="door")),
        case("another model, and of the future", other, signed(OLD, model="door", issued=issued)),
        case("signed a day ahead of this clock", switches(2), signed(OLD, issued="2026-10-06T08:00:00Z")),
        case("signed more than a day ahead", refused("clock", issued=issued), signed(OLD, issued=issued)),
        case("a second before it is over", switches(2), signed(OLD), now="2026-10-31T07:59:59Z"),
        case("over", stale, signed(OLD), now=late),
        case("over, and with an old counter", stale, signed(OLD), seen=remember(counter=4), now=late),
    ]


def list_successors() -> list[Json]:
    """Lists pointers after one by the same key."""
    later = "2026-10-02T08:00:00Z"
    old, lower = refused("replayed", found=3, seen=3), refused("lower", version=1, seen=2)
    other = {"counter": 4, "production": release(2, "f" * 64)}
    rolled_back = {"counter": 4, "rollbacks": 1, "production": release(1)}
    tried = remember(candidate=candidate())
    return [
        case("the same pointer", stays(2), signed(OLD), seen=remember()),
        case("the same release, signed anew", stays(2), signed(OLD, issued=later), seen=remember()),
        case("the next release", switches(3), signed(OLD, counter=4, production=release(3)), seen=remember()),
        case("the same version, another manifest", switches(2), signed(OLD, **other), seen=remember()),
        case("an old counter", refused("replayed", found=3, seen=4), signed(OLD), seen=remember(counter=4)),
        case("the same counter, another release", old, signed(OLD, production=release(3)), seen=remember()),
        case("the same counter, a candidate", old, signed(OLD, candidate=candidate()), seen=remember()),
        case("the same counter, more phones", old, signed(OLD, candidate=candidate(99.99)), seen=tried),
        case("an old counter and a lower version", old, signed(OLD, production=release(1)), seen=remember()),
        case("a lower version", lower, signed(OLD, counter=4, production=release(1)), seen=remember()),
        case("a lower version by a rollback", switches(1), signed(OLD, **rolled_back), seen=remember()),
    ]


def list_unsigned() -> list[Json]:
    """Lists pointers of a store without a key, after one by nobody either."""
    before, first, later = "2026-09-30T08:00:00Z", "2026-10-01T08:00:00Z", "2026-10-02T08:00:00Z"
    seen, huge = remember(None), remember(None, counter=HUGE, rollbacks=HUGE)
    lower = signed(issued=later, production=release(1))
    next_one = signed(issued=later, production=release(3))
    replayed = signed(issued=before, counter=9, production=release(3))
    other = signed(issued=first, counter=9, production=release(3))
    return [
        case("unsigned, the same pointer", stays(2), signed(), (), seen),
        case("unsigned, the same release, issued anew", stays(2), signed(issued=later), (), seen),
        case("unsigned, after a huge counter", switches(3), next_one, (), huge),
        case("unsigned, a lower version", switches(1), lower, (), huge),
        case("unsigned, an old one", refused("earlier", found=before, seen=first), replayed, (), seen),
        case("unsigned, two at once", refused("earlier", found=first, seen=first), other, (), seen),
    ]


def list_canaries() -> list[Json]:
    """Lists what the phones on the two sides of a canary do: phone-1 and phone-2."""
    opened: Json = {"counter": 4, "candidate": candidate()}
    canary, wider = signed(OLD, **opened), signed(OLD, counter=5, candidate=candidate(60))
    promoted = signed(OLD, counter=5, production=release(5))
    withdrawn, gone = signed(OLD, counter=5, rollbacks=1), signed(OLD, counter=5)
    on_it, beside_it = remember(runs=release(5), **opened), remember(**opened)
    lower = refused("lower", version=2, seen=5)
    return [
        case("a canary, this phone stays", stays(2), canary, seen=remember(), client="phone-1"),
        case("a canary, this phone tries it", switches(5), canary, seen=remember(), client="phone-2"),
        case("a canary, the first pointer", switches(5), canary, client="phone-2"),
        case("an empty candidate", switches(2), signed(OLD, candidate=None), client="phone-2"),
        case("a canary on more phones", switches(5), wider, seen=beside_it, client="phone-1"),
        case("a canary that was promoted", stays(5), promoted, seen=on_it, client="phone-2"),
        case("a canary that was withdrawn", switches(2), withdrawn, seen=on_it, client="phone-2"),
        case("a canary that is gone, and no rollback", lower, gone, seen=on_it, client="phone-2"),
    ]


def make_pointers() -> str:
    """Returns the text of the table: a key in each line."""
    cases = [
        *(*list_documents(), *list_signatures(), *list_times()),
        *(*list_successors(), *list_unsigned(), *list_canaries()),
    ]
    texts = [
        ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in each.items())
        for each in cases
    ]
    return "[\n" + ",\n".join(f" {{{text}}}" for text in texts) + "\n]\n"


if __name__ == "__main__":
    POINTERS.write_text(make_pointers())
