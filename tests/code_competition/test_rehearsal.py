"""What a rehearsal lets through and what it catches: the notebook really runs in the sandbox."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kagglerun.code_competition.package import Package, PackageOptions, make_package
from kagglerun.code_competition.rehearse import Rehearsal, RehearsalOptions, rehearse, require_passed
from kagglerun.code_competition.variants import BROKEN, LARGER, NAMES, PUBLIC, SMALLER, UNSEEN
from kagglerun.code_competition.wheels import collect_wheels
from kagglerun.errors import ConfigError, PackageError, RehearsalFailed
from kagglerun.experiment.predictions import read_predictions, write_predictions
from kagglerun.files import read_json
from kagglerun.sandbox.image import read_image
from kagglerun.workspace import RunPaths, Workspace
from tests.code_competition.packaging_runs import join, train, write_image_competition, write_table_competition
from tests.sandbox.small_notebooks import require_sandbox

pytestmark = pytest.mark.long

_HOOKS = """
from pathlib import Path
from kagglerun.hooks import CompetitionHooks

class Hooks(CompetitionHooks):
    def post_process(self, predictions, features):
        {body}
        return predictions
"""
_FIXED_SIZE = _HOOKS.format(body='assert len(predictions) in (31, 40), "31 test rows"')
_ASKS_THE_NETWORK = _HOOKS.format(
    body='from urllib.request import urlopen; Path("/kaggle").exists() and urlopen("http://192.0.2.1/x", timeout=5)'
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunPaths, Package]:
    """A table competition, a run of trees, and its package."""
    require_sandbox()
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    write_table_competition(workspace)
    run = train(workspace, "tabular_boosting")
    return workspace, run, make_package(workspace, run)


def _only(workspace: Workspace, package: Package, *variants: str, **options: object) -> Rehearsal:
    return rehearse(workspace, package, replace(RehearsalOptions(variants=variants), **options))  # type: ignore[arg-type]


def _with_hooks(folder: Path, hooks: str) -> tuple[Workspace, Package]:
    require_sandbox()
    workspace = Workspace(folder)
    write_table_competition(workspace, hooks=hooks)
    return workspace, make_package(workspace, train(workspace, "tabular_boosting"))


def test_table_package_passes_with_every_test_set(plain: tuple[Workspace, RunPaths, Package]) -> None:
    workspace, run, package = plain
    seen: list[str] = []
    rehearsal = rehearse(workspace, package, tell=lambda result: seen.append(result.name))
    assert rehearsal.passed, rehearsal
    require_passed(rehearsal)
    assert tuple(seen) == NAMES
    by_name = {result.name: result for result in rehearsal.results}
    assert [by_name[name].rows for name in (PUBLIC, LARGER, SMALLER, UNSEEN)] == [31, 93, 10, 31]
    assert by_name[BROKEN].state == "not tried"
    assert by_name[LARGER].said == by_name[SMALLER].said == ()
    assert (package.paths.rehearsal / "public/submission.csv").read_bytes() == run.submission.read_bytes()
    assert read_json(package.paths.rehearsal_result)["package"] == package.manifest.sha256
    assert rehearsal.forecast is not None and rehearsal.forecast.fits and rehearsal.forecast.rows == 31
    assert sorted(path.name for path in package.paths.folder.iterdir()) == [
        "data-set",
        "notebook",
        "package.json",
        "rehearsal",
    ]


def test_image_package_passes_with_a_broken_image(tmp_path: Path) -> None:
    require_sandbox()
    workspace = Workspace(tmp_path)
    write_image_competition(workspace)
    package = make_package(workspace, train(workspace, "image"))
    assert package.manifest.gpu == "T4"
    rehearsal = _only(workspace, package, BROKEN)
    assert rehearsal.passed, rehearsal
    broken = next(result for result in rehearsal.results if result.name == BROKEN)
    assert broken.said and "cannot be read" in broken.said[0]


def test_ensemble_package_passes(plain: tuple[Workspace, RunPaths, Package]) -> None:
    workspace, run, _ = plain
    other = train(workspace, "tabular_boosting", seed=1)
    package = make_package(workspace, join(workspace, {run.run_id: 0.7, other.run_id: 0.3}))
    assert len({file.name.split("/")[2] for file in package.manifest.files if "/members/" in file.name}) == 2
    rehearsal = _only(workspace, package)
    assert rehearsal.passed, rehearsal


def test_other_file_than_here_is_caught(plain: tuple[Workspace, RunPaths, Package]) -> None:
    workspace, run, package = plain
    kept = read_predictions(run.test)
    values = kept.values.copy()
    values[3] *= 0.5
    write_predictions(run.test, replace(kept, values=values))
    try:
        rehearsal = _only(workspace, package)
    finally:
        write_predictions(run.test, kept)
    assert not rehearsal.passed
    said = rehearsal.results[0].said[0]
    assert "is not the file that was written here: 1 of 62 cells differ, by" in said
    with pytest.raises(RehearsalFailed, match="failed its rehearsal; public: ") as caught:
        require_passed(rehearsal)
    assert caught.value.exit_code == 3


def test_hard_coded_test_size_is_caught(tmp_path: Path) -> None:
    rehearsal = _only(*_with_hooks(tmp_path, _FIXED_SIZE), LARGER)
    assert [(result.name, result.ok) for result in rehearsal.results] == [(PUBLIC, True), (LARGER, False)]
    assert any("31 test rows" in sentence for sentence in rehearsal.results[1].said)


def test_internet_call_is_caught(tmp_path: Path) -> None:
    rehearsal = _only(*_with_hooks(tmp_path, _ASKS_THE_NETWORK), LARGER)
    assert [result.name for result in rehearsal.results] == [PUBLIC], "the others would say the same"
    assert rehearsal.results[0].said[0].startswith("it asks the network")


def test_missing_wheel_is_caught(plain: tuple[Workspace, RunPaths, Package], tmp_path: Path) -> None:
    workspace, run, _ = plain
    wrong = tmp_path / "image.txt"
    wrong.write_text(read_image().constraints() + "rapidfuzz==3.14.0\n", "utf-8")
    asked = PackageOptions(extra=("rapidfuzz>=3",), image_packages=wrong, out=tmp_path / "package")
    rehearsal = _only(workspace, make_package(workspace, run, asked))
    said = rehearsal.results[0].said
    assert said[0].startswith("a wheel is missing") and "rapidfuzz>=3 (for kagglerun)" in said[1]


def test_too_little_memory_is_caught(plain: tuple[Workspace, RunPaths, Package]) -> None:
    workspace, _, package = plain
    [result] = _only(workspace, package, memory_gb=0.15).results
    assert (result.state, result.ok) == ("out of memory", False)
    assert "the limit is 0.14 GiB" in result.said[0]


def test_too_little_time_is_caught(plain: tuple[Workspace, RunPaths, Package]) -> None:
    workspace, _, package = plain
    [result] = _only(workspace, package, seconds=1.0).results
    assert (result.state, result.ok) == ("out of time", False)
    assert "it was not done after 1 seconds" in result.said[0]


def test_unknown_names_are_refused_with_the_known_ones(plain: tuple[Workspace, RunPaths, Package]) -> None:
    workspace, _, package = plain
    with pytest.raises(ConfigError, match="fewer rows"):
        _only(workspace, package, "many rows")
    with pytest.raises(ConfigError, match="here, image"):
        _only(workspace, package, environment="there")


def test_wheels_of_another_python_are_not_rehearsed_in_this_one(
    plain: tuple[Workspace, RunPaths, Package], tmp_path: Path
) -> None:
    workspace, run, _ = plain
    package = make_package(workspace, run, PackageOptions(out=tmp_path / "package"))
    (package.paths.wheels / "numpy-2.0.2-cp37-cp37m-manylinux_2_17_x86_64.whl").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"is for Kaggle's Python 3\.12") as caught:
        _only(workspace, package)
    assert caught.value.hint is not None and "--environment image" in caught.value.hint


def test_what_the_image_lacks_is_downloaded_for_its_python(tmp_path: Path) -> None:
    try:
        wheels = collect_wheels(tmp_path, [Requirement("rapidfuzz>=3.9"), Requirement("numpy>=2.0")], read_image())
    except PackageError as error:
        pytest.skip(f"no package index: {error.message[:200]}")
    names = [wheel.name.partition("-")[0] for wheel in wheels]
    assert names == ["kagglerun", "rapidfuzz"], "numpy is in the image"
    assert "-cp312-" in wheels[1].name and "manylinux" in wheels[1].name
    with pytest.raises(PackageError, match="no set of packages fits"):
        collect_wheels(tmp_path, [Requirement("rapidfuzz==0.0.0")], read_image())
