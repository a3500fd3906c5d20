"""The entry point of TFX's Tuner, by its dotted path `trainer_module.search.tune.tuner_fn`."""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from tfx.components.tuner.component import TunerFnResult

from edgeline.errors import HeldBack, UsageError
from edgeline.records.events import TrialReported, report
from edgeline.records.training import FINISHED, TRIAL, Search, Trial
from edgeline.records.workload import Workload
from trainer_module.search.tune_settings import SEARCHED, TuneSettings, Values
from trainer_module.settings import LearningSettings, parse_seconds
from trainer_module.training import checkpoint
from trainer_module.training.budget import BudgetTooShort
from trainer_module.training.devices import make_strategy
from trainer_module.training.input_pipeline import hold_out
from trainer_module.training.task import Task, open_task, train_model

_log = logging.getLogger(__name__)
# Share of the groups of train that judge the trials.
_JUDGE_SHARE = 0.2


class _Settings(LearningSettings):
    tune: TuneSettings


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """Makes the search that TFX's Tuner runs; `custom_config` of its FnArgs is as for `run_fn`.

    Raises EdgelineError if the settings, the machine or the data do not allow training.
    """
    config = fn_args.custom_config
    began = time.monotonic()
    settings = _Settings.model_validate_json(config["settings"])
    replicas = make_strategy(settings.trainer)
    key = checkpoint.compute_training_key(
        config, fn_args.train_files, fn_args.transform_graph_path, replicas.num_replicas_in_sync
    )
    folder = Path(config["checkpoints"]) / key
    workload = Workload.from_json(config["workload"])
    data = (fn_args.transform_graph_path, fn_args.train_files, fn_args.eval_files)
    task = _replace_evaluation(open_task(workload, *data, settings.seed, folder))
    search = TrialSearch(settings, task, replicas, folder, fn_args.working_dir, began)
    return TunerFnResult(tuner=search, fit_kwargs={})


def _replace_evaluation(task: Task) -> Task:
    """Replaces the eval split by groups that are held out of train, which judge the trials."""
    rest, held_out = hold_out(task.training, _JUDGE_SHARE)
    if not len(held_out.shown):
        raise UsageError(
            "No class has examples of three groups to train on.",
            "Trials are judged on groups held out of train, because eval judges the model.",
            "Set tune.max_trials=0, or add examples of other groups.",
        )
    return replace(task, training=rest, evaluation=held_out)


def make_oracle(tune: TuneSettings, epochs: int, seed: int) -> keras_tuner.Oracle:
    """Makes the oracle that proposes the settings of trials; the same scores give the same proposals.

    Args:
        tune: Has the algorithm, the space, the objective and the number of trials.
        epochs: Most epochs of a trial, for hyperband; the bayesian algorithm does not read it.
        seed: 0 counts as 1, as KerasTuner replaces 0 by a random one.
    """
    options = {
        "objective": keras_tuner.Objective(tune.objective, "min" if tune.objective == "val_loss" else "max"),
        "hyperparameters": _make_hyperparameters(tune),
        "seed": seed or 1,  # KerasTuner replaces 0 by a random one
        "max_consecutive_failed_trials": tune.max_trials + 1,
    }
    if tune.algorithm == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=epochs, **options)
        oracle.max_trials = tune.max_trials
    else:
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(max_trials=tune.max_trials, **options)
    oracle.verbose = 0
    return oracle


def _make_hyperparameters(tune: TuneSettings) -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    for name, values in tune.space.items():
        group, _, leaf = name.partition(".")
        if isinstance(values.ends[0], bool):
            # A Choice would turn them into numbers.
            if len(set(values.choices)) == 1:
                space.Fixed(name, values.choices[0])
            else:
                space.Boolean(name)
            continue
        if values.choices:
            space.Choice(name, list(values.choices))
            continue
        add = space.Int if SEARCHED[group].model_fields[leaf].annotation is int else space.Float
        step = {} if values.step is None else {"step": values.step}
        add(name, *values.ends, sampling="log" if values.log else "linear", **step)
    return space


