"""Networks of the user's own: what ``--arch package.module:NAME`` names (``docs/extending.md``).

``NAME`` is called as ``NAME(classes=C)`` and returns a model with

    init(key, images)         -> variables
    apply(variables, images)  -> logits [b, C]

A Flax linen module has both: its collection ``params`` is trained, and other collections, such as the
``batch_stats`` of batch norms, are updated in training.  If its ``__call__`` has a parameter ``train``, that
is True in training and False in tests.  All variables of another model are trained.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.errors import ConfigError, shorten
from rcig_cli.extensions import describe, load
from rcig_cli.networks.network import Network, Parameters

_CALLED = "expected a function, or a class of Flax modules, that is called with classes=NUMBER"
_MODEL = "expected a flax.linen.Module, or another object with init(key, images) and apply(variables, images)"
_NOT_KEPT = "intermediates"  # a collection of Flax: what a module reports by the way

_IMAGES = 2  # in the trial call


@dataclass(frozen=True)
class OwnNetwork(Network):
    """A model of the user's own in place of a body and a head; the features are the logits."""

    body: Any

    def init(self, key: Array) -> Parameters:
        """Draw fresh parameters."""
        parameters: Parameters = self._initial(key)[0]
        return parameters

    def first_statistics(self) -> Parameters:
        """The collections besides the parameters, before any training."""
        return self._initial(jax.random.key(0))[1]

    def apply(self, parameters: Parameters, images: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` of images ``[b, H, W, c]``, twice."""
        variables = self._variables(parameters, self.statistics)
        logits = self.body.apply(variables, images, **self._mode(train=False))
        return logits, logits

    def train(
        self, parameters: Parameters, statistics: Parameters, images: Array
    ) -> tuple[Array, Parameters]:
        """Logits ``[b, C]`` as in training, and the other collections after it."""
        variables, how = self._variables(parameters, statistics), self._mode(train=True)
        if not statistics:
            return self.body.apply(variables, images, **how), statistics
        logits, changed = self.body.apply(variables, images, mutable=list(statistics), **how)
        return logits, {**statistics, **changed}

    def _initial(self, key: Array) -> tuple[Any, Parameters]:
        variables = self.body.init(key, jnp.zeros((1, *self.image_shape)), **self._mode(train=False))
        if not isinstance(self.body, nn.Module):
            return variables, {}
        others = {name: each for name, each in variables.items() if name not in ("params", _NOT_KEPT)}
        return variables.get("params", {}), others

    def _variables(self, parameters: Parameters, statistics: Parameters) -> Any:
        return {"params": parameters, **statistics} if isinstance(self.body, nn.Module) else parameters

    def _mode(self, *, train: bool) -> dict[str, bool]:
        """The keyword ``train``, if the module has it."""
        if not isinstance(self.body, nn.Module):
            return {}
        return {"train": train} if "train" in inspect.signature(self.body.__call__).parameters else {}


def own_network(
    name: str, image_shape: tuple[int, int, int], classes: int, options: Mapping[str, Any]
) -> OwnNetwork:
    """Import and call what ``name`` refers to, and check the model that it returns.

    Parameters
    ----------
    name
        A reference, or the name of an installed extension.
    image_shape
        ``(H, W, c)``.
    classes
        Number of logits, C.
    options
        Further keywords that the user gave: ``width``, ``depth``, ``norm``.

    Raises
    ------
    ConfigError
        If it can't be imported or called, or if the model doesn't return logits ``[b, C]``.
    """
    factory = load("architecture", name)
    if not callable(factory):
        raise ConfigError(f"{name} is {shorten(factory)}: {_CALLED}.")
    keywords = {"classes": classes, **options}
    try:
        model = factory(**keywords)
    except Exception as error:  # it may raise anything
        called = ", ".join(f"{key}={value!r}" for key, value in keywords.items())
        raise ConfigError(f"{name}({called}) fails: {describe(error)}. --debug shows where.") from error
    if not all(callable(getattr(model, each, None)) for each in ("init", "apply")) or isinstance(model, type):
        raise ConfigError(f"{name} returned {shorten(model)}: {_MODEL}.")
    network = OwnNetwork(model, classes, image_shape)
    _check_logits(name, network)
    return network


def _check_logits(name: str, network: OwnNetwork) -> None:
    """Trace a training step and a test, without computing anything, and check the shape of the logits."""
    images = jax.ShapeDtypeStruct((_IMAGES, *network.image_shape), jnp.float32)

    def trial(images: Array) -> tuple[Any, Any]:
        parameters, statistics = network.init(jax.random.key(0)), network.first_statistics()
        in_training, after = network.train(parameters, statistics, images)
        return in_training, network.with_statistics(after).apply(parameters, images)[0]

    try:
        both = jax.eval_shape(trial, images)
    except Exception as error:  # a model may raise anything
        hint = " Dropout can't be used: no random key is passed." if "dropout" in str(error).lower() else ""
        raise ConfigError(
            f"The model of {name} fails for images of the shape {images.shape}: {describe(error)}.{hint}"
        ) from error
    for logits in both:
        shape = getattr(logits, "shape", None)
        if shape != (_IMAGES, network.classes) or not jnp.issubdtype(logits.dtype, jnp.floating):
            given = type(logits).__name__ if shape is None else f"{logits.dtype} {shape}"
            raise ConfigError(
                f"The model of {name} must return logits, floating point {(_IMAGES, network.classes)} for "
                f"{_IMAGES} images and {network.classes} classes, not {given}."
            )
