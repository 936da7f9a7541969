"""A small competition of every layout a submission can have, from a labelled table to a score that is read back."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from kagglerun import metrics
from kagglerun.cli.main import run
from kagglerun.config.load import load_card, parse_config
from kagglerun.experiment.run import resolve_config, run_experiment
from kagglerun.metrics import run_lengths
from kagglerun.practice.competitions import Catalogue
from kagglerun.practice.paths import PracticePaths
from kagglerun.practice.scoring import read_values
from kagglerun.practice.state import Store
from kagglerun.submission.guard import inspect_file
from kagglerun.submission.ledger import read_ledger
from kagglerun.submission.write import sample_path
from kagglerun.workspace import Workspace

ROWS = 160
SIDE = 24
ANIMALS = ("ant", "bee", "cat", "dog", "elk")
_CONFIG = {
    "model": {"kind": "tabular_boosting", "n_estimators": 15, "learning_rate": 0.2, "min_child_samples": 5},
    "cv": {"n_splits": 2},
    "training": {"cpu_threads": 1},
}


@dataclass(frozen=True)
class Layout:
    """One layout and how its competition is made.

    Attributes:
        name: what it is.
        table: gives the labelled rows.
        targets: the columns that are predicted.
        metric: our name of the metric.
        parameters: the metric's own.
        answers: lines that the card needs from the user.
        hooks: the competition's hooks.py, where no built-in model learns it.
        long: how ids are put together where the submission has a row for each pair; the competition is then hosted
            from a bundle.
    """

    name: str
    table: Callable[[np.random.Generator], pd.DataFrame]
    targets: tuple[str, ...]
    metric: str
    parameters: tuple[str, ...] = ()
    answers: str = ""
    hooks: str | None = None
    long: bool = False

    @property
    def slug(self) -> str:
        """The competition's slug."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.name).split())


@dataclass(frozen=True)
class Competed:
    """What came of it.

    Attributes:
        layout: which one.
        rows: rows of the file.
        example: a cell of it.
        oof: out-of-fold score.
        server: public and private score, as the server gave them.
        own: the same by the metric itself.
        same_file: whether the server holds the very bytes that were written.
        like_sample: whether columns, rows and their order are the sample submission's.
        findings: what the checks say of the file.
        ledger: the public score in the ledger.
    """

    layout: Layout
    rows: int
    example: str
    oof: float
    server: tuple[float, float]
    own: tuple[float, float]
    same_file: bool
    like_sample: bool
    findings: tuple[str, ...] = field(default=())
    ledger: float | None = None

    @property
    def agrees(self) -> bool:
        """Whether the server, the metric and the ledger tell the same."""
        told = (*self.server, self.ledger or np.nan)
        close = np.allclose(told, (*self.own, self.own[0]), atol=1e-5)  # Kaggle shows five digits
        return bool(close and self.same_file and self.like_sample)


def compete(workspace: Workspace, layout: Layout, folder: Path) -> Competed:
    """Host the competition, fetch it, train, and submit by the command; the workspace must be the current one."""
    slug, table = layout.slug, layout.table(np.random.default_rng(7))
    _host(layout, table, folder)
    assert run(["fetch", f"practice/{slug}"]) in (0, 2)
    paths = workspace.competition(slug)
    if layout.hooks is not None:
        paths.hooks.write_text(layout.hooks)
    answer(paths.card, layout.answers)
    config = resolve_config(workspace, parse_config({**_CONFIG, "competition": slug}, "layouts"))
    oof = run_experiment(workspace, config, slug)
    assert run(["submit", slug, "--yes"]) == 0
    return _read_back(workspace, layout, oof.score)


def answer(card: Path, answers: str) -> None:
    """Write lines into a card, in place of those with the same key and what is indented under them."""
    keys, kept, skipping = [line.partition(":")[0] for line in answers.splitlines()], [], False
    for line in card.read_text().splitlines():
        skipping = line.partition(":")[0] in keys or (skipping and line[:1] in (" ", "-"))
        kept += [] if skipping else [line]
    card.write_text("\n".join([*kept, answers, ""]))


