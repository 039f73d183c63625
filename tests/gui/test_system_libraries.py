"""Why the app's tests are left out."""

from __future__ import annotations

import sys

import pytest

from tests.gui import system_libraries


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Qt brings all it needs")
def test_what_is_missing_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(system_libraries.NEEDED, "libnothing.so.9", "libnothing9")
    reason = system_libraries.reason_to_skip()
    assert "libnothing.so.9" in reason
    assert reason.endswith("apt install libnothing9")
