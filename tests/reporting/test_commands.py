"""The commands that a report lists reproduce the run, its evaluations and its attacks."""

import shlex

from typer.main import get_command

from rcig_cli.cli.app import app
from rcig_cli.cli.options import converted
from rcig_cli.presets.config import declared_settings
from rcig_cli.reporting.commands import attack_command, distill_command, evaluate_command
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.runs.membership.protocol import attack_protocol
from rcig_cli.runs.membership.results import RunResult
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.settings import values_of
from rcig_cli.store.store import open_store


def test_distill_commands_lead_to_the_same_configuration(digits_run):
    prepared = open_prepared(open_store(digits_run, create=False), "digits")
    chosen = [
        {"ipc": 1},
        {"ipc": 10, "algorithm": "vig", "inner_steps": 7, "flip": True, "image_lr": 0.125, "seed": 3},
        {"ipc": 3, "algorithm": "cig", "models": 4, "norm": "batch", "width": 8, "batch": 99},
        {"ipc": {"3": 5, "default": 2}},
        {"ipc": 2, "parametrization": "basis", "mixtures": 3, "mixing_lr": 0.01},
        {"ipc": 1, "parametrization": "multiformation", "factor": 4},
        {"ipc": 1, "solver": "adam", "pool_lr": 1e-6, "label_margin": False, "backward_subset": 5},
    ]
    for settings in chosen:
        config = resolved(prepared, settings)
        words = shlex.split(distill_command(prepared, config))[1:]
        given = get_command(app).commands["distill"].make_context("rcig distill", words[1:]).params
        flags = {name: value for name, value in given.items() if value is not None}
        texts = {name: value for name, value in flags.items() if name in config.to_json()}
        known = converted(declared_settings(), texts)
        assert resolved(prepared, known) == config, words
        assert len(words) <= 3 + 2 * len(settings) + 2


def test_evaluate_and_mia_commands_have_the_options_that_are_not_the_default(digits_run):
    distilled = open_distilled(open_store(digits_run, create=False), "run_1")
    config = distilled.config
    protocol = evaluation_protocol(config, 10, arch="alexnet", hard_labels=True, lr=0.01, steps=50)
    command = evaluate_command(distilled, {"protocol": values_of(protocol)})
    assert command == "rcig evaluate run_1 --arch alexnet --lr 0.01 --hard-labels --steps 50 --baseline none"
    attacked = attack_protocol(config, steps=[300, 100], networks=2, shadows=4).to_json()
    command = attack_command(distilled, {"protocol": attacked})
    assert command == "rcig mia run_1 --networks 2 --shadows 4 --steps 100 --steps 300 --lira"
    with_others = {"protocol": attacked, "compared_with": ["run_2", "run_3"]}
    command = attack_command(distilled, with_others)
    assert command == "rcig mia run_1 run_2 run_3 --networks 2 --shadows 4 --steps 100 --steps 300 --lira"
    stored = RunResult(
        "run_1", "set by rcig", attack_protocol(config, steps=[3]), 360, {}, distilled.size
    ).to_json()
    assert attack_command(distilled, stored) == "rcig mia run_1 --steps 3"


def test_a_mia_command_has_only_options_of_mia_if_the_protocol_is_not_allowed_today(digits_run):
    distilled = open_distilled(open_store(digits_run, create=False), "run_1")
    stored = RunResult(
        "run_1", "set by rcig", attack_protocol(distilled.config), 360, {}, distilled.size
    ).to_json()
    stored["protocol"]["arch"] = "an architecture that is gone"
    words = shlex.split(attack_command(distilled, stored))
    network = {"arch", "norm", "width", "depth", "channels"}
    options = {f"--{name}" for name in (*network, "networks", "lr", "seed", "steps")}
    assert {word for word in words if word.startswith("--")} == options | {"--no-flip"}