class TrialSearch(BaseTuner):
    """A KerasTuner search whose trials are trainings of this project.

    Each finished trial writes its result to a file in `folder`. A search that restarts after a kill asks the
    oracle from the first trial on and gives it these results. So it continues as an unbroken search would,
    which it would not from KerasTuner's own saved state; and a torn file of that state does no harm.
    """

    def __init__(
        self, settings: _Settings, task: Task, replicas: Any, folder: Path, working_dir: str, began: float
    ) -> None:
        self._settings, self._tune, self._trainer = settings, settings.tune, settings.trainer
        self._task, self._replicas, self._folder, self._began = task, replicas, folder, began
        self._trials: list[Trial] = []
        self._earlier_s = 0.0
        oracle = make_oracle(self._tune, self._trainer.epochs, task.seed)
        super().__init__(oracle=oracle, directory=working_dir, project_name="search", overwrite=True)

    def search(self) -> None:
        """Runs trials until their number is reached or the budget is spent.

        Raises HeldBack if no trial trained a model, and UsageError if not one fits into the budget.
        """
        if not self._run_trials():
            if not self._trials:
                raise UsageError(
                    f"tune.budget, {self._tune.budget}, is too short for one trial.",
                    "Without a finished trial there are no best settings to train with.",
                    "Set a longer budget, a smaller data.window or trainer.epochs, or use a GPU.",
                )
            progress = f"{len(self._trials)} of {self._tune.max_trials} trials"
            report(TrialReported(f"tune.budget is spent after {progress}"))
        if self._best is None:
            raise HeldBack(
                f"Each of {len(self._trials)} trials failed; the last one: {self._trials[-1].reason}",
                "There are no best settings to train with.",
                "Change tune.space, for example to a lower trainer.learning_rate, and run again.",
            )
        if self._tune.max_trials > 1 and sum(trial.score is not None for trial in self._trials) == 1:
            _log.warning("Only trial %d succeeded, so the search compared nothing.", self._best.number)
        most = max(trial.epochs or 0 for trial in self._trials if trial.score is not None)
        if self._tune.algorithm == "hyperband" and most < self._trainer.epochs:
            _log.warning(
                "No trial had all %d epochs, %d at most: hyperband needs more values in tune.space,"
                " trials that do not fail, or a longer tune.budget. Or set tune.algorithm=bayesian.",
                self._trainer.epochs,
                most,
            )
        (self._folder / FINISHED).touch()

    @property
    def result(self) -> Search:
        """Returns the result of a search that has ended."""
        assert self._best is not None
        return Search(self._tune.objective, self._best.number, tuple(self._trials))

    def _run_trials(self) -> bool:
        """Runs the trials one after another; returns whether there was time for all."""
        while self._left_s > 0 or (self._locate_trial(len(self._trials) + 1) / TRIAL.name).is_file():
            proposed = self.oracle.create_trial(self.tuner_id)
            if proposed.status != "RUNNING":
                return True
            trial = self._describe(proposed)
            result = self._find_result(trial) or self._train(trial)
            if result is None:
                break
            self._trials.append(result)
            self._report(proposed, result)
        return False

    def _describe(self, proposed: Any) -> Trial:
        """Returns our record of a trial that KerasTuner proposes, whose values are rounded in place."""
        values = proposed.hyperparameters.values
        for name in self._tune.space:
            values[name] = _round_value(values[name], self._tune.space[name])
        return Trial(
            number=len(self._trials) + 1,
            values={name: value for name, value in values.items() if "/" not in name},
            epochs=values.get("tuner/epochs", values.get("trainer.epochs", self._trainer.epochs)),
        )

    def _find_result(self, trial: Trial) -> Trial | None:
        """Returns the result of a trial that ended before a kill, or that was proposed before."""
        stored = TRIAL.find_readable(self._locate_trial(trial.number))
        if stored and _is_same(stored, trial):
            self._earlier_s += stored.seconds
            return stored
        # Oracles repeat proposals from a small space.
        twin = next((other for other in self._trials if _is_same(other, trial)), None)
        return twin and replace(twin, number=trial.number, seconds=0.0)

    def _report(self, trial: Any, result: Trial) -> None:
        """Reports the result of a trial to the oracle."""
        if result.score is None:
            report(TrialReported(f"{self._name(result)} failed: {result.reason}"))
            trial.status, trial.message = "FAILED", result.reason
        else:
            best = ", the best so far" if result is self._best else ""
            report(TrialReported(f"{self._name(result)}: {self._tune.objective} {result.score:.4f}{best}"))
            self.oracle.update_trial(trial.trial_id, {self._tune.objective: result.score})
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)

    def _train(self, trial: Trial) -> Trial | None:
        """Trains with the settings of a trial; returns None if too little of the budget is left for it."""
        began = time.monotonic()
        folder = self._locate_trial(trial.number)
        left_s = self._left_s
        is_short = left_s < self._trainer.budget_s
        values = ", ".join(f"{name}={_format_value(value)}" for name, value in trial.values.items())
        report(TrialReported(f"{self._name(trial)}: {values}"))
        keras.utils.clear_session()
        settings = self._settings.with_values(trial.values)
        limits: dict[str, Any] = {"epochs": trial.epochs, "checkpoint": "best"}
        if self._tune.algorithm == "hyperband":
            limits["min_steps"] = None
        if is_short:
            limits["budget"] = f"{max(1, int(left_s))}s"
        trainer = settings.trainer.model_copy(update=limits)
        checkpoints = folder / "checkpoints"

        try:
            trained = train_model(
                self._task, settings.model, trainer, self._replicas, checkpoints, began, exactly=is_short
            )
            outcome = trained.outcome
        except (HeldBack, BudgetTooShort) as error:
            if is_short and isinstance(error, BudgetTooShort):
                return None
            result = replace(trial, state="failed", reason=error.found)
        else:
            score = outcome.history[outcome.best_epoch][self._tune.objective]
            allowed = trained.settings.epochs
            result = replace(trial, score=score, best_epoch=outcome.best_epoch + 1, allowed_epochs=allowed)
        result = replace(result, seconds=round(time.monotonic() - began, 3))
        TRIAL.write(folder, result, sync=True)
        # The checkpoints go last: after a kill between both, the trial is done.
        shutil.rmtree(checkpoints, ignore_errors=True)
        return result

    @property
    def _best(self) -> Trial | None:
        sign = 1 if self._tune.objective == "val_loss" else -1
        scored = [trial for trial in self._trials if trial.score is not None]
        return min(scored, key=lambda trial: sign * (trial.score or 0.0), default=None)

    @property
    def _left_s(self) -> float:
        """Returns the seconds left of the budget, of which trials before a kill have also used some."""
        return parse_seconds(self._tune.budget) - self._earlier_s - (time.monotonic() - self._began)

    def _locate_trial(self, number: int) -> Path:
        return self._folder / f"trial-{number}"

    def _name(self, trial: Trial) -> str:
        return f"trial {trial.number} of {self._tune.max_trials}"


def _round_value(value: Any, values: Values) -> Any:
    """Converts a proposed value to a Python type, rounded to the six digits that a person would write."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.6g}") if isinstance(value, float) and not values.choices else value


def _is_same(one: Trial, other: Trial) -> bool:
    return (one.values, one.epochs) == (other.values, other.epochs)


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
