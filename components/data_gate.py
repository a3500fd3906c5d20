"""DataGate: refuses a week of data before a second of training is spent.

The gate itself always succeeds and puts out a verdict, because a step that fails keeps no output on a
cluster; `DataAdmission` after it stops the run.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.types import BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import Quarantine, Verdict
from components.run_record import PARAMETERS as RECORD_PARAMETERS
from components.run_record import leave_record
from components.verdict import VerdictRecord, read_verdict, write_verdict
from errors import DataRefused
from report.facts import Outcome

DRIFT_FILE_NAME = "drift.json"

_LABEL = "label"
# Below this, the distance between two samples of one distribution is of the size of the thresholds
# themselves.
_MIN_PHOTOS_TO_COMPARE = 50

log = logging.getLogger("edgeline.gate")

Finding = tuple[str, str]


def statistics_options() -> Any:
    """What StatisticsGen computes: everything but pixels, for the window, its newest span, and the rest.

    Returns:
        A `tfdv.StatsOptions`.
    """
    import tensorflow_data_validation as tfdv
    from tfx_bsl.public.proto import slicing_spec_pb2

    slicing = slicing_spec_pb2.SlicingConfig()
    slicing.slicing_specs.add().feature_keys.append("newest_span")
    features = ["label", "lane_id", "session_id", "captured_at", "photo_id", "span", "newest_span"]
    features += ["width", "height", "byte_size", "brightness", "sharpness"]
    return tfdv.StatsOptions(feature_allowlist=features, slicing_config=slicing)


class DataGateExecutor(BaseExecutor):
    """Applies the rules of the settings and writes the verdict."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `DataGate`."""
        rules = json.loads(exec_properties["rules"])
        schema = _read_schema(artifact_utils.get_single_uri(input_dict["schema"]))
        quarantine = Path(artifact_utils.get_single_uri(input_dict["quarantine"]))
        ingest = json.loads((quarantine / "ingest.json").read_text(encoding="utf-8"))
        anomalies = artifact_utils.get_single_instance(input_dict["anomalies"])
        statistics = artifact_utils.get_single_instance(input_dict["statistics"])

        drift = _measure_drift(statistics, schema)
        findings = [
            *_schema_findings(anomalies),
            *_class_count_findings(ingest, rules["min_examples_per_class"]),
            *_quarantine_findings(ingest, rules["max_quarantine_fraction"]),
            *_drift_findings(drift),
        ]
        severity = rules["severity"]
        reasons = tuple(sentence for rule, sentence in findings if severity[rule] == "block")
        warnings = tuple(sentence for rule, sentence in findings if severity[rule] == "warn")
        newest = ingest["spans"][-1]
        if not reasons:
            passed = f"{newest['accepted']} of {newest['rows']} photos of {newest['name']} were accepted."
            verdict = VerdictRecord("data", "pass", (passed,), warnings)
        else:
            verdict = VerdictRecord("data", "fail", reasons, warnings)
        for warning in warnings:
            log.warning(warning)
        artifact = artifact_utils.get_single_instance(output_dict["verdict"])
        write_verdict(artifact.uri, verdict)
        measured = json.dumps([asdict(item) for item in drift], indent=1)
        Path(artifact.uri, DRIFT_FILE_NAME).write_text(measured, encoding="utf-8")
        artifact.set_int_custom_property("passed", int(verdict.passed))


def _read_schema(folder: str) -> Any:
    import tensorflow_data_validation as tfdv

    return tfdv.load_schema_text(str(next(Path(folder).glob("*.pbtxt"))))


