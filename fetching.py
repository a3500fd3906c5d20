"""Objects of a store, fetched many at a time and ahead of their use.

AWS's own library in C asks for each first: in its threads, where nothing waits for Python, and for a quarter
of the CPU time that s3fs takes, in which photos can be decoded. What it has no answer to goes through s3fs,
which knows every way to a store, and whose errors people are told.
"""

import os
import random
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary

from locations import MOST_FETCHES, S3_OPTIONS, filesystem
from store_errors import explained, may_pass

if TYPE_CHECKING:
    from upath import UPath

# How long a fetch waits, a random part of it, after each time that botocore has given up.
_PATIENCE_S = (2, 4, 8)
# Of each session of s3fs, what asks for objects of a bucket.
_BUCKETS: MutableMapping[Any, dict[str, "_Bucket | None"]] = WeakKeyDictionary()


def fetch(place: "UPath", name: str, size: int) -> Callable[[], bytes]:
    """Begins to read an object below a place that was listed with `size` bytes, at least 1.

    No more of it is read. What is returned waits for its content, and raises as `read_bytes` does. What
    passes (a store that asks for fewer requests, a connection that breaks) is tried again.
    """
    import asyncio

    store = filesystem(place)
    path = f"{place.path.rstrip('/')}/{name}"
    bucket, _, key = path.partition("/")
    found, quick = _bucket_of(store, bucket), None
    if found and found.answers:
        with suppress(Exception):  # s3fs meets it too, and says what it is
            quick = found.get(key, size)

    def begin() -> Any:
        return asyncio.run_coroutine_threadsafe(_fetched(store, path, size), store.loop)

    begun = None if quick else begin()

    def content() -> bytes:
        if quick and (answer := quick()):
            return answer
        try:
            fetched: bytes = (begun or begin()).result()
            return fetched
        except Exception:
            with explained(place / name):  # to join them takes as long as a fetch
                raise

    return content


async def _fetched(store: Any, path: str, size: int) -> bytes:
    import asyncio

    waits = iter(_PATIENCE_S)
    while True:
        try:
            # Of several requests at once s3fs would ask for the size first.
            content: bytes = await store._cat_file(path, end=size, max_concurrency=1)
            return content
        except Exception as error:
            wait = next(waits, None)
            if wait is None or not may_pass(error):
                raise
        await asyncio.sleep(random.uniform(wait / 2, wait))


def _bucket_of(store: Any, bucket: str) -> "_Bucket | None":
    """What asks for the objects of a bucket; None where botocore finds no keys or no address."""
    from fsspec.asyn import sync

    known = _BUCKETS.setdefault(store.session, {})
    if bucket not in known:
        try:
            known[bucket] = _Bucket(*sync(store.loop, _address, store, bucket))
        except Exception:  # as above
            known[bucket] = None
    return known[bucket]


async def _address(store: Any, bucket: str) -> tuple[str, str]:
    """What the URLs of a bucket's objects begin with, as botocore resolves it, and its region."""
    client = await store.set_session()
    url = await client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "any"})
    return url.partition("?")[0].removesuffix("any"), client.meta.region_name


class _Bucket:
    """Asks for objects of one bucket by awscrt. Raises an AttributeError where botocore finds no keys."""

    def __init__(self, address: str, region: str) -> None:
        from awscrt.auth import AwsCredentials, AwsCredentialsProvider
        from awscrt.io import ClientTlsContext, TlsContextOptions
        from awscrt.s3 import S3Client, S3RequestTlsMode, S3RetryConfig, create_default_s3_signing_config
        from botocore.session import get_session

        self.answers = True  # until it has none to the first request
        self._address, self._answered = urlsplit(address), False
        frozen_of = get_session().get_credentials().get_frozen_credentials
        secure = self._address.scheme == "https"

        def current() -> AwsCredentials:
            frozen = frozen_of()
            return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token)

        provider = AwsCredentialsProvider.new_delegate(current)
        tls = TlsContextOptions()
        if secure and (bundle := os.environ.get("AWS_CA_BUNDLE")):
            tls.override_default_trust_store_from_path(None, bundle)
        retries = S3_OPTIONS["retries"]["total_max_attempts"] - 1
        self._client = S3Client(
            region=region,
            tls_mode=S3RequestTlsMode.ENABLED if secure else S3RequestTlsMode.DISABLED,
            tls_connection_options=ClientTlsContext(tls).new_connection_options() if secure else None,
            signing_config=create_default_s3_signing_config(region=region, credential_provider=provider),
            max_active_connections_override=MOST_FETCHES,
            retry_config=S3RetryConfig(max_retries=retries),
            connect_timeout_ms=S3_OPTIONS["connect_timeout"] * 1000,
        )

    def get(self, key: str, size: int) -> Callable[[], bytes | None]:
        """Begins to read the first `size` bytes; what is returned waits, and has nothing if that failed."""
        from awscrt.http import HttpHeaders, HttpRequest
        from awscrt.s3 import S3RequestType

        parts: list[bytes] = []
        headers = HttpHeaders([("Host", self._address.netloc), ("Range", f"bytes=0-{size - 1}")])
        request = self._client.make_request(
            type=S3RequestType.DEFAULT,
            operation_name="GetObject",
            request=HttpRequest("GET", self._address.path + quote(key, safe="/~"), headers),
            on_body=lambda chunk, **_: parts.append(bytes(chunk)),
        )

        def content() -> bytes | None:
            try:
                request.finished_future.result(S3_OPTIONS["read_timeout"])
            except Exception as error:
                request.cancel()
                if not self._answered and getattr(error, "status_code", None) != 404:
                    self.answers = False
                return None
            self._answered = True
            return b"".join(parts)

        return content
