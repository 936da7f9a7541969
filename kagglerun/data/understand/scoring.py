"""Metric and direction, from what the server says; never from the sample's fill values."""

from __future__ import annotations

from kagglerun import metrics
from kagglerun.config.card import CompetitionFacts
from kagglerun.data.understand.findings import Findings
from kagglerun.errors import ConfigError
from kagglerun.metrics import Metric


def find_metric(findings: Findings, facts: CompetitionFacts | None, has_hooks: bool) -> Metric | None:
    """Settle `metric` and `greater_is_better`.

    Args:
        findings: the card in the making.
        facts: what the server says; None keeps what an earlier look found.
        has_hooks: the competition has code of the user's, which may bring its own metric.

    Returns:
        None when the metric is not known, or is the user's own.

    Raises:
        ConfigError: the user wrote a metric that does not exist.
    """
    name = _name(findings, facts)
    if name is None:
        return None
    try:
        metric = metrics.get(name)
    except ConfigError:
        if not has_hooks:
            raise
        because = f"{name!r} is a metric of your own"
        findings.ask("greater_is_better", because, "greater_is_better: true    (or false)")
        return None
    findings.settle("greater_is_better", metric.greater_is_better, f"{metric.name} is {_direction(metric)}")
    return metric


def _name(findings: Findings, facts: CompetitionFacts | None) -> str | None:
    if findings.is_written("metric"):
        return findings.take_text("metric")
    if facts is None:
        kept: str | None = findings.keep("metric")
        if kept is None and not findings.ask_again("metric"):
            _ask(findings, "the competition's page was not asked")
        return kept
    title = facts.evaluation_metric
    if not title:
        _ask(findings, "the competition's page names no metric")
        return None
    if not metrics.is_known(title):
        _ask(findings, f"Kaggle calls it {title!r}, which may hide parameters or is not known")
        return None
    return findings.settle("metric", metrics.get(title).name, f"the competition's page names {title!r}")


def _ask(findings: Findings, because: str) -> None:
    findings.ask("metric", f"{because}; the known ones are {', '.join(metrics.names())}", "metric: NAME")


def _direction(metric: Metric) -> str:
    return "maximised" if metric.greater_is_better else "minimised"