def _schema_findings(anomalies_artifact: Any) -> Iterator[Finding]:
    """One finding a feature that breaks the curated schema, with the splits it was seen in."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    seen: dict[tuple[str, str], list[str]] = {}
    for split in artifact_utils.decode_split_names(anomalies_artifact.split_names):
        folder = artifact_utils.get_split_uri([anomalies_artifact], split)
        anomalies = anomalies_pb2.Anomalies.FromString(Path(folder, "SchemaDiff.pb").read_bytes())
        for feature, info in anomalies.anomaly_info.items():
            seen.setdefault((feature, f"{info.short_description}: {info.description}"), []).append(split)
    for (feature, text), splits in seen.items():
        yield "schema", f"{feature} breaks the schema in {' and '.join(splits)}: {text.rstrip('. ')}."


def _class_count_findings(ingest: Mapping[str, Any], least: int) -> Iterator[Finding]:
    for label, found in ingest["classes"].items():
        if found < least:
            yield (
                "class_count",
                f"Class {label} has {found} photos in the window; at least {least} are needed.",
            )


def _quarantine_findings(ingest: Mapping[str, Any], most: float) -> Iterator[Finding]:
    newest = ingest["spans"][-1]
    set_aside = sum(newest["rejected"].values())
    if newest["rows"] and set_aside / newest["rows"] > most:
        by_reason = ", ".join(f"{count} {reason}" for reason, count in newest["rejected"].items())
        yield (
            "quarantine",
            f"{set_aside} of {newest['rows']} photos of {newest['name']} were set aside"
            f" ({set_aside / newest['rows']:.1%}; at most {most:.1%}): {by_reason}.",
        )


@dataclass(frozen=True)
class Drift:
    """How far a feature of the newest span is from the spans before it.

    Attributes:
        feature: Its name.
        measure: The distance that the schema asks for: `l_infty` or `jensen_shannon_divergence`.
        distance: 0..1.
        threshold: The most that the schema allows.
        before: Mean and deviation, or the shares of the commonest values, in the spans before.
        now: The same in the newest span.
    """

    feature: str
    measure: str
    distance: float
    threshold: float
    before: str
    now: str


def _measure_drift(statistics_artifact: Any, schema: Any) -> list[Drift]:
    """Every feature that the schema has a comparator for; none where there is too little to compare."""
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

    folder = artifact_utils.get_split_uri([statistics_artifact], "train")
    datasets = tfdv.load_stats_binary(str(Path(folder, "FeatureStats.pb"))).datasets
    by_name = {dataset.name: dataset for dataset in datasets}
    newest, older = by_name.get("newest_span_1"), by_name.get("newest_span_0")
    if (
        newest is None
        or older is None
        or min(newest.num_examples, older.num_examples) < _MIN_PHOTOS_TO_COMPARE
    ):
        log.info(
            "The newest span was not compared with older ones: fewer than %d photos.", _MIN_PHOTOS_TO_COMPARE
        )
        return []
    result = tfdv.validate_statistics(
        statistics_pb2.DatasetFeatureStatisticsList(datasets=[newest]),
        schema,
        previous_statistics=statistics_pb2.DatasetFeatureStatisticsList(datasets=[older]),
    )
    kinds = anomalies_pb2.DriftSkewInfo.Measurement.Type
    drifts = []
    for info in result.drift_skew_info:
        feature = ".".join(info.path.step)
        before, now = _describe(feature, older), _describe(feature, newest)
        for found in info.drift_measurements:
            measure = kinds.Name(found.type).lower()
            drifts.append(Drift(feature, measure, found.value, found.threshold, before, now))
    return drifts


def _drift_findings(drifts: Iterable[Drift]) -> Iterator[Finding]:
    """Features whose distribution in the newest span is further from older spans than the schema allows."""
    for drift in drifts:
        if drift.distance > drift.threshold:
            yield (
                "label_shift" if drift.feature == _LABEL else "drift",
                f"{drift.feature} of the newest span is {drift.distance:.3f} away from the spans before it"
                f" (at most {drift.threshold:.3f}): {drift.before} before, {drift.now} now.",
            )


def _describe(feature: str, dataset: Any) -> str:
    """Mean and deviation of a number, shares of the commonest values of a text."""
    stats = next(item for item in dataset.features if (item.name or ".".join(item.path.step)) == feature)
    if stats.HasField("num_stats"):
        return f"mean {stats.num_stats.mean:.4g} (deviation {stats.num_stats.std_dev:.3g})"
    top = [(value.value, value.frequency) for value in stats.string_stats.top_values]
    total = stats.string_stats.common_stats.num_non_missing
    return ", ".join(f"{value} {count / total:.1%}" for value, count in top[:5])


class DataGateSpec(ComponentSpec):
    """Parameters and channels of `DataGate`."""

    PARAMETERS = {"rules": ExecutionParameter(type=str)}
    INPUTS = {
        "statistics": ChannelParameter(type=ExampleStatistics),
        "schema": ChannelParameter(type=Schema),
        "anomalies": ChannelParameter(type=ExampleAnomalies),
        "quarantine": ChannelParameter(type=Quarantine),
    }
    OUTPUTS = {"verdict": ChannelParameter(type=Verdict)}


class DataGate(BaseComponent):
    """Judges a window of data.

    Args:
        statistics: Statistics with the options of `statistics_options`.
        schema: The curated schema, with drift comparators.
        anomalies: What ExampleValidator found against that schema.
        quarantine: What ingest set aside.
        rules: `min_examples_per_class`, `max_quarantine_fraction` and `severity` by rule, as in the settings.
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = ExecutorClassSpec(DataGateExecutor)

    def __init__(
        self,
        statistics: BaseChannel,
        schema: BaseChannel,
        anomalies: BaseChannel,
        quarantine: BaseChannel,
        rules: Mapping[str, Any],
    ) -> None:
        super().__init__(
            DataGateSpec(
                statistics=statistics,
                schema=schema,
                anomalies=anomalies,
                quarantine=quarantine,
                rules=json.dumps(dict(rules), sort_keys=True),
                verdict=Channel(type=Verdict),
            )
        )


