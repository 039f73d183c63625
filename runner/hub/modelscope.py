"""ModelScope, through its own client: metadata, search and addresses; no weights.

Endpoint, token and proxies are the client's (``MODELSCOPE_ENDPOINT``, ``MODELSCOPE_API_TOKEN``
...); so are time-outs and retries, which get shorter defaults here, since somebody waits.  The
import costs half a second and 40 MB, and waits until the hub is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from runner.domain.hub_url import MODELSCOPE, MODELSCOPE_INTERNATIONAL
from runner.errors import AccessDenied, NotOnHub, RateLimited, SourceError
from runner.hub.about import abilities, languages
from runner.hub.choose import RepoFile, variants
from runner.hub.offline import refuse_offline
from runner.hub.reach import Reach
from runner.hub.repository import Found, Listing
from runner.hub.token import usable_token

if TYPE_CHECKING:
    from modelscope_hub import HubApi

logger = logging.getLogger(__name__)

_DEFAULT_BRANCH = "master"
_COMMIT = re.compile(r"[0-9a-f]{40}")
#: The client's settings, where the user has not made them: it reads them when imported.
_PATIENCE = {
    "MODELSCOPE_API_TIMEOUT": "15",
    "MODELSCOPE_API_CONNECT_TIMEOUT": "5",
    "MODELSCOPE_API_MAX_RETRIES": "1",
    "MODELSCOPE_REPO_TREE_PAGE_MAX_ATTEMPTS": "1",
    "MODELSCOPE_REPO_TREE_PAGE_TIMEOUT_SECONDS": "15",
}
_MAX_PAGE = 50
_TEXT_TIMEOUT_S = 15.0
_importing = threading.Lock()


class ModelScope:
    """The hub at ``MODELSCOPE_ENDPOINT``; safe from any thread.

    Args:
        host: ``modelscope.cn``, or ``modelscope.ai`` for the international site.
        environ: Where endpoint, token and offline flag are looked for.
        token: Asked before the environment and the client's own login.
        is_offline: Whether nobody may be asked, whatever the environment says.
    """

    def __init__(
        self,
        host: str = MODELSCOPE,
        environ: Mapping[str, str] = os.environ,
        *,
        token: Callable[[], str | None] = lambda: None,
        is_offline: bool = False,
    ) -> None:
        assert host in (MODELSCOPE, MODELSCOPE_INTERNATIONAL)
        self.host = host
        self._environ = environ
        self._token = token
        self._is_offline = is_offline
        self._reach = Reach()

    @property
    def endpoint(self) -> str:
        """Base address of the hub."""
        named = self._environ.get("MODELSCOPE_ENDPOINT", "").strip().rstrip("/")
        if named:
            return named if "://" in named else f"https://{named}"
        return f"https://www.{self.host}"

    def claims(self, host: str) -> bool:
        """Whether ``host`` is this site's."""
        return host == self.host

    def listing(self, repository: str, revision: str = "") -> Listing:
        """Return what lies in a repository; raises as ``Hub.listing`` says.

        Branches move on here, so each file has its own commit beside.  A commit that the hub does
        not know as a revision means those files of the default branch that it changed last.
        """
        branch = revision or _DEFAULT_BRANCH
        with self._explained(repository):
            api = self._api()
            files = _files(api, repository, branch)
            if not files and _COMMIT.fullmatch(branch):
                wanted, branch = branch, _DEFAULT_BRANCH
                files = [one for one in _files(api, repository, branch) if one.commit == wanted]
                if not files:
                    raise self._moved_on(repository, wanted)
            if not files:  # what an unknown revision looks like as well
                self._check_revision(api, repository, branch)
            about = self._about(api, repository)
        return Listing(
            host=self.host,
            repository=repository,
            revision=branch,
            files=tuple(files),
            license=str(about.license or ""),
        )

    def check_access(self, listing: Listing) -> None:
        """Return at once: here whoever may see the list may have the files."""

    def url(self, listing: Listing, path: str, commit: str = "") -> str:
        """Return the address that redirects to a file, of ``commit`` where that is given."""
        query = urlencode({"Revision": commit or listing.revision, "FilePath": path})
        return f"{self.endpoint}/api/v1/models/{listing.repository}/repo?{query}"

    def headers(self) -> Mapping[str, str]:
        """Return what the hub wants to see: the token, as bearer and as cookie."""
        token = self._config().token
        if not token:
            return {}
        return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"}

    def read_text(self, listing: Listing, path: str) -> str:
        """Return a small file's text; raises as ``Hub.listing`` says."""
        with self._explained(listing.repository):
            import requests
            from modelscope_hub import errors

            # By the library below the client, whose own download draws on our stderr.  On a
            # redirect to another host it drops both the bearer and the cookie.
            answer = requests.get(
                self.url(listing, path), headers=dict(self.headers()), timeout=_TEXT_TIMEOUT_S
            )
            errors.raise_for_status(answer)
            promised = next((file.sha256 for file in listing.files if file.path == path), None)
            if promised not in (None, hashlib.sha256(answer.content).hexdigest()):
                raise self._nonsense()  # an error in JSON with the status of a file
            return answer.content.decode("utf-8", "replace")

    def search(self, words: str, limit: int) -> list[Found]:
        """Return repositories with GGUF files; raises as ``Hub.listing`` says."""
        with self._explained(""):
            page = self._api().list_repos(
                "model",
                search=words,
                sort="downloads",
                page_size=min(limit, _MAX_PAGE),
                library="gguf",
            )
            return [self._found(info) for info in page.items[:limit]]

    def _found(self, info: Any) -> Found:
        return Found(
            host=self.host,
            repository=f"{info.owner}/{info.name}",
            n_likes=info.likes or 0,
            n_downloads=info.downloads or 0,
            license=str(info.license or ""),
            is_gated=bool(info.gated),
            variants=tuple(variants(())),
            languages=languages(info.tags or ()),
            abilities=abilities((*(info.tags or ()), *(info.tasks or ()))),
        )

    def _check_revision(self, api: HubApi, repository: str, branch: str) -> None:
        there = [
            str(row.get("Revision", "")) for row in api.list_repo_revisions(repository, "model")
        ]
        if branch not in there:
            raise NotOnHub(
                f"{self.host}/{repository} has no revision '{branch}'",
                hint=f"it has: {', '.join(filter(None, there)) or 'none'}",
            )

    def _moved_on(self, repository: str, commit: str) -> NotOnHub:
        return NotOnHub(
            f"{self.host}/{repository} has no file of commit {commit[:12]}: it has moved on",
            hint=f"take what it has now: corral pull {self.host}/{repository}",
        )

    def _about(self, api: HubApi, repository: str) -> Any:
        """Return licence and the like; what goes wrong here stands in nobody's way."""
        from modelscope_hub.errors import HubError
        from modelscope_hub.types import RepoInfo

        try:
            return api.get_repo(repository, "model")
        except HubError as error:
            logger.info("no description hub=%s error=%s", self.host, type(error).__name__)
            return RepoInfo()

    def _config(self) -> Any:
        _import_client()
        from modelscope_hub.config import HubConfig

        named = "MODELSCOPE_API_TOKEN"
        token = usable_token(self._token() or self._environ.get(named), named)
        return HubConfig(endpoint=self.endpoint, token=token)

    def _api(self) -> HubApi:
        refuse_offline(self.host, self._environ, is_offline=self._is_offline)
        try:
            self._reach.check(self.endpoint)
        except OSError as error:
            raise self._unreachable(error) from None
        _import_client()
        from modelscope_hub import HubApi

        return HubApi(config=self._config(), user_agent={"corral": "hub"})

    @contextlib.contextmanager
    def _explained(self, repository: str) -> Iterator[None]:
        """Turn what the client raises into our errors."""
        _import_client()
        from modelscope_hub import errors
        from requests import RequestException

        place = f"{self.host}/{repository}" if repository else self.host
        token = "MODELSCOPE_API_TOKEN"
        try:
            yield
        except errors.NotExistError:
            raise NotOnHub(
                f"there is no {place}, or it is private and {token} does not open it"
            ) from None
        except errors.AuthenticationError:
            raise AccessDenied(
                f"{self.host} does not accept the token for {place}",
                hint=f"set {token} to a valid token",
            ) from None
        except errors.PermissionDeniedError:
            raise AccessDenied(
                f"{place} is not open to everybody",
                hint=f"ask for access at {self.endpoint}/models/{repository}, then set {token}",
            ) from None
        except errors.RateLimitError as error:
            wait = getattr(error, "retry_after", None)
            raise RateLimited(
                f"{self.host} wants fewer requests" + (f" for {wait:g} seconds" if wait else ""),
                hint="try again then",
            ) from None
        except JSONDecodeError:  # one of requests' own errors as well
            raise self._nonsense() from None
        except (errors.NetworkError, RequestException) as error:
            raise self._unreachable(error) from None
        except errors.APIError as error:
            raise SourceError(
                f"{self.host} answered {error.status_code or 'with an error'}",
                hint="try again later",
            ) from None
        except (errors.HubError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.info("answer not understood hub=%s error=%s", self.host, type(error).__name__)
            raise self._nonsense() from None

    def _unreachable(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self.host} cannot be reached at {self.endpoint}: {_words(error)}",
            hint="check the network, HTTPS_PROXY and MODELSCOPE_ENDPOINT; Hugging Face may"
            " have the model: corral search",
        )

    def _nonsense(self) -> SourceError:
        return SourceError(
            f"{self.endpoint} does not answer as a model hub does",
            hint="a login page may stand before the network; else check MODELSCOPE_ENDPOINT",
        )


def _files(api: HubApi, repository: str, branch: str) -> list[RepoFile]:
    """Return a listing's files; empty for a revision that is not there."""
    # By the client's lower half: the upper one leaves the commits out.
    rows = api.legacy.list_repo_files(repository, "model", revision=branch)
    return [
        RepoFile(
            str(row["Path"]),
            int(row.get("Size") or 0),
            str(row.get("Sha256") or "") or None,
            commit if _COMMIT.fullmatch(commit := str(row.get("Revision"))) else "",
        )
        for row in rows
        if row.get("Path") and row.get("Type") != "tree"
    ]


def _import_client() -> None:
    """Import the client with our patience, where the user has not set another.

    The variables stay: to take one away while another thread walks through the environment, as the
    standard library does to find a proxy, would break that thread.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    with _importing:
        import modelscope_hub  # noqa: F401


def _words(error: Exception) -> str:
    """Return what happened without the addresses of the client's own pools."""
    told = getattr(error, "message", "") or getattr(error, "strerror", "") or str(error)
    text = str(told) or type(error).__name__
    return text.partition("(Caused by")[0].strip()[:200]
