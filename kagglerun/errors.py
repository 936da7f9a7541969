"""Every error kagglerun raises on purpose.

    KagglerunError                exit 1
      ConfigError                 exit 2   a config, card, option or name the user wrote
      WorkspaceError              exit 2   no workspace here, or one that cannot be used
      DataError                            competition files that are missing, damaged or not as expected
        UnresolvedCard            exit 2   the card lacks a line that only the user can fill in
      KaggleError                          Kaggle (or the practice server) said no, or could not be reached
        CredentialsMissing
        CredentialsRejected
        RulesNotAccepted
        PhoneNotVerified
        NotEntered
        CompetitionNotFound
        RateLimited
        ConnectionFailed
          OutcomeUnknown
        UploadFailed
      SubmissionRefused           exit 3   a guard kept a submission slot from being spent
        SubmissionInvalid                  the file does not fit the sample submission
        AllowanceUsedUp
        AlreadySubmitted
      TrainingError
        NonFiniteLoss
        CheckpointUnreadable
      TrackingError
      JobError
      SyncError                            a target of `kagglerun sync` cannot be used, or what it holds not be joined
        TargetUnreachable
        ContentDamaged
      PracticeError                        the practice server could not be started, found or changed
      PackageError                         a run cannot be packaged for a code competition
        RehearsalFailed         exit 3   the packaged notebook failed where nothing was spent yet
      SandboxError                         no sandbox for notebooks can be had here
      KernelFailed                         a notebook that was pushed failed, there
      NotebookError                        a notebook cannot be made, or its session cannot go on
      ImageError                           the container image cannot be built, found or started
        PublicRefused             exit 3   a guard kept a service from being opened to others
      DiskFull

The library raises; `cli/main.py` alone prints. A message says what was wrong in the user's own words, with
the value and the allowed ones; the hint is the next command to type.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KagglerunError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: one or two lines, no trailing period needed, never a secret.
        hint: the next command to type or line to write; shown behind an arrow.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(KagglerunError):
    """A config, card, option or name that the user wrote cannot be used."""

    exit_code = 2


class WorkspaceError(KagglerunError):
    """There is no workspace here, or it cannot be used."""

    exit_code = 2


class DataError(KagglerunError):
    """Competition files are missing, damaged or not as expected."""


class UnresolvedCard(DataError):
    """The card lacks a line that only the user can fill in."""

    exit_code = 2


class KaggleError(KagglerunError):
    """Kaggle or the practice server refused, or could not be reached."""


class CredentialsMissing(KaggleError):
    """No Kaggle credentials were found."""


class CredentialsRejected(KaggleError):
    """Kaggle does not accept the credentials (401)."""


class RulesNotAccepted(KaggleError):
    """The competition's rules are not accepted (403)."""


class PhoneNotVerified(KaggleError):
    """The account's phone number or identity is not verified (403)."""


class NotEntered(KaggleError):
    """The competition is not entered: not joined, by invitation only, or closed to new entrants (403)."""


class CompetitionNotFound(KaggleError):
    """No competition has this slug (404)."""


class RateLimited(KaggleError):
    """Kaggle asks to wait (429)."""


class ConnectionFailed(KaggleError):
    """The server could not be reached, or the connection broke."""


class OutcomeUnknown(ConnectionFailed):
    """A submission may have been made, and it could not be found out yet."""


class UploadFailed(KaggleError):
    """A submission file did not arrive."""


class SubmissionRefused(KagglerunError):
    """A guard kept a submission slot from being spent."""

    exit_code = 3


class SubmissionInvalid(SubmissionRefused):
    """The submission file does not fit the sample submission."""


class AllowanceUsedUp(SubmissionRefused):
    """The daily number of submissions is used up."""


class AlreadySubmitted(SubmissionRefused):
    """A file with the same content was sent before."""


class TrainingError(KagglerunError):
    """Training cannot start or go on."""


class NonFiniteLoss(TrainingError):
    """The loss or a gradient became NaN or infinite; the update was not made."""


class CheckpointUnreadable(TrainingError):
    """A checkpoint exists and cannot be read; it is never replaced by a quiet restart."""


class TrackingError(KagglerunError):
    """The tracking database or server cannot be used for what was asked."""


class JobError(KagglerunError):
    """A job cannot be found, started, stopped or resumed."""


class PracticeError(KagglerunError):
    """The practice server could not be started, found or changed."""


class ImageError(KagglerunError):
    """The container image, or a service in it, cannot be built, found or started."""


class PublicRefused(ImageError):
    """A guard kept a service from being opened to others than this machine."""

    exit_code = 3


class NotebookError(KagglerunError):
    """A notebook for Colab or Kaggle cannot be made, or its session there cannot start or go on."""


class PackageError(KagglerunError):
    """A run cannot be packaged for a code competition."""


class RehearsalFailed(PackageError):
    """A packaged notebook failed its rehearsal, so that it is not pushed."""

    exit_code = 3


class SandboxError(KagglerunError):
    """Notebooks cannot be run apart from this machine's files and network."""


class KernelFailed(KagglerunError):
    """A notebook that was pushed to Kaggle or the practice server ended in an error."""


class SyncError(KagglerunError):
    """A target of `kagglerun sync` cannot be used, or what it holds cannot be joined with what is here."""


class TargetUnreachable(SyncError):
    """The target could not be reached, or the connection broke; trying again later may help."""


class ContentDamaged(SyncError):
    """Something at the target is missing or not what its name says."""


class DiskFull(KagglerunError):
    """A file could not be written because the disk is full; nothing was left half-written."""


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str | None = None) -> ConfigError:
    """Build the error for a name that is not known: it lists the known ones and the nearest.

    Args:
        kind: what the name should have been, e.g. "metric" or "key in optimizer".
        name: what the user wrote.
        known: the allowed names.
        hint: the next command; by default the nearest name is suggested.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"did you mean {nearest[0]!r}?" if nearest else None
    shown = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return ConfigError(f"unknown {kind} {name!r}; known: {shown or 'none'}", hint=meant or hint)