def _host(layout: Layout, table: pd.DataFrame, folder: Path) -> None:
    options = [part for one in layout.parameters for part in ("--metric-parameter", one)]
    options += ["--metric", layout.metric]
    rows, bundle, solution = folder / "rows.csv", folder / "bundle.zip", folder / "solution.csv"
    if layout.long:
        _write_pairs(layout, table, bundle, solution)
        command = ["practice", "add", layout.slug, "--bundle", str(bundle), "--solution", str(solution), *options]
    else:
        table.to_csv(rows, index=False)
        targets = [part for name in layout.targets for part in ("--target", name)]
        named = ["--id", "id"] if "id" in table else []
        command = ["practice", "create", layout.slug, "--train", str(rows), *targets, *named, *options]
    assert run(command) == 0


def _write_pairs(layout: Layout, table: pd.DataFrame, bundle: Path, solution: Path) -> None:
    """A bundle whose sample submission has a row for each test row and target."""
    cut = len(table) * 2 // 3
    train, test = table.iloc[:cut], table.iloc[cut:]
    pairs = [(f"{row['id']}_{name}", row[name]) for _, row in test.iterrows() for name in reversed(layout.targets)]
    truths = pd.DataFrame(pairs, columns=["key", "value"])
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("train.csv", train.to_csv(index=False))
        archive.writestr("test.csv", test.drop(columns=list(layout.targets)).to_csv(index=False))
        archive.writestr("sample_submission.csv", truths.assign(value=0).to_csv(index=False))
    truths.to_csv(solution, index=False)


def _read_back(workspace: Workspace, layout: Layout, oof: float) -> Competed:
    slug, practice = layout.slug, PracticePaths(workspace.practice)
    paths, written = workspace.competition(slug), workspace.run(slug, slug).submission
    card = load_card(paths.card)
    [sent] = Store(practice.database).submissions(slug)
    file = pd.read_csv(written, dtype=str, keep_default_na=False)
    sample = pd.read_csv(sample_path(paths, card), dtype=str, keep_default_na=False)
    ids = list(card.ids)
    own = _scores(workspace, layout, written)
    entry = [entry for entry in read_ledger(workspace.ledger) if entry.run_id == slug][-1]
    return Competed(
        layout,
        len(file),
        str(file[card.submission_columns[0]].iloc[int(file[card.submission_columns[0]].str.len().argmax())]),
        oof,
        (float(sent.public_score or np.nan), float(sent.private_score or np.nan)),
        own,
        _digest(practice.upload(sent.token)) == _digest(written),
        list(file.columns) == list(sample.columns) and list(file.drop_duplicates(ids)[ids[0]]) == list(sample[ids[0]]),
        inspect_file(written, paths, card, run=workspace.run(slug, slug)).warnings,
        entry.public_score,
    )


