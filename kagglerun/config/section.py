"""The base of every part of a config."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Base of every part of a config: frozen, unknown keys refused, numbers finite, defaults checked too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    name_alone: ClassVar[str | None] = None
    """The field that a plain text instead of the section stands for; None: a plain text is an error."""

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, given: Any) -> Any:
        return cls.spelled_out(given)

    @classmethod
    def spelled_out(cls, given: Any) -> Any:
        """`flip` as `{preset: flip}` where the section accepts a plain name; anything else as it is."""
        return {cls.name_alone: given} if cls.name_alone and isinstance(given, str) else given
