"""The complete configuration of a distillation, and how it follows from the settings that a user gives.

A run's manifest records it, and runs are compared by it.
"""

import difflib
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

import pydantic
from pydantic.fields import FieldInfo

from rcig_cli.distillation.methods import (
    METHODS,
    Method,
    find_method,
    is_known,
    known_method,
    unread_method,
)
from rcig_cli.distillation.parametrizations import (
    PARAMETRIZATIONS,
    Decoder,
    Parametrization,
    ParametrizationSettings,
    StoredBytes,
)
from rcig_cli.distillation.settings import GradientSettings, MethodSettings
from rcig_cli.errors import ConfigError, listed, shorten
from rcig_cli.extensions import METAVAR, installed, is_extension, is_reference, provenance, reference_to
from rcig_cli.presets.paper import presets
from rcig_cli.presets.short_runs import short_run_defaults
from rcig_cli.settings import Setting, check, check_names, make, record, setting, settings_of, values_of

DEFAULT_ALGORITHM = "rcig"
DEFAULT_PARAMETRIZATION = "raw"

_NETWORK = "Network"

# Names of the operations of `rcig_cli.augmentation`, which imports JAX; those that only colour images allow.
AUGMENTATIONS = ("flip", "colour", "crop", "rotate", "translate", "cutout")
ONLY_FOR_COLOUR = ("flip", "colour")
NO_AUGMENTATION = "none"

STARTS = ("random", "k-center", "class-mean")

# "We use this whenever |S| <= 1000" (paper, S3); only for RGB images.
LARGEST_FLIPPED = 1000

Shape = tuple[int, int, int]  # height, width and channels of an image

# Settings of RCIG's presets that suit a data set whatever the method.
_OF_THE_DATA = ("width", "depth")

# Channels from which on a network is of the size of the paper's presets, for GPUs.
_WIDE = 64

# Real images per training step of the network whose features are compared.
PICKING_BATCH = 256

# Outer steps for a data set without presets, by images per class: the paper's for small data sets.
STEPS = {1: 15_000, 10: 10_000, 50: 5_000}


@record
class UnreadSettings(MethodSettings):
    """Settings of the method of a stored run that is only read, taken as they are."""


