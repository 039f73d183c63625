"""Hugging Face, through its own client: metadata, search and addresses; no weights.

Endpoint, token, proxies and offline flag are the client's (``HF_ENDPOINT``, ``HF_TOKEN``,
``HF_HUB_OFFLINE`` ...).  It reads some of them when imported, so they are handed over with each
call.  The import costs half a second and 30 MB, and waits until a hub is asked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.domain.hub_url import HUGGING_FACE
from runner.errors import AccessDenied, NotOnHub, Offline, RateLimited, SourceError
from runner.hub.about import abilities, languages
from runner.hub.choose import RepoFile, variants
from runner.hub.offline import refuse_offline
from runner.hub.reach import Reach
from runner.hub.repository import Found, Listing
from runner.hub.token import usable_token

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

logger = logging.getLogger(__name__)

_ENDPOINT = "https://huggingface.co"
_TIMEOUT_S = 15.0  # without a byte; the client itself would wait for ever
#: Headers of a rate limit: ``RateLimit: "api";r=0;t=55``.
_RESET = re.compile(r";\s*t\s*=\s*(\d+)")
#: What a search asks of each repository; ``gguf`` has no sizes, so ``variants`` stay empty.
_EXPAND = ("downloads", "likes", "gated", "cardData", "tags", "siblings", "gguf")


class HuggingFace:
    """The hub at ``HF_ENDPOINT``; safe from any thread."""

    host = HUGGING_FACE

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        *,
        token: Callable[[], str | None] = lambda: None,
        is_offline: bool = False,
    ) -> None:
        """``token`` is asked before the environment and the client's own login.

        ``is_offline``: nobody may be asked, whatever the environment says.
        """
        self._environ = environ
        self._token = token
        self._is_offline = is_offline
        self._reach = Reach()

    @property
    def endpoint(self) -> str:
        """Base address of the hub."""
        return (self._environ.get("HF_ENDPOINT", "").strip() or _ENDPOINT).rstrip("/")

    def claims(self, host: str) -> bool:
        """Whether ``host`` is ``hf.co``."""
        return host == self.host

    def listing(self, repository: str, revision: str = "") -> Listing:
        """Return what lies in a repository; raises as ``Hub.listing`` says."""
        with self._explained(repository, revision):
            api = self._api()
            info = api.model_info(
                repository,
                revision=revision or None,
                files_metadata=True,
                timeout=_TIMEOUT_S,
                token=self._bearer(),
            )
            if info.disabled:
                raise _disabled(f"{self.host}/{info.id}")
            return Listing(
                host=self.host,
                repository=info.id,
                revision=info.sha or revision or "main",
                files=tuple(_file(sibling) for sibling in info.siblings or ()),
                license=_license(info),
                renamed_from=repository if info.id.lower() != repository.lower() else "",
                is_gated=bool(info.gated),
            )

    def check_access(self, listing: Listing) -> None:
        """Return when the files are open to us; raises as ``Hub.listing`` says."""
        if listing.is_gated:
            with self._explained(listing.repository, listing.revision):
                self._api().auth_check(listing.repository, token=self._bearer())

    def url(self, listing: Listing, path: str, commit: str = "") -> str:
        """Return the address that redirects to a file; listings here are of one commit already."""
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(listing.repository, path, revision=listing.revision)
        # The client's own endpoint was fixed when it was imported.
        place = f"/{listing.repository}/resolve/{quote(listing.revision, safe='')}/"
        return f"{self.endpoint}{place}{url.rpartition(place)[2]}"

    def headers(self) -> Mapping[str, str]:
        """Return the client's headers, the token among them."""
        from huggingface_hub import utils

        headers: Any = utils.build_hf_headers  # type: ignore[attr-defined]  # exported lazily
        return dict(headers(token=self._bearer(), library_name="corral"))

    def read_text(self, listing: Listing, path: str) -> str:
        """Return a small file's text; raises as ``Hub.listing`` says."""
        with self._explained(listing.repository, listing.revision):
            from huggingface_hub import utils

            answer = _session().get(self.url(listing, path), headers=self.headers())
            utils.hf_raise_for_status(answer)  # type: ignore[attr-defined]  # exported lazily
            return str(answer.content.decode("utf-8", "replace"))

    def search(self, words: str, limit: int) -> list[Found]:
        """Return repositories with GGUF files; raises as ``Hub.listing`` says."""
        query: dict[str, Any] = {
            "search": words,
            "filter": "gguf",
            "sort": "downloads",
            "limit": limit,
            "expand": _EXPAND,
        }
        with self._explained("", ""):
            from huggingface_hub import ModelInfo, utils

            info: Any = ModelInfo  # untyped there

            # The client's own search waits and asks again for a minute when the hub is in trouble.
            self._api()
            url = f"{self.endpoint}/api/models"
            answer = _session().get(url, params=query, headers=self.headers())
            utils.hf_raise_for_status(answer)  # type: ignore[attr-defined]  # exported lazily
            return [_found(self.host, info(**row)) for row in answer.json()[:limit]]

    def _api(self) -> HfApi:
        refuse_offline(self.host, self._environ, is_offline=self._is_offline)
        try:
            self._reach.check(self.endpoint)
        except OSError as error:
            raise self._unreachable(error) from None
        from huggingface_hub import HfApi

        _session().timeout = _TIMEOUT_S
        return HfApi(endpoint=self.endpoint, library_name="corral")

    def _bearer(self) -> str | None:
        """Return the token; ``None`` lets the client look for its own."""
        return usable_token(self._token() or self._environ.get("HF_TOKEN"), "HF_TOKEN")

    @contextlib.contextmanager
    def _explained(self, repository: str, revision: str) -> Iterator[None]:
        """Turn what the client raises into our errors."""
        from httpx2 import HTTPError, InvalidURL
        from huggingface_hub import errors

        place = f"{self.host}/{repository}" if repository else self.host
        try:
            yield
        except errors.OfflineModeIsEnabled:
            raise Offline(f"{place} was not asked: the client is offline") from None
        except errors.HFValidationError:
            raise NotOnHub(f"{place} cannot be a repository's name") from None
        except errors.HfHubHTTPError as error:
            raise self._refusal(error, place, revision) from None
        except (HTTPError, InvalidURL) as error:
            raise self._unreachable(error) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.info("answer not understood hub=%s error=%r", self.host, error)
            raise SourceError(
                f"{self.endpoint} does not answer as a model hub does",
                hint="a login page may stand before the network; else check HF_ENDPOINT",
            ) from None

    def _unreachable(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self.host} cannot be reached at {self.endpoint}: {_words(error)}",
            hint="check the network, HTTPS_PROXY and HF_ENDPOINT; ModelScope may have the"
            " model: corral search",
        )

    def _refusal(self, error: Any, place: str, revision: str) -> SourceError:
        """Return our error for a status; the hub's own code goes before the status."""
        from huggingface_hub import errors

        status = error.response.status_code
        token = "HF_TOKEN"
        if isinstance(error, errors.GatedRepoError):
            page = f"{self.endpoint}/{place.partition('/')[2]}"
            return AccessDenied(
                f"{place} is gated: its owner wants a licence accepted first",
                hint=f"accept it at {page}, then set {token} to a token of that account",
            )
        if isinstance(error, errors.RevisionNotFoundError):
            return NotOnHub(f"{place} has no revision '{revision}'", hint=f"see {place} for them")
        if isinstance(error, errors.DisabledRepoError):
            return _disabled(place)
        if "Invalid credentials" in (error.server_message or ""):
            return AccessDenied(
                f"{self.host} does not accept the token", hint=f"set {token} to a valid token"
            )
        if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
            return NotOnHub(f"there is no {place}, or it is private and {token} does not open it")
        if status == 403:
            return AccessDenied(f"{place} is not open to this token", hint=f"check {token}")
        if status == 429:
            wait = _wait_s(error.response.headers)
            return RateLimited(
                f"{self.host} wants fewer requests" + (f" for {wait} seconds" if wait else ""),
                hint=f"try again then; with {token} set the limit is higher",
            )
        return SourceError(f"{self.host} answered {status}", hint="try again later")


