"""A workspace with past runs in a real ML Metadata, as the launcher and TFX leave them."""

import os
import socket
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb

from edgeline.records.run import Run, Step
from edgeline.workspace.runs import RunFolder, list_files
from tests.outputs import record_output, write_run

COMPLETE, CACHED = pb.Execution.COMPLETE, pb.Execution.CACHED


class PastRuns:
    """Adds runs of two steps, `Schema` and `Trainer`; a text stands for the output of a step and its key."""

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.push = workspace, str(workspace / "push")
        workspace.mkdir(parents=True, exist_ok=True)
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(workspace / "metadata.sqlite")
        self.store = ml_metadata.MetadataStore(config)
        self._artifact = self.store.put_artifact_type(pb.ArtifactType(name="Model"))
        self._execution = self.store.put_execution_type(pb.ExecutionType(name="Step"))
        names = ("pipeline_run", "execution_cache")
        self._contexts = {name: self.store.put_context_type(pb.ContextType(name=name)) for name in names}

    def add(self, number: int, texts: dict[str, str], outcome: str = "pushed", model: str = "shelf") -> Run:
        run = Run(
            id=f"2026{number:04}-120000",
            number=number,
            outcome=outcome,
            workload=model,
            workload_source=model,
            data="/data",
            push=self.push,
            settings={},
            pid=os.getpid(),
            host=socket.gethostname(),
            started_at=f"2026-10-{number:02}T12:00:00Z",
            ended_at=f"2026-10-{number:02}T12:10:00Z",
            steps=tuple(Step(step, "done" if step in texts else "queued") for step in ("Schema", "Trainer")),
        )
        folder = write_run(self.workspace, run)
        folder.log.write_text("text\n" * 100)
        for step, text in texts.items():
            self._run_step(run.id, folder, step, text)
        return run

    def _run_step(self, run: str, folder: RunFolder, step: str, text: str) -> None:
        cache = self._get_context("execution_cache", f"{step} {text}")
        contexts = [self._get_context("pipeline_run", run), cache]
        artifact = self.find(step, text)
        execution = pb.Execution(
            type_id=self._execution, last_known_state=CACHED if artifact else COMPLETE, name=f"{run} {step}"
        )
        if artifact is None:
            (number,) = self.store.put_executions([execution])
            execution.id = number
            path = self.workspace / "artifacts" / step / "made" / str(number)
            path.mkdir(parents=True)
            (path / "made").write_text(text * 1000)
            (path / "more").write_text(text)
            artifact = pb.Artifact(type_id=self._artifact, uri=str(path), state=pb.Artifact.LIVE)
        event = pb.Event(type=pb.Event.OUTPUT)
        event.path.steps.add().key = "made"
        self.store.put_execution(execution, [(artifact, event)], contexts)
        record_output(folder, step, "made", artifact.uri, list_files(artifact.uri))

    def _get_context(self, kind: str, name: str) -> pb.Context:
        context = self.store.get_context_by_type_and_name(kind, name)
        if context is None:
            context = pb.Context(type_id=self._contexts[kind], name=name)
            (context.id,) = self.store.put_contexts([context])
        return context

    def find(self, step: str, text: str) -> pb.Artifact | None:
        """Returns the artifact that TFX would take from the cache: of a done execution, with its folder."""
        context = self.store.get_context_by_type_and_name("execution_cache", f"{step} {text}")
        for execution in self.store.get_executions_by_context(context.id) if context else ():
            for event in self.store.get_events_by_execution_ids([execution.id]):
                (artifact,) = self.store.get_artifacts_by_id([event.artifact_id])
                if execution.last_known_state in (COMPLETE, CACHED) and os.path.isdir(artifact.uri):
                    return artifact
        return None
