-- Lists the rows to remove, in tables that SQLite keeps in memory. `stays` tells whether the artifact with a
-- URI stays, `of_run` whether a name is that of a run that stays.

CREATE TEMP TABLE gone_artifact AS SELECT id FROM Artifact WHERE NOT stays(uri);

-- An execution stays with its run, or with an artifact that it made: the cache finds artifacts by execution.
-- The output of an Event is of type 4, and an Execution is complete in state 3 (metadata_store.proto).
CREATE TEMP TABLE gone_execution AS SELECT id FROM Execution
    EXCEPT SELECT execution_id FROM Association JOIN Context ON Context.id = context_id
        JOIN Type ON Type.id = Context.type_id WHERE Type.name = 'pipeline_run' AND of_run(Context.name)
    EXCEPT SELECT execution_id FROM Event JOIN Execution ON Execution.id = execution_id
        WHERE type = 4 AND last_known_state = 3 AND artifact_id NOT IN gone_artifact;

CREATE TEMP TABLE gone_context AS SELECT id FROM Context
    EXCEPT SELECT context_id FROM Association WHERE execution_id NOT IN gone_execution;
