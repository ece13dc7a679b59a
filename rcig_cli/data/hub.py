"""What downloads from and uploads to the Hugging Face Hub have in common.

The library ``huggingface_hub`` uses the login of ``hf auth login``, and the environment variables
``HF_TOKEN``, ``HF_HOME``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rcig_cli.data.sources.listener import Listener
from rcig_cli.errors import ConfigError, NotFound, RcigError, shorten

HUB = "hf:"
"""What the name of a data set of the Hub begins with."""

MEGABYTE = 10**6

_FORM = re.compile(
    r"hf:(?P<repository>\w[\w.-]*(/\w[\w.-]*)?)(/(?P<folder>\w[\w.-]*(/\w[\w.-]*)*))?(@(?P<revision>[\w./-]+))?"
)
_LOG_IN = 'log in with "hf auth login", or set HF_TOKEN'


@dataclass(frozen=True)
class HubAddress:
    """A data set of the Hub: its repository, and perhaps a folder in it and a branch, tag or commit."""

    repository: str
    folder: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Read ``hf:OWNER/NAME[/FOLDER][@REVISION]``.

        Raises
        ------
        ConfigError
            If it has another form.
        """
        form = _FORM.fullmatch(text)
        if not form:
            raise ConfigError(
                f"{shorten(text)} is not a data set of the Hugging Face Hub: pass hf:OWNER/NAME."
            )
        return cls(form["repository"], form["folder"], form["revision"])


def progress_bar(label: str, listener: Listener) -> Any:
    """Return a progress bar for ``huggingface_hub`` that prints nothing but informs the listener."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0

        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": False, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            answer: bool | None = super().update(n)
            if self.unit == "B" and self.total and self.n:
                done, total = (math.ceil(count / MEGABYTE) for count in (self.n, self.total))
                listener.progress(label, done, total)
            return answer

    return Bar


@contextmanager
def hub_errors(repository: str, *, upload: bool = False) -> Iterator[None]:
    """Turn the errors of ``huggingface_hub`` into messages, for a download or an upload.

    Raises
    ------
    ConfigError
        If the library is missing, the name isn't possible, or access isn't permitted.
    NotFound
        If there is no such repository or revision, or the repository is private.
    RcigError
        If the Hub can't be reached, or refuses for another reason.
    """
    try:
        import huggingface_hub.errors as errors
    except ImportError as error:
        raise ConfigError(
            f"hf:{repository} needs huggingface_hub, which is not installed: "
            "run \"pip install 'rcig-cli[hub]'\"."
        ) from error
    try:
        yield
    except RcigError:
        raise
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"Access to {repository} must be requested on its page on the Hugging Face Hub; then {_LOG_IN}."
        ) from error
    except errors.HFValidationError as error:
        raise ConfigError(
            f"{shorten(repository)} is not a name that the Hugging Face Hub allows: pass "
            f"{'' if upload else HUB}OWNER/NAME."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise NotFound(f"{repository} has no such branch, tag or commit on the Hugging Face Hub.") from error
    except errors.HfHubHTTPError as error:
        raise _refused(repository, error, upload=upload) from error
    except Exception as error:  # the network and the disk can cause errors of every kind
        raise _failed(repository, error, upload=upload) from error


def _refused(repository: str, error: Any, *, upload: bool) -> RcigError:
    """Say what an HTTP status of the Hub means, and what to do."""
    from huggingface_hub.errors import RepositoryNotFoundError

    status = error.response.status_code
    owner = repository.split("/")[0]
    if upload and status == 401:
        return ConfigError(
            f"The Hugging Face Hub doesn't accept your login, so nothing was uploaded: {_LOG_IN}."
        )
    if upload and (status == 403 or isinstance(error, RepositoryNotFoundError)):
        return ConfigError(
            f"Your login may not write to {repository}, so nothing was uploaded: check the name {owner}, and "
            "that the token has write access."
        )
    if isinstance(error, RepositoryNotFoundError):
        return NotFound(
            f"The Hugging Face Hub has no data set {repository}, or it is private: check the name, or log in "
            'with "hf auth login".'
        )
    if status == 403:
        return ConfigError(
            f"Your login may not read {repository} on the Hugging Face Hub: use a token with read access to "
            "it."
        )
    return _failed(repository, error, upload=upload)


def _failed(repository: str, error: Exception, *, upload: bool) -> RcigError:
    """Quote an error of the network, the disk or the Hub."""
    cause = error.__cause__ or error
    first = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:160]
    if upload:
        return RcigError(
            f"{repository} could not be uploaded to the Hugging Face Hub ({first}): check the connection, "
            "and run the command again."
        )
    return RcigError(
        f"{repository} could not be downloaded from the Hugging Face Hub, and is not in its cache ({first}): "
        "check the connection and the disk, and try again."
    )
