"""Errors of others in plain words: of files, a worker that ended, a store, a cluster and its pods."""

import errno
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeline.errors import EdgelineError, Problem
from edgeline.secrets import redact

# A worker with less free space than this cannot write what happened to it.
_FULL_BELOW_BYTES = 64 * 1024
_NO_SPACE = re.compile("No space left on device|Disk quota exceeded|File too large|database or disk is full")
_NO_MEMORY = re.compile("OOM|alloc|memory", re.IGNORECASE)
_SQLITE_FAILS = "disk I/O error"
# The exit code of a worker that could not write its error: EX_IOERR of sysexits.h.
CANNOT_WRITE = 74
_AGAIN = "run the same command again: it goes on from the steps that are done."
_READ_LOG = (
    "The steps after it did not run.",
    "Read the log for more; the same command goes on from the steps that are done.",
)
_LOOK_AT_ADDRESS = "Check AWS_ENDPOINT_URL and the network, and run the same command again."
# Lines in which TensorFlow, absl, glibc or Python say why a process is about to end.
_LAST_WORDS = re.compile(
    r"^F\d{4} |\bFATAL\b|^Fatal|Check failed|terminate called|Aborted|MemoryError|^\w*(Error|Exception)\b: "
)
# Codes of a store that asks for fewer requests.
BUSY = frozenset(("SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded", "503", "429"))


@dataclass(frozen=True)
class Meaning:
    """The meaning of an error whose signs match a pattern; names in braces stand for values of the error."""

    signs: str  # a regular expression; an empty one matches everything
    found: str
    why: str
    do: str
    may_pass: bool = True  # False if waiting does not help


