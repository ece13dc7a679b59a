"""Settings, each declared once.

A record of settings is a frozen dataclass made with `record`; its fields are made with `setting`::

    @record
    class Training:
        steps: int = setting(1000, "Training steps.", ge=1)
        solver: Literal["adam", "cg"] = setting("cg", "How the inner problem is solved.", panel="Solver")

Command-line options (``cli/options.py``), ``--config`` files, the keywords of the Python API, the checks of
values, the command reference and the JSON in manifests are all derived from these records.  A setting has
one name everywhere; its option is that name with dashes.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import pydantic
import pydantic.dataclasses
from pydantic.fields import FieldInfo

from rcig_cli.errors import ConfigError, NotFound, shorten
from rcig_cli.extensions import METAVAR, Kind, installed, is_extension

DEFAULT = "default"  # in a mapping by class name: the value of all other classes

Record = TypeVar("Record")

_STRICT = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting.

    Attributes
    ----------
    name
        Its name; the option is ``--name`` with dashes.
    type
        ``int``, ``float``, ``bool`` or ``str``.
    choices
        The allowed texts; empty if the setting is not restricted to some texts.
    extension
        The kind of extension that may be named in place of one of the choices, or None.
    optional
        Whether None is allowed.
    default
        The default value; None where the default depends on other settings or on the data.
    help
        One sentence.
    panel
        The heading under which the command line lists it; None for the first.
    bounds
        ``ge``, ``gt``, ``le`` and ``lt``, where the value has such bounds.
    per_class
        Whether a list (one value for each class) or a mapping (values by class name) is allowed too.
    """

    name: str
    type: type
    choices: tuple[str, ...]
    extension: Kind | None
    optional: bool
    default: Any
    help: str
    panel: str | None
    bounds: Mapping[str, Any]
    per_class: bool

    @property
    def option(self) -> str:
        """The command-line option, ``--image-lr``."""
        return "--" + self.name.replace("_", "-")

    @property
    def help_with_default(self) -> str:
        """Its help, followed by the default value where it is the same in all cases."""
        known = self.default is not None and self.type is not bool and "Default" not in self.help
        return self.help + (f" Default: {self.default}." if known else "")

    @property
    def known(self) -> tuple[str, ...]:
        """The choices, and the names of installed extensions."""
        return tuple(dict.fromkeys([*self.choices, *(installed(self.extension) if self.extension else ())]))

    @property
    def allowed(self) -> str:
        """The allowed values, as text that follows "must be"."""
        if self.per_class:
            return f"{replace(self, per_class=False).allowed}, or one for each class (by name, or a list)"
        if self.extension:
            return f"one of {', '.join(self.known)}, or your own as {METAVAR}"
        if self.choices:
            return f"one of {', '.join(self.choices)}" if len(self.choices) > 1 else self.choices[0]
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return "text"
        return allowed_number(self.type, self.bounds)

    def parse(self, text: str) -> Any:
        """Convert text from a command line to this setting's type; return unsuitable text unchanged."""
        if self.type in (int, float):
            try:
                return self.type(text)
            except ValueError:
                return text
        return text

    def parse_per_class(self, texts: Iterable[str]) -> Any:
        """Convert texts such as ``"10"`` and ``"cat=5"`` to a mapping, or to one value without classes."""
        found = {}
        for text in texts:
            name, _, value = text.rpartition("=")
            found[name or DEFAULT] = self.parse(value)
        return found[DEFAULT] if found.keys() == {DEFAULT} else found


def allowed_number(kind: type, limits: Mapping[str, Any]) -> str:
    """Return the numbers of a type within ``ge``, ``gt``, ``le``, ``lt``, as text that follows "must be"."""
    noun = "a whole number" if kind is int else "a number"
    bounds = {each: f"{limit:.10g}" for each, limit in limits.items()}
    if {"ge", "le"} <= set(bounds):
        return f"{noun} from {bounds['ge']} to {bounds['le']}"
    if set(bounds) == {"ge"}:
        return f"{noun} of {bounds['ge']} or more"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " ".join([noun, " and ".join(f"{words[each]} {limit}" for each, limit in bounds.items())]).strip()


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(pydantic.Field,))
def record(cls: type[Record]) -> type[Record]:
    """Make a class a record of settings: frozen, keyword-only, with values checked when it is made."""
    make_record: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=_STRICT)
    made: type[Record] = make_record(cls)
    return made


def setting(
    default: Any,
    help: str,  # noqa: A002
    *,
    panel: str | None = None,
    choices: Iterable[str] = (),
    extension: Kind | None = None,
    per_class: bool = False,
    **bounds: Any,
) -> Any:
    """Declare a field of a record.

    Parameters
    ----------
    default
        The default value, or ``...`` if the setting must be given.
    help
        One sentence for the command line and the reference.
    panel
        The heading under which the command line lists it.
    choices
        The texts that are allowed, where they are known only when the program runs; else use ``Literal``.
    extension
        The kind of extension (`rcig_cli.extensions`) that may be named in place of one of ``choices``.
    per_class
        Whether classes may have different values; the type is then ``int | tuple[int, ...]``.
    **bounds
        ``ge``, ``gt``, ``le``, ``lt``.
    """
    extra: Any = {
        **{"panel": panel, "choices": [*choices], "extension": extension},
        **{"bounds": bounds, "per_class": per_class},
    }
    # pydantic can't apply bounds to each item of a tuple; `make` checks them with all others.
    checked = {} if per_class else bounds
    return pydantic.Field(default, description=help, json_schema_extra=extra, **checked)


