"""The disks that are written to."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kagglerun.environment.doctor.finding import Finding, Subject
from kagglerun.environment.doctor.probe import DiskState, Probe

_GB = 10**9
_LEAST_FREE = {"workspace": (2 * _GB, 20 * _GB), "temporary files": (_GB // 2, 2 * _GB)}
"""For each role: an error below the first, a warning below the second."""
_LEAST_INODES_SHARE = 0.02
_OF_A_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "lustre", "9p", "afs")


def check_disks(probe: Probe) -> Iterator[Finding]:
    """There is room, and files can be made."""
    for disk in probe.limits.disks:
        yield _room(disk)
        if disk.role == "workspace" and (disk.kind or "").startswith(_OF_A_NETWORK):
            yield Subject("disk of databases", "a disk of this machine for SQLite's databases").warning(
                f"{disk.path} is on {disk.kind}: SQLite's locks may not hold there, and small files are slow",
                "a local workspace with `kagglerun sync push` to the shared folder; or mlflow_uri: postgresql://...",
            )


def _room(disk: DiskState) -> Finding:
    error_below, warning_below = _LEAST_FREE.get(disk.role, (0, 0))
    subject = Subject(f"disk of {disk.role}", f"room for {disk.role}: {warning_below / _GB:.0f} GB or more")
    shown = f"{disk.free / _GB:.1f} of {disk.total / _GB:.0f} GB free in {disk.path}"
    if not disk.is_writable:
        return subject.error(
            f"no file can be made in {disk.path}", f"ls -ld {shlex.quote(disk.path)}; mount | grep ' ro,'"
        )
    if disk.free_inodes_share is not None and disk.free_inodes_share < _LEAST_INODES_SHARE:
        return subject.warning(
            f"{shown}, but hardly any file more can be made: inodes", f"df -i {shlex.quote(disk.path)}"
        )
    if disk.free < error_below:
        return subject.error(shown, f"{_largest(disk)}; or another disk: kagglerun -w /other/disk/workspace ...")
    if disk.free < warning_below:
        return subject.warning(shown, _largest(disk))
    return subject.ok(shown)


def _largest(disk: DiskState) -> str:
    path = shlex.quote(disk.path)
    if disk.role == "workspace":
        return f"du -xh -d 3 {path} | sort -h | tail    (.kagglerun/cache can be made again)"
    return f"du -xh -d 1 {path} | sort -h | tail; or TMPDIR=/other/disk"
