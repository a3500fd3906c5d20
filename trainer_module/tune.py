"""`tuner_fn`: what TFX's Tuner calls, by the dotted path `trainer_module.tune.tuner_fn`."""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from tfx.components.tuner.component import TunerFnResult

from errors import HeldBack, UsageError
from locations import whole
from records.training import FINISHED, TRIAL, Search, Trial
from records.workload import Workload
from trainer_module import checkpoint, trial_pods
from trainer_module.budget import BudgetTooShort
from trainer_module.devices import make_strategy
from trainer_module.input_pipeline import hold_out
from trainer_module.settings import ModelSettings, TrainerSettings, parse_seconds, replace_values
from trainer_module.training import Task, open_task, train_model
from trainer_module.trial_pods import Peer, Wanted
from trainer_module.tune_settings import SEARCHED, TuneSettings, Values

_log = logging.getLogger(__name__)
_progress = logging.getLogger("edgeline.progress")
# The share of the groups of train that trials are judged by.
_JUDGES = 0.2


def tuner_fn(fn_args: Any) -> TunerFnResult:
    """The search that TFX's Tuner runs.

    `custom_config` of TFX's FnArgs has `workload`, `model`, `trainer` and `tune` (settings), each as JSON,
    `seed`, `code` (the digest of what trains) and `checkpoints` (a folder that outlives a kill).

    Raises:
        EdgelineError: When the settings, the machine or the data do not allow training.
    """
    config, began = fn_args.custom_config, time.monotonic()
    key = checkpoint.training_key(config, fn_args.train_files, fn_args.transform_graph_path)
    folder = Path(config["checkpoints"]) / key
    trainer = TrainerSettings.model_validate_json(config["trainer"])
    replicas = make_strategy(trainer)
    workload = Workload.from_json(config["workload"])
    data = (fn_args.transform_graph_path, fn_args.train_files, fn_args.eval_files)
    search = TrialSearch(
        TuneSettings.model_validate_json(config["tune"]),
        _without_judge(open_task(workload, *data, config["seed"], folder)),
        ModelSettings.model_validate_json(config["model"]),
        trainer,
        replicas,
        folder,
        fn_args.working_dir,
        began,
    )
    return TunerFnResult(tuner=search, fit_kwargs={})


def _without_judge(task: Task) -> Task:
    """The task with groups that are held out of train to judge the trials, in place of the eval split."""
    rest, held = hold_out(task.training, _JUDGES)
    if not len(held.shown):
        raise UsageError(
            "No class has examples of three groups to train on.",
            "Groups that are held out of train judge the trials, since eval is to judge the model.",
            "Set tune.max_trials=0, or add examples of other groups.",
        )
    return replace(task, training=rest, evaluation=held)


def make_oracle(tune: TuneSettings, epochs: int, seed: int) -> keras_tuner.Oracle:
    """What proposes the settings of the next trial: to the same scores always the same ones."""
    about = {
        "objective": keras_tuner.Objective(tune.objective, "min" if tune.objective == "val_loss" else "max"),
        "hyperparameters": _hyperparameters(tune),
        "seed": seed or 1,  # Where it is 0, KerasTuner draws one.
        "max_consecutive_failed_trials": tune.max_trials + 1,
    }
    if tune.algorithm == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=epochs, **about)
        oracle.max_trials = tune.max_trials
    else:
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(max_trials=tune.max_trials, **about)
    oracle.verbose = 0
    return oracle


def _hyperparameters(tune: TuneSettings) -> keras_tuner.HyperParameters:
    found = keras_tuner.HyperParameters()
    for name, values in tune.space.items():
        group, _, leaf = name.partition(".")
        if isinstance(values.ends[0], bool):
            # A Choice would give them as numbers.
            one = len(set(values.choices)) == 1
            _ = found.Fixed(name, values.choices[0]) if one else found.Boolean(name)
            continue
        if values.choices:
            found.Choice(name, list(values.choices))
            continue
        add = found.Int if SEARCHED[group].model_fields[leaf].annotation is int else found.Float
        more = {} if values.step is None else {"step": values.step}
        add(name, *values.ends, sampling="log" if values.log else "linear", **more)
    return found


