"""What a submission looks at before anything is compiled."""

import pytest

from edgeline.release import store
from edgeline.release.signing import KEY_VARIABLE
from tests.edgeline.release.candidates import make_candidate, make_key

SIGNED = ("--set", f"kubeflow.secrets={{{KEY_VARIABLE}: signing/key}}")
COMMANDS = (["submit"], ["schedule", "--cron", "0 0 3 * * 1"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_release_that_phones_would_refuse_is_refused_before_anything_is_compiled(
    server, edgeline, bucket, tmp_path, command
):
    released = make_candidate(tmp_path / "one", rollback_epoch=3, signing_key=make_key())
    store.push(bucket, "shelf", released)
    edgeline.write_settings(push=bucket)
    ended = edgeline.type("kubeflow", *command, *SIGNED)
    assert ended.code == 2 and "Set push.rollback_epoch=3 " in ended.err
    ended = edgeline.type("kubeflow", *command, "--set", "push.rollback_epoch=3")
    assert ended.code == 2 and "shelf in production is signed" in ended.err
    assert not server.pipelines and not server.runs