# By the program or thing that fails. The first meaning that matches counts.
_MEANINGS: Mapping[str, tuple[Meaning, ...]] = {
    "file": tuple(
        Meaning(
            signs,
            "{error}.",
            "A file could not be read or written; production is as it was.",
            f"{do}, and run the same command again.",
        )
        for signs, do in (
            ("ENOSPC", "Free some space, for example with `edgeline gc --keep 4`"),
            ("No usable temporary directory", "Free some space there, or set TMPDIR to a writable folder"),
            ("EROFS", "Mount it for writing, or name another place"),
            # Without a name of a file: Python asked where it is.
            (
                "ENOENT No such file or directory$",
                "Change to a folder that exists, since this one was removed",
            ),
            ("", "Fix that"),
        )
    ),
    "push folder": tuple(
        Meaning(signs, "{doing} failed: {error}.", f"{why} Production was not changed.", do)
        for signs, why, do in (
            (
                "ENOSPC|EDQUOT|EFBIG",
                "There is no room left on the disk of {root}.",
                "Free some space there and run this again.",
            ),
            (
                "EROFS|EACCES|EPERM",
                "This user may not write to {root}, or it is mounted read-only.",
                "Give this user write access to it, or set push.destination to another folder.",
            ),
            ("", "The push folder {root} cannot be used.", "Remove the cause and run this again."),
        )
    ),
    "worker": tuple(
        Meaning(signs, "The worker process was ended by {signal} {where}.{hint}", why, do)
        for signs, why, do in (
            (
                "SIGKILL",
                "Edgeline did not send it; usually the system kills a process when memory runs out.",
                f"Close other programs or lower trainer.batch_size, and {_AGAIN}",
            ),
            (
                "SIGABRT",
                "A native library aborted; its last message is in the log.",
                f"Read it, and {_AGAIN}",
            ),
            (
                "SIGBUS",
                "A file that was mapped into memory became shorter, usually because a disk or /dev/shm is"
                " full.",
                f"Free some space, and {_AGAIN}",
            ),
            (
                "SIGILL",
                "This processor lacks an instruction that TensorFlow was built with, usually AVX.",
                "Use a machine with AVX.",
            ),
            ("", "A native library crashed.", f"{_AGAIN.capitalize()} If it crashes again, read the log."),
        )
    ),
    # Names of exceptions, and codes of stores.
    "store": (
        Meaning(
            "NoSuchBucket",
            "{place}: the bucket {bucket!r} does not exist{at}.",
            "Edgeline does not create buckets.",
            "Check its name and AWS_ENDPOINT_URL, or create it, and run the same command again.",
        ),
        Meaning(
            "NoCredentialsError|PartialCredentialsError|CredentialRetrievalError|PermissionError|AccessDenied|"
            "InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired|"
            "UnauthorizedSSOTokenError|ProfileNotFound|403",
            "{place} was refused{at}: {text}",
            "The keys are missing, wrong or expired, or do not permit this operation.",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to the keys of a user who may read and write"
            " there (and AWS_ENDPOINT_URL for a store other than AWS's own), and run the same command again.",
        ),
        Meaning(
            "|".join(BUSY),
            "{place} asks for fewer requests{at}: {text}",
            "Each request was tried several times, with waits in between.",
            "Run the same command again when the store is less busy.",
        ),
        Meaning(
            "ConnectTimeoutError|ReadTimeoutError|FSTimeoutError|TimeoutError|RequestTimeout",
            "{place} did not answer in time{at}: {text}",
            "The store is overloaded, or something on the network path drops the requests.",
            _LOOK_AT_ADDRESS,
        ),
        Meaning(
            "ConnectionError|HTTPClientError|ClientConnectionError",
            "{place} cannot be reached{at}: {text}",
            "Nothing listens at that address, or its host name cannot be resolved.",
            _LOOK_AT_ADDRESS,
        ),
        Meaning(
            "OSError|ClientError|BotoCoreError",
            "{place}: the store answered with an error{at}: {text}",
            "The operation was not carried out.",
            "Read the store's own log, and run the same command again.",
        ),
    ),
    # The HTTP status of an answer, or what went wrong before there was one.
    "Kubeflow": (
        Meaning(
            "login page",
            "{host} answered with a web page while {doing}.",
            "It is usually a login page: the request lacks valid credentials.",
            "Set KFP_TOKEN to a token, or KFP_COOKIES to the cookies of a logged-in browser session;"
            " or pass the URL of the API itself as --host, for example through `kubectl port-forward`.",
        ),
        Meaning(
            "40[13]",
            "{text}",
            "The token or session is missing, has expired, or lacks the permission.",
            "Set KFP_TOKEN (or KFP_COOKIES) to a new one, and run the same command again.",
        ),
        Meaning(
            "404 of another server",
            "{text}",
            "A server answers there, but it is not the API of Kubeflow Pipelines, version 2.",
            "Check --host: pass the URL under which /apis/v2beta1/healthz answers, usually without a path.",
        ),
        Meaning(
            r"5\d\d",
            "{text}",
            "Kubeflow Pipelines, or a service that it depends on, has failed.",
            "Run the same command again. If the error persists, read"
            " `kubectl logs deployment/ml-pipeline -n kubeflow`.",
        ),
        Meaning(
            r"[1-4]\d\d",
            "{text}",
            "Kubeflow Pipelines refused the request and changed nothing.",
            "Fix what the answer names, and run the same command again.",
        ),
        Meaning(
            "certificate",
            "{host} cannot be reached over TLS: {text}",
            "Its certificate cannot be verified, or it does not use https.",
            "Set SSL_CERT_FILE to the certificates of the authority that signed it, or pass an http:// URL if"
            " the server uses plain http.",
        ),
        Meaning(
            "timeout",
            "{host} did not answer in time while {doing}.",
            "The request was sent; whether the server carried it out is not known.",
            "Look at its page before you run the same command again.",
        ),
        Meaning(
            "connection",
            "{host} cannot be reached while {doing}: {text}",
            "No server answers there.",
            "Check --host, kubeflow.host or KFP_ENDPOINT, and whether the cluster or the port-forward is up.",
        ),
    ),
    # Messages of Kubernetes about a pod that does not start.
    "pending pod": tuple(
        Meaning(signs, "{subject} does not start: {text}.", why, do, may_pass)
        for signs, may_pass, why, do in (
            (
                "ImagePullBackOff|ErrImagePull|InvalidImageName|ErrImageNeverPull",
                False,
                "The cluster cannot get the image: its name or tag is wrong, the registry requires a login,"
                " or the node lacks it and may not pull it.",
                "Check kubeflow.image, kubeflow.image_pull_secrets and kubeflow.image_pull_policy; on a local"
                " cluster, load the image into it.",
            ),
            (
                r"persistentvolumeclaim \S+ not found",
                False,
                "The step mounts a claim that the settings name, such as kubeflow.data or kubeflow.push, and"
                " it does not exist in the namespace of the run.",
                "Create it with `kubectl apply`, or set another claim.",
            ),
            (
                "unbound immediate PersistentVolumeClaims|unbound PersistentVolumeClaim",
                True,
                "The claim exists, but no volume was found or created for it.",
                "Look at `kubectl describe pvc`: the cluster has to offer its storage class and access mode.",
            ),
            (
                r"CreateContainerConfigError|secret \S+ not found|configmap \S+ not found",
                False,
                "The step's environment comes from a secret that does not exist or lacks the key.",
                "Create it in the namespace of the run, or fix kubeflow.secrets.",
            ),
            (
                r"Insufficient (\S+?)[.,;]?( |$)",
                True,
                "No node of the cluster has enough left.",
                "Wait until one has, or lower the limits in kubeflow.steps; a GPU also needs its device"
                " plugin.",
            ),
            (
                r"node\(s\) had untolerated taint|didn't match Pod's node affinity/selector",
                False,
                "No node matches the step's node selector and tolerations.",
                "Fix node_selector and tolerations in kubeflow.steps.",
            ),
            # Every pod has a message of one word while it starts, such as ContainerCreating.
            (
                " ",
                True,
                "The cluster gives no other reason.",
                "Look at `kubectl describe pod` in the namespace of the run.",
            ),
        )
    ),
    # Messages of Argo about a pod that was ended from outside; the first is that of KFP's launcher.
    "ended pod": (
        Meaning(
            r"^(Error|main: Error) \(exit code (2|1[2-9]\d)\)",
            "{subject} lost its pod, which was asked to stop: {text}.",
            "",
            "",
        ),
        Meaning(
            "OOMKilled|exit code 137",
            "{subject} ran out of memory ({text}).",
            "",
            "Raise kubeflow.steps.{step}.memory_gb, or lower trainer.batch_size or data.window, and submit it"
            " again.",
        ),
        Meaning(
            "deadline|terminated",
            "{subject} was stopped: {text}.",
            "",
            "Start it again if it was not stopped on purpose.",
        ),
        Meaning("deleted|[Ee]victed", "{subject} lost its pod: {text}.", "", ""),
        Meaning("", "{subject} failed: {text}", "", ""),
    ),
}