class TrialSearch(BaseTuner):
    """KerasTuner's search, of which a trial is one training of ours.

    The oracle proposes a round of trials, one for each pod that trains, and is told what came of them in
    their order. A finished trial leaves its result in `folder`, a file each. A search that begins again after
    a kill asks the oracle from the first trial on, and gives it these results: so it goes on as an unbroken
    one would, which KerasTuner's own state, reloaded, does not, and which a torn file of that state cannot
    prevent.
    """

    def __init__(
        self,
        tune: TuneSettings,
        task: Task,
        model: ModelSettings,
        trainer: TrainerSettings,
        replicas: Any,
        folder: Path,
        working_dir: str,
        began: float,
    ) -> None:
        self._tune, self._task, self._model, self._trainer = tune, task, model, trainer
        self._replicas, self._folder, self._began = replicas, folder, began
        self._trials: list[Trial] = []
        self._earlier_s = 0.0
        self._helpers: Sequence[Peer] = ()
        oracle = make_oracle(tune, trainer.epochs, task.seed)
        super().__init__(oracle=oracle, directory=working_dir, project_name="search", overwrite=True)

    def search(self) -> None:
        """Runs the trials, until they are as many as asked for or the budget is spent.

        In a pod that helps another it trains what that one sends, and there is no result.

        Raises:
            HeldBack: When no trial trained a model.
            UsageError: When not one trial fits into the budget.
            EdgelineError: When another pod is lost.
        """
        with trial_pods.joined() as (leader, self._helpers):
            if leader is not None:
                while (wanted := leader.receive(Wanted)) is not None:
                    leader.send(self._trained(wanted.trial, wanted.budget))
                return
            time_left = self._run()
            for helper in self._helpers:
                helper.send(None)
        if not time_left:
            if not self._trials:
                raise UsageError(
                    f"tune.budget, {self._tune.budget}, is too short for one trial.",
                    "Without one there are no better settings to train with.",
                    "Give it more time, a smaller data.window or trainer.epochs, or a GPU.",
                )
            self._tell(f"tune.budget is spent after {len(self._trials)} of {self._tune.max_trials} trials")
        if self._best is None:
            raise HeldBack(
                f"Each of {len(self._trials)} trials failed; the last one: {self._trials[-1].reason}",
                "There are no best settings to train with.",
                "Change tune.space, such as to a lower trainer.learning_rate, and run again.",
            )
        if self._tune.max_trials > 1 and sum(trial.score is not None for trial in self._trials) == 1:
            _log.warning("Only trial %d trained a model: the search compared nothing.", self._best.number)
        (self._folder / FINISHED).touch()

    @property
    def result(self) -> Search | None:
        """What the search found, once it has ended; None in a pod that helped another."""
        best = self._best
        return Search(self._tune.objective, best.number, tuple(self._trials)) if best else None

    def _run(self) -> bool:
        """Runs the trials, round by round; returns whether there was time for all."""
        while self._left_s > 0 or (self._place(len(self._trials) + 1) / TRIAL.name).is_file():
            proposed = self._proposed()
            if not proposed:
                return True
            ended = list(self._ended([new for _, new in proposed]))
            for (trial, _), done in zip(proposed, ended, strict=False):
                self._report(trial, done)
            if len(ended) < len(proposed):
                break
        return False

    def _proposed(self) -> list[tuple[Any, Trial]]:
        """The oracle's next trials, as many as there are pods, each beside ours of it."""
        found: list[tuple[Any, Trial]] = []
        for slot in range(1 + len(self._helpers)):
            trial = self.oracle.create_trial(f"{self.tuner_id}-{slot}")
            if trial.status != "RUNNING":
                break  # It has no more, or waits for what comes of these.
            given = trial.hyperparameters.values
            for name in self._tune.space:
                given[name] = _readable(given[name], self._tune.space[name])
            new = Trial(
                number=len(self._trials) + len(found) + 1,
                values={name: value for name, value in given.items() if "/" not in name},
                epochs=given.get("tuner/epochs", given.get("trainer.epochs", self._trainer.epochs)),
            )
            found.append((trial, new))
        return found

    def _ended(self, wanted: Sequence[Trial]) -> Iterator[Trial]:
        """What came of trials, in their order, up to the first that there was no time for."""
        ended: dict[int, Trial | None] = {
            one.number: done
            for one in wanted
            if (done := TRIAL.find_readable(self._place(one.number))) and _same(done, one)
        }
        self._earlier_s += max((done.seconds for done in ended.values() if done), default=0.0)
        new: list[Trial] = []
        for one in wanted:
            # Of a small space, oracles propose the same again: what would come of it is known.
            if one.number not in ended and not any(_same(one, other) for other in (*self._trials, *new)):
                new.append(one)
        ended |= zip((one.number for one in new), self._trained_at_once(new), strict=True)
        for one in wanted:
            if one.number not in ended:
                twin = next(trial for trial in self._trials if _same(trial, one))
                ended[one.number] = replace(twin, number=one.number, seconds=0.0)
            done = ended[one.number]
            if done is None:
                return
            self._trials.append(done)
            yield done

    def _trained_at_once(self, trials: Sequence[Trial]) -> list[Trial | None]:
        """Runs the first trial here, and each other in a pod of its own."""
        left_s = self._left_s
        budget = f"{max(1, int(left_s))}s" if left_s < self._trainer.budget_s else None
        busy = list(zip(self._helpers, trials[1:], strict=False))
        for helper, trial in busy:
            helper.send(Wanted(trial, budget))
        here = [self._trained(trial, budget) for trial in trials[:1]]
        return here + [helper.receive(Trial) for helper, _ in busy]

    def _report(self, trial: Any, done: Trial) -> None:
        """Tells the oracle what came of its trial."""
        if done.score is None:
            self._tell(f"{self._name(done)} failed: {done.reason}")
            trial.status, trial.message = "FAILED", done.reason
        else:
            best = ", the best so far" if done is self._best else ""
            self._tell(f"{self._name(done)}: {self._tune.objective} {done.score:.4f}{best}")
            self.oracle.update_trial(trial.trial_id, {self._tune.objective: done.score})
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)

    def _trained(self, trial: Trial, budget: str | None) -> Trial | None:
        """What comes of a training with the settings of a trial; None where the budget is too short for it.

        It is what the search has left, where that is less than the trial's own.
        """
        began, place = time.monotonic(), self._place(trial.number)
        self._tell(f"{self._name(trial)}: {', '.join(f'{n}={_shown(v)}' for n, v in trial.values.items())}")
        keras.utils.clear_session()
        model, trainer = replace_values(trial.values, self._model, self._trainer)
        limits: dict[str, Any] = {"epochs": trial.epochs}
        if budget:
            limits["budget"] = budget
        trainer = trainer.model_copy(update=limits)
        checkpoints = place / "checkpoints"
        try:
            trained = train_model(
                self._task, model, trainer, self._replicas, checkpoints, began, exactly=budget is not None
            )
            outcome = trained.outcome
        except (HeldBack, BudgetTooShort) as error:
            if budget and isinstance(error, BudgetTooShort):
                return None
            done = replace(trial, state="failed", reason=error.found)
        else:
            score = outcome.history[outcome.best_epoch][self._tune.objective]
            done = replace(trial, score=score, best_epoch=outcome.best_epoch + 1)
        done = replace(done, seconds=round(time.monotonic() - began, 3))
        place.mkdir(parents=True, exist_ok=True)
        with whole(place / TRIAL.name, sync=True) as file:
            file.write(TRIAL.to_bytes(done))
        # Last: killed between both, the trial is done.
        shutil.rmtree(checkpoints, ignore_errors=True)
        return done

    @property
    def _best(self) -> Trial | None:
        sign = 1 if self._tune.objective == "val_loss" else -1
        done = [trial for trial in self._trials if trial.score is not None]
        return min(done, key=lambda trial: sign * (trial.score or 0.0), default=None)

    @property
    def _left_s(self) -> float:
        """What is left of the budget, of which trials of before a kill have used some too."""
        return parse_seconds(self._tune.budget) - self._earlier_s - (time.monotonic() - self._began)

    def _place(self, number: int) -> Path:
        return self._folder / f"trial-{number}"

    def _name(self, trial: Trial) -> str:
        return f"trial {trial.number} of {self._tune.max_trials}"

    def _tell(self, text: str) -> None:
        _progress.info(text, extra={"progress": {"event": "trial", "text": text}})


def _readable(value: Any, values: Values) -> Any:
    """What an oracle proposes, as Python's own type, with no more digits than a person would pin."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.6g}") if isinstance(value, float) and not values.choices else value


def _same(one: Trial, other: Trial) -> bool:
    return (one.values, one.epochs) == (other.values, other.epochs)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
