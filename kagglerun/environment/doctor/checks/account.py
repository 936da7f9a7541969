"""Kaggle: credentials, the way to it, and the clock."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.probe import Probe

_CLOCK_WARNING_SECONDS = 60.0
_CLOCK_ERROR_SECONDS = 300.0
_HOW_TO_GET_ONE = "make a token at https://www.kaggle.com/settings/api and put it into KAGGLE_API_TOKEN"
_SET_CLOCK = "sudo timedatectl set-ntp true    (in a container: on the host)"


def check_credentials(probe: Probe) -> Iterator[Finding]:
    """There are credentials that nobody else reads."""
    state, subject = probe.kaggle, Subject("Kaggle credentials", "a token or key that only you can read")
    if state.origin is None:
        # The practice server needs none.
        mend = "User > Secrets" if probe.notebook else "chmod 600 ~/.kaggle/access_token keeps it yours"
        yield subject.warning(
            f"{state.missing or 'none'}; the practice server works without", f"{_HOW_TO_GET_ONE}; {mend}"
        )
    elif state.exposed is not None:
        yield subject.warning(
            f"other users of this machine can read {state.exposed}", f"chmod 600 {shlex.quote(state.exposed)}"
        )
    else:
        yield subject.ok(f"found in {state.origin}")


def check_kaggle(probe: Probe) -> Iterator[Finding]:
    """Kaggle answers, and takes the credentials."""
    state, subject = probe.kaggle, Subject("Kaggle", "Kaggle answers and accepts the credentials")
    if not state.asked:
        return
    if state.reachable is False:
        mend = "the notebook's settings > Internet on" if probe.notebook else "curl -I https://www.kaggle.com"
        yield subject.warning(
            f"Kaggle cannot be reached: {state.unreachable_because or 'no answer'}",
            f"{mend}    (behind a proxy: HTTPS_PROXY)",
        )
    elif state.accepted is False:
        yield subject.error(f"the credentials in {state.origin} are refused: {state.refusal}", _HOW_TO_GET_ONE)
    elif state.accepted is None and state.refusal is not None:
        yield subject.warning(f"whether the credentials are good is not known: {state.refusal}", "kagglerun doctor")
    elif state.accepted:
        yield subject.ok("the credentials are accepted")
    elif state.reachable:
        yield subject.ok("Kaggle answers")


def check_clock(probe: Probe) -> Iterator[Finding]:
    """The clock is right: signed addresses and tokens expire by it."""
    ahead = probe.kaggle.clock_ahead
    if ahead is None:
        return
    subject = Subject("clock", "the time that Kaggle has")
    shown = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Kaggle's"
    if abs(ahead) >= _CLOCK_ERROR_SECONDS:
        yield subject.error(f"{shown}: tokens and signed addresses are refused", _SET_CLOCK)
    elif abs(ahead) >= _CLOCK_WARNING_SECONDS:
        yield subject.warning(shown, _SET_CLOCK)
    else:
        yield subject.ok("within a minute of Kaggle's")
