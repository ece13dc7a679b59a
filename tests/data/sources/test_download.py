"""Official files are downloaded whole and checked, whatever the server does, and are used again."""

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rcig_cli.data.sources import download
from rcig_cli.data.sources.download import fetch
from rcig_cli.data.sources.known import KNOWN, Archive
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.source import SPLITS
from rcig_cli.errors import ConfigError, RcigError
from tests.data.downloads import COPIES, example_splits, write_idx
from tests.data.examples import assert_same, whole
from tests.data.file_server import changed, cut, file_server, hang, header, silence, status


class Heard:
    """A listener that remembers."""

    def __init__(self):
        self.notes, self.shown = [], []

    def note(self, sentence):
        self.notes.append(sentence)

    def progress(self, label, done, total):
        self.shown.append((label, done, total))

    def __contains__(self, text):
        return any(text in note for note in self.notes)


def archives_of(files, address):
    """Describe files as official ones at an address."""
    return tuple(
        Archive(f"{address}/{path.name}", path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
    )


def packed(folder, title, directory, kind):
    """Write a small copy of a data set, named as its archive unpacks, and pack it."""
    COPIES[title][2](folder / directory)
    return Path(shutil.make_archive(str(folder / directory), kind, folder, directory))


@pytest.fixture(scope="module")
def cifar_archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    made = packed(folder, "CIFAR-10, binary version", "cifar-10-batches-bin", "gztar")
    return made.rename(folder / "cifar-10-binary.tar.gz")


@pytest.fixture
def server():
    with file_server() as server:
        yield server


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RCIG_MIRROR", raising=False)
    monkeypatch.setattr(download, "_PAUSE", 0.01)
    monkeypatch.setattr(download, "_PIECE", 2**10)
    return tmp_path / "cache" / "rcig" / "downloads"


@pytest.fixture
def cifar(cache, server, cifar_archive):
    """CIFAR-10, of which the official archive is a small one on the server."""
    server.files[f"/{cifar_archive.name}"] = cifar_archive.read_bytes()
    return replace(KNOWN["cifar10"], archives=archives_of([cifar_archive], server.address))


def whole_pieces(size):
    return size // download._PIECE * download._PIECE


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_addresses_sizes_and_checksums_are_those_of_tensorflow_datasets():
    (root,) = importlib.util.find_spec("tensorflow_datasets").submodule_search_locations
    lists = [*Path(root).glob("url_checksums/*.txt"), *Path(root).glob("datasets/*/checksums.tsv")]
    published = {tuple(line.split("\t")[:3]) for path in lists for line in path.read_text().splitlines()}
    found = {known.name for known in KNOWN.values() for archive in known.archives}
    assert found == {
        *("mnist", "fashion_mnist", "cifar10", "cifar100", "cub200", "imagenette"),
        "tiny_imagenet",
    }
    for known in KNOWN.values():
        for archive in known.archives:
            if known.name != "tiny_imagenet":
                assert (archive.address, str(archive.size), archive.sha256) in published


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_an_archive_is_downloaded_once_and_unpacked(cache, server, tmp_path, kind):
    made = packed(tmp_path, "CIFAR-10, binary version", "cifar-10-batches-bin", kind)
    server.files[f"/{made.name}"] = made.read_bytes()
    known, heard = replace(KNOWN["cifar10"], archives=archives_of([made], server.address)), Heard()
    folder = fetch(known, heard)
    assert folder == cache / "cifar10" / "cifar-10-batches-bin"
    assert contents(folder) == contents(tmp_path / "cifar-10-batches-bin")
    assert heard.shown[-1] == (f"{made.name} (MB)", 1, 1)
    assert f"Downloading {made.name}" in heard
    assert fetch(known, Heard()) == folder
    assert len(server.requests) == 1
    assert sorted(os.listdir(cache / "cifar10")) == [
        "cifar-10-batches-bin",
        "cifar-10-batches-bin.sha256",
        "lock",
    ]


def test_files_that_are_not_packed_are_kept_as_they_are(cache, server, tmp_path):
    write_idx(tmp_path / "idx", example_splits(10, 20, 10, 28, 28, 1), packed=True)
    files = sorted((tmp_path / "idx").iterdir())
    server.files = {f"/{path.name}": path.read_bytes() for path in files}
    known = replace(KNOWN["mnist"], archives=archives_of(files, server.address))
    folder = fetch(known, Heard())
    (folder / "lock").unlink()
    assert contents(folder) == contents(tmp_path / "idx")
    files[1].write_bytes(b"damaged")
    (folder / files[1].name).write_bytes(b"damaged")
    fetch(known, Heard())
    assert [path for path, _ in server.requests[4:]] == [f"/{files[1].name}"]
    assert hashlib.sha256((folder / files[1].name).read_bytes()).hexdigest() == known.archives[1].sha256


def test_a_known_name_is_downloaded_and_read(cifar, cifar_archive, monkeypatch):
    monkeypatch.setitem(KNOWN, "cifar10", cifar)
    source = open_source("cifar10")
    unpacked = open_source("cifar10", cifar_archive.parent / "cifar-10-batches-bin")
    assert_same(source, {split: (whole(unpacked, split).images, unpacked.labels(split)) for split in SPLITS})
    (archive,) = cifar.archives
    assert source.origin == {"downloads": [{"address": archive.address, "sha256": archive.sha256}]}


@pytest.mark.parametrize("harm", ["changed", "removed", "added", "unfinished"])
def test_damaged_unpacked_files_are_downloaded_again(cifar, server, harm):
    folder = fetch(cifar, Heard())
    before = contents(folder)
    if harm == "changed":
        data = bytearray((folder / "data_batch_3.bin").read_bytes())
        data[100] ^= 1
        (folder / "data_batch_3.bin").write_bytes(data)
    elif harm == "removed":
        (folder / "test_batch.bin").unlink()
    elif harm == "added":
        (folder / "train.bin").write_bytes(b"x")
    else:  # the process ended just after it had unpacked the archive
        folder.with_suffix(".sha256").unlink()
    heard = Heard()
    assert contents(fetch(cifar, heard)) == before
    assert "damaged or incomplete" in heard
    assert len(server.requests) == 2


def zeros(content):
    return bytes(len(content))


def same(content):
    return content


def zeros_instead_of_the_rest(request, content):
    cut(1.0)(request, zeros(content))


def another_range(request, _):
    request.reply(206, 5, Content_Range="bytes 0-4/5")


def partial_from_the_start(request, content):
    """As Amazon S3 answers."""
    request.reply(206, len(content), Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")
    request.wfile.write(content)


def elsewhere(request, _):
    request.reply(302, 0, Location=request.path)


def chunks_without_end(request, content):
    request.protocol_version = "HTTP/1.1"
    request.reply(200, None, Transfer_Encoding="chunked")
    half = content[: len(content) // 2]
    request.wfile.write(b"%x\r\n%b\r\n" % (len(half), half))
    request.close_connection = True


# Answers to the first requests, and the first byte of each request.
GOOD_ENDS = {
    "cut": ([cut(0.5), cut(0.5)], ["0", "half", "three quarters"]),
    "cut_without_ranges": ([cut(0.5, ranges=False), cut(0.9, ranges=False)], None),
    "cut_at_once": ([cut(0.0), cut(0.0)], ["0", "0", "0"]),
    "busy": ([status(503), status(429)], ["0", "0", "0"]),
    "silent": ([silence], ["0", "0"]),
    "hanging": ([hang], ["0", "half"]),
    "declared_as_encoded": ([header(Content_Encoding="gzip")], ["0"]),
    "without_length": ([changed(same, None)], ["0"]),
    "partial_from_the_start": ([partial_from_the_start], ["0"]),
    "redirected": ([elsewhere], ["0", "0"]),
    "chunks_without_end": ([chunks_without_end], None),
    "another_range": ([cut(0.5), another_range], ["0", "half", "0"]),
    "no_such_range": ([cut(0.5), status(416)], ["0", "half", "0"]),
    "wrong_rest": ([cut(0.5), zeros_instead_of_the_rest], ["0", "half", "0"]),
}


@pytest.mark.parametrize("case", GOOD_ENDS)
def test_a_download_survives_what_servers_do(cifar, server, monkeypatch, case):
    monkeypatch.setattr(download, "_TIMEOUT", (1.0, 0.2))
    answers, starts = GOOD_ENDS[case]
    size = cifar.archives[0].size
    server.answers.extend(answers)
    heard = Heard()
    folder = fetch(cifar, heard)
    assert folder.with_suffix(".sha256").read_text() == download._digest(folder)
    if starts is not None:
        half = whole_pieces(size // 2)
        named = {"0": 0, "half": half, "three quarters": half + whole_pieces((size - half) // 2)}
        assert [range_ for _, range_ in server.requests] == [f"bytes={named[start]}-" for start in starts]


def login_page(_):
    return b"<html>Sign in</html>"


BAD_ENDS = {
    "other_content": ([changed(zeros)], "has other content than the published file"),
    "larger": ([changed(lambda content: content + b"x")], "has .* bytes instead of the published"),
    "smaller": ([changed(lambda content: content[:-1])], "has .* bytes instead of the published"),
    "length_too_large": ([changed(same, 1)], "has .* bytes instead of the published"),
    "endless": ([changed(lambda content: 100 * content, None)], "sent more than the .* bytes"),
    "login_page": ([changed(login_page)], "has 20 bytes instead of the published"),
    "redirected_for_ever": ([elsewhere] * 100, "can't be read \\(Exceeded 30 redirects"),
    "missing": ([status(404)], "answered with HTTP status 404"),
    "forbidden": ([status(403)], "answered with HTTP status 403"),
    "broken": ([status(500)] * 3, "answered with HTTP status 500"),
    "cut": ([cut(0.0)] * 3, "ended the connection early"),
    "silent": ([silence] * 3, "did not answer in time"),
    "cut_and_another_range": ([cut(0.5), another_range] * 2, "has other content than the published file"),
}


@pytest.mark.parametrize("case", BAD_ENDS)
def test_a_failed_download_ends_in_one_sentence_and_the_next_one_works(
    cifar, server, cache, monkeypatch, case
):
    monkeypatch.setattr(download, "_TIMEOUT", (1.0, 0.1))
    answers, said = BAD_ENDS[case]
    server.answers.extend(answers)
    with pytest.raises(RcigError, match=said) as caught:
        fetch(cifar, Heard())
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(
        "Run the command again to resume; without internet access, set RCIG_MIRROR to a folder with "
        "cifar-10-binary.tar.gz, or unpack it and pass --from cifar-10-batches-bin."
    )
    assert not (cache / "cifar10" / "cifar-10-batches-bin").exists()
    assert fetch(cifar, Heard()).is_dir()


def test_an_unreachable_server_is_reported(cifar, server):
    unreachable = replace(cifar.archives[0], address="http://127.0.0.1:9/cifar-10-binary.tar.gz")
    with pytest.raises(RcigError, match="could not be reached"):
        fetch(replace(cifar, archives=(unreachable,)), Heard())


def test_further_addresses_are_tried_in_turn(cifar, server):
    (archive,) = cifar.archives
    name = archive.name
    moved = replace(archive, address=f"{server.address}/gone/{name}", mirrors=(archive.address,))
    server.files[f"/gone/{name}"] = b"?"
    heard = Heard()
    assert fetch(replace(cifar, archives=(moved,)), heard).is_dir()
    assert [path for path, _ in server.requests] == [f"/gone/{name}", f"/{name}"]
    assert f"/gone/{name} has 1 bytes instead of the published {archive.size}." in heard


def test_the_start_of_a_wrong_file_does_not_spoil_the_right_one(cifar, server):
    """The first address sends some of another file of the same size, and ends the connection each time."""
    (archive,) = cifar.archives
    wrong = f"/wrong/{archive.name}"
    server.files[wrong] = bytes(archive.size)
    server.answers.extend([cut(0.5, ranges=False)] * 3)
    both = replace(archive, address=server.address + wrong, mirrors=(archive.address,))
    heard = Heard()
    assert fetch(replace(cifar, archives=(both,)), heard).is_dir()
    assert "could not be resumed: it is downloaded from the beginning" in heard


@pytest.mark.parametrize("where", ["own folder", "flat folder", "own address", "flat address"])
def test_a_mirror_is_asked_first(cifar, cifar_archive, server, tmp_path, monkeypatch, where):
    """As ``NAME/FILE``, or as ``FILE``; the file must be the published one there too."""
    inner = "cifar10/" if "own" in where else ""
    if "folder" in where:
        mirror = tmp_path / "mirror"
        (mirror / inner).mkdir(parents=True)
        shutil.copy(cifar_archive, mirror / inner)
        monkeypatch.setenv("RCIG_MIRROR", f"{mirror}/")
    else:
        server.files[f"/mirror/{inner}{cifar_archive.name}"] = cifar_archive.read_bytes()
        monkeypatch.setenv("RCIG_MIRROR", f"{server.address}/mirror")
    del server.files[f"/{cifar_archive.name}"]
    assert fetch(cifar, Heard()).is_dir()


@pytest.mark.parametrize("content", [None, b"other"])
def test_the_official_address_is_asked_if_the_mirror_lacks_the_file(
    cifar, server, tmp_path, monkeypatch, content
):
    if content:
        (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    monkeypatch.setenv("RCIG_MIRROR", str(tmp_path))
    heard = Heard()
    assert fetch(cifar, heard).is_dir()
    assert ("other content" if content else "No such file") in heard


def test_a_mirror_that_is_no_folder_is_refused(cifar, tmp_path, monkeypatch):
    monkeypatch.setenv("RCIG_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"RCIG_MIRROR is .* neither a folder nor an http address"):
        fetch(cifar, Heard())


def test_a_full_disk_is_reported_and_the_download_resumed(cifar, server, monkeypatch):
    written, write = [], download._Part.write

    def fill(part, piece):
        written.append(len(piece))
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(part, piece)

    monkeypatch.setattr(download._Part, "write", fill)
    with pytest.raises(RcigError, match=r"No space left on device.*free some disk space"):
        fetch(cifar, Heard())
    assert fetch(cifar, Heard()).is_dir()
    assert [range_ for _, range_ in server.requests] == ["bytes=0-", f"bytes={2**10}-"]


def test_a_disk_that_is_full_while_unpacking_costs_no_second_download(cifar, server, cache, monkeypatch):
    def fail(archive, folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download, "_unpack", fail)
        with pytest.raises(RcigError, match=r"No space left on device.*free some disk space"):
            fetch(cifar, Heard())
    unpacking = cache / "cifar10" / "unpacking"  # of a process that was killed
    unpacking.mkdir()
    folder = fetch(cifar, Heard())
    assert not (folder / "half").exists()
    assert not unpacking.exists()
    assert len(server.requests) == 1


def test_a_cache_that_can_not_be_written_is_reported(cifar, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(RcigError, match=r"cifar10 can't be stored in .*XDG_CACHE_HOME"):
        fetch(cifar, Heard())


def test_an_unreachable_proxy_is_reported(cifar, monkeypatch):
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(RcigError, match="could not be reached through the proxy"):
        fetch(cifar, Heard())


def test_a_second_process_waits_and_downloads_nothing(cifar, server):
    begun, go_on = threading.Event(), threading.Event()

    def slow(request, content):
        begun.set()
        assert go_on.wait(10)
        cut(1.0)(request, content)

    server.answers.append(slow)
    heard = [Heard(), Heard()]
    first = threading.Thread(target=fetch, args=(cifar, heard[0]))
    first.start()
    assert begun.wait(10)
    second = threading.Thread(target=fetch, args=(cifar, heard[1]))
    second.start()
    while not heard[1].notes:
        time.sleep(0.01)
    go_on.set()
    first.join()
    second.join()
    assert heard[1].notes == ["Waiting for another process, which downloads cifar10."]
    assert len(server.requests) == 1


CHILD = """
import sys
from dataclasses import replace
from rcig_cli.data.sources import download
from rcig_cli.data.sources.known import KNOWN, Archive
from tests.data.sources.test_download import Heard
address, size, sha256 = sys.argv[1:]
download._PIECE = 2**10
download.fetch(replace(KNOWN["cifar10"], archives=(Archive(address, int(size), sha256),)), Heard())
"""


COMMAND = """
import sys
from dataclasses import replace
sys.modules["tensorflow_datasets"] = sys.modules["tensorflow"] = None
from rcig_cli.data.sources.known import KNOWN, Archive
address, size, sha256 = sys.argv[1:4]
KNOWN["cifar10"] = replace(KNOWN["cifar10"], archives=(Archive(address, int(size), sha256),))
from rcig_cli.cli.app import main
main(["prepare", "cifar10", "--json", "--store", sys.argv[4]])
"""


def test_the_command_needs_no_tensorflow_datasets(cifar, tmp_path):
    (archive,) = cifar.archives
    words = [sys.executable, "-c", COMMAND, archive.address, str(archive.size), archive.sha256, str(tmp_path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root)
    found = json.loads(done.stdout)
    assert (found["train"], found["test"], found["class_names"][3]) == (20, 10, "cat")
    assert f"Downloading {archive.name}" in done.stderr
    manifest = json.loads((tmp_path / "datasets" / "cifar10" / "manifest.json").read_text())
    assert manifest["source"]["downloads"] == [{"address": archive.address, "sha256": archive.sha256}]


@pytest.mark.parametrize(("rest", "requests"), [(0, 0), (1, 1), (-1, 1)])
def test_what_an_earlier_process_left_is_used_or_replaced(
    cifar, cifar_archive, server, cache, rest, requests
):
    """It may be all of the file, or a byte short; or more than that, which a server refuses to continue."""
    content = cifar_archive.read_bytes() + b"x"
    (cache / "cifar10").mkdir(parents=True)
    (cache / "cifar10" / f"{cifar_archive.name}.part").write_bytes(content[: cifar.archives[0].size - rest])
    if rest < 0:
        server.answers.append(status(416))
    assert fetch(cifar, Heard()).is_dir()
    assert len(server.requests) == requests + (rest < 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_is_resumed_by_the_next_process(cifar, server, cache, number):
    (archive,) = cifar.archives
    server.answers.append(hang)
    root = Path(__file__).parents[3]
    words = [sys.executable, "-c", CHILD, archive.address, str(archive.size), archive.sha256]
    child = subprocess.Popen(words, cwd=root, stderr=subprocess.DEVNULL)
    part = cache / "cifar10" / f"{archive.name}.part"
    while not (part.exists() and part.stat().st_size == whole_pieces(archive.size // 2)):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    assert child.wait(10) != 0
    assert fetch(cifar, Heard()).is_dir()
    assert server.requests[-1][1] == f"bytes={whole_pieces(archive.size // 2)}-"