@record
class DistillConfig:
    """Settings of a distillation.

    ``method`` has those that only its algorithm has, and ``decoding`` those of its parametrization.  ``ipc``
    is the number of images per class of a raw set; a set of another parametrization takes as many bytes as
    these images, or fewer, and usually has more images.
    """

    dataset: str = setting(..., "Name of a prepared data set.")
    ipc: int | tuple[int, ...] = setting(
        ...,
        "Distilled images per class; with a --parametrization, the number whose bytes the set may take. "
        "CLASS=N sets another number for one class.",
        per_class=True,
        ge=1,
    )
    classes: str | None = setting(
        None,
        "Distil only these classes, in this order: names or numbers from 0, separated by commas. "
        "Default: all.",
    )
    algorithm: str = setting(
        DEFAULT_ALGORITHM, "Method of distillation.", choices=METHODS, extension="method"
    )
    parametrization: str = setting(
        DEFAULT_PARAMETRIZATION,
        "What is stored in place of the distilled images, in the bytes of --ipc images per class; raw stores "
        "the images themselves.",
        choices=PARAMETRIZATIONS,
    )
    steps: int = setting(..., "Outer steps. Methods that pick real images take none.", ge=0)
    batch: int = setting(1024, "Real images per outer step.", ge=1)
    seed: int = setting(0, "Random seed. Default: 0.", ge=0, le=2**32 - 1)
    width: int = setting(128, "Channels of the network's first block.", ge=1)
    depth: int = setting(3, "Blocks of the network.", ge=1)
    channels: Literal["doubling", "equal"] = setting(
        "doubling",
        "Channels of the network's blocks: doubling from block to block, or equal.",
        panel=_NETWORK,
    )
    norm: str = setting(
        "none", "Normalization of the network while distilling.", choices=("none", "batch", "instance")
    )
    activation: str = setting(
        "softplus",
        "Activation of the network while distilling.",
        panel=_NETWORK,
        choices=("softplus", "relu"),
    )
    start: str = setting(
        "random",
        "Initial distilled images: random real images of each class; k-center: the most central one, and "
        "then always the one furthest from those chosen; class-mean: the class's mean, or for several images "
        "per class the centres of k-means.",
        choices=STARTS,
    )
    distill_augment: str = setting(
        NO_AUGMENTATION,
        "Augment each real image of a step by one operation at random, of a list such as crop,rotate: "
        f"{', '.join(AUGMENTATIONS)}, or your own as {METAVAR}. For data sets of few images. Default: none.",
    )
    method: MethodSettings
    decoding: ParametrizationSettings

    @pydantic.model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.is_unread:
            return self
        if self.algorithm_record.pick and self.steps:
            raise ValueError(f"{self.algorithm} picks real images and takes no outer steps; leave out steps")
        if not self.algorithm_record.pick and not self.steps:
            raise ValueError("steps must be at least 1")
        return self

    @pydantic.model_validator(mode="after")
    def _check_norm(self) -> Self:
        method = self.algorithm_record
        if self.norm == "batch" and not (method.batch_norm or method.pick):
            raise ValueError(f"{self.algorithm} can't distil with batch norm; use the norm none or instance")
        return self

    @pydantic.model_validator(mode="after")
    def _check_augmentations(self) -> Self:
        rule = "distill_augment must be none, or a list"
        check_operations(self.augmentations, rule, self.distill_augment)
        return self

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names of the operations of ``distill_augment``."""
        return () if self.distill_augment == NO_AUGMENTATION else listed_operations(self.distill_augment)

    def images_per_class(self, classes: int) -> tuple[int, ...]:
        """Return the number of raw images of each class whose bytes the set may take."""
        return self.ipc if isinstance(self.ipc, tuple) else (self.ipc,) * classes

    def decoded_per_class(self, classes: int) -> tuple[int, ...]:
        """Return the number of distilled images of each class that networks see."""
        count = self.parametrization_record.images_per_class
        return tuple(count(self.decoding, ipc) for ipc in self.images_per_class(classes))

    def stored_shapes(self, image_shape: Shape, classes: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the stored arrays by name, for images of a shape ``(H, W, c)``.

        Raises
        ------
        ConfigError
            If the parametrization's settings don't suit images of this shape.
        """
        shapes = self.parametrization_record.shapes
        return shapes(self.decoding, image_shape, self.images_per_class(classes))

    def stored_bytes(self, image_shape: Shape, classes: int) -> StoredBytes:
        """Return the bytes that the distilled set takes; raises as `stored_shapes`."""
        images = sum(self.decoded_per_class(classes))
        return StoredBytes.of(self.stored_shapes(image_shape, classes).values(), (images, classes))

    def decoder(self, image_shape: Shape, classes: int) -> Decoder:
        """Return the functions between stored arrays and images."""
        return self.parametrization_record.make(self.decoding, image_shape, self.images_per_class(classes))

    def to_decode(self) -> dict[str, Any]:
        """Return the settings by which stored arrays are decoded, by name, as JSON values."""
        values, record = self.to_json(), self.parametrization_record
        own = [name for name in record.declared if name not in record.learning_rates]
        return {name: values[name] for name in ("parametrization", "ipc", *own)}

    @property
    def algorithm_record(self) -> Method:
        """The method that ``algorithm`` names; what stands for it if the configuration `is_unread`."""
        return unread_method(self.algorithm) if self.is_unread else known_method(self.algorithm)

    @property
    def is_unread(self) -> bool:
        """Whether it is that of a stored run, whose method is not known or has other settings now."""
        return isinstance(self.method, UnreadSettings)

    @property
    def parametrization_record(self) -> Parametrization:
        """The parametrization that ``parametrization`` names."""
        return PARAMETRIZATIONS[self.parametrization]

    @property
    def declared(self) -> dict[str, Setting]:
        """All its settings by name."""
        records = type(self), type(self.method), type(self.decoding)
        return {name: each for record in records for name, each in settings_of(record).items()}

    @property
    def extensions(self) -> dict[str, dict[str, str]]:
        """What it uses of the user's own: the `provenance` of each by its reference."""
        used = filter(is_reference, (self.algorithm, *self.augmentations))
        return {reference: provenance(reference) for reference in used}

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rates by name: what a run that diverged may lower when it is resumed."""
        of_method = {name: getattr(self.method, name) for name in self.algorithm_record.learning_rates}
        names = self.parametrization_record.learning_rates
        return {**of_method, **{name: getattr(self.decoding, name) for name in names}}

    def to_json(self) -> dict[str, Any]:
        """Return all settings by name, as JSON values."""
        return {**values_of(self), **values_of(self.method), **values_of(self.decoding)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make a configuration from settings by name.

        Those of the method and of the parametrization may be left out.  The settings of a method that is
        not known (`is_known`), as that of a stored run that is only read, are taken as they are.

        Raises
        ------
        ConfigError
            If a setting is unknown (the nearest is named), missing, or has a value that is not allowed.
        """
        algorithm = values.get("algorithm", DEFAULT_ALGORITHM)
        return cls._made(values, algorithm, unread=is_reference(algorithm) and not is_known(algorithm))

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Make the configuration of a stored run that is only read, and not continued.

        It `is_unread` if the method is the user's own and has other settings now than when the run was made.
        """
        algorithm = values.get("algorithm", DEFAULT_ALGORITHM)
        try:
            return cls.from_json(values)
        except ConfigError:
            if not is_reference(algorithm):
                raise
            return cls._made(values, algorithm, unread=True)

    @classmethod
    def _made(cls, values: Mapping[str, Any], algorithm: Any, *, unread: bool) -> Self:
        general = settings_of(cls)
        if not unread:
            check_names(values, declared_settings(algorithm))
        parametrization = values.get("parametrization", DEFAULT_PARAMETRIZATION)
        check(general, {"algorithm": algorithm, "parametrization": parametrization})
        of_decoding = {name: value for name, value in values.items() if name in parametrization_settings()}
        _refuse_others(of_decoding, parametrization)
        decoding = make(PARAMETRIZATIONS[parametrization].settings, of_decoding)
        own = {n: value for n, value in values.items() if n not in general and n not in of_decoding}
        record = _unread_settings(algorithm, own) if unread else find_method(algorithm).settings
        method = make(record, own, where=f" of {algorithm}")
        chosen = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in general
        }
        return make(cls, {**chosen, "method": method, "decoding": decoding})

    def override(self, changes: Mapping[str, Any]) -> Self:
        """Return the configuration with some settings changed.

        With another algorithm or parametrization, settings that it does not have are dropped.

        Raises
        ------
        ConfigError
            As `from_json`.
        """
        kept = self.to_json()
        algorithm = changes.get("algorithm", self.algorithm)
        parametrization = changes.get("parametrization", self.parametrization)
        is_other = (algorithm, parametrization) != (self.algorithm, self.parametrization)
        is_method = algorithm in METHODS or is_extension("method", algorithm)
        if is_other and is_method and parametrization in PARAMETRIZATIONS:
            known = settings_for(algorithm, parametrization)
            kept = {name: value for name, value in kept.items() if name in known}
        if self.is_unread and not is_other:
            return self._made({**kept, **changes}, algorithm, unread=True)
        return self.from_json({**kept, **changes})


def settings_for(
    algorithm: str = DEFAULT_ALGORITHM, parametrization: str = DEFAULT_PARAMETRIZATION
) -> dict[str, Setting]:
    """Return the settings that a distillation by one algorithm and parametrization has, by name."""
    own = PARAMETRIZATIONS[parametrization].declared
    return {**settings_of(DistillConfig), **find_method(algorithm).declared, **own}


def parametrization_settings() -> dict[str, Setting]:
    """Return the settings that parametrizations have of their own, by name."""
    return {name: each for one in PARAMETRIZATIONS.values() for name, each in one.declared.items()}


def declared_settings(*algorithms: Any) -> dict[str, Setting]:
    """Return every setting of a distillation by name.

    First the general ones, then those of all methods, then those of all parametrizations.  Of ``algorithms``,
    the methods that are the user's own are imported, and their settings come before those of other methods.
    """
    found = settings_of(DistillConfig)
    # Those of `METHODS` need no search of the installed ones, which takes time.
    others = [name for name in algorithms if isinstance(name, str) and name not in METHODS]
    own = [find_method(name) for name in others if is_extension("method", name)]
    for method in own:
        _refuse_taken_names(method, {**found, **parametrization_settings()})
    for method in (*own, *METHODS.values()):
        found.update({name: each for name, each in method.declared.items() if name not in found})
    return {**found, **parametrization_settings()}


def _refuse_taken_names(method: Method, taken: Iterable[str]) -> None:
    """Refuse a method of the user's own whose settings have names that mean something else."""
    if both := [name for name in taken if name in method.declared]:
        raise ConfigError(
            f"{method.name} has settings with names that every distillation or a parametrization has "
            f"({listed(both)}): rename them."
        )


