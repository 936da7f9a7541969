"""Faults that the server commits when it is told to, so that a client can be tried end to end over HTTP.

A fault is written `NAME[=VALUE][@WHICH][*TIMES]`, for example `break=1000`, `error=503*2`, `expired*always`,
`api-error=500@DownloadDataFiles`, `api-lost@CreateSubmission`. It waits for a request that it fits, acts on TIMES of
them (1 unless said) and is gone. One request meets at most one fault that refuses it or cuts it off: of those that
fit, the first in the list. The faults that change what is sent (changed, corrupt, ignore-range, no-length, slow) come
on top of it.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from kagglerun.errors import ConfigError, unknown_name

_SPEC = re.compile(r"(?P<name>[^=@*]+)(?:=(?P<value>[^=@*]+))?(?:@(?P<which>[^=@*]+))?(?:\*(?P<times>[^=@*]+))?")
_ALWAYS = "always"
_API_METHOD = re.compile(r"[A-Z][A-Za-z]+")
DOWNLOADS = ("bundle", "file", "whole", "range", "resume", "part", "tail")
"""Words for download requests: the bundle or a single file; the whole of it or a range, which is the rest from a byte
on (resume), or a part, or a part that ends with the file's last byte (tail)."""


class Acts(StrEnum):
    """What a fault does to the request that it hits."""

    REFUSES = "refuses a download"
    CUTS = "cuts a download off"
    CHANGES = "changes what a download sends"
    API = "answers an API call in its own way"
    LOSES = "carries an API call out and loses the answer"
    UPLOADS = "hits an upload"
    SUBMITS = "changes what becomes of a submission"


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: as it is written.
        acts: on what, and how.
        text: what happens.
        value: what stands behind `=`: BYTES, OFFSET, SECONDS, STATUS, BYTES_PER_SECOND; "" for nothing.
        lowest: the smallest value allowed.
        highest: the largest value allowed.
        default: the value where none is written; None when one must be, or when half of the answer is meant.
        optional: whether the value may be left out.
    """

    name: str
    acts: Acts
    text: str
    value: str = ""
    lowest: int = 0
    highest: int = 1 << 62
    default: int | None = None
    optional: bool = False


_ANY = -(1 << 62)
_HALF = " (negative: from the answer's end; without BYTES: half way)"
_ALL_KINDS = (
    Kind("break", Acts.CUTS, f"the connection is reset after BYTES{_HALF}", "BYTES", _ANY, optional=True),
    Kind("truncated", Acts.CUTS, f"the connection ends in order after BYTES{_HALF}", "BYTES", _ANY, optional=True),
    Kind("stall", Acts.CUTS, f"nothing comes after BYTES, the connection stays{_HALF}", "BYTES", _ANY, optional=True),
    Kind("corrupt", Acts.CHANGES, "the byte at OFFSET of the file is flipped (negative: from its end)", "OFFSET", _ANY),
    Kind("slow", Acts.CHANGES, "the answer comes at this rate", "BYTES_PER_SECOND", 1),
    Kind("changed", Acts.CHANGES, "the next request finds another file, longer by BYTES", "BYTES", 0, 999, 1, True),
    Kind("ignore-range", Acts.CHANGES, "a request for a range gets 200 and the whole file"),
    Kind("no-length", Acts.CHANGES, "the answer has no Content-Length (chunked coding)"),
    Kind("expired", Acts.REFUSES, "403 for ranges at an address used before, until a new one is asked for"),
    Kind("rate-limit", Acts.REFUSES, "429 with Retry-After", "SECONDS", 0, 86400, 1, True),
    Kind("error", Acts.REFUSES, "this status instead of the file", "STATUS", 400, 599, 503, True),
    Kind("html", Acts.REFUSES, "200 and a web page instead of the file, as a hotel's network answers"),
    Kind("unauthenticated", Acts.API, "401: the key is not accepted"),
    Kind("rules", Acts.API, "403: the rules are not accepted (downloads and submissions)"),
    Kind("phone", Acts.API, "403: the phone number is not verified (downloads and submissions)"),
    Kind("not-entered", Acts.API, "403: the competition was not joined (downloads and submissions)"),
    Kind("gone", Acts.API, "404: there is no such competition"),
    Kind("api-rate-limit", Acts.API, "429 with Retry-After", "SECONDS", 0, 86400, 1, True),
    Kind("api-error", Acts.API, "this status", "STATUS", 400, 599, 503, True),
    Kind("api-break", Acts.API, "the connection is reset without an answer"),
    Kind("api-stall", Acts.API, "no answer comes, the connection stays"),
    Kind("api-html", Acts.API, "200 and a web page instead of JSON"),
    Kind("api-lost", Acts.LOSES, "the call is carried out, then the connection is reset without an answer"),
    Kind("api-lost-half", Acts.LOSES, "the call is carried out, and its answer breaks off half way"),
    Kind("api-lost-stall", Acts.LOSES, "the call is carried out, and no answer comes, the connection stays"),
    Kind("api-lost-error", Acts.LOSES, "the call is carried out, and this status comes", "STATUS", 400, 599, 502, True),
    Kind("api-lost-html", Acts.LOSES, "the call is carried out, and 200 and a web page come"),
    Kind("upload-break", Acts.UPLOADS, "the connection is reset after BYTES of an upload", "BYTES", 0, optional=True),
    Kind("upload-stall", Acts.UPLOADS, "an upload is not read on after BYTES, nor answered", "BYTES", 0, optional=True),
    Kind("upload-error", Acts.UPLOADS, "this status; nothing of the upload is kept", "STATUS", 400, 599, 503, True),
    Kind("upload-html", Acts.UPLOADS, "200 and a web page; nothing of the upload is kept"),
    Kind("upload-lost", Acts.UPLOADS, "the upload arrives, then the connection is reset without an answer"),
    Kind("upload-lost-stall", Acts.UPLOADS, "the upload arrives, and no answer comes, the connection stays"),
    Kind("upload-lost-error", Acts.UPLOADS, "the upload arrives, and this status comes", "STATUS", 400, 599, 502, True),
    Kind("used-up", Acts.SUBMITS, "another client uses up the day's allowance just before a submission is entered"),
    Kind("hollow", Acts.SUBMITS, "success is told, with this number, and no submission is made", "REF", optional=True),
    Kind("lag", Acts.SUBMITS, "an answer does not know yet of submissions that came since the fault was ordered"),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _ALL_KINDS}
REFUSALS, CUTS, API_FAULTS, UPLOAD_FAULTS = (
    frozenset(kind.name for kind in _ALL_KINDS if kind.acts in acts)
    for acts in ((Acts.REFUSES,), (Acts.CUTS,), (Acts.API, Acts.LOSES), (Acts.UPLOADS,))
)
_CALLS = (Acts.API, Acts.LOSES, Acts.SUBMITS)
"""Kinds that meet calls of the API, which are picked by their method."""


@dataclass(frozen=True)
class Fault:
    """One fault that the server shall commit.

    Attributes:
        name: its kind.
        value: what stands behind `=`; None for none, where half of the answer is meant if the kind takes bytes.
        which: the only requests that it hits: one of DOWNLOADS, or a method of the API; None for all.
        times: how many requests it still hits; None for all.
    """

    name: str
    value: int | None = None
    which: str | None = None
    times: int | None = 1

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value}"
        which = "" if self.which is None else f"@{self.which}"
        times = f"*{_ALWAYS}" if self.times is None else "" if self.times == 1 else f"*{self.times}"
        return self.name + value + which + times

    @property
    def kind(self) -> Kind:
        """What it does."""
        return KINDS[self.name]

    def place(self, length: int) -> int:
        """Where it acts in `length` bytes: half way without a value, from the end with a negative one."""
        if self.value is None:
            return length // 2
        return self.value if self.value >= 0 else length + self.value


def read_fault(spec: str) -> Fault:
    """Read a fault as the user writes it.

    Raises:
        ConfigError: it cannot be read, its name is not known, or its value is missing or out of range.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise ConfigError(
            f"{spec!r} is not a fault", hint="NAME[=VALUE][@WHICH][*TIMES], e.g. break=1000 or error=503*2"
        )
    name = match["name"]
    if name not in KINDS:
        raise unknown_name("fault", name, KINDS)
    kind = KINDS[name]
    return Fault(name, _value(kind, match["value"]), _which(kind, match["which"]), _times(spec, match["times"]))


