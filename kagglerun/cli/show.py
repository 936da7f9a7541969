"""`kagglerun show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kagglerun.cli.console import out

if TYPE_CHECKING:
    from kagglerun.workspace import RunPaths


def show(
    run: Annotated[str, typer.Argument(help="A run's id, or its beginning.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show a run: its scores, what its config changes, what was submitted from it, where its files are."""
    from kagglerun.workspace import Workspace

    paths = Workspace.find().find_run(run)
    facts = _facts(paths)
    if as_json:
        import json

        out.out(json.dumps(facts, indent=2), highlight=False)
        return
    _print_head(facts)
    _print_scores(facts["metrics"])
    _print_pairs("members: weight, and what the score loses without them", facts["members"])
    _print_pairs("config, where it differs from the defaults", facts["config"])
    _print_submissions(facts["submissions"])
    _print_pairs("fingerprint", {key: str(value)[:12] for key, value in facts["fingerprint"].items()})
    _print_files(paths, facts["files"])


def _facts(paths: RunPaths) -> dict[str, Any]:
    from kagglerun.experiment.weights import why_no_weights
    from kagglerun.tracking import was_killed

    status = _json_of(paths.status)
    if status.get("state") == "RUNNING" and was_killed(paths):
        status = {**status, "state": "KILLED", "error": "its process is gone"}
    tracked = _json_of(paths.tracking)
    return {
        "run": paths.run_id,
        "competition": paths.slug,
        "folder": str(paths.folder),
        "status": status,
        "pruned": _json_of(paths.pruned) if status.get("state") == "PRUNED" else {},
        "metrics": _json_of(paths.metrics),
        "members": _members(paths),
        "config": _changed_config(paths),
        "fingerprint": _json_of(paths.fingerprint),
        "submissions": _lines_of(paths.submissions),
        "weights_deleted": None if paths.ensemble.is_file() else why_no_weights(paths),
        "mlflow_run": tracked.get("mlflow_run"),
        "files": sorted(str(path.relative_to(paths.folder)) for path in paths.folder.rglob("*") if path.is_file()),
    }


def _json_of(path: Path) -> dict[str, Any]:
    from kagglerun.files import read_json

    return dict(read_json(path)) if path.is_file() else {}


def _members(paths: RunPaths) -> dict[str, str]:
    """Of an ensemble: run id to its weight and gain."""
    found = {}
    for member in _json_of(paths.ensemble).get("members", ()):
        gain, error = member.get("gain"), member.get("gain_error")
        told = "" if gain is None else f"  {gain:+.5f}" + (f" ± {error:.5f}" if error is not None else "")
        found[member["run"]] = f"{member['weight']:.3f}{told}"
    return found


def _lines_of(path: Path) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line] if path.is_file() else []


def _changed_config(paths: RunPaths) -> dict[str, Any]:
    """Dotted keys of the run's config whose values are not the defaults of its model kind."""
    from kagglerun.config.load import load_config, parse_config
    from kagglerun.tracking import flatten

    config = load_config(paths.config)
    default = parse_config({"model": {"kind": config.model.kind}}, "defaults")
    elsewhere = {"sweep", "competition", "name"}
    values = flatten(config.model_dump(mode="json", exclude=elsewhere))
    defaults = flatten(default.model_dump(mode="json", exclude=elsewhere))
    return {key: value for key, value in values.items() if key == "model.kind" or defaults.get(key) != value}


def _print_head(facts: dict[str, Any]) -> None:
    status = facts["status"]
    state = status.get("state", "unknown").lower()
    study = f", a trial of {status['study']}" if status.get("study") else ""
    out.print(f"[bold]{escape(facts['run'])}[/]  {state}{escape(study)}")
    out.print(f"  competition {escape(facts['competition'])}, started {status.get('started') or 'at an unknown time'}")
    if status.get("error"):
        out.print(f"  [red]{escape(str(status['error']))}[/]")
    if facts["pruned"]:
        out.print(f"  stopped early {escape(facts['pruned']['reason'])}")
    if facts["weights_deleted"]:
        again = f"kagglerun reproduce {facts['run']} --keep"
        out.print(f"  {escape(facts['weights_deleted'])}; `{escape(again)}` makes them again")


def _print_scores(metrics: dict[str, Any]) -> None:
    if not metrics:
        return
    direction = "greater" if metrics["greater_is_better"] else "smaller"
    folds = "  ".join(f"{score:.5f}" for score in metrics["fold_scores"])
    out.print(f"\n[bold]{escape(metrics['metric'])}[/] ({direction} is better)")
    out.print(f"  all OOF  [bold]{metrics['score']:.5f}[/]\n  folds    {folds}")
    if metrics.get("postprocess"):
        out.print(f"  raw      {metrics['raw_score']:.5f}, before {escape(metrics['postprocess'])}")
    if metrics.get("fold_score_std") is not None:
        out.print(f"  mean     {metrics['fold_score_mean']:.5f} ± {metrics['fold_score_std']:.5f}")
    out.print(f"  took     {metrics['seconds']:.0f} s")
    for note in metrics.get("notes", ()):
        out.print(f"  note: {escape(str(note))}")


def _print_pairs(title: str, pairs: dict[str, Any]) -> None:
    if not pairs:
        return
    out.print(f"\n[bold]{title}[/]")
    width = max(map(len, pairs))
    for key, value in pairs.items():
        out.print(f"  {escape(key.ljust(width))}  {escape(str(value))}")


def _print_submissions(entries: list[dict[str, Any]]) -> None:
    if not entries:
        return
    out.print("\n[bold]submissions[/]")
    # A submission has a line when it was sent and another when its score came back: the last one counts.
    last = {entry.get("ref") or entry.get("time"): entry for entry in entries}
    for entry in last.values():
        scores = [f"{part} {entry[f'{part}_score']}" for part in ("public", "private") if entry.get(f"{part}_score")]
        told = "  ".join(scores) or str(entry.get("error") or entry.get("state") or "")
        out.print(f"  {escape(str(entry.get('time', '')))}  {escape(told)}")


def _print_files(paths: RunPaths, files: list[str]) -> None:
    out.print(f"\n[bold]files[/] in {escape(str(paths.folder))}")
    top = [name for name in files if "/" not in name]
    out.print(f"  {escape('  '.join(top))}")
    for folder in dict.fromkeys(name.split("/")[0] for name in files if "/" in name):
        inside = [name for name in files if name.startswith(f"{folder}/")]
        out.print(f"  {escape(folder)}/  {len(inside)} files")
    out.print(f"\nnext: kagglerun submit {escape(paths.run_id)}    or    kagglerun ui")
