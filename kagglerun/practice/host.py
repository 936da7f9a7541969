"""What every route works with."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kagglerun.practice.competitions import Catalogue, Hosted
from kagglerun.practice.deposits import Deposits
from kagglerun.practice.faults import Fault, Faults
from kagglerun.practice.kernel_runs import Kept, KernelRunner
from kagglerun.practice.kernels import Kernels
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.scoring import Scorer
from kagglerun.practice.state import Store
from kagglerun.practice.wire import ApiError

USER = "practice"


def _now() -> datetime:
    return datetime.now(UTC)


class RateLimit:
    """At most so many calls a minute.

    Args:
        calls: the number; 0 for no limit.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def check(self) -> None:
        """Count a call.

        Raises:
            ApiError: 429 with Retry-After, when there were too many.
        """
        if not self._calls:
            return
        now = time.monotonic()
        with self._lock:
            while self._times and self._times[0] <= now - 60:
                self._times.popleft()
            if len(self._times) >= self._calls:
                wait = max(1, round(self._times[0] + 60 - now))
                raise ApiError(429, "Too many requests", {"Retry-After": str(wait)})
            self._times.append(now)


@dataclass(frozen=True)
class Host:
    """The server's parts.

    Attributes:
        paths: where its files are.
        store: what changes.
        catalogue: the competitions.
        scorer: scores submissions in the background.
        deposits: data sets and models.
        kernels: notebooks.
        runner: runs notebooks in the background.
        key: requests must carry it.
        rate_limit: API calls a minute.
        faults: what shall go wrong.
        clock: the time; a test may set it.
    """

    paths: PracticePaths
    store: Store
    catalogue: Catalogue
    scorer: Scorer
    deposits: Deposits
    kernels: Kernels
    runner: KernelRunner
    key: str
    rate_limit: RateLimit = field(default_factory=lambda: RateLimit(0))
    faults: Faults = field(default_factory=Faults)
    clock: Callable[[], datetime] = _now

    @classmethod
    def open(
        cls,
        paths: PracticePaths,
        key: str,
        environments: Path,
        calls_per_minute: int = 0,
        faults: Iterable[Fault] = (),
    ) -> Host:
        """Open the database and the competitions of a practice folder.

        Args:
            paths: the folder.
            key: requests must carry it.
            environments: where the environment is kept that notebooks are run in.
            calls_per_minute: API calls a minute; 0 for no limit.
            faults: what shall go wrong.
        """
        store, catalogue = Store(paths.database), Catalogue(paths)
        deposits, kernels = Deposits(paths), Kernels(paths.database)
        scorer = Scorer(paths, store, catalogue)
        runner = KernelRunner(Kept(paths, store, catalogue, deposits, kernels, scorer, environments))
        limit = RateLimit(calls_per_minute)
        return cls(paths, store, catalogue, scorer, deposits, kernels, runner, key, limit, Faults(faults))

    def sign(self, address: str) -> str:
        """A signature that lets whoever has it fetch this address, as a signed storage address does."""
        return hmac.new(self.key.encode(), address.encode(), hashlib.sha256).hexdigest()

    def entered(self, hosted: Hosted) -> bool:
        """Whether the competition's files and submissions are open: rules accepted, or none to accept."""
        return not hosted.definition.rules_required or self.store.rules_accepted(hosted.definition.slug)
