"""Stages of training and the clock that times them."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from kagglerun.training.stages import clocked, stage

CPU = torch.device("cpu")


def test_without_a_clock_a_stage_is_nothing() -> None:
    with stage("forward"):
        pass
    with clocked(CPU) as clock:
        pass
    with stage("forward"):
        pass
    assert clock.times() == []


def test_each_stage_counts_its_own_time_only() -> None:
    with clocked(CPU) as clock:
        began = time.perf_counter()
        for _ in range(3):
            with stage("update"):
                time.sleep(0.01)
                with stage("forward"):
                    time.sleep(0.02)
        took = time.perf_counter() - began
    times = {item.name: item.host_seconds for item in clock.times()}
    assert times["forward"] >= 0.06 and times["update"] >= 0.03
    assert sum(times.values()) <= took
    assert all(item.gpu_seconds is None and not item.in_background for item in clock.times())


def test_work_of_another_thread_is_told_apart() -> None:
    def read() -> None:
        with stage("read"):
            pass

    with clocked(CPU) as clock:
        with stage("read"):
            pass
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert [(item.name, item.in_background) for item in clock.times()] == [("read", False), ("read", True)]


def test_a_stage_that_fails_is_counted_and_the_error_goes_on() -> None:
    with clocked(CPU) as clock:
        with pytest.raises(ValueError, match="broken"), stage("outer"), stage("inner"):
            raise ValueError("broken")
        with stage("next"):
            pass
    assert [item.name for item in clock.times()] == ["inner", "outer", "next"]


def test_on_a_gpu_the_time_is_the_gpus_own_between_events(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        """A GPU on which each event comes 5 ms after the one before."""

        count = 0

        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            Event.count += 1
            self.at = 5.0 * Event.count

        def elapsed_time(self, other: Event) -> float:
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    waited: list[bool] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: waited.append(True))
    with clocked(torch.device("cuda", 0)) as clock:
        with stage("update"), stage("forward"):
            pass
        assert not waited, "nothing is waited for while training runs"
        times = {item.name: item.gpu_seconds for item in clock.times()}
    assert times == {"forward": pytest.approx(0.005), "update": pytest.approx(0.010)}
