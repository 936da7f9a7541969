"""Settings of a workspace."""

from __future__ import annotations

import pytest

from kagglerun.config.settings import Settings, load_settings
from kagglerun.errors import ConfigError
from kagglerun.workspace import Workspace


def written(workspace: Workspace, text: str) -> Settings:
    workspace.state.mkdir()
    workspace.settings.write_text(text, "utf-8")
    return load_settings(workspace.settings)


def test_without_a_file_everything_is_left_to_the_defaults(workspace: Workspace) -> None:
    assert load_settings(workspace.settings) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Settings()),
        ("image_cache_gb: 12.5", Settings(image_cache_gb=12.5)),
        ("mlflow_uri: none\nimage_cache_gb: 1e1", Settings(mlflow_uri="none", image_cache_gb=10)),
    ],
)
def test_values_are_read_by_their_type(workspace: Workspace, text: str, expected: Settings) -> None:
    assert written(workspace, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_cache: 5", "image_cache_gb"),
        ("image_cache_gb: 0", "image_cache_gb is 0"),
        ("image_cache_gb: much", "image_cache_gb is 'much'"),
        ("- 1", "keys and values"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_it_does_not_know_is_an_error_that_names_the_file_and_the_key(
    workspace: Workspace, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        written(workspace, text)
    assert "settings.yaml" in caught.value.message
