"""Changes of production beside a push: the end of an open canary, and a renewed pointer."""

import logging
from collections.abc import Iterable, Sequence

from edgeline.errors import EdgelineError
from edgeline.gates.served import Judgement, judge_served, select_blocking
from edgeline.gates.settings import EvaluationSettings, ServedBound
from edgeline.records.served import PushedVersion, Served
from edgeline.records.verdict import EndedCanary
from edgeline.release import store
from edgeline.release.history import Change, read_history
from edgeline.release.layout import PushFolder
from edgeline.release.releases import list_released_versions, read_release
from edgeline.release.settings import PushSettings
from edgeline.settings_group import Group
from edgeline.store.locations import locate

log = logging.getLogger("edgeline.canary")


class ReleaseSettings(Group, extra="ignore"):
    """The settings that decide what gets into production, of all settings of a run."""

    push: PushSettings = PushSettings()
    evaluation: EvaluationSettings = EvaluationSettings()


def judge_canary(
    push: str, model: str, served: Served | None, bounds: Sequence[ServedBound]
) -> tuple[Change, Judgement] | None:
    """Returns the change that opened the open canary, and the judgement on it; None if none is open.

    Args:
        push: The root of the release store, or its URL.
        model: The name of the model in the store.
        served: What phones answered in the window; None if none did, which is judged as too few answers.
        bounds: Those of `evaluation.served`; only the ones that block are judged by.
    """
    history = read_history(PushFolder(locate(push)), model)
    rollout = history.rollout
    earlier = list(history.changes)
    if rollout is None:
        return None
    version = rollout.versions[1]
    while earlier and earlier[-1].candidate and earlier[-1].candidate.version == version:
        earlier.pop()
    if any(version in change.versions for change in earlier):
        text = f"Version {version} ran before this canary too, and its answers of then are not told apart."
        return rollout, Judgement(
            "too_few",
            (
                f"{text} End it with `edgeline promote {version} --reason R` or"
                f" `edgeline rollback --to {rollout.to_version} --reason R`.",
            ),
        )

    pushed = find_pushed(push, model, [version]).get(version)  # a damaged one is judged, but not promoted
    answers = served.of(version) if served else None
    return rollout, judge_served(version, answers, select_blocking(bounds), pushed)


def find_pushed(push: str, model: str, versions: Iterable[int]) -> dict[int, PushedVersion]:
    """Returns versions as the release store has them, without those that were never there.

    A collected one has only its number here, and a damaged one a description of the damage.

    Args:
        push: The root of the release store, or its URL.
        model: The name of the model in the store.
        versions: Those that are asked for; a phone may have sent any number.
    """
    folder = PushFolder(locate(push))
    collected = store.find_collected(push, model)
    released = list_released_versions(folder, model)
    digests = read_history(folder, model).manifests
    pushed = {}
    for version in versions:
        try:
            manifest = read_release(folder, model, version, digests.get(version)).manifest
            pushed[version] = PushedVersion.of(manifest.created, manifest.metrics)
        except EdgelineError as error:
            if version in collected:
                pushed[version] = PushedVersion(collected[version][1].when)
            elif version in released:
                pushed[version] = PushedVersion("", damage=error.found)
    return pushed


def end_canary(
    push: str, model: str, run: str, settings: ReleaseSettings, served: Served | None, may_promote: bool
) -> EndedCanary | None:
    """Promotes the candidate of an open canary if what it answered is good, withdraws it if that is bad.

    It does nothing without the setting `push.canary_percent`: then a person opened the canary, and ends it.
    What goes wrong is logged; the canary stays open, so the run pushes nothing.

    Args:
        push: The root of the release store, or its URL.
        model: The name of the model in the store.
        run: The id of the run, which the reason of the change names.
        settings: The bounds that judge the answers, and the keys that sign the change.
        served: What phones answered in the window; None if none did.
        may_promote: False for a run that is stopped: it withdraws a bad candidate, but promotes none.

    Returns:
        The end of the canary; None if none was ended.
    """
    if not settings.push.canary_percent:
        return None
    try:
        if (judged := judge_canary(push, model, served, settings.evaluation.served)) is None:
            return None
        rollout, judgement = judged
        keys = settings.push.load_keys()
        production, candidate = rollout.versions
        why = " ".join(judgement.sentences)
        ended = None
        reason = f"run {run}: {why}"
        if judgement.result == "bad":
            store.rollback(push, model, reason, production, seen=rollout, **keys)
            ended = EndedCanary("rollback", candidate, production, why)
        elif judgement.result == "good" and may_promote:
            store.promote(push, model, candidate, reason, seen=rollout, **keys)
            ended = EndedCanary("promote", production, candidate, why)
        log.info("The canary is %s: %s", judgement.result.replace("_", " "), reason)
        return ended
    except (EdgelineError, OSError) as error:
        log.warning("The canary was not ended: %s", error)
        return None


def renew_pointer(push: str, model: str, settings: PushSettings) -> None:
    """Renews the pointer after a run that pushed nothing, so that phones do not take it for an old one.

    What goes wrong is logged.

    Args:
        push: The root of the release store, or its URL.
        model: The name of the model in the store.
        settings: The days that the pointer is valid for, and the keys that sign it.
    """
    try:
        store.renew(push, model, days=settings.pointer_days, **settings.load_keys())
    except (EdgelineError, OSError) as error:
        log.warning("The pointer to production was not renewed: %s", error)
