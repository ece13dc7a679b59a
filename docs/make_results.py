"""Write the README's table of results from finished runs: ``python docs/make_results.py STORE RUN...``.

Each run has a row, in the order given: how it was distilled, the accuracy of its newest evaluation by the
protocol ``rcig`` without augmentation, if possible of one with random images beside it, and the date,
processor and commit.
"""

import sys
from pathlib import Path

import rcig_cli as rcig
from rcig_cli.reporting.formatting import count_of, describe_images, duration, exact_size, percent
from rcig_cli.runs.evaluate.results import Evaluation
from rcig_cli.runs.sweep.table import timing_of

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- results, by docs/make_results.py -->\n"
END = "<!-- end of results -->\n"
HEAD = (
    "| set | distilled | stored | test accuracy | random subset | paper | where and when |\n"
    "|---|---|---|---|---|---|---|\n"
)


def row(run: rcig.Run) -> str:
    """Return the row of a run."""
    found = evaluation_of(run)
    config, manifest = run.config, run.manifest
    timing = timing_of(run.path)
    took = f", {duration(timing[1])}" if timing else ""
    judged = f"{count_of(found.protocol['networks'], 'network')} of width {found.protocol['width']}"
    device = manifest.machine["device"]
    processor = manifest.machine.get("processor", "CPU")
    machine = f"{processor}, {manifest.machine['processors']} cores" if device == "cpu" else device
    cells = (
        f"{run.dataset}, {describe_images(config)}",
        f"{run.step} steps of {config['batch']} images, width {config['width']}{took}",
        exact_size(found.size.stored_bytes.images),
        f"{found.accuracy.percent} ({judged})",
        found.random_subset.percent if found.random_subset else "–",
        percent(found.paper.mean, found.paper.std) if found.paper else "–",
        ", ".join(filter(None, (machine, manifest.created[:10], manifest.commit))),
    )
    return f"| {' | '.join(cells)} |\n"


def evaluation_of(run: rcig.Run) -> Evaluation:
    """Return the newest evaluation of a run that the table may show.

    Raises
    ------
    SystemExit
        If there is none.
    """
    wanted = {"protocol": "rcig", "arch": "convnet", "norm": "none", "augment": False}
    found = [each for each in run.evaluations() if wanted.items() <= each.protocol.items()]
    if not found:
        sys.exit(f"{run.name} has no such evaluation. Run: rcig evaluate {run.name} --store {run.store.root}")
    return max(reversed(found), key=lambda each: each.random_subset is not None)


def with_table(page: str, table: str) -> str:
    """Return a page with another table between the two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table + END + after


def main(store: str, *names: str) -> None:
    """Write the table of some runs into the README."""
    table = HEAD + "".join(row(rcig.load(name, store=store)) for name in names)
    README.write_text(with_table(README.read_text(), table))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("Usage: python docs/make_results.py STORE RUN...")
    main(*sys.argv[1:])
