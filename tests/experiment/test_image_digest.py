"""The digest of the container's image in what a run notes of its environment."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from kagglerun import metrics
from kagglerun.config.schema import Config
from kagglerun.experiment.fingerprint import describe_environment, take_fingerprint


def test_the_image_counts_in_the_fingerprint_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLERUN_IMAGE_DIGEST", raising=False)
    outside = describe_environment(Config())
    assert "image" not in outside
    monkeypatch.setenv("KAGGLERUN_IMAGE_DIGEST", "sha256:7")
    inside = describe_environment(Config())
    assert inside == {**outside, "image": "sha256:7"}
    prints = [
        asdict(take_fingerprint(Config(), "data", "folds", metrics.get("accuracy"), {}, None, environment))
        for environment in (outside, inside)
    ]
    assert [name for name in prints[0] if prints[0][name] != prints[1][name]] == ["environment"]
