"""Finding a study by what the user calls it."""

from __future__ import annotations

from kagglerun.errors import ConfigError, unknown_name
from kagglerun.workspace import StudyPaths, Workspace


def find_study(workspace: Workspace, name: str | None) -> StudyPaths:
    """The study with this name, or whose name starts so or ends so; the one worked on last when none is given.

    Raises:
        ConfigError: there is no study, or none or several match.
    """
    studies = list(workspace.all_studies())
    if not studies:
        raise ConfigError(f"there are no studies in {workspace.root} yet", hint="kagglerun sweep baseline.yaml")
    if name is None:
        return max(studies, key=lambda paths: (_changed_at(paths), paths.name))
    matches = (
        [paths for paths in studies if paths.name == name],
        [paths for paths in studies if paths.name.startswith(name)],
        [paths for paths in studies if paths.name.endswith(name)],
    )
    found: list[StudyPaths] = next((group for group in matches if group), [])
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f"{paths.name} of {paths.slug}" for paths in found[:8])
        raise ConfigError(f"several studies match {name!r}: {names}", hint="give more of the name")
    raise unknown_name("study", name, [paths.name for paths in studies], hint="kagglerun study    (the newest)")


def _changed_at(paths: StudyPaths) -> float:
    newest = paths.trials if paths.trials.exists() else paths.spec
    return newest.stat().st_mtime