def settings_of(record: type) -> dict[str, Setting]:
    """Return the settings of a record by name, in their order; fields that are records are left out."""
    return dict(_settings_of(record))


@lru_cache  # a command that lists runs reads a configuration of each
def _settings_of(record: type) -> Mapping[str, Setting]:
    hints = get_type_hints(record, include_extras=False)
    fields: Mapping[str, FieldInfo] = record.__pydantic_fields__  # type: ignore[attr-defined]
    return {
        name: _described(name, hints[name], field)
        for name, field in fields.items()
        if isinstance(field.json_schema_extra, dict)
    }


def _described(name: str, hint: Any, field: FieldInfo) -> Setting:
    optional = False
    if get_origin(hint) in (Union, UnionType):
        optional = NoneType in get_args(hint)
        (hint,) = (each for each in get_args(hint) if each is not NoneType and get_origin(each) is not tuple)
    extra: Any = field.json_schema_extra
    choices = get_args(hint) if get_origin(hint) is Literal else tuple(extra["choices"])
    return Setting(
        name=name,
        type=str if choices else hint,
        choices=choices,
        extension=extra["extension"],
        optional=optional,
        default=None if field.is_required() else field.default,
        help=field.description or "",
        panel=extra["panel"],
        bounds=extra["bounds"],
        per_class=extra["per_class"],
    )


def make(record: type[Record], values: Mapping[str, Any], *, where: str = "") -> Record:
    """Make a record.

    Parameters
    ----------
    record
        A class made with `record`.
    values
        By setting name.
    where
        Follows the name of a setting in messages, such as `` of frepo``.

    Raises
    ------
    ConfigError
        If a setting is unknown (the nearest one is named), missing, or has a value that is not allowed.
    """
    known, fields = settings_of(record), record.__pydantic_fields__  # type: ignore[attr-defined]
    others = fields.keys() - known.keys()
    check(known, {name: value for name, value in values.items() if name not in others}, where=where)
    try:
        return record(**values)
    except pydantic.ValidationError as error:  # a value is missing, or values contradict each other
        problems = [
            f"{problem['loc'][0]} is missing"
            if problem["type"] == "missing"
            else str(problem.get("ctx", {}).get("error", problem["msg"])).rstrip(".")
            for problem in error.errors(include_url=False)
        ]
        raise ConfigError("; ".join(problems) + ".") from None


def check(declared: Mapping[str, Setting], values: Mapping[str, Any], *, where: str = "") -> None:
    """Check each value by itself; ``where`` is as in `make`.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    """
    check_names(values, declared, where=where)
    wrong = [
        _refusal(declared[name], value, where)
        for name, value in values.items()
        if not _fits(declared[name], value)
    ]
    if wrong:
        raise ConfigError("; ".join(wrong) + ".")


def _refusal(declared: Setting, value: object, where: str) -> str:
    near = difflib.get_close_matches(value, declared.known, n=1) if isinstance(value, str) else []
    hint = f" (did you mean {near[0]}?)" if near else ""
    if len(declared.choices) == 1:
        hint = "; it can be omitted"
    return f"{declared.name}{where} must be {declared.allowed}, not {shorten(value)}{hint}"


def _fits(declared: Setting, value: Any) -> bool:
    if value is None:
        return declared.optional
    if declared.per_class and isinstance(value, list | tuple | Mapping):
        one, named = replace(declared, per_class=False), isinstance(value, Mapping)
        values = value.values() if isinstance(value, Mapping) else value
        return (
            len(value) > 0
            and all(_fits(one, each) for each in values)
            and (not named or all(isinstance(name, str) for name in value))
        )
    if declared.extension and value not in declared.choices:
        return is_extension(declared.extension, value)
    hint: Any = Literal[declared.choices] if declared.choices else declared.type
    try:
        _checker(hint, **declared.bounds).validate_python(value)
    except pydantic.ValidationError:
        return False
    return True


@lru_cache
def _checker(hint: Any, **bounds: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(Annotated[hint, pydantic.Field(**bounds)], config=_STRICT)


def check_names(given: Iterable[str], known: Iterable[str], *, where: str = "") -> None:
    """Refuse unknown names.

    Raises
    ------
    ConfigError
        With the nearest known name, or all of them.
    """
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name)[:100], names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(names)}."
            raise ConfigError(f"There is no setting {shorten(name)}{where}; {hint}")


def values_of(record: Any) -> dict[str, Any]:
    """Return the settings of a record as JSON values by name."""
    values = {name: getattr(record, name) for name in settings_of(type(record))}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    NotFound
        If there is no such file.
    ConfigError
        If it can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({(error.strerror or str(error)).lower()}).") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


def to_toml(values: Mapping[str, Any], declared: Mapping[str, Setting] | None = None) -> str:
    """Write settings as TOML that `read_toml` reads back; None is left out.

    Parameters
    ----------
    values
        Text, numbers and booleans, by name.
    declared
        Where given, each setting's help follows it as a comment.
    """
    lines = [
        (f"{name} = {_toml_value(value)}", declared[name].help if declared and name in declared else "")
        for name, value in values.items()
        if value is not None
    ]
    width = max((len(line) for line, _ in lines), default=0)
    return "".join(f"{line:{width}}  # {help_}\n" if help_ else f"{line}\n" for line, help_ in lines)


def _toml_value(value: str | float | list[int]) -> str:
    if not isinstance(value, str | bool | list):
        return repr(value)
    # JSON in ASCII would write an emoji as a surrogate pair, which TOML doesn't have.
    text = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in text)
