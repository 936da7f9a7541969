"""`kagglerun doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kagglerun.cli.console import err, out

if TYPE_CHECKING:
    from kagglerun.experiment.rerun.resume_proof import Proof


def doctor(
    resume: Annotated[
        bool, typer.Option("--resume", help="Kill tiny runs at random moments and prove that they end the same.")
    ] = False,
    kills: Annotated[int, typer.Option("--kills", min=1, help="With --resume: how many processes to kill.")] = 6,
    seed: Annotated[
        int | None, typer.Option("--seed", help="With --resume: of the moments; another one each time by default.")
    ] = None,
) -> None:
    """Check by doing that this machine trains exactly. Needs no workspace and leaves nothing.

    --resume trains a tiny image net and a tiny table net with averaged weights, accumulation, mixup and early
    stopping, kills real processes of the same runs with SIGKILL, goes on with them and compares every bit. Exit
    code 1 when one differs.
    """
    from kagglerun.errors import ConfigError

    if not resume:
        raise ConfigError("doctor was not told what to check", hint="kagglerun doctor --resume")
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