def find_meaning(of: str, signs: str) -> Meaning | None:
    """Returns the meaning of an error of `of` by its signs; None if it is not known."""
    return next((entry for entry in _MEANINGS[of] if re.search(entry.signs, signs)), None)


def explain(of: str, signs: str, **values: object) -> Problem:
    """Returns an error of `of` that has a meaning as a problem, with the values that its sentences name."""
    meaning = find_meaning(of, signs)
    assert meaning is not None
    found, why, do = (part.format(**values) for part in (meaning.found, meaning.why, meaning.do))
    return Problem(found, why, do)


def walk_chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception, and every exception that it was raised from or during.

    Beam raises a copy of an exception, with the name of its stage in the message: the original stands for it.
    """
    ids: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is not None and id(link) not in ids:
            ids.add(id(link))
            before = [link.__cause__, link.__context__]
            if not (hasattr(link, "_tagged_with_step") and any(before)):
                yield link
            waiting += before


def describe(error: BaseException, step: str | None = None) -> Problem:
    """Describes an exception that was raised in a step, or outside of any."""
    for link in walk_chain(error):
        if isinstance(link, EdgelineError):
            return link.problem
    if step is None and isinstance(error, OSError):
        text = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
        return explain("file", f"{errno.errorcode.get(error.errno or 0)} {text}", error=text)
    where = f"The step {step}" if step else "The run"
    for link in walk_chain(error):
        is_full = isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if is_full or _NO_SPACE.search(str(link)):
            file = getattr(link, "filename", None)
            return _describe_full_disk(f"The disk is full{f', writing {file}' if file else ''}.", where)
        if _SQLITE_FAILS in str(link):  # it says so of a limit, a quota or a broken disk
            return _describe_full_disk(f"The database cannot be written: {_SQLITE_FAILS}.", where)
        # TensorFlow raises it also where there are too many files.
        is_exhausted = type(link).__name__ == "ResourceExhaustedError" and _NO_MEMORY.search(str(link))
        if isinstance(link, MemoryError) or is_exhausted:
            why = "Its data and its network take more memory than the machine, or its GPU, has free."
            do = f"Close other programs, or lower data.window or the photos' model.image_size, and {_AGAIN}"
            return Problem(f"{where} ran out of memory{_quote(link)}", why, do)
    root = list(walk_chain(error))[-1]
    return Problem(f"{where} failed: {type(root).__name__}{_quote(root)}", *_READ_LOG)


def _quote(error: BaseException) -> str:
    text = redact(" ".join(line.strip() for line in str(error).splitlines() if line.strip()))[:300]
    return f": {text}" if text else ""


def _describe_full_disk(found: str, who: str) -> Problem:
    why = f"{who} could not write its files; production is as it was."
    return Problem(found, why, f"Free some space, or raise a quota or `ulimit -f`, and {_AGAIN}")


def describe_death(returncode: int, step: str | None, log: Path) -> Problem:
    """Describes the end of a worker that ended in a step without reporting an error.

    The return code is that of subprocess: the negative number of the signal where a signal ended it.
    """
    if shutil.disk_usage(log.parent).free < _FULL_BELOW_BYTES:
        return _describe_full_disk(f"The disk of {log.parent} is full.", "The run")
    if returncode == CANNOT_WRITE:
        return _describe_full_disk("The worker could not write its error: no file can grow.", "The run")
    words = find_last_words(log)
    hint = f" From its log: {words}" if words else ""
    where = f"in the step {step}" if step else "before its first step"
    if returncode < 0:
        number = -returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return explain("worker", name, signal=name, where=where, hint=hint)
    found = f"The worker process ended with exit code {returncode} {where} and reported no error.{hint}"
    return Problem(found, *_READ_LOG)


def find_last_words(log: Path) -> str:
    """Returns the last line of a log that says why a process ended, cut at 300 characters; empty for none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 200_000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    matching = [line.strip() for line in lines if _LAST_WORDS.search(line)]
    return redact(matching[-1])[:300] if matching else ""
