"""Test accuracy and the MLP attack's AUC over a training, and one against the other (Figures 3 and S3)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.reporting.formatting import TARGETS
from rcig_cli.runs.evaluate.spread import Spread
from rcig_cli.runs.membership.attack_record import Found, Target
from rcig_cli.store.files import make_folder, write_bytes_atomically

_DRAWN = "mlp"  # the attack
_ACCURACY, _AUC = "test accuracy (%)", "AUC of the MLP attack"

Value = Callable[[Found], float]


def write_curves(targets: Mapping[str, Target], title: str, path: Path) -> Path:
    """Draw what was found of each target into a PNG; return its path.

    Raises
    ------
    ConfigError
        If ``path`` is no name of a PNG.
    """
    check_curves(path)
    encoded = draw_panels(panels_of(targets), title)
    make_folder(path.parent)
    write_bytes_atomically(path, encoded)
    return path


def check_curves(path: Path) -> None:
    """Refuse a path that is no name of a PNG.

    Raises
    ------
    ConfigError
        If it isn't.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path} must end in .png: that is what is drawn.")


def panels_of(targets: Mapping[str, Target]) -> list[Panel]:
    """AUC and accuracy against steps, and AUC against accuracy; error bars are over networks."""
    against_steps = [
        [_against_steps(TARGETS[name], target, value) for name, target in targets.items()]
        for value in (_auc, _accuracy)
    ]
    against_accuracy = [
        Series(TARGETS[name], _means(target, _accuracy), _means(target, _auc), _errors(target, _auc))
        for name, target in targets.items()
    ]
    return [
        Panel("training steps", _AUC, against_steps[0], 0.5, "guessing", logarithmic=True),
        Panel("training steps", _ACCURACY, against_steps[1], logarithmic=True),
        Panel(_ACCURACY, _AUC, against_accuracy, 0.5, "guessing"),
    ]


def _auc(found: Found) -> float:
    return found.attacks[_DRAWN].auc


def _accuracy(found: Found) -> float:
    return 100 * found.accuracy


def _against_steps(label: str, target: Target, value: Value) -> Series:
    steps = [float(number) for number in target.found]
    return Series(label, steps, _means(target, value), _errors(target, value))


def _means(target: Target, value: Value) -> list[float]:
    return [each.mean for each in _spreads(target, value)]


def _errors(target: Target, value: Value) -> list[float]:
    return [each.std for each in _spreads(target, value)]


def _spreads(target: Target, value: Value) -> Iterator[Spread]:
    return (Spread(tuple(value(one) for one in found)) for found in target.found.values())