def _own_defaults(record: type) -> set[str]:
    """Return the settings to which a record that is not of this package gives a default itself."""
    own = [each for each in record.__mro__ if each.__module__.partition(".")[0] != "rcig_cli"]
    names = {name for each in own for name in inspect.get_annotations(each)}
    fields: Mapping[str, FieldInfo] = record.__pydantic_fields__  # type: ignore[attr-defined]
    return {name for name in names if name in fields and not fields[name].is_required()}


def with_methods(declared: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return settings for a help page: the text of each that not all methods have names those that have it.

    Methods that pick real images don't count, since they have few of the settings.
    """
    found = dict(declared)
    learning = {name for name, each in METHODS.items() if each.pick is None}
    for name, each in declared.items():
        owners = [method.name for method in METHODS.values() if name in method.declared]
        if owners and not learning.issubset(owners):
            found[name] = replace(each, help=f"{each.help} Methods: {', '.join(owners)}.")
    return found


def _unread_settings(algorithm: str, values: Iterable[str]) -> type[MethodSettings]:
    """Return a record for the settings, by these names, of the method of a run that is only read."""
    own = [name for name in values if name not in settings_of(MethodSettings)]
    text = f"A setting of {algorithm}."
    fields = {name: setting(None, text) for name in own}
    hints = dict.fromkeys(own, Any | None)
    return record(type("UnreadSettings", (UnreadSettings,), {"__annotations__": hints, **fields}))


def with_references(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with references in place of the names of installed extensions."""
    found = dict(settings)
    algorithm, operations = settings.get("algorithm"), settings.get("distill_augment")
    if isinstance(algorithm, str) and algorithm not in METHODS:
        found["algorithm"] = reference_to("method", algorithm)
    if isinstance(operations, str):
        found["distill_augment"] = operation_references(operations)
    return found


def listed_operations(text: str) -> tuple[str, ...]:
    """Return the names in a list of operations that are separated by commas."""
    return tuple(name.strip() for name in text.split(","))


def operation_references(text: str) -> str:
    """Return a list of operations with references in place of the names of installed extensions."""
    names = listed_operations(text)
    if all(name in (*AUGMENTATIONS, NO_AUGMENTATION) for name in names):
        return text
    return ",".join(name if name in AUGMENTATIONS else reference_to("augmentation", name) for name in names)


def check_operations(names: Iterable[str], rule: str, given: str) -> None:
    """Refuse names of operations that are neither built in nor references.

    Raises
    ------
    ValueError
        The message begins with ``rule``, and has the value ``given`` and the nearest name.
    """
    unknown = [name for name in names if name not in AUGMENTATIONS and not is_reference(name)]
    if unknown:
        known = [*AUGMENTATIONS, *installed("augmentation")]
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(
            f"{rule} of {', '.join(known)} and your own as {METAVAR}, with commas, not {shorten(given)}{hint}"
        )


def _refuse_others(given: Iterable[str], parametrization: str) -> None:
    """Refuse settings that only other parametrizations have."""
    for name in given:
        if name not in PARAMETRIZATIONS[parametrization].declared:
            owners = [each.name for each in PARAMETRIZATIONS.values() if name in each.declared]
            raise ConfigError(
                f"{name} is not a setting of the parametrization {parametrization}, but of {listed(owners)}."
            )


def difference(given: DistillConfig, other: DistillConfig) -> list[str]:
    """Return the settings in which two configurations differ, as ``"width: 32, not 128"`` (given, other)."""
    a, b = given.to_json(), other.to_json()
    return [f"{name}: {a.get(name)}, not {b.get(name)}" for name in {**a, **b} if a.get(name) != b.get(name)]


def resolve(dataset: str, shape: Shape, classes: int, flags: Mapping[str, Any]) -> DistillConfig:
    """Resolve every setting of a distillation.

    Settings come from, in this order: what the user gave; the defaults that a method of the user's own
    declares itself; the data set's preset for this many images per class (their mean, if classes differ), or
    for the nearest number below, or the preset of the method's own paper; if there are less than half as
    many steps as the preset has, the defaults of short runs; the method's defaults for the number of images
    that networks see; what follows from the images' shape; the records' defaults, which are the paper's.

    Parameters
    ----------
    dataset
        Name of a prepared data set.
    shape
        ``(H, W, c)`` of its images.
    classes
        Number of the classes that are distilled.
    flags
        Settings given by the user, by name; ``ipc`` among them, a number or one for each class.

    Raises
    ------
    ConfigError
        If a setting is unknown or can't have its value.
    """
    flags = with_references(flags)
    check(declared_settings(flags.get("algorithm")), flags)
    ipc, algorithm = flags["ipc"], flags.get("algorithm", DEFAULT_ALGORITHM)
    method = find_method(algorithm)
    counts = (ipc,) * classes if isinstance(ipc, int) else tuple(ipc)
    mean = sum(counts) // classes
    parametrization = flags.get("parametrization", DEFAULT_PARAMETRIZATION)
    record = PARAMETRIZATIONS[parametrization]
    _refuse_others([name for name in flags if name in parametrization_settings()], parametrization)
    given = {name: flags[name] for name in record.declared if flags.get(name) is not None}
    decoding = {**record.defaults(shape, counts, given), **given}
    images = sum(record.images_per_class(make(record.settings, decoding), count) for count in counts)
    known, allowed = presets(dataset), settings_for(algorithm, parametrization)
    preset = known[_nearest(known, mean)].settings if known else {}
    if own := method.presets:
        preset = {
            **{name: preset[name] for name in _OF_THE_DATA if name in preset},
            **own[_nearest(own, mean)],
        }
    depth = flags.get("depth", preset.get("depth", _depth(shape[0])))
    usual_steps = preset.get("steps", STEPS[_nearest(STEPS, mean)])
    chosen = {
        "steps": usual_steps,
        "depth": depth,
        "activation": "softplus" if depth <= 3 else "relu",
        "l2_rate": 0.05 if depth >= 5 else 5e-4,
        "flip": shape[2] == 3 and images <= LARGEST_FLIPPED,
        **method.defaults(images, flags),
        **short_run_defaults(algorithm, images, flags, usual=usual_steps, preset=preset),
        **preset,
    }
    if method.pick:
        chosen |= {"steps": 0, "batch": PICKING_BATCH, "flip": False}
    if algorithm not in METHODS:  # the preset is not for this method: what the method sets itself comes first
        declared = _own_defaults(method.settings)
        others = {name: value for name, value in chosen.items() if name not in declared}
        chosen = {**others, **method.defaults(images, flags), **(preset if method.presets else {})}
    if method.real_per_class:
        chosen["batch"] = method.real_per_class * classes
    if "pool_size" in allowed and "pool_size" not in flags:
        models = flags.get("models", allowed["models"].default)
        # The default, rounded up to a multiple of the models per step.
        chosen["pool_size"] = math.ceil(allowed["pool_size"].default / models) * models
    usable = {name: value for name, value in chosen.items() if name in allowed}
    config = DistillConfig.from_json({"dataset": dataset, **usable, **flags, **decoding})
    config.stored_shapes(shape, classes)  # refuses what doesn't suit the images
    if shape[2] == 1 and (refused := [name for name in config.augmentations if name in ONLY_FOR_COLOUR]):
        raise ConfigError(
            f"{dataset} has grey images, which can't be augmented by {' and '.join(refused)}; "
            f"use some of {', '.join(name for name in AUGMENTATIONS if name not in ONLY_FOR_COLOUR)}."
        )
    return config


def is_for_gpus(config: DistillConfig, given: Mapping[str, Any]) -> bool:
    """Whether a configuration has the size of the paper's presets without having been given it.

    Those of the paper have a width of 128, and that of digits has 32.
    """
    return config.width >= _WIDE and not {"steps", "width", "batch"} & given.keys()


def with_possible_batch(config: DistillConfig, images: int, classes: int) -> DistillConfig:
    """Return a configuration with a batch that a data set of so many images and classes allows.

    It is at most all training images.  For a method that takes as many of each class, it is rounded down to a
    multiple of the number of classes times that of networks, or up to one image of each class for each.
    """
    batch = min(config.batch, images)
    if config.algorithm_record.real_per_class:
        assert isinstance(config.method, GradientSettings)
        group = classes * config.method.models
        batch = max(batch // group, 1) * group
    return config.override({"batch": batch})


def _depth(side: int) -> int:
    """Return the depth for a side in pixels: 2 up to 16, 3 up to 32, 4 up to 64, 5 up to 128."""
    return max(2, math.ceil(math.log2(side / 4)))


def _nearest(table: Mapping[int, Any], ipc: int) -> int:
    """Return the largest key not above ``ipc``, or else the smallest key."""
    return max((key for key in table if key <= ipc), default=min(table))
