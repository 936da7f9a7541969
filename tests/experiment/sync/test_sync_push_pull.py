from __future__ import annotations

import json
from pathlib import Path

import pytest

from kagglerun.errors import SyncError, TargetUnreachable
from kagglerun.experiment.exclusive import working_in
from kagglerun.experiment.sync import snapshot
from kagglerun.experiment.sync.items import Kind, belongs
from kagglerun.experiment.sync.outcome import Result
from kagglerun.experiment.sync.pull import PullOptions, pull
from kagglerun.experiment.sync.push import PushOptions, push
from kagglerun.experiment.sync.selection import Selection, Weights, best_runs
from kagglerun.experiment.sync.snapshot import digest_of
from kagglerun.experiment.sync.store import FolderStore
from kagglerun.experiment.sync.version import Version, list_versions, write_version
from kagglerun.files import read_json, write_bytes, write_json, write_text
from kagglerun.sweep.trials import read_trials
from kagglerun.workspace import Workspace
from tests.experiment.sync.made_runs import (
    SLUG,
    Failing,
    add_trial,
    content,
    make_run,
    make_study,
    make_workspace,
    of,
    results,
    run_item,
    whole_runs,
)

ALL = Selection(weights=Weights.ALL)


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "here it's")


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "there")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "a target")


def test_what_is_pulled_is_what_was_pushed_to_the_byte(here: Workspace, there: Workspace, store: FolderStore) -> None:
    for name in ("one", 'two\'s "run" 100%', "drei ä"):
        make_run(here, name)
    make_study(here)
    write_text(here.competition(SLUG).card, "slug: made\n")
    write_text(here.competition(SLUG).hooks, "# mine\n")
    sent = push(here, store, ALL)
    came = pull(there, store, ALL)
    assert {each.result for each in (*sent, *came)} == {Result.CARRIED}
    for run in here.all_runs():
        other = there.run(SLUG, run.run_id)
        assert content(run.folder) == content(other.folder)
        assert content(run.folder, Kind.WEIGHTS) == content(other.folder, Kind.WEIGHTS)
    assert len(list(there.all_runs())) == 3
    assert read_trials(there.study(SLUG, "made-study")) == read_trials(here.study(SLUG, "made-study"))
    assert there.competition(SLUG).hooks.read_text() == "# mine\n"
    assert not there.incoming_runs.exists()


def test_what_belongs_to_a_machine_stays_there(here: Workspace, there: Workspace, store: FolderStore) -> None:
    run, study = make_run(here, "one"), make_study(here)
    push(here, store, ALL)
    pull(there, store, ALL)
    assert not there.run(SLUG, "one").tracking.exists()
    assert not there.run(SLUG, "one").fold(0).checkpoints.exists()
    assert not there.study(SLUG, study.name).lock.exists()
    assert run.tracking.exists()


def test_the_second_time_nothing_is_carried(here: Workspace, there: Workspace, store: FolderStore) -> None:
    make_run(here, "one")
    make_study(here)
    push(here, store, ALL)
    assert {each.result for each in push(here, store, ALL)} == {Result.SAME}
    pull(there, store, ALL)
    assert {each.result for each in pull(there, store, ALL)} == {Result.SAME}
    assert {each.result for each in push(there, store, ALL)} == {Result.SAME}


def test_only_what_the_target_lacks_is_sent(here: Workspace, store: FolderStore) -> None:
    run = make_run(here, "one")
    push(here, store, ALL)
    write_text(run.submission, "id,y\n1,0\n")
    (again,) = [each for each in push(here, store, ALL) if each.item.kind is Kind.RUN]
    assert (again.result, again.files, again.size) == (Result.CARRIED, 1, 9)


