"""Reading configs: YAML, `extends`, `key=value` overrides; and cards.

Every error names the file, the key, the value and what would be allowed.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kagglerun.config.card import Card
from kagglerun.config.schema import Config, Section
from kagglerun.errors import ConfigError, unknown_name
from kagglerun.files import write_text

SectionT = TypeVar("SectionT", bound=Section)


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a config file.

    Args:
        path: a YAML file; `extends: other.yaml` in it inherits from a file beside it.
        overrides: `key=value` texts; the value is read as YAML.

    Raises:
        ConfigError: the file cannot be read, or says what the schema does not allow.
    """
    values = _read_with_parents(path, seen=())
    for override in overrides:
        key, value = _split_override(override)
        _set(values, key, value)
    values.setdefault("name", path.stem)
    return parse_config(values, str(path.name))


def parse_config(values: Mapping[str, Any], origin: str) -> Config:
    """Check a mapping against the schema.

    Args:
        values: the config as YAML has it.
        origin: where it came from, for messages.

    Raises:
        ConfigError: see `load_config`.
    """
    return _validate(Config, values, origin)


def load_card(path: Path, slug: str | None = None) -> Card:
    """Read a competition's card.

    Args:
        path: the file.
        slug: the competition's slug where the file does not say it.

    Raises:
        ConfigError: there is none, or it says what the schema does not allow.
    """
    if not path.is_file():
        raise ConfigError(f"there is no card {path}", hint=f"kagglerun fetch {path.parent.name}")
    written = _read_yaml(path)
    return _validate(Card, written if slug is None else {"slug": slug, **written}, str(path))


def dump_yaml(section: Section) -> str:
    """The section as YAML that `load_config` or `load_card` reads back; unset optional values are left out."""
    values = section.model_dump(mode="json", exclude_none=True)
    _keep_chosen_none(section, values)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110)


def _keep_chosen_none(section: Section, values: dict[str, Any]) -> None:
    """Put back each None that is not the default, e.g. `clip_norm: null`: left out it would read as the default."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if value is None and field.default is not None:
            values[name] = None
        elif isinstance(value, Section):
            _keep_chosen_none(value, values[name])


def save_config(path: Path, config: Config) -> None:
    """Freeze a resolved config into a run's folder."""
    write_text(path, dump_yaml(config))


def with_value(config: Config, key: str, value: Any) -> Config:
    """The config with one key changed, checked like a file.

    Raises:
        ConfigError: the schema does not have the key or refuses the value.
    """
    return with_values(config, {key: value})


def with_values(config: Config, changes: Mapping[str, Any]) -> Config:
    """The config with several dotted keys changed at once; see `with_value`."""
    values = config.model_dump(mode="json")
    if "model.kind" in changes and changes["model.kind"] != values["model"]["kind"]:
        values["model"] = {}
    # A section before what stands in it: training.augment, then training.augment.mixup.
    for key in sorted(changes, key=lambda name: name.count(".")):
        check_key(key)
        _set(values, key, changes[key])
    return parse_config(values, "config")


_MISSING = object()


def value_at(config: Config, key: str, default: Any = _MISSING) -> Any:
    """The value of a dotted key.

    Raises:
        ConfigError: the config does not have the key and no default was given.
    """
    value: Any = config
    for part in key.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, BaseModel) and part in type(value).model_fields:
            value = getattr(value, part)
        elif default is not _MISSING:
            return default
        else:
            raise ConfigError(f"the config has no key {key!r}")
    return value


def check_key(key: str) -> None:
    """Check that some config can have this dotted key.

    Raises:
        ConfigError: none can; the message names the nearest.
    """
    _annotations(key)


def is_whole_number_field(key: str) -> bool:
    """Whether a dotted key holds whole numbers."""
    return any(int in _members(annotation) and float not in _members(annotation) for annotation in _annotations(key))


def _annotations(key: str) -> list[Any]:
    """Types that the key has in the models that can stand there."""
    found: list[Any] = [Config]
    for position, part in enumerate(key.split(".")):
        sections = [member for annotation in found for member in _members(annotation) if _is_section(member)]
        if not sections:
            if any(dict in (get_origin(member), member) for item in found for member in _members(item)):
                return []  # free parameters: anything goes
            raise ConfigError(f"{'.'.join(key.split('.')[:position])} holds a value, so there is no key {key!r}")
        known = {name for section in sections for name in section.model_fields}
        if part not in known:
            where = ".".join(key.split(".")[:position])
            raise unknown_name(f"key in {where}" if where else "key", part, known)
        found = [s.model_fields[part].annotation for s in sections if part in s.model_fields]
    return found


def _members(annotation: Any) -> list[Any]:
    """The alternatives of a type: members of a union, unwrapped from Annotated."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return [annotation]


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _read_with_parents(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in seen:
        chain = " -> ".join(item.name for item in (*seen, path))
        raise ConfigError(f"configs extend one another in a circle: {chain}")
    values = _read_yaml(path)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    parent_path = path.parent / str(parent)
    if not parent_path.is_file():
        raise ConfigError(f"{path.name}: extends: {parent} does not exist", hint=f"looked for {parent_path}")
    inherited = _read_with_parents(parent_path, (*seen, path))
    return _merge(inherited, values)


def _merge(base: dict[str, Any], change: dict[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Deep merge; another model kind or search range replaces the inherited one whole, null takes a range out."""
    merged = dict(base)
    for key, value in change.items():
        old = _spelled_out((*path, key), merged.get(key))
        if value is None and isinstance(old, dict | list) and "." in key:
            del merged[key]
            continue
        kind_changed = key == "model" and isinstance(value, dict) and value.get("kind") not in (None, _kind(old))
        if isinstance(old, dict) and isinstance(value, dict) and not kind_changed and "low" not in value:
            merged[key] = _merge(old, value, (*path, key))
        else:
            merged[key] = value
    return merged


