"""Competitions that need no download: made on first use from data inside installed packages, the same each time."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from kagglerun.practice.competitions import Definition
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.split import count_of_share

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_TEST_SHARE = 0.3
_SEED = 2024


@dataclass(frozen=True)
class BuiltIn:
    """A built-in competition.

    Attributes:
        slug, title, description: how it appears.
        task: what is predicted.
        metric: our name of its metric.
        evaluation_metric: Kaggle's name of it.
        target: the column to predict.
        rows: rows of train and test together.
        load: gives the table and, for images, the PNG of each row.
        daily: submissions a day.
    """

    slug: str
    title: str
    description: str
    task: str
    metric: str
    evaluation_metric: str
    target: str
    rows: int
    load: Callable[[], tuple[pd.DataFrame, list[bytes] | None]]
    daily: int = 20

    @property
    def test_rows(self) -> int:
        """Number of test rows."""
        return count_of_share(self.rows, _TEST_SHARE)

    def host(self, paths: PracticePaths) -> Definition:
        """Make the competition's files."""
        from kagglerun import metrics
        from kagglerun.practice.create import TableCompetition, host_table

        table, pictures = self.load()
        images: dict[str, tuple[str, bytes | Path]] | None = None
        id_column = None
        if pictures is not None:
            id_column = "id"
            images = {name: (f"{name}.png", png) for name, png in zip(table["id"], pictures, strict=True)}
        return host_table(
            paths,
            TableCompetition(
                slug=self.slug,
                title=self.title,
                description=self.description,
                table=table,
                targets=(self.target,),
                metric=metrics.get(self.metric),
                id_column=id_column,
                images=images,
                test_share=_TEST_SHARE,
                daily=self.daily,
                seed=_SEED,
            ),
        )


def _digits() -> tuple[pd.DataFrame, list[bytes] | None]:
    import pandas as pd
    from sklearn.datasets import load_digits

    data = load_digits()
    ids = [str(number) for number in range(1, len(data.target) + 1)]
    table = pd.DataFrame({"id": ids, "label": [str(label) for label in data.target]})
    return table, [_png(image) for image in data.images]


def _png(image: npt.NDArray[np.float64]) -> bytes:
    """An 8x8 grey picture; scikit-learn's levels 0..16 become 0..255."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _breast_cancer() -> tuple[pd.DataFrame, list[bytes] | None]:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    # scikit-learn's class 0 is the malignant one.
    return _as_text(data.data).assign(malignant=[str(1 - label) for label in data.target]), None


def _diabetes() -> tuple[pd.DataFrame, list[bytes] | None]:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True, scaled=False)
    return _as_text(data.data).assign(progression=[repr(float(value)) for value in data.target]), None


def _wine() -> tuple[pd.DataFrame, list[bytes] | None]:
    from sklearn.datasets import load_wine

    data = load_wine(as_frame=True)
    names = [str(data.target_names[label]).replace("class", "cultivar") for label in data.target]
    return _as_text(data.data).assign(cultivar=names), None


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as the shortest text that gives them back; column names without spaces."""
    renamed = table.rename(columns=lambda name: str(name).replace(" ", "_").replace("/", "_"))
    return renamed.map(lambda value: repr(float(value)))


BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        entry.slug: entry
        for entry in (
            BuiltIn(
                slug="digits",
                title="Handwritten digits",
                description="Which digit is it? 8x8 grey pictures, from scikit-learn's copy of the UCI optical digits.",
                task="multiclass",
                metric="accuracy",
                evaluation_metric="Categorization Accuracy",
                target="label",
                rows=1797,
                load=_digits,
            ),
            BuiltIn(
                slug="breast-cancer",
                title="Breast cancer",
                description="Is the tumour malignant? Thirty measures of cell nuclei, from scikit-learn's copy of the "
                "Wisconsin diagnostic data.",
                task="binary",
                metric="auc",
                evaluation_metric="Area Under Receiver Operating Characteristic Curve",
                target="malignant",
                rows=569,
                load=_breast_cancer,
            ),
            BuiltIn(
                slug="diabetes",
                title="Diabetes progression",
                description="How far has the disease gone after a year? Ten measures of a patient, from scikit-learn.",
                task="regression",
                metric="rmse",
                evaluation_metric="Root Mean Squared Error",
                target="progression",
                rows=442,
                load=_diabetes,
            ),
            BuiltIn(
                slug="wine",
                title="Wine cultivars",
                description="How likely is each of three cultivars? Thirteen measures of a wine, from scikit-learn's "
                "copy of the UCI wine data.",
                task="multiclass",
                metric="log_loss",
                evaluation_metric="Multiclass Loss",
                target="cultivar",
                rows=178,
                load=_wine,
            ),
        )
    }
)
"""Slug to built-in competition."""
