import os
import stat
import subprocess
import sys

from edgeline.cli.main import main
from edgeline.release.signing import public_key, signing_key
from tests.runners.cli.process import ROOT


def test_a_new_pair_is_told_by_its_public_key_and_the_next_command_can_be_typed(tmp_path, capsys):
    folder = tmp_path / "of mine"
    assert main(["keys", "new", "--out", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"Public key {public_key(str(folder / 'edgeline.pub.pem'))}" in said
    assert f"edgeline run --set push.key='{folder}/edgeline.key.pem'" in said
    assert f"edgeline verify --key '{folder}/edgeline.pub.pem'" in said
    assert (folder / "edgeline.key.pem").read_text().splitlines()[1] not in said


def test_a_second_pair_in_one_place_is_bad_usage_and_the_first_stays(tmp_path, capsys):
    folder = ["--out", str(tmp_path)]
    assert main(["keys", "new", *folder]) == 0
    first = (tmp_path / "edgeline.key.pem").read_bytes()
    assert main(["keys", "new", *folder]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert (tmp_path / "edgeline.key.pem").read_bytes() == first


def test_without_a_place_it_goes_to_the_settings_of_the_user_and_not_into_the_project(tmp_path):
    home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home/.config")}
    command = [sys.executable, "-m", "runners.cli", "keys", "new"]
    environment = {**os.environ, **home, "PYTHONPATH": str(ROOT)}
    # Nobody's umask makes a private key readable for others.
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, umask=0)
    private = tmp_path / "home/.config/edgeline/edgeline.key.pem"
    assert signing_key(str(private)) and stat.S_IMODE(private.stat().st_mode) == 0o600
