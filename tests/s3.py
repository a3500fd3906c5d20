"""What tests do to the environment of a client of S3."""

import os

import pytest


def point_to(address: str, patch: pytest.MonkeyPatch) -> None:
    """Let every client of this process and its children use the server at `address`."""
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ENDPOINT_URL", address)
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Instances are kept by their arguments, and the environment is none of them.
    s3fs.S3FileSystem.clear_instance_cache()
