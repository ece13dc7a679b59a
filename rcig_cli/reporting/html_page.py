"""Parts that all HTML pages share: embedded pictures, and the file.

A page is self-contained: it includes its pictures, has no scripts and loads nothing.
"""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.canvas import DENSITY
from rcig_cli.reporting.templates import template
from rcig_cli.store.files import make_folder, write_bytes_atomically


def check_html_file(path: Path | None) -> None:
    """Refuse a path that is not the name of an HTML file.

    Raises
    ------
    ConfigError
        If it is a folder, or has another ending.
    """
    if path is not None and (path.suffix.lower() not in (".html", ".htm") or path.is_dir()):
        raise ConfigError(f"{path} must end in .html, the format of the report.")


def write_page(path: Path, name: str, **variables: Any) -> None:
    """Write the page that the template of this name and its variables make."""
    page = template(name).render(variables)
    make_folder(path.parent)
    write_bytes_atomically(path, page.encode())


def embedded(encoded: bytes) -> dict[str, Any]:
    """Return a picture as a ``data:`` address, and its size in pixels of CSS."""
    with Image.open(io.BytesIO(encoded)) as opened:
        (width, height), kind = opened.size, opened.get_format_mimetype()
    source = f"data:{kind};base64,{base64.b64encode(encoded).decode('ascii')}"
    return {"source": source, "width": width // DENSITY, "height": height // DENSITY}