def usage(kind: Kind) -> str:
    """How a kind of fault is written, e.g. `break[=BYTES]`."""
    if not kind.value:
        return kind.name
    return f"{kind.name}[={kind.value}]" if kind.optional else f"{kind.name}={kind.value}"


def _value(kind: Kind, text: str | None) -> int | None:
    if text is None:
        if kind.value and not kind.optional:
            raise ConfigError(f"the fault {kind.name!r} needs a value", hint=usage(kind))
        return kind.default
    if not kind.value:
        raise ConfigError(f"the fault {kind.name!r} takes no value", hint=kind.name)
    value = int(text) if re.fullmatch(r"-?\d{1,18}", text) else None
    if value is None or not kind.lowest <= value <= kind.highest:
        allowed = "a whole number" if kind.lowest == _ANY else f"a whole number from {kind.lowest}"
        allowed += f" to {kind.highest}" if kind.highest < 1 << 62 else ""
        raise ConfigError(f"{kind.value} of the fault {kind.name!r} is {allowed}, not {text!r}", hint=usage(kind))
    return value


def _which(kind: Kind, text: str | None) -> str | None:
    if text is None or (kind.acts in _CALLS and _API_METHOD.fullmatch(text)):
        return text
    if kind.acts is Acts.UPLOADS:
        raise ConfigError(f"the fault {kind.name!r} hits every upload, so {text!r} cannot be picked", hint=usage(kind))
    if kind.acts in _CALLS:
        raise ConfigError(f"{text!r} is not a method of the API", hint=f"for example: {kind.name}@DownloadDataFiles")
    if text not in DOWNLOADS:
        raise unknown_name("kind of download request", text, DOWNLOADS)
    return text