class DataAdmissionExecutor(BaseExecutor):
    """Stops the run when the data gate's verdict is `fail`; on a cluster leaves a record of the run."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `DataAdmission`.

        Raises:
            DataRefused: The verdict is `fail`.
        """
        verdict = read_verdict(artifact_utils.get_single_uri(input_dict["data_verdict"]))
        # One machine's runner makes the page of every run when it has ended. On a cluster, what is known so
        # far stays the record of a run that comes to no end.
        if exec_properties["records"]:
            outcome: Outcome = "running" if verdict.passed else "refused"
            leave_record(input_dict, exec_properties, outcome, () if verdict.passed else verdict.reasons)
        if not verdict.passed:
            raise DataRefused(
                " ".join(verdict.reasons),
                "Nothing was trained.",
                f"Look closer: `{verdict.look_closer}`. Mend the week, or go on without it:"
                " `edgeline data exclude SPAN --reason R --data DIR`.",
            )


class DataAdmissionSpec(ComponentSpec):
    """Parameters and channels of `DataAdmission`."""

    PARAMETERS = {name: ExecutionParameter(type=str) for name in RECORD_PARAMETERS}
    INPUTS = {
        "data_verdict": ChannelParameter(type=Verdict),
        "statistics": ChannelParameter(type=ExampleStatistics),
        "anomalies": ChannelParameter(type=ExampleAnomalies),
        "quarantine": ChannelParameter(type=Quarantine),
    }
    OUTPUTS: dict[str, ChannelParameter] = {}


class DataAdmission(BaseComponent):
    """Lets the run go on to training, or stops it.

    Args:
        data_verdict: The data gate's.
        statistics: What the verdict rests on; like the next two, for the record of a run that is stopped.
        anomalies: The same.
        quarantine: The same.
        **about: As for `RunReport`: `run`, `model_name`, `data`, `settings` and `records`.
    """

    SPEC_CLASS = DataAdmissionSpec
    EXECUTOR_SPEC = ExecutorClassSpec(DataAdmissionExecutor)

    def __init__(
        self,
        data_verdict: BaseChannel,
        statistics: BaseChannel,
        anomalies: BaseChannel,
        quarantine: BaseChannel,
        **about: str,
    ) -> None:
        super().__init__(
            DataAdmissionSpec(
                data_verdict=data_verdict,
                statistics=statistics,
                anomalies=anomalies,
                quarantine=quarantine,
                **about,
            )
        )
