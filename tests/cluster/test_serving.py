"""The manifests of TF Serving on a real API server."""

import pytest

from tests.cluster.conftest import kubectl
from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes-bucket"])
def test_the_api_server_takes_every_field_of_the_manifests(folder: str) -> None:
    manifests = str(ROOT / "deploy" / "serving" / folder)
    output = kubectl("apply", "--dry-run=server", "--validate=strict", "--kustomize", manifests)
    assert sorted(line.split("/")[0] for line in output.splitlines()) == [
        *("configmap", "deployment.apps", "service")
    ]
