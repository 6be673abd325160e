"""Writing files so that a killed run leaves either the old file or the new one, never half of one."""

import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of `path`; an OSError of the system, then and inside, becomes a sentence that says what helps."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.strerror is None or isinstance(error, FileNotFoundError):  # it is a sentence, or about another file
            raise
        todo = "make room, change its rights, or name another place, then repeat; what was written before is whole"
        raise OSError(f"{path} can't be written ({error.strerror}): {todo}.") from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it into place."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part{path.suffix}")
    with writing(path):
        try:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON with a trailing newline, atomically; NaN raises ValueError (JSON has none)."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """The JSON object in a file; FileNotFoundError; ValueError, with what to do, where it is torn or no object."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole JSON object ({error}): {advice}.") from None


def read_arrays(path: Path, advice: str) -> dict[str, np.ndarray]:
    """The arrays, no pickles, in an .npz file; FileNotFoundError; ValueError, with what to do, where it is torn."""
    with open(path, "rb") as file:
        try:
            return dict(np.load(file))
        except Exception as error:  # of the archive, its compression, numpy's header, ...
            raise ValueError(f"{path} is not a whole .npz file ({error}): {advice}.") from None


def jsonable(value: Any) -> Any:
    """`value` with numpy scalars, tuples and paths made plain, and NaN or infinity made None (JSON has neither)."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def settings_key(settings: Any) -> str:
    """12 hex digits that change when any JSON-serialisable setting changes; key order does not matter."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def printable(name: str) -> str:
    """A file name with bytes that are not UTF-8 (an old archive's) replaced, so that it can be written anywhere."""
    return os.fsencode(name).decode("utf-8", "replace")


def page_of(path: str | Path) -> tuple[Path, int | None]:
    """The file and the page, from 1, that a path names: "report.pdf#page=2" (RFC 8118) means 2, a plain path None."""
    path = Path(path)
    named = re.fullmatch(r"(.+)#page=([1-9][0-9]{0,5})", path.name, re.DOTALL)
    if not named or os.path.lexists(path):  # it may be a file's own name
        return path, None
    return path.with_name(named[1]), int(named[2])


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits; where `path` names a page of it, "#page=" and its number follow."""
    file, number = page_of(path)
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest if number is None else f"{digest}#page={number}"


def repository_root() -> Path | None:
    """The checkout this package lives in; None when it was installed without one."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "notebooks").is_dir() else None


def runs_root() -> Path:
    """Where runs are written: $ECG_RUNS, else Kaggle's working folder, else `runs/` of the checkout or here."""
    if os.environ.get("ECG_RUNS"):
        return Path(os.environ["ECG_RUNS"]).resolve()
    if Path("/kaggle/working").is_dir():
        return Path("/kaggle/working/runs")
    return (repository_root() or Path.cwd()) / "runs"


class OutOfTime(RuntimeError):
    """The time that was given is up: a stop, and no mistake; resuming goes on."""


def out_of_time() -> bool:
    """Whether $ECG_DEADLINE, in seconds since 1970, has passed; never where it is not set."""
    return time.time() > float(os.environ.get("ECG_DEADLINE") or "inf")


def check_time(left: str, up: bool | None = None) -> None:
    """Raise OutOfTime, which names what is `left` to do, when the time is `up`; None: when the deadline has passed."""
    if out_of_time() if up is None else up:
        raise OutOfTime(f"The time is up before {left}; what is done is kept: go on with --resume.")


class Progress:
    """What a long run has finished: one JSON object a line, appended as it comes, by its `name`.

    A line that a kill has torn is ignored, so its row is made again. Of several lines of one name the last counts.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.done: dict[str, dict[str, Any]] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(line)
                    self.done[entry["name"]] = entry

    def add(self, entry: dict[str, Any]) -> None:
        """Remember `entry`, which has a `name`; one that is there already is not written again."""
        if self.done.get(entry["name"]) == entry:
            return
        with writing(self.path), open(self.path, "a+b") as log:  # and closed after each line: a kill loses at most one
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - 1))
            torn = size > 0 and log.read(1) != b"\n"
            log.write(b"\n" * torn + json.dumps(entry, allow_nan=False).encode() + b"\n")
        self.done[entry["name"]] = entry

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from the same work meanwhile; OSError where one is at it, a dead one never is."""
        with writing(self.path):
            log = open(self.path, "ab")  # noqa: SIM115  the lock is that of the open file: it goes when that is closed
        with log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                what = f"Another process is at work in {self.path.parent}, on what {self.path.name} tells"
                raise OSError(f"{what}: wait for its end, or name another place.") from None
            except OSError as error:  # not every network's file system has locks
                said = f"{self.path} can't be locked ({error.strerror}): start no second run there."
                warnings.warn(said, stacklevel=4)
            yield
