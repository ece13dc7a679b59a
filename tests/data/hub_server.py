"""A server on the loopback that answers as the Hugging Face Hub does, as far as downloads need it."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

ERRORS = {"RepoNotFound": 404, "GatedRepo": 403, "RevisionNotFound": 404, "EntryNotFound": 404}


class Request(BaseHTTPRequestHandler):
    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(path)
        for repository, branches in self.server.repositories.items():
            for kind in ("tree", "revision"):
                start = f"/api/datasets/{repository}/{kind}/"
                if path.startswith(start):
                    return self.describe(kind, repository, branches, path.removeprefix(start))
            start = f"/datasets/{repository}/resolve/"
            if path.startswith(start):
                return self.send(branches, path.removeprefix(start))
        return self.refuse("RepoNotFound")

    do_HEAD = do_GET

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
        siblings = [{"rfilename": file["path"]} for file in files]
        whole = {
            "id": repository,
            "sha": commit_of(found),
            "siblings": siblings,
            "tags": [],
            "private": False,
        }
        return self.reply(json.dumps(files if kind == "tree" else whole).encode())

    def send(self, branches, rest):
        commit, _, name = rest.partition("/")
        content = by_commit(branches)[commit].get(name)
        if content is None:
            return self.refuse("EntryNotFound")
        return self.reply(content, **{"ETag": f'"{etag(content)}"', "X-Repo-Commit": commit})

    def reply(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
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
    """Serve data sets.

    ``repositories[name][branch][path]`` is the content of a file; or ``repositories[name]`` is an error.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    server.daemon_threads, server.repositories, server.requests = True, repositories, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
