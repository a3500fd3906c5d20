"""What runs StatisticsGen: TFX's own, with options that are made where TensorFlow Data Validation is."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from tfx.components.statistics_gen.executor import DEFAULT_FILE_NAME, Executor
from tfx.types import artifact_utils

from components import statistics_by_span
from components.kept_spans import KeptSpans
from gates.drift import statistics_options

log = logging.getLogger("edgeline.statistics")


class StatisticsExecutor(Executor):
    """Counts what the examples are like."""

    def Do(
        self, input_dict: dict[str, Any], output_dict: dict[str, Any], exec_properties: dict[str, Any]
    ) -> None:
        """See `components.tfx_steps.StatisticsGen`."""
        options = statistics_options(**json.loads(exec_properties["features"]))
        if not exec_properties.get("kept"):
            given = {"stats_options_json": options.to_json(), "exclude_splits": "[]"}
            super().Do(input_dict, output_dict, given)
            return
        (examples,), (statistics,) = input_dict["examples"], output_dict["statistics"]
        statistics.split_names, statistics.span = examples.split_names, examples.span
        contents = json.loads(examples.get_string_custom_property("contents"))
        newest = f"span_{examples.span}"
        contents[newest] += " newest"  # a feature says so, and another value next week
        about = json.dumps([exec_properties["features"], exec_properties["code"]])
        kept = KeptSpans(Path(exec_properties["kept"]), about)
        scratch = Path(statistics.uri, "scratch")
        shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
        scratch.mkdir(parents=True)
        fresh = [key for key, content in contents.items() if not kept.take(key, content, scratch / key)]
        log.info("%d of %d spans are counted; the others were by an earlier run.", len(fresh), len(contents))
        splits = artifact_utils.decode_split_names(examples.split_names)
        files = {split: f"{artifact_utils.get_split_uri([examples], split)}/*.gz" for split in splits}
        for key in fresh:
            (scratch / key).mkdir()
        if fresh:
            some = fresh if len(fresh) < len(contents) else None
            with self._make_beam_pipeline() as pipeline:
                statistics_by_span.count_spans(pipeline, files, some, options, scratch)
        for split in splits:
            found = statistics_by_span.merge_spans(scratch, split, newest, options)
            folder = Path(artifact_utils.get_split_uri([statistics], split))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / DEFAULT_FILE_NAME).write_bytes(found.SerializeToString())
        kept.update(contents, [scratch / key for key in fresh])
        shutil.rmtree(scratch)