def _spelled_out(path: tuple[str, ...], value: Any) -> Any:
    """`{preset: light}` for `light` where the section at this path accepts a plain name; else the value as it is."""
    if not isinstance(value, str):
        return value
    try:
        annotations = _annotations(".".join(path))
    except ConfigError:
        return value  # an unknown key: told when the whole is checked
    sections = [member for annotation in annotations for member in _members(annotation) if _is_section(member)]
    return sections[0].spelled_out(value) if len(sections) == 1 else value


def _kind(model: Any) -> Any:
    return model.get("kind") if isinstance(model, dict) else None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line} is not valid YAML: {getattr(error, 'problem', error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; it must hold keys and values")
    return values


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"{text!r} is not key=value", hint="for example optimizer.lr=3e-4")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{text!r}: the value is not valid YAML") from error


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    if key.startswith("sweep.search."):
        values.setdefault("sweep", {}).setdefault("search", {})[key.removeprefix("sweep.search.")] = value
        return
    check_key(key)
    *parents, last = key.split(".")
    for depth, part in enumerate(parents, start=1):
        inner = _spelled_out(tuple(parents[:depth]), values.setdefault(part, {}))
        values[part] = inner
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {part} holds {inner!r}, so nothing can be set in it")
        values = inner
    values[last] = value


def _validate(model: type[SectionT], values: Mapping[str, Any], origin: str) -> SectionT:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _as_config_error(model, error, origin) from None


def _as_config_error(model: type[Section], error: ValidationError, origin: str) -> ConfigError:
    """The first problem, in the words of the file."""
    first = error.errors(include_url=False)[0]
    path, section = _path_in_file(model, first["loc"])
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        where = f"key in {'.'.join(path[:-1])} of {origin}" if path[:-1] else f"key in {origin}"
        return _other_kind(path) or unknown_name(where, path[-1], section.model_fields if section else ())
    others = error.errors(include_url=False)[1:]
    # A value may be one of several types: what each of them says stands at the same key.
    same = [other for other in others if _path_in_file(model, other["loc"])[0] == path]
    message = ", or: ".join(dict.fromkeys(_in_words(one) for one in (first, *same)))
    more = f" (and {len(others) - len(same)} more)" if len(others) > len(same) else ""
    value = first.get("input")
    shown = "" if isinstance(value, dict | BaseModel) else f" is {value!r}"
    hint = f"{key}=null says that there is none" if value in ("none", "None") else None
    return ConfigError(f"{origin}: {key or 'the config'}{shown}: {message}{more}", hint=hint)


def _in_words(error: ErrorDetails) -> str:
    """What pydantic says of a value, in YAML's words."""
    if error["type"] == "tuple_type":
        return "it must be a list, e.g. [0] or [0.5, 1]"
    if error["type"] == "model_type":
        return "it must be a section: {key: value, ...}"
    if error["type"] == "missing" and isinstance(error["loc"][-1], int):
        return "the list is too short"
    return error["msg"].removeprefix("Value error, ")


def _other_kind(path: list[str]) -> ConfigError | None:
    """The error for a key that another model kind has."""
    if len(path) != 2 or path[0] != "model":
        return None
    members = [member for member in _members(Config.model_fields["model"].annotation) if _is_section(member)]
    kinds = [member.model_fields["kind"].default for member in members if path[1] in member.model_fields]
    if not kinds:
        return None
    return ConfigError(
        f"model.{path[1]} belongs to model.kind {' or '.join(kinds)}, not to the kind that the config has",
        hint=f"add model.kind={kinds[0]}",
    )


def _path_in_file(model: type[Section], location: tuple[int | str, ...]) -> tuple[list[str], type[Section] | None]:
    """The path without the union tags that pydantic puts between, and the section that holds its end."""
    path: list[str] = []
    section: type[Section] | None = model
    holder: type[Section] | None = model
    for part in map(str, location):
        tagged = section is None and holder is not None and path and _tagged(holder, path[-1], part)
        if tagged:
            section = tagged
            continue
        if section is None and path and not part.isdigit():
            continue  # the name of a type, where a value may be one of several
        path.append(part)
        holder = section or holder
        field = holder.model_fields.get(part) if holder and section else None
        sections = [member for member in _members(field.annotation) if _is_section(member)] if field else []
        section = sections[0] if len(sections) == 1 else None
    return path, holder


def _tagged(holder: type[Section], field: str, tag: str) -> type[Section] | None:
    """The member of a union of sections whose `kind` is `tag`."""
    if field not in holder.model_fields:
        return None
    for member in _members(holder.model_fields[field].annotation):
        if _is_section(member) and "kind" in member.model_fields and member.model_fields["kind"].default == tag:
            found: type[Section] = member
            return found
    return None
