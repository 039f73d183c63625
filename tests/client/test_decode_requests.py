"""The list of requests, from the server's words to the client's."""

import json

import pytest
from hypothesis import given, strategies as st

from runner.client import decode
from runner.client.connection import decoded
from runner.dialects.requests import requests
from runner.domain.name import ModelName
from runner.domain.request import Priority
from runner.domain.running import RequestState, RunningRequest
from runner.errors import DaemonError

COUNTS = st.integers(0, 2**31)
LISTED = st.builds(
    RunningRequest,
    id=st.text(st.characters(exclude_categories=["Cs"])),
    model=st.sampled_from(["x", "hf.co/o/r:Q4_0"]).map(ModelName.parse),
    state=st.sampled_from(RequestState),
    position=COUNTS,
    priority=st.sampled_from(Priority),
    client_id=st.text(st.characters(exclude_categories=["Cs"])),
    n_prompt=COUNTS,
    n_cached=COUNTS,
    n_generated=COUNTS,
    # Whole seconds and milliseconds: what the wire holds exactly.
    started_at=st.integers(0, 2**31).map(float),
    seconds=st.integers(0, 10**9).map(lambda ms: round(ms / 1000, 3)),
)


@given(st.lists(LISTED))
def test_the_list_of_requests_comes_out_as_it_went_in(listed):
    assert decode.requests(json.loads(requests(listed))) == listed


@pytest.mark.parametrize("value", [{}, {"requests": [{}]}, {"requests": [{"id": "1"}]}])
def test_what_is_no_list_of_requests_is_an_error_of_the_daemon(value):
    with pytest.raises(DaemonError):
        decoded(decode.requests, value)
