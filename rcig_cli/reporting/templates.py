"""The templates of HTML pages and of the data card; those that end in ``.html.j2`` escape their variables."""

import html
from functools import cache
from typing import TYPE_CHECKING

from rcig_cli.reporting.formatting import (
    accuracy,
    count_of,
    dd_ranking_scores,
    describe_network,
    describe_training,
    exact_size,
)

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def template(name: str) -> "Template":
    """Return the template of a file in this package."""
    return _environment().get_template(name)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rcig_cli.reporting", package_path=""),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "accuracy": lambda measured: accuracy(measured, "–"),
        "grouped": "{:,}".format,
        "cell": lambda text: html.escape(text, quote=False).replace("|", "\\|"),
    }
    environment.globals |= {
        "count_of": count_of,
        "dd_ranking_scores": dd_ranking_scores,
        "exact_size": exact_size,
        "describe_network": describe_network,
        "describe_training": describe_training,
    }
    return environment