def _disabled(place: str) -> AccessDenied:
    return AccessDenied(f"{place} is disabled by the hub", hint="look for another repository")


def _session() -> Any:
    from huggingface_hub import get_session

    # It would log every address, and those that redirects lead to are signed.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    return get_session()


def _file(sibling: Any) -> RepoFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    return RepoFile(str(sibling.rfilename), int(sibling.size or 0), sha256)


def _license(info: ModelInfo) -> str:
    """Return the licence that the model card names; ``other`` has a name of its own."""
    card: Any = info.card_data or {}
    named = card.get("license")
    if named == "other":
        named = card.get("license_name") or named
    if isinstance(named, list):
        named = ", ".join(map(str, named))
    return str(named or "")


def _found(host: str, model: ModelInfo) -> Found:
    tags, files = model.tags or [], [one.rfilename for one in model.siblings or ()]
    template = str((model.gguf or {}).get("chat_template") or "")
    return Found(
        host=host,
        repository=model.id,
        n_likes=model.likes or 0,
        n_downloads=model.downloads or 0,
        license=_license(model),
        is_gated=bool(model.gated),
        variants=tuple(variants(_file(sibling) for sibling in model.siblings or ())),
        languages=languages(tags),
        abilities=abilities(tags, files, template),
    )


def _wait_s(headers: Mapping[str, str]) -> int:
    if (after := headers.get("Retry-After", "")).strip().isdigit():
        return int(after)
    reset = _RESET.search(headers.get("RateLimit", ""))
    return int(reset[1]) if reset else 0


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
