"""A loopback hub that speaks the protocols of Hugging Face and of ModelScope, with faults.

    with FakeHub() as hub:
        hub.add("owner/repo-GGUF", {"model-Q4_K_M.gguf": b"GGUF..."}, license="apache-2.0")
        environ = hub.environ()          # HF_ENDPOINT, MODELSCOPE_ENDPOINT

The real clients of both work against it: information, listing, revisions, search, and downloads,
which are redirected to a second origin, the "CDN".  A repository's ``fault`` spoils its answers.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hub-token-of-this-test"
COMMIT = "c0ffee" + "0" * 34
#: Smaller files lie in git itself, without a sha256 of their own on Hugging Face.
SMALL = 64


@dataclass
class Repository:
    """One repository.

    Attributes:
        repo: ``owner/name``.
        files: Path to content.
        license: As the model card has it.
        gated: Whether the owner wants a licence accepted: only ``TOKEN`` opens it.
        private: Whether it is there for ``TOKEN`` only.
        n_downloads: How often it was fetched.
        n_likes: How many like it.
        sizes: Sizes to tell for files whose content nobody fetches.
        branches: Further branches or tags with the same content.
        knows_commits: Whether ModelScope takes the commit in place of a branch.
        tags: What the owner says of it: languages, tasks.
        template: Its chat template, as Hugging Face reads it from the file.
        fault: ``""`` or one of ``404 401 429 500 html empty wrong slow``.
    """

    repo: str
    files: dict[str, bytes]
    license: str = "apache-2.0"
    gated: bool = False
    private: bool = False
    n_downloads: int = 100
    n_likes: int = 10
    sizes: dict[str, int] = field(default_factory=dict)
    branches: tuple[str, ...] = ()
    knows_commits: bool = False
    tags: tuple[str, ...] = ()
    template: str = ""
    fault: str = ""

    def size(self, path: str) -> int:
        return self.sizes.get(path, len(self.files[path]))

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.files[path]).hexdigest()


class FakeHub:
    """The hub; ``requests`` has ``(origin, method, path, headers)`` of every request."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.requests: list[tuple[str, str, str, dict[str, str]]] = []
        self.over = threading.Event()
        self._hub = _serving(self, "hub", _HubHandler)
        self._cdn = _serving(self, "cdn", _CdnHandler)
        #: Where links lead when it is set: the origin of a server with ``/<sha256>`` of each file.
        self.store_url = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._hub.server_port}"

    @property
    def cdn_url(self) -> str:
        return self.store_url or f"http://127.0.0.1:{self._cdn.server_port}"

    def add(self, repo: str, files: dict[str, bytes], **more: object) -> Repository:
        """Put a repository on the hub."""
        self.repositories[repo.lower()] = made = Repository(repo, files, **more)  # type: ignore[arg-type]
        return made

    def rename(self, old: str, new: str) -> None:
        """Let ``old`` lead to ``new``."""
        self.renamed[old.lower()] = new

    def environ(self, **more: str) -> dict[str, str]:
        """Return the variables by which both clients find this hub."""
        return {"HF_ENDPOINT": self.url, "MODELSCOPE_ENDPOINT": self.url, **more}

    def paths(self, origin: str = "hub") -> list[str]:
        return [path for where, _, path, _ in self.requests if where == origin]

    def headers_seen_by(self, origin: str) -> list[dict[str, str]]:
        return [headers for where, _, _, headers in self.requests if where == origin]

    def __enter__(self) -> FakeHub:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeHub
    origin: str

    def handle_error(self, request, client_address):
        """A client that leaves is no error here."""


def _serving(fake, origin, handler):
    server = _Server(("127.0.0.1", 0), handler)
    server.fake, server.origin = fake, origin
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Quiet."""

    def do_GET(self):
        self.fake = self.server.fake
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.fake.requests.append((self.server.origin, self.command, self.path, headers))
        parts = urlsplit(self.path)
        self.words = [unquote(word) for word in parts.path.split("/") if word]
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    @property
    def is_trusted(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def send(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value, status=200, **headers):
        self.send(status, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def content(self, body, etag, **headers):
        """Send bytes, or the range of them that was asked for."""
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes="):
            return self.send(200, body, ETag=f'"{etag}"', Accept_Ranges="bytes", **headers)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(body) - 1), len(body) - 1) + 1
        if start >= len(body):
            return self.send(416, Content_Range=f"bytes */{len(body)}")
        told = f"bytes {start}-{stop - 1}/{len(body)}"
        return self.send(206, body[start:stop], ETag=f'"{etag}"', Content_Range=told, **headers)

    def spoiled(self, found):
        """Answer as the repository's fault has it; returns whether it has one."""
        match found.fault:
            case "429":
                self.json({"error": "rate"}, 429, Retry_After="7", RateLimit='"api";r=0;t=55')
            case "401":
                self.json({"error": "no"}, 401, X_Error_Message="Invalid username or password.")
            case "token":
                bad = "Invalid credentials in Authorization header"
                self.json({"error": bad}, 401, X_Error_Message=bad)
            case "404" | "500":
                self.json({"error": "gone"}, int(found.fault))
            case "html":
                self.send(200, b"<html>Please log in</html>", Content_Type="text/html")
            case "empty":
                self.json({})
            case "wrong":
                self.json({"siblings": 7, "sha": [], "id": None, "Data": {"Files": [1, 2]}})
            case "slow":
                self.fake.over.wait(60)
            case _:
                return False
        return True


