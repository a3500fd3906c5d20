"""The artifact types that TFX has no standard type for; the modules that write them name their files."""

from tfx.types.artifact import Artifact

# The folder of the bundle in production, beside the SavedModel that ProductionModel puts out.
PRODUCTION_EDGE = "edge"


class Quarantine(Artifact):
    """Photos that ingest quarantined (`quarantine.csv`), and the counts of the window (`ingest.json`)."""

    TYPE_NAME = "components.Quarantine"


class Verdict(Artifact):
    """A gate's verdict (`verdict.json`); custom property `passed` is 1 or 0."""

    TYPE_NAME = "components.Verdict"


class AcceptedData(Artifact):
    """Copies of DataGate's inputs for a window that passed, one folder each, by the names of `Sources`."""

    TYPE_NAME = "components.AcceptedData"


class EdgeModels(Artifact):
    """The files for a phone: `model_*.tflite`, `labels.txt`, `preprocessing.json`, and the conversions."""

    TYPE_NAME = "components.EdgeModels"


class RunReportPage(Artifact):
    """The page of a run (`report.html`), and the facts that it shows (`facts.json`)."""

    TYPE_NAME = "components.RunReportPage"
