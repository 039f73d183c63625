"""The library as Anthropic's clients read it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from anthropic.types import ModelInfo as Official

from runner.dialects.anthropic import models
from runner.domain.model import Capability
from tests.fakes.service import model_info


def test_a_model_is_what_the_official_type_wants():
    told = Official.model_validate_json(models.model(model_info()), strict=True)
    assert told.lifecycle == "active"
    assert told.max_input_tokens == model_info().n_ctx_train
    assert not told.model_extra


@pytest.mark.parametrize(
    ("capability", "place"),
    [(Capability.VISION, "image_input"), (Capability.THINKING, "thinking")],
)
@pytest.mark.parametrize("has", [True, False])
def test_what_it_can_do_is_told(capability, place, has):
    info = replace(model_info(), capabilities=(capability,) if has else ())
    assert json.loads(models.model(info))["capabilities"][place]["supported"] is has


def test_the_library_is_one_page():
    first, last = model_info(), replace(model_info(), n_ctx_train=0)
    told = json.loads(models.models([first, last]))
    assert [row["max_tokens"] for row in told["data"]] == [first.n_ctx_train, None]
    assert not told["has_more"]
    assert json.loads(models.models([]))["first_id"] is None
