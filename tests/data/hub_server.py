"""A server on the loopback that answers as the Hugging Face Hub does, as far as the tests need it."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

ERRORS = {"RepoNotFound": 404, "GatedRepo": 403, "RevisionNotFound": 404, "EntryNotFound": 404}
WRITE, READ = "hf_may_write", "hf_may_only_read"  # tokens; there are no others


class Request(BaseHTTPRequestHandler):
    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(path)
        if self.headers.get("Authorization", f"Bearer {READ}") not in (f"Bearer {READ}", f"Bearer {WRITE}"):
            return self.reply(
                b"{}", 401, **{"X-Error-Message": "Invalid credentials in Authorization header"}
            )
        for repository, branches in self.server.repositories.items():
            if path == f"/api/datasets/{repository}":
                return self.describe("revision", repository, branches, "main")
            for kind in ("tree", "revision"):
                start = f"/api/datasets/{repository}/{kind}/"
                if path.startswith(start):
                    return self.describe(kind, repository, branches, path.removeprefix(start))
            start = f"/datasets/{repository}/resolve/"
            if path.startswith(start):
                return self.send(branches, path.removeprefix(start))
        return self.refuse("RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(path)
        content = self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in (WRITE, READ):
            return self.reply(b"{}", 401, **{"X-Error-Message": "Invalid username or password."})
        if token == READ:
            return self.reply(b"{}", 403, **{"X-Error-Message": "You need a token with write access."})
        if path == "/api/validate-yaml":
            return self.reply(b'{"errors": [], "warnings": []}')
        if path == "/api/repos/create":
            return self.create(json.loads(content))
        repository, action, branch = path.removeprefix("/api/datasets/").rsplit("/", 2)
        branches = self.server.repositories[repository]
        if action == "branch":
            branches.setdefault(branch, dict(branches["main"]))
            return self.reply(b"{}")
        if branch not in branches:
            return self.refuse("RevisionNotFound")
        lines = [json.loads(line) for line in content.splitlines()]
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in lines[0]["files"]
            ]
            return self.reply(json.dumps({"files": files}).encode())
        self.server.messages.append(lines[0]["value"]["summary"])
        for line in lines[1:]:
            branches[branch][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        commit = commit_of(branches[branch])
        address = f"http://{self.headers['Host']}/datasets/{repository}/commit/{commit}"
        return self.reply(json.dumps({"commitUrl": address, "commitOid": commit}).encode())

    def create(self, wanted):
        repository = f"{wanted['organization']}/{wanted['name']}"
        address = f"http://{self.headers['Host']}/datasets/{repository}"
        is_new = repository not in self.server.repositories
        if is_new:
            self.server.repositories[repository] = {"main": {".gitattributes": b""}}
            if wanted.get("visibility") == "private":
                self.server.private.add(repository)
        return self.reply(json.dumps({"url": address}).encode(), 200 if is_new else 409)

    def describe(self, kind, repository, branches, revision):
        if isinstance(branches, str):
            return self.refuse(branches)
        found = branches.get(revision) or by_commit(branches).get(revision)
        if found is None:
            return self.refuse("RevisionNotFound")
        files = [
            {"type": "file", "path": name, "size": len(content), "oid": etag(content)}
            for name, content in found.items()
        ]
        siblings = [{"rfilename": file["path"], "size": file["size"]} for file in files]
        whole = {
            "id": repository,
            "sha": commit_of(found),
            "siblings": siblings,
            "tags": [],
            "private": repository in self.server.private,
        }
        return self.reply(json.dumps(files if kind == "tree" else whole).encode())

    def send(self, branches, rest):
        revision, _, name = rest.partition("/")
        files = branches.get(revision) or by_commit(branches)[revision]
        commit, content = commit_of(files), files.get(name)
        if content is None:
            return self.refuse("EntryNotFound")
        return self.reply(content, **{"ETag": f'"{etag(content)}"', "X-Repo-Commit": commit})

    def reply(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, code):
        self.reply(b"{}", ERRORS[code], **{"X-Error-Code": code})

    def log_message(self, *_):
        pass


def etag(content):
    return hashlib.sha1(content).hexdigest()


def commit_of(files):
    return hashlib.sha1(
        repr(sorted((name, etag(content)) for name, content in files.items())).encode()
    ).hexdigest()


def by_commit(branches):
    return {commit_of(files): files for files in branches.values()}


@contextmanager
def hub_server(repositories):
    """Serve data sets, and accept uploads.

    ``repositories[name][branch][path]`` is the content of a file; or ``repositories[name]`` is an error.  The
    server records the paths of ``requests``, the ``messages`` of commits, and the ``private`` repositories.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads, server.repositories = True, repositories
    server.requests, server.messages, server.private = [], [], set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def hub_for_tests(repositories, cache, monkeypatch):
    """Serve data sets where the library looks for them, with an empty cache."""
    from huggingface_hub import constants

    with hub_server(repositories) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        yield server
