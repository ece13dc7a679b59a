"""Parts that all HTML pages share: their templates, embedded pictures, and the file.

A page is self-contained: it includes its pictures, has no scripts and loads nothing.
"""

import base64
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.canvas import DENSITY
from rcig_cli.reporting.formatting import (
    accuracy,
    count_of,
    describe_network,
    describe_training,
    exact_size,
)
from rcig_cli.store.files import make_folder, write_bytes_atomically

if TYPE_CHECKING:
    from jinja2 import Environment


def check_html_file(path: Path | None) -> None:
    """Refuse a path that is not the name of an HTML file.

    Raises
    ------
    ConfigError
        If it is a folder, or has another ending.
    """
    if path is not None and (path.suffix.lower() not in (".html", ".htm") or path.is_dir()):
        raise ConfigError(f"{path} must end in .html, the format of the report.")


def write_page(path: Path, template: str, **variables: Any) -> None:
    """Write the page that a template and its variables make."""
    page = _environment().get_template(template).render(variables)
    make_folder(path.parent)
    write_bytes_atomically(path, page.encode())


def embedded(encoded: bytes) -> dict[str, Any]:
    """Return a picture as a ``data:`` address, and its size in pixels of CSS."""
    with Image.open(io.BytesIO(encoded)) as opened:
        (width, height), kind = opened.size, opened.get_format_mimetype()
    source = f"data:{kind};base64,{base64.b64encode(encoded).decode('ascii')}"
    return {"source": source, "width": width // DENSITY, "height": height // DENSITY}


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rcig_cli.reporting", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "accuracy": lambda measured: accuracy(measured, "–"),
        "grouped": "{:,}".format,
    }
    environment.globals |= {
        "count_of": count_of,
        "exact_size": exact_size,
        "describe_network": describe_network,
        "describe_training": describe_training,
    }
    return environment
