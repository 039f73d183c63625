"""Tokens of hubs."""

from __future__ import annotations

import asyncio
import stat
import sys

import pytest
from hypothesis import given, strategies as st

from runner.errors import InvalidRequest, StoreError
from runner.service.secret import SecretService


def test_a_secret_is_kept_for_the_next_daemon_and_taken_away(tmp_path):
    path = tmp_path / "secrets"

    async def story():
        service = SecretService(path)
        assert service.list_names() == {"hf": False, "modelscope": False}
        await service.put("hf", "hf_abc")
        assert service.list_names() == {"hf": True, "modelscope": False}
        assert SecretService(path).get("hf") == "hf_abc"
        if sys.platform != "win32":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await service.put("hf", None)
        assert service.get("hf") is None
        assert SecretService(path).get("hf") is None

    asyncio.run(story())


@given(st.text())
def test_what_could_end_a_header_is_no_token(tmp_path_factory, text):
    service = SecretService(tmp_path_factory.mktemp("s") / "secrets")
    good = text != "" and all(33 <= ord(c) <= 126 for c in text)
    if good:
        asyncio.run(service.put("modelscope", text))
        assert service.get("modelscope") == text
    else:
        with pytest.raises(InvalidRequest, match="value"):
            asyncio.run(service.put("modelscope", text))


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(SecretService(tmp_path / "secrets").put("../x", "t"))
    assert "hf, modelscope" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", '{"format": 9, "secrets": {}}', "[1]"])
def test_a_damaged_file_is_refused_and_kept(tmp_path, content):
    (tmp_path / "secrets").write_text(content)
    with pytest.raises(StoreError):
        SecretService(tmp_path / "secrets")
    assert (tmp_path / "secrets").read_text() == content
