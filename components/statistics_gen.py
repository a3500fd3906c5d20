"""The executor of StatisticsGen: it counts spans with TensorFlow Data Validation, and merges the counts."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME, Executor
from tfx.types import artifact_utils

from components import statistics_by_span
from components.artifacts import COUNTS
from components.ingest.kept_spans import KeptSpans
from edgeline.gates.drift import statistics_options

log = logging.getLogger("edgeline.statistics")


class StatisticsExecutor(Executor):
    """An executor that counts only spans that no earlier run has counted."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """Computes the statistics as described at `components.tfx_steps.StatisticsGen`."""
        options = statistics_options(**json.loads(exec_properties["features"]))
        (examples,), (statistics,) = input_dict["examples"], output_dict["statistics"]
        statistics.split_names, statistics.span = examples.split_names, examples.span
        contents = json.loads(examples.get_string_custom_property("contents"))
        newest = f"span_{examples.span}"
        contents[newest] += " newest"  # the feature `newest_span` has another value next week
        about = json.dumps([exec_properties["features"], exec_properties["code"]])
        kept = KeptSpans(Path(place), about) if (place := exec_properties.get("kept")) else None
        counts = Path(statistics.uri, COUNTS)
        shutil.rmtree(counts, ignore_errors=True)  # left by an attempt that was killed
        counts.mkdir(parents=True)
        fresh = [
            key
            for key, content in contents.items()
            if kept is None or not kept.take(key, content, counts / key)
        ]
        log.info("%d of %d spans are counted; an earlier run counted the others.", len(fresh), len(contents))
        splits = artifact_utils.decode_split_names(examples.split_names)
        files = {split: f"{artifact_utils.get_split_uri([examples], split)}/*.gz" for split in splits}
        for key in fresh:
            (counts / key).mkdir()
        if fresh:
            chosen = fresh if len(fresh) < len(contents) else None
            with self._make_beam_pipeline() as pipeline:
                statistics_by_span.count_spans(pipeline, files, chosen, options, counts)
        for split in splits:
            merged = statistics_by_span.merge_window(counts, split, newest, options)
            folder = Path(artifact_utils.get_split_uri([statistics], split))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / DEFAULT_FILE_NAME).write_bytes(merged.SerializeToString())
        if kept is not None:
            kept.update(contents, [counts / key for key in fresh])
