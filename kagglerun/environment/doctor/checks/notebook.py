"""A session of Colab or Kaggle: what it got, how long it lasts, what it reaches, what it keeps."""

from __future__ import annotations

from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.probe import NotebookState, Probe

_LITTLE_SECONDS = 3600.0
_GPU_SETTING = {
    "Colab": "Runtime > Change runtime type > T4 GPU, then run all again",
    "Kaggle": "Settings > Accelerator > GPU T4 x2 or P100 (30 hours a week)",
}
_NET_SETTING = {
    "Colab": "Runtime > Disconnect and delete runtime, then connect again",
    "Kaggle": "Settings > Internet on (wants a verified phone number; off in most code competitions)",
}
_KEEP = {
    "Colab": "google.colab.drive.mount('/content/drive'), and the workspace in /content/drive/MyDrive",
    "Kaggle": "Save Version > Save & Run All; or Settings > Persistence > Files only",
}


def check_notebook(probe: Probe) -> Iterator[Finding]:
    """Only inside such a session."""
    state = probe.notebook
    if state is None:
        return
    yield _accelerator(state)
    yield _time_left(state)
    if state.internet is not None:
        yield _internet(state)
    yield _kept(state)


def _accelerator(state: NotebookState) -> Finding:
    subject = Subject(f"{state.platform} accelerator", "a GPU in this session")
    if state.accelerator == "none":
        return subject.warning("this session has no GPU: trainings run on the CPU", _GPU_SETTING[state.platform])
    if state.accelerator == "TPU":
        return subject.warning("a TPU, on which kagglerun does not train", _GPU_SETTING[state.platform])
    return subject.ok(state.accelerator)


def _time_left(state: NotebookState) -> Finding:
    subject = Subject(f"{state.platform} session", "an hour or more before the platform ends the session")
    limit = f"{state.limit_seconds / 3600:.0f} h"
    if state.session_seconds is None:
        return subject.ok(f"the platform ends a session after {limit} at the latest")
    left = max(0.0, state.limit_seconds - state.session_seconds)
    shown = f"{left / 3600:.1f} of {limit} left at most"
    if left < _LITTLE_SECONDS:
        return subject.warning(shown, "kagglerun sync push TARGET now; then a new session, which goes on from there")
    return subject.ok(shown)


def _internet(state: NotebookState) -> Finding:
    subject = Subject(f"{state.platform} internet", "a way to the internet")
    if state.internet:
        return subject.ok("on")
    return subject.warning(
        "off: nothing can be installed, fetched or submitted from here", _NET_SETTING[state.platform]
    )


def _kept(state: NotebookState) -> Finding:
    subject = Subject(f"{state.platform} storage", "a place that outlives the session")
    if state.persistent:
        return subject.ok("what is written there stays")
    return subject.warning("what is written here is lost with the session", _KEEP[state.platform])
