"""The files of a small competition, as fetch leaves them."""

from __future__ import annotations

from pathlib import Path

from kagglerun.config.card import Card
from kagglerun.config.load import dump_yaml
from kagglerun.files import sha256_of_file, write_text
from kagglerun.kaggle_api.manifest import Manifest, ManifestFile, write_manifest
from kagglerun.workspace import CompetitionPaths


def write_card(paths: CompetitionPaths, **changes: object) -> None:
    """Write the competition's card."""
    values = {
        "slug": "made",
        "source": "practice",
        "ids": ["id"],
        "targets": ["y"],
        "submission_columns": ["y"],
        "task": "binary",
        "classes": ["no", "yes"],
        "modality": "table",
        "metric": "accuracy",
        "greater_is_better": True,
        "files": {
            "train_table": "train.csv",
            "test_table": "test.csv",
            "sample_submission": "sample_submission.csv",
        },
    }
    write_text(paths.card, dump_yaml(Card.model_validate({**values, **changes})))


def seal(paths: CompetitionPaths) -> None:
    """Write the manifest of what stands in data/."""
    files = tuple(_entry(path, paths.data) for path in sorted(paths.data.glob("*.csv")))
    write_manifest(paths.manifest, Manifest("practice", files))


def _entry(path: Path, folder: Path) -> ManifestFile:
    return ManifestFile(str(path.relative_to(folder)), path.stat().st_size, sha256_of_file(path))
