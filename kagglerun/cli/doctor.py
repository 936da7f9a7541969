"""`kagglerun doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kagglerun.environment.doctor.finding import Finding
    from kagglerun.experiment.rerun.resume_proof import Proof
    from kagglerun.workspace import Workspace

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: every finding, and the measures.")] = False,
    bench: Annotated[
        bool, typer.Option("--bench", help="Also measure GPUs, decoding and the disk; some minutes at most.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask neither Kaggle nor a database's server.")] = False,
    explain: Annotated[
        str | None, typer.Option("--explain", help="What an error's text means; a file with it, or - for the input.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Kill tiny runs at random moments and prove that they end the same.")
    ] = False,
    kills: Annotated[int, typer.Option("--kills", min=1, help="With --resume: how many processes to kill.")] = 6,
    seed: Annotated[
        int | None, typer.Option("--seed", help="With --resume: of the moments; another one each time by default.")
    ] = None,
) -> None:
    """Say what is wrong with this machine before an hour is lost, and the command that mends it.

    Looks at Python and packages, the driver, each GPU and what it computes, shared memory, disks, limits, Kaggle's
    credentials, the databases, and the session of Colab or Kaggle. Changes nothing; needs no workspace. Exit code 1
    when there is an error; warnings alone are 0.

    --bench compares what the GPUs reach with their published figures: a slow or shared one is called so.

    --resume trains a tiny image net and a tiny table net with averaged weights, accumulation, mixup and early
    stopping, kills real processes of the same runs with SIGKILL, goes on with them and compares every bit.
    """
    if resume:
        _prove_resume(kills, seed)
    elif explain is not None:
        _explain(explain)
    else:
        _examine(as_json, bench, ask_network=not offline)


def _examine(as_json: bool, bench: bool, ask_network: bool) -> None:
    from kagglerun.environment.doctor.bench.judge import judge
    from kagglerun.environment.doctor.bench.measure import measure
    from kagglerun.environment.doctor.checks import examine
    from kagglerun.environment.doctor.finding import Level, worst
    from kagglerun.environment.doctor.probes.machine import probe_machine

    workspace = _workspace()
    with err.status("looking at the machine"):
        findings = examine(probe_machine(workspace, ask_network))
    if not as_json:
        _print_findings(findings)
    measures = None
    if bench:
        with err.status("measuring") as status:
            measures = measure(workspace, lambda what: status.update(f"measuring {what}"))
        judged = judge(measures)
        if not as_json:
            _print_measures(measures.to_dict())
            _print_findings(judged)
        findings += judged
    if as_json:
        _print_json(findings, None if measures is None else measures.to_dict())
    else:
        _print_summary(findings)
    if worst(findings) is Level.ERROR:
        raise typer.Exit(1)


def _workspace() -> Workspace | None:
    """The workspace, where there is one; one that was named must be there."""
    import os

    from kagglerun.errors import WorkspaceError
    from kagglerun.workspace import Workspace

    try:
        return Workspace.find()
    except (WorkspaceError, FileNotFoundError):  # or the current folder is gone
        if os.environ.get("KAGGLERUN_WORKSPACE"):
            raise
        return None


def _print_findings(findings: Sequence[Finding]) -> None:
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        level = finding.level.name.lower()
        out.print(f"[{_STYLES[level]}]{level:7}[/]  {finding.check:{width}}  {escape(finding.found)}")
        if finding.level:
            indent = " " * (width + 11)
            out.print(f"{indent}[dim]looked for: {escape(finding.looked_for)}[/]")
            if finding.mend:
                out.print(f"{indent}[bold]→[/] {escape(finding.mend)}")


def _print_measures(measures: dict[str, object]) -> None:
    from rich.table import Table

    table = Table("measured", "reached", "published", "share", box=None, pad_edge=False, header_style="bold")
    rates = measures["rates"]
    assert isinstance(rates, list)
    for rate in rates:
        table.add_row(rate["name"], rate["reached"], rate["published"] or "", rate["share"] or "")
    out.print(table)


def _print_json(findings: Sequence[Finding], measures: dict[str, object] | None) -> None:
    import json
    import sys

    told = {"findings": [finding.to_dict() for finding in findings], "bench": measures}
    sys.stdout.write(json.dumps(told, indent=2) + "\n")


def _print_summary(findings: Sequence[Finding]) -> None:
    counts = {name: sum(finding.level.name.lower() == name for finding in findings) for name in _STYLES}
    parts = [f"{counts[name]} {name}{'s' if counts[name] > 1 else ''}" for name in ("error", "warning") if counts[name]]
    style = "error" if counts["error"] else "warning" if counts["warning"] else "ok"
    out.print(f"[{_STYLES[style]}]{', '.join(parts) or 'nothing is wrong'}[/] in {len(findings)} findings")


def _explain(text: str) -> None:
    """Print what a failure means; exit code 1 for one that is not known."""
    import sys
    from pathlib import Path

    from kagglerun.environment.doctor.failure_texts import explain

    if text == "-":
        text = sys.stdin.read()
    elif len(text) < 4096 and "\n" not in text and Path(text).is_file():
        text = Path(text).read_text("utf-8", errors="replace")
    known = explain(text)
    if known is None:
        err.print("that is no failure that the doctor knows; kagglerun doctor looks at the machine", markup=False)
        raise typer.Exit(1)
    out.print(f"{escape(known.why)}\n[bold]→[/] {escape(known.mend)}")


def _prove_resume(kills: int, seed: int | None) -> None:
    from kagglerun.experiment.rerun.resume_proof import prove_resume
    from kagglerun.randomness import derive

    chosen = derive(0, "doctor", _clock()) % 10**6 if seed is None else seed
    err.print(f"moments of the kills: --seed {chosen}", markup=False)
    proofs = []
    for proof in prove_resume(kills, chosen):
        proofs.append(proof)
        _print(proof)
    unequal = sum(proof.difference is not None for proof in proofs)
    killed = sum(len(proof.kills) for proof in proofs)
    if unequal:
        out.print(f"[bold red]{unequal} of {len(proofs)} runs differ[/] after {killed} kills")
        raise typer.Exit(1)
    out.print(f"[bold green]{killed} kills, {len(proofs)} equal results[/]")


def _clock() -> int:
    import time

    return time.time_ns()


def _print(proof: Proof) -> None:
    result = "equal" if proof.difference is None else f"differs: {proof.difference}"
    for kill in proof.kills:
        out.print(f"{proof.kind}  killed after {kill.seconds:5.2f} s  {kill.where:70}  {result}", markup=False)
    if not proof.kills:
        out.print(f"{proof.kind}  was never caught alive  {result}", markup=False)
