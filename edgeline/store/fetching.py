"""Fetches objects of a store, many at a time and ahead of their use.

awscrt, AWS's own library in C, requests each object first. It works in its own threads, which do not wait for
Python, and takes a quarter of the CPU time of s3fs, so that more is left for decoding photos. An object that
it fails to fetch is fetched through s3fs, which knows every way to a store, and whose errors people see.
"""

import os
import random
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary

from edgeline.store.locations import MOST_FETCHES, S3_OPTIONS, get_filesystem
from edgeline.store.store_errors import explain_errors, is_temporary

if TYPE_CHECKING:
    from upath import UPath

# The longest waits before new attempts, after botocore has given up; a fetch waits a random part of each.
_PATIENCE_S = (2, 4, 8)
# The awscrt clients by session of s3fs and by name of the bucket.
_BUCKETS: MutableMapping[Any, dict[str, "_Bucket | None"]] = WeakKeyDictionary()


def fetch(place: "UPath", name: str, size: int) -> Callable[[], bytes]:
    """Starts to read the first `size` bytes of an object.

    Temporary failures (a store that asks for fewer requests, a connection that breaks) are tried again.

    Args:
        place: The folder in an S3 store; its session is used again.
        name: The object's path below it.
        size: The size that its listing says; at least 1.

    Returns:
        A function that waits for the content and raises as `read_bytes` does.
    """
    import asyncio

    store = get_filesystem(place)
    path = f"{place.path.rstrip('/')}/{name}"
    bucket, _, key = path.partition("/")
    client = _find_bucket(store, bucket)
    quick = None
    if client and client.answers:
        with suppress(Exception):  # s3fs fails in the same way, with a clear error
            quick = client.get(key, size)

    def begin() -> Any:
        return asyncio.run_coroutine_threadsafe(_fetch_with_retries(store, path, size), store.loop)

    future = None if quick else begin()

    def content() -> bytes:
        if quick and (answer := quick()):
            return answer
        try:
            fetched: bytes = (future or begin()).result()
            return fetched
        except Exception:
            with explain_errors(place / name):  # joined only here, since joining takes as long as a fetch
                raise

    return content


async def _fetch_with_retries(store: Any, path: str, size: int) -> bytes:
    import asyncio

    waits = iter(_PATIENCE_S)
    while True:
        try:
            # With several requests at once, s3fs would ask for the size first.
            content: bytes = await store._cat_file(path, end=size, max_concurrency=1)
            return content
        except Exception as error:
            wait = next(waits, None)
            if wait is None or not is_temporary(error):
                raise
        await asyncio.sleep(random.uniform(wait / 2, wait))


def _find_bucket(store: Any, bucket: str) -> "_Bucket | None":
    """Returns the awscrt client of a bucket; None where botocore finds no keys or no address."""
    from fsspec.asyn import sync

    buckets = _BUCKETS.setdefault(store.session, {})
    if bucket not in buckets:
        try:
            buckets[bucket] = _Bucket(*sync(store.loop, _resolve_address, store, bucket))
        except Exception:  # s3fs fails in the same way, with a clear error
            buckets[bucket] = None
    return buckets[bucket]


async def _resolve_address(store: Any, bucket: str) -> tuple[str, str]:
    """Returns the start of the URLs of a bucket's objects, as botocore resolves it, and its region."""
    client = await store.set_session()
    url = await client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "any"})
    return url.partition("?")[0].removesuffix("any"), client.meta.region_name


class _Bucket:
    """A client of one bucket by awscrt. Raises an AttributeError where botocore finds no keys."""

    def __init__(self, address: str, region: str) -> None:
        from awscrt.auth import AwsCredentials, AwsCredentialsProvider
        from awscrt.io import ClientTlsContext, TlsContextOptions
        from awscrt.s3 import S3Client, S3RequestTlsMode, S3RetryConfig, create_default_s3_signing_config
        from botocore.session import get_session

        self.answers = True  # False once the first request has failed
        self._address = urlsplit(address)
        self._answered = False
        freeze_keys = get_session().get_credentials().get_frozen_credentials
        is_secure = self._address.scheme == "https"

        def read_keys() -> AwsCredentials:
            keys = freeze_keys()
            return AwsCredentials(keys.access_key, keys.secret_key, keys.token)

        provider = AwsCredentialsProvider.new_delegate(read_keys)
        tls = TlsContextOptions()
        if is_secure and (bundle := os.environ.get("AWS_CA_BUNDLE")):
            tls.override_default_trust_store_from_path(None, bundle)
        retries = S3_OPTIONS["retries"]["total_max_attempts"] - 1
        self._client = S3Client(
            region=region,
            tls_mode=S3RequestTlsMode.ENABLED if is_secure else S3RequestTlsMode.DISABLED,
            tls_connection_options=ClientTlsContext(tls).new_connection_options() if is_secure else None,
            signing_config=create_default_s3_signing_config(region=region, credential_provider=provider),
            max_active_connections_override=MOST_FETCHES,
            retry_config=S3RetryConfig(max_retries=retries),
            connect_timeout_ms=S3_OPTIONS["connect_timeout"] * 1000,
        )

    def get(self, key: str, size: int) -> Callable[[], bytes | None]:
        """Starts to read the first `size` bytes; the returned function waits, and returns None on failure."""
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