class _HubHandler(_Handler):
    def answer(self):
        match self.words:
            case ["api", "models"]:
                self.hf_search()
            case ["api", "models", owner, name, *rest]:
                self.hf_model(f"{owner}/{name}", rest)
            case ["api", "whoami-v2"]:
                self.json({"name": "somebody"} if self.is_trusted else {}, 200)
            case [owner, name, "resolve" | "raw", revision, *path]:
                self.hf_resolve(f"{owner}/{name}", revision, "/".join(path))
            case ["openapi", "v1", "models"]:
                self.ms_search()
            case ["openapi", "v1", "models", owner, name]:
                self.ms_about(f"{owner}/{name}")
            case ["api", "v1", "models", owner, name, *rest]:
                self.ms_model(f"{owner}/{name}", rest)
            case ["api", "v1", "repos", "internalAccelerationInfo"]:
                self.json({"Code": 200, "Data": {}, "Success": True})
            case _:
                self.json({"error": "not found"}, 404)

    # Hugging Face

    def hf_found(self, repo):
        """Return the repository, or ``None`` when the answer was sent already."""
        if new := self.fake.renamed.get(repo.lower()):
            self.send(307, Location=self.path.replace(repo, new, 1))
            return None
        found = self.fake.repositories.get(repo.lower())
        if found is None or (found.private and not self.is_trusted):
            if self.headers.get("Authorization") and self.is_trusted:
                self.json({"error": "not found"}, 404, X_Error_Code="RepoNotFound")
            else:
                refused = "Invalid username or password."
                self.json({"error": refused}, 401, X_Error_Message=refused)
            return None
        return None if self.spoiled(found) else found

    def hf_model(self, repo, rest):
        found = self.hf_found(repo)
        if found is None:
            return
        match rest:
            case ["auth-check"]:
                if self.hf_may(found):
                    self.json({"ok": True})
            case []:
                self.json(self.hf_info(found))
            case ["revision", revision]:
                if self.hf_has(found, revision):
                    self.json(self.hf_info(found))
            case ["tree", revision, *_]:
                if self.hf_has(found, revision):
                    self.json([self.hf_entry(found, path) for path in found.files])
            case _:
                self.json({"error": "not found"}, 404)

    def hf_has(self, found, revision):
        if revision in ("main", COMMIT, *found.branches):
            return True
        self.json({"error": "no such revision"}, 404, X_Error_Code="RevisionNotFound")
        return False

    def hf_may(self, found):
        if not found.gated or self.is_trusted:
            return True
        status = 403 if self.headers.get("Authorization") else 401
        self.json({"error": "gated"}, status, X_Error_Code="GatedRepo", X_Error_Message="gated")
        return False

    def hf_info(self, found):
        return {
            "_id": "1",
            "id": found.repo,
            "modelId": found.repo,
            "sha": COMMIT,
            "private": found.private,
            "disabled": found.fault == "disabled",
            "gated": "auto" if found.gated else False,
            "downloads": found.n_downloads,
            "likes": found.n_likes,
            "tags": ["gguf", f"license:{found.license}", *found.tags],
            "gguf": {"architecture": "llama", "chat_template": found.template},
            "cardData": {"license": found.license},
            "siblings": [self.hf_sibling(found, path) for path in found.files],
        }

    def hf_sibling(self, found, path):
        told = {"rfilename": path}
        if "blobs" in self.query:
            size = found.size(path)
            told |= {"size": size, "blobId": "a" * 40}
            if size >= SMALL:
                told["lfs"] = {"sha256": found.sha256(path), "size": size, "pointerSize": 130}
        return told

    def hf_entry(self, found, path):
        size = found.size(path)
        told = {"type": "file", "path": path, "size": size, "oid": "a" * 40}
        if size >= SMALL:
            told["lfs"] = {"oid": found.sha256(path), "size": size, "pointerSize": 130}
        return told

    def searched(self):
        """Those with all words in their names, most wanted first; ``None``: answered already."""
        words = self.query.get("search", "").lower().split()
        found = [
            each
            for key, each in self.fake.repositories.items()
            if all(word in key for word in words) and not each.private
        ]
        broken = next((each for each in found if each.fault), None)
        if broken and self.spoiled(broken):
            return None
        return sorted(found, key=lambda each: -each.n_downloads)

    def hf_search(self):
        if (found := self.searched()) is None:
            return
        self.json([self.hf_info(each) for each in found[: int(self.query.get("limit", 100))]])

    def hf_resolve(self, repo, revision, path):
        found = self.hf_found(repo)
        if found is None or not self.hf_has(found, revision) or not self.hf_may(found):
            return
        if path not in found.files:
            missing = {"X_Error_Code": "EntryNotFound", "X_Repo_Commit": COMMIT}
            self.json({"error": "no such file"}, 404, **missing)
            return
        body, sha256 = found.files[path], found.sha256(path)
        if len(body) < SMALL:
            self.content(body, "a" * 40, X_Repo_Commit=COMMIT)
            return
        self.send(
            302,
            Location=f"{self.fake.cdn_url}/{sha256}?expires={time.time() + 3600:.0f}",
            X_Repo_Commit=COMMIT,
            X_Linked_Size=str(len(body)),
            X_Linked_ETag=f'"{sha256}"',
            Accept_Ranges="bytes",
        )

    # ModelScope

    def ms_found(self, repo):
        found = self.fake.repositories.get(repo.lower())
        if found is None or (found.private and not self.is_trusted):
            told = {"Code": 10010205001, "Message": "record not found", "Success": False}
            self.json(told, 404)
            return None
        if found.gated and not self.is_trusted:
            self.json({"Code": 403, "Message": "access denied", "Success": False}, 403)
            return None
        return None if self.spoiled(found) else found

    def ms_data(self, value):
        told = {"Code": 200, "Data": value, "Message": "", "RequestId": "1", "Success": True}
        self.json(told)

    def ms_model(self, repo, rest):
        found = self.ms_found(repo)
        if found is None:
            return
        branches = ("master", *found.branches)
        revision = self.query.get("Revision", "master")
        is_there = revision in branches or (found.knows_commits and revision == COMMIT)
        match rest:
            case []:
                owner, _, name = found.repo.partition("/")
                self.ms_data({"Path": owner, "Name": name, "License": found.license})
            case ["revisions"]:
                rows = [{"Revision": branch, "CreatedAt": 1} for branch in branches]
                self.ms_data({"RevisionMap": {"Branches": rows, "Tags": []}})
            case ["repo", "files"]:
                rows = [self.ms_entry(found, path) for path in found.files] if is_there else None
                self.ms_data({"Files": rows, "LatestCommitter": {"ShortId": "abc"}})
            case ["repo"] if is_there:
                self.ms_file(found, self.query.get("FilePath", ""))
            case _:
                self.json({"Code": 404, "Message": "not found", "Success": False}, 404)

    def ms_entry(self, found, path):
        return {
            "Type": "blob",
            "Path": path,
            "Name": path.rpartition("/")[2],
            "Size": found.size(path),
            "Sha256": found.sha256(path),
            "IsLFS": found.size(path) >= SMALL,
            "Revision": COMMIT,
        }

    def ms_file(self, found, path):
        if path not in found.files:
            self.json({"Code": 404, "Message": "no such file", "Success": False}, 404)
            return
        body, sha256 = found.files[path], found.sha256(path)
        if len(body) < SMALL:
            self.content(body, sha256)
        else:
            self.send(302, Location=f"{self.fake.cdn_url}/{sha256}?auth_key=1")

    def ms_about(self, repo):
        found = self.ms_found(repo)
        if found is not None:
            self.json({"success": True, "data": self.ms_row(found)})

    def ms_row(self, found):
        return {
            "id": found.repo,
            "license": found.license,
            "downloads": found.n_downloads,
            "likes": found.n_likes,
            "gated": found.gated,
            "private": found.private,
            "tags": ["gguf", *found.tags],
        }

    def ms_search(self):
        if (found := self.searched()) is None:
            return
        rows = [self.ms_row(each) for each in found[: int(self.query.get("page_size", 10))]]
        self.json({"success": True, "data": {"models": rows, "total_count": len(found)}})


class _CdnHandler(_Handler):
    def answer(self):
        wanted = self.words[0] if self.words else ""
        for found in self.fake.repositories.values():
            for path, body in found.files.items():
                if found.sha256(path) == wanted:
                    # Its own ETag is not the sha256, and ModelScope's tells that beside it.
                    self.content(body, "xet-" + wanted[:8], X_Linked_ETag=f'"{wanted}"')
                    return
        self.send(403, b"<Error>AccessDenied</Error>")