def _times(spec: str, text: str | None) -> int | None:
    if text == _ALWAYS:
        return None
    if text is not None and not (re.fullmatch(r"\d{1,9}", text) and int(text)):
        raise ConfigError(f"TIMES of the fault {spec!r} is a number from 1, or {_ALWAYS!r}, not {text!r}")
    return int(text or 1)


@dataclass(frozen=True)
class Version:
    """Which content of a file is sent.

    Attributes:
        number: how often it was changed; 0 for its own content.
        longer_bytes: how much longer each change made each file; 0 when the sizes stayed.
    """

    number: int = 0
    longer_bytes: int = 0


class Faults:
    """The faults still to be committed, and what is known of requests so far. Safe for use by several threads.

    Args:
        faults: in the order in which they come.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self.replace(faults)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Take these instead of all others, and forget what was."""
        with self._lock:
            self._left = list(faults)
            self._ordered = datetime.now(UTC)
            self._hits: Counter[str] = Counter()
            self._used: set[str] = set()
            self._expired: set[str] = set()
            self._asked_for: set[str] = set()
            self._versions: dict[str, Version] = {}

    def left(self) -> tuple[Fault, ...]:
        """The faults still to be committed."""
        with self._lock:
            return tuple(self._left)

    def ordered(self) -> datetime:
        """When these faults were ordered (UTC)."""
        return self._ordered

    def hits(self) -> dict[str, int]:
        """How many requests each kind of fault has hit."""
        with self._lock:
            return dict(self._hits)

    def take(
        self, names: Collection[str], words: Collection[str], fits: Callable[[Fault], bool] = lambda _fault: True
    ) -> Fault | None:
        """The first fault that fits a request; it has then hit once more.

        Args:
            names: the kinds that are possible now.
            words: what the request is called: DOWNLOADS that it is, or its method.
            fits: whether a fault can act on the request.
        """
        with self._lock:
            for index, fault in enumerate(self._left):
                if fault.name in names and (fault.which is None or fault.which in words) and fits(fault):
                    self._count(index, fault)
                    return fault
        return None

    def was_used(self, address: str) -> bool:
        """Whether something was sent from this signed address before."""
        return address in self._used

    def use(self, address: str) -> None:
        """Note that something is sent from this signed address."""
        with self._lock:
            self._used.add(address)

    def is_expired(self, address: str) -> bool:
        """Whether this signed address is no longer good."""
        return address in self._expired

    def expire(self, address: str) -> None:
        """Let a signed address be no longer good."""
        with self._lock:
            self._expired.add(address)

    def version_of(self, file: str, words: Collection[str]) -> Version:
        """Which content a request for a file gets: its own at first; each `changed` that hits makes another one."""
        if file in self._asked_for and (fault := self.take(("changed",), words)) is not None:
            self._versions[file] = Version(self.newest_of(file).number + 1, fault.value or 0)
        self._asked_for.add(file)
        return self.newest_of(file)

    def newest_of(self, file: str) -> Version:
        """Which content a file has by now."""
        return self._versions.get(file, Version())

    def _count(self, index: int, fault: Fault) -> None:
        self._hits[fault.name] += 1
        if fault.times is None:
            return
        if fault.times > 1:
            self._left[index] = replace(fault, times=fault.times - 1)
        else:
            del self._left[index]
