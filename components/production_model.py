"""ProductionModel: the model that phones run today, which the candidate is compared with.

It reads the release store itself: open-source Kubeflow Pipelines has no resolvers.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from edgeline.release import store
from edgeline.store.locations import copy_tree


@component
def ProductionModel(
    model: OutputArtifact[Model],
    push: Parameter[str],
    model_name: Parameter[str],
    production: Parameter[str],
    code: Parameter[str],
) -> None:
    """Copies the production SavedModel out of the release store.

    `model` has the custom properties `has_model` (1 or 0) and `version`. `production` is the digest of the
    pointer to production, which keys the cache; empty where each step runs afresh.
    """
    release = store.current(push, model_name)
    model.set_int_custom_property("has_model", int(release is not None))
    model.set_int_custom_property("version", release.version if release else 0)
    target = Path(path_utils.serving_model_dir(model.uri))
    if release is None:
        # On a cluster, an empty folder would not reach the next step.
        target.parent.mkdir(parents=True, exist_ok=True)
        (Path(model.uri) / "no_model_in_production").touch()
    else:
        copy_tree(release.serving, target)