def _scores(workspace: Workspace, layout: Layout, written: Path) -> tuple[float, float]:
    """The file's scores by the metric itself, on the public and the private rows."""
    hosted = Catalogue(PracticePaths(workspace.practice)).get(layout.slug)
    paths = workspace.competition(layout.slug)
    card, ids = load_card(paths.card), list(hosted.definition.ids)
    metric = metrics.of_card(card, paths.hooks)
    solution = read_values(hosted.paths.solution, ids, "the solution")
    submission = read_values(written, ids, "the submission")
    scores = []
    for part in ("Public", "Private"):
        truth = solution[solution["Usage"] == part]
        rows = submission[submission[ids[0]].isin(truth[ids[0]])]
        scores.append(
            metric.score_frames(rows, truth, ids, hosted.definition.classes or None, **card.metric_parameters)
        )
    return scores[0], scores[1]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _features(numbers: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Four columns that tell five classes, and the classes' numbers."""
    codes = numbers.integers(0, len(ANIMALS), ROWS)
    features = numbers.normal(size=(ROWS, 4))
    features[:, 0] += codes * 1.3
    features[:, 1] -= (codes % 2) * 1.5
    return pd.DataFrame(features.round(4), columns=list("abcd")), codes


def _animals(numbers: np.random.Generator) -> pd.DataFrame:
    table, codes = _features(numbers)
    return table.assign(animal=[ANIMALS[code] for code in codes])


def _two(numbers: np.random.Generator) -> pd.DataFrame:
    table, codes = _features(numbers)
    return table.assign(large=np.where(codes > 2, "yes", "no"))


def _grades(numbers: np.random.Generator) -> pd.DataFrame:
    table, codes = _features(numbers)
    return table.assign(grade=codes)


def _prices(numbers: np.random.Generator) -> pd.DataFrame:
    table, codes = _features(numbers)
    return table.assign(price=(100 + 30 * codes + numbers.normal(0, 5, ROWS)).round(2))


def _measures(numbers: np.random.Generator) -> pd.DataFrame:
    table, codes = _features(numbers)
    return table.assign(height=(codes + table["c"]).round(3), width=(codes - table["d"]).round(3))


def _several(numbers: np.random.Generator) -> pd.DataFrame:
    table, _ = _features(numbers)
    chosen = {name: (table[column] > 0.5).astype(int) for name, column in zip(ANIMALS, "abcd", strict=False)}
    return table.assign(id=[f"p{row}" for row in range(ROWS)], **chosen)


def _listed(between: str) -> Callable[[np.random.Generator], pd.DataFrame]:
    def table(numbers: np.random.Generator) -> pd.DataFrame:
        rows = _several(numbers)
        cells = [between.join(name for name in ANIMALS[:4] if row[name]) or "elk" for _, row in rows.iterrows()]
        return rows[list("abcd")].assign(labels=cells)

    return table


def _masks(row_major: bool) -> Callable[[np.random.Generator], pd.DataFrame]:
    """Discs whose place and size the features nearly tell; every fifth image has none."""

    def table(numbers: np.random.Generator) -> pd.DataFrame:
        x, y = numbers.integers(6, SIDE - 6, (2, ROWS))
        radius = np.where(np.arange(ROWS) % 5 == 0, 0, numbers.integers(2, 6, ROWS))
        down, across = np.mgrid[:SIDE, :SIDE]
        discs = [(across - a) ** 2 + (down - 2 * b / 2) ** 2 < r * r for a, b, r in zip(x, y, radius, strict=True)]
        cells = [run_lengths.encode(disc, row_major=row_major) for disc in discs]
        size = (radius + numbers.normal(0, 0.3, ROWS)).round(3)
        ids = [f"i{row}" for row in range(ROWS)]
        return pd.DataFrame({"id": ids, "x": x, "y": y, "size": size, "rle": cells})

    return table


def _boxes(numbers: np.random.Generator) -> pd.DataFrame:
    left, top = numbers.integers(0, 50, (2, ROWS))
    kind = np.where(numbers.uniform(size=ROWS) > 0.5, "cat", "dog")
    cells = [
        f"{k} {a} {b} {a + 10} {b + 8}" if n % 7 else ""
        for n, (k, a, b) in enumerate(zip(kind, left, top, strict=True))
    ]
    table = pd.DataFrame({"id": [f"i{n}" for n in range(ROWS)], "left": left, "top": top, "kind": kind, "boxes": cells})
    return table.assign(left=left + numbers.integers(0, 2, ROWS), seen=(table["boxes"] != "").astype(int))


def _texts(numbers: np.random.Generator) -> pd.DataFrame:
    words = ["a", "of", "the", "running", "submission", "leaderboard"]
    texts = [" ".join(numbers.choice(words, 6)) + " kaggle" for _ in range(ROWS)]
    short = [", ".join(word for word in text.split() if len(word) >= 6) for text in texts]
    return pd.DataFrame({"text": texts, "short": short})


_OWN = """
import numpy as np
from kagglerun.hooks import CompetitionHooks
from kagglerun.metrics import run_lengths
from kagglerun.models.base import FoldOutcome


class Own:
    \"\"\"Keeps the columns that say all, with what it learnt of the training rows.\"\"\"

    def fit_fold(self, context):
        learnt = LEARN(context)
        valid, test = context.data.train.iloc[context.valid_rows], context.data.test
        return FoldOutcome(PREDICT(valid, learnt), PREDICT(test, learnt), (), 0)


class Hooks(CompetitionHooks):
    def model(self):
        return Own()

    def cells(self, predictions, rows):
        return CELLS(predictions, rows)

"""
_MASK_HOOKS = """
def LEARN(context):
    areas = [run_lengths.area(run_lengths.parse(cell)) for cell in context.data.targets[context.train_rows]]
    sizes = context.data.train["size"].to_numpy()[context.train_rows]
    return np.median([(area / np.pi) ** 0.5 / size for area, size in zip(areas, sizes) if area])

def PREDICT(table, scale):
    return np.column_stack([table["x"], table["y"], table["size"] * scale]).astype(float)

def CELLS(predictions, rows):
    down, across = np.mgrid[:24, :24]
    discs = [(across - x) ** 2 + (down - y) ** 2 < max(0, r if r > 1 else 0) ** 2 for x, y, r in predictions]
    return {"rle": [run_lengths.encode(disc, row_major=ROW_MAJOR) for disc in discs]}
"""
_BOX_HOOKS = """
def LEARN(context):
    return 0

def PREDICT(table, learnt):
    cats = (table["kind"].astype(str) == "cat").to_numpy()
    return np.column_stack([table["left"], table["top"], cats, table["seen"]]).astype(float)

def CELLS(predictions, rows):
    kinds = ["dog", "cat"]
    found = [f"{kinds[round(c)]} 0.9 {a:g} {b:g} {a + 10:g} {b + 8:g}" if s > 0.5 else "" for a, b, c, s in predictions]
    return {"boxes": found}
"""
_TEXT_HOOKS = """
def LEARN(context):
    return min(len(word) for cell in context.data.targets[context.train_rows] for word in cell.split(", "))

def PREDICT(table, least):
    return np.full((len(table), 1), float(least))

def CELLS(predictions, rows):
    kept = [[word for word in text.split() if len(word) >= n] for text, (n,) in zip(rows["text"], predictions)]
    return {"short": [", ".join(words[:-1]) + ("!, " if k % 3 else ", ") + words[-1] for k, words in enumerate(kept)]}
"""


def _answers(task: str, layout: str) -> str:
    return f"task: {task}\nsubmission_layout: {layout}\nmodality: table\nunresolved: []"


_PAIRED = (
    "ids: [key]\nid_format: '{id}_{class}'\nsubmission_columns: [value]\nsubmission_layout: long\n"
    "modality: table\nunresolved: []"
)

LAYOUTS: tuple[Layout, ...] = (
    Layout("labels of two classes", _two, ("large",), "accuracy"),
    Layout("labels of several classes", _animals, ("animal",), "f1_macro"),
    Layout("ordered labels", _grades, ("grade",), "qwk"),
    Layout("one probability", _two, ("large",), "auc"),
    Layout("probabilities, wide", _animals, ("animal",), "log_loss"),
    Layout(
        "probabilities, long",
        _several,
        ANIMALS[:3],
        "columnwise_log_loss",
        answers=f"{_PAIRED}\ntargets: [ant, bee, cat]\ntask: multilabel\nclasses:",
        long=True,
    ),
    Layout("several yes-or-no targets", _several, ANIMALS[:3], "columnwise_auc"),
    Layout("one number", _prices, ("price",), "rmsle"),
    Layout("several numbers", _measures, ("height", "width"), "columnwise_rmse"),
    Layout(
        "several numbers, long",
        lambda numbers: _measures(numbers).assign(id=[f"p{row}" for row in range(ROWS)]),
        ("height", "width"),
        "mae",
        answers=f"{_PAIRED}\ntargets: [height, width]\ntask: regression\nclasses:",
        long=True,
    ),
    Layout("ranked lists", _animals, ("animal",), "map_at_k", ("k=3",)),
    Layout("strings of labels", _listed(" "), ("labels",), "f1_samples"),
    Layout(
        "strings of labels, commas", _listed(","), ("labels",), "f1_samples", answers="submission_layout: label_list"
    ),
    Layout(
        "labels with confidences",
        _animals,
        ("animal",),
        "global_average_precision",
        answers="submission_layout: ranked_list",
    ),
    Layout(
        "masks, column by column",
        _masks(False),
        ("rle",),
        "dice",
        answers=_answers("segmentation", "run_lengths"),
        hooks=_OWN + _MASK_HOOKS.replace("ROW_MAJOR", "False"),
    ),
    Layout(
        "masks, row by row",
        _masks(True),
        ("rle",),
        "dice",
        answers=_answers("segmentation", "run_lengths"),
        hooks=_OWN + _MASK_HOOKS.replace("ROW_MAJOR", "True"),
    ),
    Layout("boxes", _boxes, ("boxes",), "coco_map", answers=_answers("detection", "boxes"), hooks=_OWN + _BOX_HOOKS),
    Layout("free text", _texts, ("short",), "levenshtein", answers=_answers("text", "text"), hooks=_OWN + _TEXT_HOOKS),
)
"""Every layout; the last ones have no built-in model and bring their own by hooks.py."""
