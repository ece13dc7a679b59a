"""The data card of a distilled set: the README of its repository on the Hugging Face Hub.

This module gathers the contents; ``dataset_card.md.j2`` defines the text.
"""

import re

from rcig_cli import __version__
from rcig_cli.data.exchange.parquet import EXACT, ROWS
from rcig_cli.data.whitening.moments import tile_side
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.distillation.methods.method import RCIG_PAPER
from rcig_cli.distillation.settings import Choice
from rcig_cli.reporting.commands import commands_of
from rcig_cli.reporting.formatting import describe_images, describe_size, source_of
from rcig_cli.reporting.html_report import results_of, settings_rows
from rcig_cli.reporting.templates import template
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.report import Report

GRID = "grid.png"
"""The name of the picture of all images beside the card."""

_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))  # as data cards name them

# "Loo, Hasani: A Title: with a Subtitle, ICML 2023"
_REFERENCE = re.compile(r"(?P<authors>.+?): (?P<title>.+), (?P<venue>[^,]+) (?P<year>\d{4})")


def dataset_card(
    distilled: DistilledSet,
    repository: str,
    *,
    license: str | None = None,  # noqa: A002
    revision: str | None = None,
    report: Report,
) -> str:
    """Write the data card of a distilled set, Markdown after a head in YAML.

    Parameters
    ----------
    distilled
        The run.
    repository
        ``OWNER/NAME``, as the code that loads the set names it.
    license
        An identifier such as ``cc-by-4.0``; None to state none.
    revision
        The branch that the set is uploaded to, unless it is the main one.
    report
        Where warnings about evaluations that can't be read go.
    """
    run, config, prepared = distilled.run, distilled.config, distilled.prepared
    evaluations = results_of(distilled, "evaluations", report)
    method = None if run.imported else config.algorithm_record
    parametrization = None if distilled.size.is_raw else config.parametrization_record
    whitening = prepared.whitening()
    card: str = template("dataset_card.md.j2").render(
        at=f', revision="{revision}"' if revision else "",
        citations=citations(method, parametrization),
        class_count=prepared.classes,
        commands=commands_of(distilled, evaluations, ()),
        dataset=run.dataset,
        evaluations=evaluations,
        exact=EXACT,
        flip=config.method.flip,
        grid=GRID,
        images=describe_images(run.config),
        jax_inputs=inputs_code(whitening, prepared.shape, "transpose"),
        license=license,
        method=method,
        parametrization=parametrization,
        picked=method is not None and method.pick is not None,
        repository=repository,
        revision=revision,
        rows=ROWS,
        settings=settings_rows(distilled),
        shape=prepared.shape,
        size=distilled.size,
        size_category=next((name for most, name in _SIZES if distilled.size.images < most), "100K<n<1M"),
        source=source_of(run.config),
        stored=describe_size(distilled.size),
        torch_inputs=inputs_code(whitening, prepared.shape, "permute"),
        version=__version__,
    )
    return card


def inputs_code(whitening: Whitening, shape: tuple[int, int, int], reorder: str) -> str:
    """Return the body of a function that prepares ``pixels`` ``[b, H, W, c]`` as `Whitening.apply` does.

    It uses ``arrays``, the exported arrays by name, and is written for a library whose arrays reorder their
    axes by a method of the name ``reorder``.
    """
    lines = ['z = (pixels / 255 - arrays["whitening_mean"]) / arrays["whitening_std"]']
    if not whitening.whitened:
        return _indented([*lines, "return z"])
    tile, channels = tile_side(shape[0]), shape[2]
    steps = shape[0] // tile
    lines += ['rows = z.reshape(len(z), -1) - arrays["whitening_zca_mean"]']
    if steps > 1:
        lines += [
            f"# An image is whitened as {steps} x {steps} images of every {steps}-th pixel.",
            f"rows = rows.reshape(-1, {tile}, {steps}, {tile}, {steps}, {channels})"
            f".{reorder}(0, 2, 4, 1, 3, 5).reshape(-1, {tile * tile * channels})",
        ]
    if whitening.matrix is not None:
        lines += ['rows = rows @ arrays["whitening_matrix"]']
    else:
        lines += [
            'basis, change = arrays["whitening_basis"], arrays["whitening_eigenvalues"] ** -0.5 - 1',
            "rows = rows + rows @ basis * change @ basis.T",
        ]
    if steps > 1:
        lines += [
            f"rows = rows.reshape(-1, {steps}, {steps}, {tile}, {tile}, {channels})"
            f".{reorder}(0, 3, 1, 4, 2, 5)"
        ]
    return _indented([*lines, "return rows.reshape(z.shape)"])


def _indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def citations(method: Choice | None, parametrization: Choice | None) -> list[str]:
    """Return entries of BibTeX for the papers of a method, of a parametrization, and of RCIG."""
    papers = {RCIG_PAPER: "rcig"}
    for choice in (parametrization, method):
        if choice is not None and choice.reference is not None and choice.reference != RCIG_PAPER:
            papers = {choice.reference: choice.name} | papers
    return [_entry(reference, name) for reference, name in papers.items()]


def _entry(reference: str, name: str) -> str:
    found = _REFERENCE.fullmatch(reference)
    if found is None:  # of a method of the user's own
        return f"@misc{{{name},\n  note = {{{reference}}},\n}}"
    authors = found["authors"].split(", ")
    fields = {
        "title": f"{{{found['title']}}}",
        "author": " and ".join(authors),
        "booktitle": found["venue"],
        "year": found["year"],
    }
    lines = "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items())
    return f"@inproceedings{{{authors[0].lower()}{found['year']}{name.replace('-', '')},\n{lines}}}"
