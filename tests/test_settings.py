"""Records of settings, and the options, checks and files that are derived from them."""

import tomllib
from typing import Literal

import pydantic
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.settings import check, make, record, setting, settings_of, to_toml, values_of


@record
class Training:
    steps: int = setting(10, "Training steps.", ge=1)
    seed: int = setting(0, "Random seed.", ge=0, le=2**32 - 1)
    lr: float = setting(0.1, "Learning rate.", gt=0, panel="Optimizer")
    decay: float = setting(0.9, "Decay.", ge=0, lt=1)
    solver: Literal["adam", "cg"] = setting("cg", "Solver.")
    subset: int | None = setting(None, "Subset size.", ge=1)
    flip: bool = setting(True, "Flip.")

    @pydantic.model_validator(mode="after")
    def _together(self):
        if self.subset is not None and self.subset > self.steps:
            raise ValueError("subset must not exceed steps")
        return self


def test_a_setting_is_described_by_its_declaration():
    declared = settings_of(Training)
    assert declared["lr"].option == "--lr"
    assert declared["lr"].panel == "Optimizer"
    assert declared["solver"].choices == ("adam", "cg")
    assert declared["subset"].optional
    assert {name: each.allowed for name, each in declared.items()} == {
        "steps": "a whole number of 1 or more",
        "seed": "a whole number from 0 to 4294967295",
        "lr": "a number above 0",
        "decay": "a number at least 0 and below 1",
        "solver": "one of adam, cg",
        "subset": "a whole number of 1 or more",
        "flip": "true or false",
    }
    declared.clear()
    assert "flip" in settings_of(Training)  # it is computed once, and each caller has its own


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of 1 or more, not 0."),
        ({"steps": True}, "steps must be a whole number of 1 or more, not True."),
        ({"steps": "ten", "flip": 1}, "steps must be a whole number of 1 or more, not 'ten'; flip must be"),
        ({"lr": float("nan")}, "lr must be a number above 0, not nan."),
        ({"solver": "adm"}, "solver must be one of adam, cg, not 'adm' (did you mean adam?)."),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, not 4294967296."),
        ({"stebs": 1}, "There is no setting 'stebs'; did you mean steps?"),
    ],
)
def test_a_bad_value_names_the_setting_the_value_and_what_is_allowed(values, message):
    for refuse in (lambda: make(Training, values), lambda: check(settings_of(Training), values)):
        with pytest.raises(ConfigError) as error:
            refuse()
        assert str(error.value).startswith(message)


def test_settings_are_checked_together():
    with pytest.raises(ConfigError, match=r"^subset must not exceed steps\.$"):
        make(Training, {"subset": 11})


def test_toml_reads_back_to_the_same_record():
    made = make(Training, {"lr": 1e-5, "subset": 3, "solver": "adam", "flip": False})
    assert make(Training, tomllib.loads(to_toml(values_of(made), settings_of(Training)))) == made
    assert make(Training, tomllib.loads(to_toml(values_of(Training())))) == Training()
    texts = {"classes": 'Ähre,🦊,"𠮷"\\\n\x7f\xa0\u202e'}
    assert tomllib.loads(to_toml(texts)) == texts


def test_whole_numbers_are_taken_for_numbers():
    made = make(Training, {"lr": 1})
    assert made.lr == 1.0
    assert isinstance(made.lr, float)