def test_a_large_file_goes_in_parts_and_only_the_changed_ones_again(
    here: Workspace, there: Workspace, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("snapshot", "parts", "version"):
        monkeypatch.setattr(f"kagglerun.experiment.sync.{module}.PART_BYTES", 1000)
    make_run(here, "one", weights=10_500, folds=1)
    push(here, store, ALL)
    stored = sorted(store.names("parts").values())
    assert stored.count(1000) >= 10
    pull(there, store, ALL)
    weights = there.run(SLUG, "one").fold(0).weights.read_bytes()
    assert weights == here.run(SLUG, "one").fold(0).weights.read_bytes()


@pytest.mark.parametrize("state", ["RUNNING", "KILLED", "FAILED"])
def test_a_run_that_may_still_change_is_not_pushed(state: str, here: Workspace, store: FolderStore) -> None:
    make_run(here, "one", state=state)
    assert push(here, store, ALL) == []
    assert list_versions(store, Kind) == {}


def test_a_pruned_run_is_carried_and_may_be_finished_later(
    here: Workspace, there: Workspace, store: FolderStore
) -> None:
    run = make_run(here, "one", state="PRUNED")
    push(here, store, ALL)
    pull(there, store, ALL)
    run.pruned.unlink()
    make_run(here, "one", score=0.7)
    push(here, store, ALL)
    pull(there, store, ALL)
    assert content(there.run(SLUG, "one").folder) == content(run.folder)
    assert not there.run(SLUG, "one").pruned.exists()


def test_two_runs_of_one_name_are_named_and_left_alone(here: Workspace, there: Workspace, store: FolderStore) -> None:
    make_run(here, "one", score=0.5)
    make_run(there, "one", score=0.6)
    before = content(there.run(SLUG, "one").folder)
    push(here, store, ALL)
    (sent,) = [each for each in push(there, store, ALL) if each.item == run_item("one")]
    assert sent.result is Result.CONFLICT
    assert "metrics.json" in (sent.why or "")
    assert of(pull(there, store, ALL), Kind.RUN) == [Result.CONFLICT]
    assert content(there.run(SLUG, "one").folder) == before
    fresh = make_workspace(there.root.with_name("fresh"))
    pull(fresh, store, ALL)
    whole_runs(fresh, here)


def test_replace_keeps_the_state_that_is_asked_for(here: Workspace, there: Workspace, store: FolderStore) -> None:
    make_run(here, "one", score=0.5)
    make_run(there, "one", score=0.6)
    push(here, store, ALL)
    push(there, store, ALL, PushOptions(replace=True))
    assert of(pull(here, store, ALL), Kind.RUN) == [Result.CARRIED]
    assert content(here.run(SLUG, "one").folder) == content(there.run(SLUG, "one").folder)


def test_a_study_goes_on_there_and_comes_back(here: Workspace, there: Workspace, store: FolderStore) -> None:
    study = make_study(here)
    push(here, store, ALL)
    pull(there, store, ALL)
    other = there.study(SLUG, study.name)
    add_trial(other, 2)
    push(there, store, ALL)
    assert of(push(here, store, ALL), Kind.STUDY) == [Result.OTHER_IS_NEWER]
    pull(here, store, ALL)
    assert len(read_trials(study)) == 3
    assert study.lock.exists()


def test_a_study_that_went_on_at_two_places_is_named(here: Workspace, there: Workspace, store: FolderStore) -> None:
    study = make_study(here)
    push(here, store, ALL)
    pull(there, store, ALL)
    add_trial(study, 2, 0.1)
    add_trial(there.study(SLUG, study.name), 2, 0.9)
    push(here, store, ALL)
    before = there.study(SLUG, study.name).trials.read_bytes()
    assert of(push(there, store, ALL), Kind.STUDY) == [Result.CONFLICT]
    assert of(pull(there, store, ALL), Kind.STUDY) == [Result.CONFLICT]
    assert there.study(SLUG, study.name).trials.read_bytes() == before


def test_a_study_in_work_is_taken_at_the_end_of_a_line(here: Workspace, there: Workspace, store: FolderStore) -> None:
    study = make_study(here)
    with study.trials.open("ab") as stream:
        stream.write(b'{"number": 2, "para')
    push(here, store, ALL)
    pull(there, store, ALL)
    assert there.study(SLUG, study.name).trials.read_bytes().endswith(b"}\n")
    assert len(read_trials(there.study(SLUG, study.name))) == 2
    add_trial(study, 2)
    push(here, store, ALL)
    pull(there, store, ALL)
    assert len(read_trials(there.study(SLUG, study.name))) == 3


def test_a_study_that_a_sweep_works_on_is_not_touched(here: Workspace, there: Workspace, store: FolderStore) -> None:
    import fcntl

    study = make_study(here)
    push(here, store, ALL)
    pull(there, store, ALL)
    add_trial(study, 2)
    push(here, store, ALL)
    other = there.study(SLUG, study.name)
    write_text(other.lock, "{}")
    with other.lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert of(pull(there, store, ALL), Kind.STUDY) == [Result.LEFT]
        assert len(read_trials(other)) == 2
    pull(there, store, ALL)
    assert len(read_trials(other)) == 3


def test_a_run_that_is_worked_on_is_not_touched(
    here: Workspace, there: Workspace, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kagglerun.experiment.exclusive._DYING_SECONDS", 0.0)
    run = make_run(here, "one")
    push(here, store, ALL)
    pull(there, store, ALL)
    write_text(run.submission, "x")
    push(here, store, ALL)
    with working_in(there.run(SLUG, "one").folder, "works"):
        assert Result.LEFT in of(pull(there, store, ALL), Kind.RUN)
        assert not there.run(SLUG, "one").submission.exists()
    pull(there, store, ALL)
    assert there.run(SLUG, "one").submission.exists()


def test_submissions_of_both_machines_are_kept_and_nothing_is_sent_twice(
    here: Workspace, there: Workspace, store: FolderStore
) -> None:
    make_run(here, "one")
    push(here, store, ALL)
    pull(there, store, ALL)
    for workspace, number in ((here, 1), (there, 2)):
        write_text(workspace.run(SLUG, "one").submissions, json.dumps({"ref": number}) + "\n")
        write_text(workspace.ledger, json.dumps({"ref": number}) + "\n")
    push(here, store, ALL)
    assert of(push(there, store, ALL), Kind.RUN) == [Result.OTHER_IS_NEWER]
    pull(there, store, ALL)
    assert there.run(SLUG, "one").submissions.read_text().splitlines() == ['{"ref": 2}', '{"ref": 1}']
    assert there.ledger.read_text().splitlines() == ['{"ref": 2}', '{"ref": 1}']
    push(there, store, ALL)
    pull(here, store, ALL)
    assert set(here.ledger.read_text().splitlines()) == {'{"ref": 1}', '{"ref": 2}'}


def test_what_a_cut_off_pull_brought_is_settled_too(here: Workspace, there: Workspace, store: FolderStore) -> None:
    from kagglerun.experiment.weights import why_no_weights

    run = make_run(here, "one", score=0.1)
    make_run(here, "two")
    write_text(run.submissions, '{"ref": 1}\n')
    push(here, store, ALL)
    cut = Failing(store, 10_000)

    def end(name: str) -> None:
        if there.run(SLUG, "one").folder.exists():
            cut.left = 0

    cut.before = end
    with pytest.raises(TargetUnreachable):
        pull(there, cut, ALL)
    assert there.ledger.read_text() == '{"ref": 1}\n'
    assert why_no_weights(there.run(SLUG, "one")) is not None
    pull(there, store, ALL)
    assert why_no_weights(there.run(SLUG, "one")) is None


def test_weights_that_stay_behind_are_noted_and_come_when_asked_for(
    here: Workspace, there: Workspace, store: FolderStore
) -> None:
    from kagglerun.experiment.weights import why_no_weights

    make_run(here, "bad", score=0.1)
    make_run(here, "good", score=0.9)
    push(here, store, ALL)
    pull(there, store, Selection(weights=Weights.BEST))
    assert there.run(SLUG, "good").fold(0).weights.exists()
    assert why_no_weights(there.run(SLUG, "good")) is None
    assert not there.run(SLUG, "bad").fold(0).weights.exists()
    assert "were not pulled from" in (why_no_weights(there.run(SLUG, "bad")) or "")
    pull(there, store, ALL)
    assert why_no_weights(there.run(SLUG, "bad")) is None
    assert there.run(SLUG, "bad").fold(0).weights.exists()


def test_the_best_of_each_study_and_of_all_comparable_runs_keep_their_weights(here: Workspace) -> None:
    for name, score, study in (("a-0", 0.2, "a"), ("a-1", 0.3, "a"), ("b-0", 0.9, "b"), ("alone", 0.1, None)):
        run = make_run(here, name, score)
        write_json(run.status, {**read_json(run.status), "study": study})
    assert best_runs(here) == {(SLUG, "a-1"), (SLUG, "b-0")}


def test_weights_none_carries_none(here: Workspace, store: FolderStore) -> None:
    make_run(here, "one")
    push(here, store, Selection(weights=Weights.NONE))
    assert list(list_versions(store, Kind)) == [run_item("one")]


def test_a_selection_chooses_by_name_kind_and_competition(here: Workspace, store: FolderStore) -> None:
    make_run(here, "one-1")
    make_run(here, "two-1")
    make_study(here)
    sent = push(here, store, Selection(studies=False, weights=Weights.NONE, only="one-*"), PushOptions(dry_run=True))
    assert results(sent) == {"run one-1": "CARRIED"}
    assert push(here, store, Selection(competition="another"), PushOptions(dry_run=True)) == []


def test_a_dry_run_changes_nothing(here: Workspace, there: Workspace, store: FolderStore, tmp_path: Path) -> None:
    make_run(here, "one")
    assert of(push(here, store, ALL, PushOptions(dry_run=True)), Kind.RUN) == [Result.CARRIED]
    assert not (tmp_path / "a target").exists()
    push(here, store, ALL)
    assert of(pull(there, store, ALL, PullOptions(dry_run=True)), Kind.RUN) == [Result.CARRIED]
    assert not there.runs.exists()


def test_a_damaged_part_is_refused_by_pull_and_mended_by_verify(
    here: Workspace, there: Workspace, store: FolderStore, tmp_path: Path
) -> None:
    make_run(here, "one")
    push(here, store, ALL)
    part = max((tmp_path / "a target" / "parts").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    part.write_bytes(b"x" * part.stat().st_size)
    assert Result.DAMAGED in {each.result for each in pull(there, store, ALL)}
    whole_runs(there, here)
    assert {each.result for each in push(here, store, ALL)} == {Result.SAME}
    push(here, store, ALL, PushOptions(verify=True))
    pull(there, store, ALL)
    whole_runs(there, here)
    assert len(list(there.all_runs())) == 1


@pytest.mark.parametrize("what", ["version", "part"])
def test_what_is_missing_or_torn_at_a_target_is_mended_by_verify(
    what: str, here: Workspace, there: Workspace, store: FolderStore, tmp_path: Path
) -> None:
    make_run(here, "one")
    push(here, store, Selection(weights=Weights.NONE))
    target = tmp_path / "a target"
    if what == "version":
        (target / next(iter(store.names("runs")))).write_bytes(b'{"files": [')
    else:
        (target / next(iter(store.names("parts")))).unlink()
    assert of(pull(there, store, ALL), Kind.RUN) == [Result.DAMAGED]
    assert not list(there.all_runs())
    push(here, store, ALL, PushOptions(verify=True))
    assert of(pull(there, store, ALL), Kind.RUN) == [Result.CARRIED]
    whole_runs(there, here)


def test_nothing_at_a_target_leads_out_of_its_folder(here: Workspace, there: Workspace, store: FolderStore) -> None:
    make_run(here, "one")
    push(here, store, ALL)
    (entry, *_) = snapshot.take(run_item("one"), here.run(SLUG, "one").folder).files
    for number, path in enumerate(
        ("../../../evil", "/etc/evil", "folds/../../../evil", ".hidden", "folds/0/../../../x", "a\\b")
    ):
        assert not belongs(Kind.RUN, path)
        files = [snapshot.FileEntry(path, entry.size, entry.sha256, entry.parts)]
        write_version(store, run_item(f"evil-{number}"), Version(1, digest_of(files)), files)
    came = [each for each in pull(there, store, ALL) if each.item.name.startswith("evil")]
    assert [each.result for each in came] == [Result.DAMAGED] * 6
    assert all("is not the name of a file" in (each.why or "") for each in came)
    assert not any(path.name == "evil" for path in there.root.parent.rglob("*"))


def test_a_name_at_a_target_that_is_no_folder_s_is_left(there: Workspace, here: Workspace, store: FolderStore) -> None:
    make_run(here, "one")
    push(here, store, ALL)
    for name in ("..", ".hidden", "-dash", "a/b"):
        write_version(store, run_item(name), Version(1, digest_of([])), [])
    came = pull(there, store, Selection(studies=False, weights=Weights.NONE))
    assert results(came)["run one"] == "CARRIED"
    assert {each.result for each in came if each.item.name != "one"} == {Result.LEFT}


def test_an_empty_target_says_so(there: Workspace, store: FolderStore) -> None:
    with pytest.raises(SyncError, match="nothing was ever pushed"):
        pull(there, store, ALL)


def test_a_target_of_another_format_is_refused(here: Workspace, store: FolderStore) -> None:
    store.write("kagglerun-sync.json", b'{"format": 99}')
    make_run(here, "one")
    with pytest.raises(SyncError, match="format"):
        push(here, store, ALL)


def test_two_machines_that_push_at_the_same_time_do_not_overwrite_each_other(
    here: Workspace, there: Workspace, store: FolderStore
) -> None:
    make_run(here, "one", score=0.5)
    make_run(there, "one", score=0.6)
    meanwhile = Failing(store, 10_000)
    state = {"done": False}

    def other_machine(name: str) -> None:
        if name.startswith("runs/") and name.endswith(".json") and not state["done"]:
            state["done"] = True
            push(there, store, Selection(weights=Weights.NONE))

    meanwhile.before = other_machine
    mine = of(push(here, meanwhile, Selection(weights=Weights.NONE)), Kind.RUN)
    theirs = of(push(there, store, Selection(weights=Weights.NONE)), Kind.RUN)
    assert sorted([*mine, *theirs], key=lambda each: each.name)[0] in (Result.CARRIED, Result.CONFLICT)
    versions = list_versions(store, [Kind.RUN])[run_item("one")]
    fresh = make_workspace(here.root.with_name("fresh"))
    came = of(pull(fresh, store, ALL), Kind.RUN)
    if len(versions) == 1:
        assert came == [Result.CARRIED]
        owner = here if mine == [Result.CARRIED] else there
        whole_runs(fresh, owner)
    else:
        assert came == [Result.CONFLICT]
        assert not list(fresh.all_runs())


def test_a_run_that_changes_while_it_is_read_is_read_again(
    here: Workspace, there: Workspace, store: FolderStore
) -> None:
    run = make_run(here, "one")
    changing = Failing(store, 10_000)
    left = [2]

    def change(name: str) -> None:
        if name.startswith("parts/") and left[0]:
            left[0] -= 1
            write_bytes(run.plots / "fold scores.png", bytes([left[0]]) * 500)

    changing.before = change
    sent = [each for each in push(here, changing, ALL) if each.item.kind is Kind.RUN]
    assert [each.result for each in sent] == [Result.CARRIED]
    push(here, store, ALL)
    pull(there, store, ALL)
    whole_runs(there, here)


def test_losing_what_is_remembered_costs_nothing_but_time(
    here: Workspace, there: Workspace, store: FolderStore
) -> None:
    make_run(here, "one")
    make_study(here)
    push(here, store, ALL)
    pull(there, store, ALL)
    for workspace in (here, there):
        for memory in workspace.syncs.glob("*.json"):
            memory.write_text("damaged")
    write_text(here.run(SLUG, "one").submission, "x")
    add_trial(here.study(SLUG, "made-study"), 2)
    assert {each.result for each in push(here, store, ALL)} == {Result.CARRIED, Result.SAME}
    assert Result.CONFLICT not in {each.result for each in pull(there, store, ALL)}
    whole_runs(there, here)


def test_a_cut_network_leaves_only_whole_things_wherever_it_is_cut(tmp_path: Path) -> None:
    here = make_workspace(tmp_path / "here")
    make_run(here, "one", weights=100, folds=1)
    make_run(here, "two", weights=100, folds=1)
    for allowed in range(0, 56, 7):
        target = FolderStore(tmp_path / f"target {allowed}")
        there = make_workspace(tmp_path / f"there {allowed}")
        try:
            push(here, Failing(target, allowed), ALL)
        except TargetUnreachable:
            try:
                pull(there, target, ALL)
            except SyncError:
                assert not there.runs.exists()
            whole_runs(there, here)
        push(here, target, ALL)
        try:
            pull(there, Failing(target, allowed), ALL)
        except TargetUnreachable:
            whole_runs(there, here)
        pull(there, target, ALL)
        whole_runs(there, here)
        assert len(list(there.all_runs())) == 2
        assert not there.incoming_runs.exists()
