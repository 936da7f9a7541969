"""Programs that answer as docker, podman and buildah do, for tests of what is asked of them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

DIGEST = "sha256:" + "a1" * 32
IMAGE_ID = "sha256:" + "b2" * 32
_LABELS = {"kagglerun.lock.sha256": "c3"}

# As `docker image inspect`, `docker history` and the like print them, shortened.
_DOCKER_INSPECT = [
    {
        "Id": IMAGE_ID,
        "RepoDigests": [f"python@{DIGEST}"],
        "Created": "2026-11-01T00:00:00Z",
        "Config": {"Labels": _LABELS},
    }
]
_DOCKER_HISTORY = [{"Size": "0", "CreatedBy": "CMD bash"}, {"Size": "700", "CreatedBy": "RUN uv"}, {"Size": "30"}]
_PODMAN_INSPECT = [{"Id": IMAGE_ID[7:], "RepoDigests": None, "Created": "2026-11-01T00:00:00Z", "Labels": _LABELS}]
_PODMAN_HISTORY = [{"size": 700, "CreatedBy": "RUN uv"}, {"size": 30}]
_BUILDAH_INSPECT = {
    "FromImage": "docker.io/library/python:3.12",
    "FromImageID": IMAGE_ID[7:],
    "FromImageDigest": DIGEST,
    "Manifest": json.dumps({"layers": [{"size": 30}, {"size": 700}]}),
    "OCIv1": {
        "created": "2026-11-01T00:00:00Z",
        "config": {"Labels": _LABELS},
        "history": [{"created_by": "RUN uv"}, {"created_by": "CMD bash", "empty_layer": True}],
    },
}


def make_engine(folder: Path, name: str, fails: str = "never", local: bool = False) -> Path:
    """A program in `folder` that writes its arguments to `<name>.log` and answers what the real one does.

    Args:
        folder: where; made if needed.
        name: docker, podman or buildah.
        fails: the verb with which it fails.
        local: whether its images came from no registry.
    """
    folder.mkdir(exist_ok=True)
    answers = _answers(name, local)
    for verb, answer in answers.items():
        (folder / f"{name}-{verb}").write_text(answer, "utf-8")
    program = folder / name
    program.write_text(
        "#!/bin/sh\n"
        f'here={str(folder)!r}; verb="$1"; [ "$1 $2" = "image inspect" ] && verb=inspect\n'
        f'for word; do printf "%s\\t" "$word" >> "$here/{name}.log"; done; echo >> "$here/{name}.log"\n'
        f'if [ "$verb" = {fails} ]; then echo "Cannot connect to the daemon" >&2; exit 1; fi\n'
        f'[ ! -f "$here/{name}-$verb" ] || /bin/cat "$here/{name}-$verb"\n',
        "utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def calls(folder: Path, name: str) -> list[list[str]]:
    """What the program was called with."""
    lines = (folder / f"{name}.log").read_text("utf-8").splitlines()
    return [line.rstrip("\t").split("\t") for line in lines]


def _answers(name: str, local: bool) -> dict[str, str]:
    if name == "docker":
        found = [{**_DOCKER_INSPECT[0], **({"RepoDigests": []} if local else {})}]
        return {"inspect": json.dumps(found), "history": "\n".join(map(json.dumps, _DOCKER_HISTORY_WHOLE))}
    if name == "podman":
        return {"inspect": json.dumps(_PODMAN_INSPECT), "history": json.dumps(_PODMAN_HISTORY)}
    return {"inspect": json.dumps(_BUILDAH_INSPECT | ({"FromImage": "localhost/base:1"} if local else {}))}


_DOCKER_HISTORY_WHOLE = [{"CreatedBy": "", **step} for step in _DOCKER_HISTORY]
