from pathlib import Path

import numpy as np
import pytest

from trainer_module.export.convert import convert

pytestmark = pytest.mark.e2e


def test_a_conversion_that_computes_too_long_is_ended_and_named(tmp_path: Path):
    # To load TensorFlow alone takes seconds of CPU time.
    calibration = np.zeros((1, 4), np.float32)
    (conversion,) = convert(tmp_path, "serving", ["fp32"], calibration, tmp_path / "edge", timeout=0.2)
    assert conversion.file is None
    assert "The conversion process took more than 0.2 s of CPU time" in conversion.error
