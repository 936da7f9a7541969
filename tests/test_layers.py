"""Who may import whom, which file owns which library, and what no file may do."""

from __future__ import annotations

import ast

import pytest
from package_sources import Source, sources

_LAYERS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "__init__",
            "errors",
            "registry",
            "files",
            "randomness",
            "competition_ref",
            "paths",
            "workspace",
            "importing",
            "own_wheel",
            "nvml",
        }
    ),
    frozenset({"config"}),
    frozenset({"metrics", "data", "kaggle_api", "training", "tracking", "jobs", "sandbox"}),
    frozenset({"models", "practice"}),
    frozenset({"hooks"}),
    frozenset({"experiment", "ensemble"}),
    frozenset({"submission", "sweep", "notebooks", "environment"}),
    frozenset({"code_competition"}),
    frozenset({"cli", "__main__"}),
)
_LAYER_OF = {component: level for level, components in enumerate(_LAYERS) for component in components}
_MAY_IMPORT_THEIR_OWN_LAYER = (0, 5, 8)
_MAY_IMPORT_SIDEWAYS = {("data", "metrics")}  # a card names one of the metrics there are
_NARROWER = {
    "models": {"training", "data", "metrics"},
    "practice": {"metrics", "sandbox"},
}

_OWNERS: dict[str, tuple[str, ...]] = {
    "kaggle": ("kaggle_api/client.py",),
    "kagglesdk": ("kaggle_api/",),
    "mlflow": ("tracking/mlflow_store.py",),
    "optuna": ("sweep/",),
    "optuna_dashboard": ("sweep/review/dashboard.py",),
    "ray": ("sweep/ray/",),
    "timm": ("models/image.py", "models/transfer.py"),
    "lightgbm": ("models/tabular_boosting.py",),
    "numba": ("training/augmentation/kernel.py",),
    "nbformat": ("notebooks/build.py", "sandbox/", "code_competition/"),
    "nbclient": ("sandbox/",),
    "uv": ("sandbox/", "code_competition/"),
    "fastapi": ("practice/",),
    "starlette": ("practice/",),
    "uvicorn": ("practice/",),
    "matplotlib": ("experiment/plots.py", "experiment/figures.py", "sweep/review/", "ensemble/pictures.py"),
    "sklearn": (
        "metrics/",
        "data/splits.py",
        "practice/",
        "ensemble/",
        "experiment/postprocess/",
        "submission/drift.py",
    ),
    "psutil": ("jobs/", "environment/", "practice/", "sandbox/"),
    "pynvml": ("nvml.py", "environment/doctor/children/"),
    "fsspec": ("experiment/sync/object_store.py",),
    "torch": (
        "training/",
        "models/",
        "data/images.py",
        "hooks.py",
        "experiment/",
        "environment/",
        "sweep/",
        "code_competition/",
    ),
    "typer": ("cli/",),
    "rich": ("cli/",),
}
_LIGHT_FOR_CLI = (
    "typer",
    "rich",
    "kagglerun.cli",
    "kagglerun.errors",
    "kagglerun.competition_ref",
    "kagglerun.paths",
    "kagglerun.workspace",
    "kagglerun.__version__",
)


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_imports_go_down_the_layers_only(source: Source) -> None:
    level = _LAYER_OF[source.component]
    for item in source.imports():
        if not item.module.startswith("kagglerun."):
            continue
        target = item.module.split(".")[1]
        target = target if target in _LAYER_OF else "__init__"
        where = f"{source.name}:{item.line} imports {item.module}"
        if target == source.component:
            continue
        if _LAYER_OF[target] == level:
            sideways = (source.component, target) in _MAY_IMPORT_SIDEWAYS
            assert sideways or level in _MAY_IMPORT_THEIR_OWN_LAYER, where
        assert _LAYER_OF[target] <= level, where
        if source.component in _NARROWER and _LAYER_OF[target] == 2:
            assert target in _NARROWER[source.component], where


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_a_library_is_imported_by_its_owner_only(source: Source) -> None:
    for item in source.imports():
        owners = _OWNERS.get(item.module.split(".")[0])
        if owners is not None:
            assert source.name.startswith(owners), (
                f"{source.name}:{item.line} imports {item.module}, which {owners} own"
            )


@pytest.mark.parametrize("source", [s for s in sources() if s.component == "cli"], ids=lambda source: source.name)
def test_command_files_import_heavy_libraries_in_commands_only(source: Source) -> None:
    import sys

    for item in source.imports():
        if not item.on_import or item.module.split(".")[0] in sys.stdlib_module_names:
            continue
        assert item.module.startswith(_LIGHT_FOR_CLI), f"{source.name}:{item.line} imports {item.module} at once"


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_nothing_prints_unpickles_or_loads_unsafely(source: Source) -> None:
    for item in source.imports():
        assert item.module.split(".")[0] not in ("dill", "cloudpickle", "joblib", "shelve", "marshal"), item
    for call in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        where = f"{source.name}:{call.lineno} {name}"
        assert name not in ("print", "eval", "exec", "yaml.load", "yaml.unsafe_load"), where
        assert not name.startswith(("pickle.load", "pickle.Unpickler", "pandas.read_pickle", "pd.read_pickle")), where
        if name == "torch.load":
            options = {option.arg: ast.unparse(option.value) for option in call.keywords}
            assert options.get("weights_only") == "True", where


def test_every_component_of_the_package_has_a_layer() -> None:
    assert {source.component for source in sources()} <= set(_LAYER_OF)
    assert len(sources()) > 20
