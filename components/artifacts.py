"""The artifact types that TFX has no standard type for. Their files are named where they are written."""

from tfx.types.artifact import Artifact

# Of StatisticsGen, the folder beside those of the splits with what was counted of each span.
COUNTS = "spans"


class Quarantine(Artifact):
    """Photos that ingest quarantined (`quarantine.csv`), and the counts of the window (`ingest.json`)."""

    TYPE_NAME = "components.Quarantine"


class Verdict(Artifact):
    """A gate's verdict (`verdict.json`); custom property `passed` is 1 or 0."""

    TYPE_NAME = "components.Verdict"


class AcceptedData(Artifact):
    """A copy of what DataGate read of a window that it let pass, a folder each, by the names of `Sources`."""

    TYPE_NAME = "components.AcceptedData"


class EdgeModels(Artifact):
    """The files for a phone: `model_*.tflite`, `labels.txt`, `preprocessing.json` and how they were made."""

    TYPE_NAME = "components.EdgeModels"


class RunReportPage(Artifact):
    """The page of a run (`report.html`), and what it shows (`facts.json`)."""

    TYPE_NAME = "components.RunReportPage"
