"""Answers of a given form, by the whole engine on real models.

``CORRAL_SCHEMAS`` in the environment is how many random schemas the starter model answers to; with
``CORRAL_SOAK=1`` they are five hundred.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import re
import subprocess
import sys

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.domain.request import Constraint
from runner.protocol.messages import Failed, Generate, Outcome, Step
from tests.engine.running import Running
from tests.engine.schemas import SCHEMAS

pytestmark = pytest.mark.live

GREEDY = SamplingParams(temperature=0)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PROMPT = "Ann is 31 years old. As JSON:"
N_AT_ONCE = 8
N_SCHEMAS = int(os.environ.get("CORRAL_SCHEMAS", "500" if os.environ.get("CORRAL_SOAK") else "64"))
IDS = itertools.count()

#: No shrinking: each example takes seconds.
CAMPAIGN = {
    "deadline": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def ask(running: Running, constraint: Constraint, params=GREEDY, **more) -> tuple[str, Outcome]:
    name = f"r{next(IDS)}"
    fields = {"prompt": PROMPT, "max_tokens": 80} | more
    outcome = running.ask(Generate(name, params, constraint=constraint, **fields))
    assert isinstance(outcome, Outcome), outcome
    return running.texts.get(name, ""), outcome


def refused(running: Running, constraint: Constraint) -> Failed:
    failed = running.ask(
        Generate(f"r{next(IDS)}", GREEDY, prompt=PROMPT, constraint=constraint, max_tokens=5)
    )
    assert isinstance(failed, Failed), failed
    assert failed.code == "invalid_request"
    return failed


def schema(value: object, **more) -> Constraint:
    return Constraint("json_schema", json.dumps(value), **more)


def test_an_answer_follows_a_schema_and_ends_with_it(running):
    text, outcome = ask(running, schema(PERSON))
    jsonschema.validate(json.loads(text), PERSON)
    assert json.loads(text)["age"] == 31
    assert outcome.reason is FinishReason.STOP


@pytest.mark.parametrize("text", ["root ::= secret (", 'root ::= "a" secret', 'secret ::= "a"'])
def test_a_grammar_that_cannot_be_read_is_not_written_down(spelling, capfd, text):
    """llama.cpp repeats it on stderr, which is a worker's log."""
    refused(spelling, Constraint("gbnf", text))
    assert "secret" not in "".join(capfd.readouterr())
    os.write(2, b"heard")
    assert "heard" in capfd.readouterr().err


def test_what_is_certain_is_not_drawn(running):
    """Names of members and what stands between them cost no step of their own."""
    n_before = running.n_steps
    _, outcome = ask(running, schema(PERSON))
    assert running.n_steps - n_before < outcome.n_generated - 3


def test_an_answer_that_is_complete_with_its_last_token_is_not_cut(running):
    text, outcome = ask(running, schema(PERSON))
    again = ask(running, schema(PERSON), max_tokens=outcome.n_generated)
    assert again[0] == text
    assert again[1].reason is FinishReason.STOP
    cut, outcome = ask(running, schema(PERSON), max_tokens=outcome.n_generated - 1)
    assert outcome.reason is FinishReason.LENGTH
    assert text.startswith(cut) and cut != text


def test_forced_tokens_stop_at_the_limit(running):
    text, _ = ask(running, schema(PERSON))
    for n in range(1, 8):
        cut, outcome = ask(running, schema(PERSON), max_tokens=n)
        assert (outcome.n_generated, outcome.reason) == (n, FinishReason.LENGTH)
        assert text.startswith(cut)


@pytest.mark.parametrize("temperature", [0, 1.5])
@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        (Constraint("regex", "[0-9]{3}-[a-z]{4}"), "[0-9]{3}-[a-z]{4}"),
        (Constraint("lark", 'start: "yes" | "no"'), "yes|no"),
        (Constraint("gbnf", 'root ::= "x" [a-c] [a-c]? "!"'), "x[a-c]{1,2}!"),
        (Constraint("gbnf", 'root ::= "yes" | "no"'), "yes|no"),
    ],
)
def test_every_language_is_followed(running, constraint, pattern, temperature):
    params = SamplingParams(temperature=temperature, top_k=0, top_p=1, seed=3)
    text, outcome = ask(running, constraint, params)
    assert re.fullmatch(pattern, text)
    assert outcome.reason is FinishReason.STOP


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0, ignore_eos=True),
        SamplingParams(temperature=0, min_tokens=50),
        SamplingParams(temperature=1, typical_p=0.5, top_k=0, seed=1),
        SamplingParams(mirostat=1, seed=1),
        SamplingParams(mirostat=2, seed=1),
        SamplingParams(temperature=1, adaptive_target=0.3, seed=1),
        SamplingParams(temperature=1, xtc_probability=1, top_n_sigma=1, seed=1),
        SamplingParams(temperature=1, samplers=("infill",), seed=1),
        SamplingParams(temperature=0, repeat_penalty=1.5, dry_multiplier=1),
        SamplingParams(temperature=1, banned_strings=("3", "a"), seed=1),
        SamplingParams(temperature=0, logit_bias=((" is", 100.0), ("3", -100.0))),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("kind", ["json_schema", "gbnf"])
def test_a_form_holds_with_every_sampler(running, params, kind):
    part = {"type": "string", "enum": ["one", "two", "four"]}
    form = schema({"type": "array", "items": part, "minItems": 2, "maxItems": 2})
    if kind == "gbnf":
        word = '"\\"" ("one" | "two" | "four") "\\""'
        form = Constraint("gbnf", f'root ::= "[" word ", " word "]"\nword ::= {word}')
    text, outcome = ask(running, form, params)
    assert len(json.loads(text)) == 2
    assert outcome.reason is FinishReason.STOP


def test_a_form_may_begin_after_a_marker(running):
    text, outcome = ask(running, Constraint("regex", "[0-9]{2}", after="```json"))
    assert re.fullmatch(r"\s*```json\s*[0-9]{2}", text)
    assert outcome.reason is FinishReason.STOP
    _, outcome = ask(running, Constraint("regex", "x", after="never written"), max_tokens=30)
    assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 30)


#: Two control tokens of the starter model, in the place of a family's markers.
OPEN, CLOSE = "<repo_name>", "<file_sep>"


def marks(running: Running) -> tuple[int, ...]:
    """Where control tokens stand in the answer that ended last."""
    deltas = [delta for step in running.sent if isinstance(step, Step) for delta in step.deltas]
    last = [delta for delta in deltas if delta.request_id == deltas[-1].request_id]
    found, at = [], 0
    for delta in last:
        found += [at + place for place in delta.marks]
        at += len(delta.text)
    return tuple(found)


def test_a_marker_of_a_grammar_is_the_token_and_its_characters_are_text(running):
    kept = {"keeps_control": (OPEN, CLOSE, "<no_token>")}
    token = Constraint("lark", f'start: <["{OPEN}"]> "x" <["{CLOSE}"]>')
    text, outcome = ask(running, token, **kept)
    assert (text, outcome.n_generated, marks(running)) == (f"{OPEN}x{CLOSE}", 3, (0, 12))
    plain = Constraint("lark", f'start: "{OPEN}x"')
    text, outcome = ask(running, plain, **kept)
    assert (text, marks(running)) == (f"{OPEN}x", ())
    assert outcome.n_generated > 2
    unknown = Constraint("lark", 'start: <["<no_token>"]>')
    assert ask(running, unknown, **kept)[0] == "<no_token>"
    assert running.started[f"r{next(IDS) - 1}"].controls == (OPEN, CLOSE)


def test_thoughts_come_first_if_the_model_wants_them_and_the_form_holds_either_way(
    running, starter
):
    form = schema(PERSON, after=CLOSE, opening=OPEN)
    kept = {"keeps_control": (OPEN, CLOSE)}
    text, outcome = ask(running, form, **kept)
    assert json.loads(text)["age"] == 31, "it begins at once without thoughts"
    first, last = (starter.model.tokenize(word, parse_special=True)[0] for word in (OPEN, CLOSE))
    # Wants to think, and, once it may, to end its thoughts.
    biases = ((first, 50.0), (last, 60.0))
    text, outcome = ask(running, form, SamplingParams(temperature=0, logit_bias=biases), **kept)
    assert text.startswith(OPEN + CLOSE)
    jsonschema.validate(json.loads(text.removeprefix(OPEN + CLOSE)), PERSON)
    assert outcome.reason is FinishReason.STOP


def test_what_forms_and_bans_leave_nothing_of_is_refused(running):
    form = Constraint("regex", "[ab]{3}")
    params = SamplingParams(temperature=0, banned_strings=("a", "b"))
    failed = running.ask(Generate("none", params, prompt="x", constraint=form, max_tokens=5))
    assert isinstance(failed, Failed)
    assert "no token is left" in failed.message
    assert ask(running, form)[1].reason is FinishReason.STOP, "the next answer is not affected"


BAD_PART = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "foo"}}}}


@pytest.mark.parametrize(
    ("form", "param", "words"),
    [
        (schema(BAD_PART), "format.properties.a.items", "foo"),
        (schema(BAD_PART, field="f"), "f.properties.a.items", "foo"),
        (schema({"anyOf": [{}, {"not": {}}]}), "format.anyOf[1]", "not"),
        (schema({"$defs": {"x": {"type": 1}}, "$ref": "#/$defs/x"}), "format.$defs.x", ""),
        (schema({"items": {"$ref": "#/nowhere"}}), "format.items", "nowhere"),
        (schema({"type": "string", "pattern": "("}), "format", "unclosed"),
        (schema({"type": "integer", "minimum": 2, "maximum": 1}), "format", "minimum"),
        (schema({"oneOf": [{"type": "number"}, {"type": "integer"}]}), "format", "anyOf"),
        (Constraint("json_schema", "[", field="f"), "f", ""),
        (Constraint("regex", "a(", field="regex"), "regex", "unclosed"),
        (Constraint("lark", "start: nowhere", field="lark"), "lark", "nowhere"),
        (Constraint("lark", "(" * 5000, field="lark"), "lark", "nested"),
        (Constraint("gbnf", "foo ::= bar", field="grammar"), "grammar", "GBNF"),
        (Constraint("gbnf", 'x ::= "a"', field="grammar"), "grammar", "root"),
        (Constraint("gbnf", "root ::= root", field="grammar"), "grammar", "recursion"),
        (Constraint("gbnf", 'root ::= "a"\0', field="grammar"), "grammar", "GBNF"),
        (Constraint("gbnf", "(" * 5000, field="grammar"), "grammar", "nested"),
        (Constraint("regex", " ", field="regex"), "regex", "empty"),
    ],
    ids=range(18),
)
def test_what_cannot_be_compiled_is_refused_with_its_place(running, form, param, words):
    failed = refused(running, form)
    assert failed.param == param
    assert param in failed.message or words in failed.message + failed.hint
    assert words in failed.message + failed.hint


def test_a_schema_is_compiled_once(starter):
    compiler = starter._compiler
    first = compiler._compile(schema(PERSON))
    assert compiler._compile(schema(PERSON)) is first
    assert compiler._compile(schema({"type": "null"})) is not first


FORMATS = jsonschema.FormatChecker(["email", "ipv4", "ipv6", "uuid"])


@FORMATS.checks("date")
def is_date(value: object) -> bool:
    """RFC 3339's, which has a year 0; that every year has a 29 February is llguidance's limit."""
    if not isinstance(value, str):
        return True
    found = re.fullmatch(r"\d{4}-(\d\d)-(\d\d)", value)
    return found is not None and date_exists(2000, int(found[1]), int(found[2]))


def date_exists(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True


@FORMATS.checks("time")
def is_time(value: object) -> bool:
    """RFC 3339's, with parts of seconds and a zone; jsonschema's own check knows neither."""
    time = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    zone = r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
    return not isinstance(value, str) or re.fullmatch(time + zone, value) is not None


def check(running: Running, schemas: list[dict], max_tokens: int) -> None:
    """Ask for all at once; every other one at a temperature that says anything."""
    names = [f"s{next(IDS)}" for _ in schemas]
    for i, (name, each) in enumerate(zip(names, schemas, strict=True)):
        params = SamplingParams(temperature=(0, 1.5)[i % 2], top_k=0, top_p=1, seed=i)
        running.send(
            Generate(name, params, prompt="JSON:", constraint=schema(each), max_tokens=max_tokens)
        )
    for name, each in zip(names, schemas, strict=True):
        outcome = running.ending(name)
        assert isinstance(outcome, Outcome), (outcome, each)
        if outcome.reason is FinishReason.STOP:
            jsonschema.Draft202012Validator(each, format_checker=FORMATS).validate(
                json.loads(running.texts[name])
            )
        else:
            assert outcome.reason is FinishReason.LENGTH
            assert outcome.n_generated == max_tokens


@settings(max_examples=max(1, N_SCHEMAS // N_AT_ONCE), **CAMPAIGN)
@given(schemas=st.lists(SCHEMAS, min_size=N_AT_ONCE, max_size=N_AT_ONCE))
def test_what_the_starter_writes_is_valid_or_cut(running, schemas):
    check(running, schemas, max_tokens=32)


@settings(max_examples=60, **CAMPAIGN)
@given(schemas=st.lists(SCHEMAS, min_size=4, max_size=4))
def test_what_is_spelled_byte_by_byte_is_valid_or_cut(spelling, schemas):
    check(spelling, schemas, max_tokens=120)


def test_free_and_constrained_answers_share_steps(running):
    """A run of forced tokens beside other streams changes none of their texts."""
    free = Generate("free-alone", GREEDY, prompt="Count: 1, 2, 3, 4, 5, 6,", max_tokens=12)
    assert isinstance(running.ask(free), Outcome)
    alone, _ = ask(running, schema(PERSON))
    names = [f"t{next(IDS)}" for _ in range(4)]
    for i, name in enumerate(names):
        form = schema(PERSON) if i % 2 else None
        prompt = PROMPT if i % 2 else free.prompt
        n = 80 if i % 2 else 12
        running.send(Generate(name, GREEDY, prompt=prompt, constraint=form, max_tokens=n))
    for name in names:
        assert isinstance(running.ending(name), Outcome)
    assert running.texts[names[0]] == running.texts[names[2]] == running.texts["free-alone"]
    assert running.texts[names[1]] == running.texts[names[3]] == alone


def test_llguidance_is_not_loaded_before_the_first_constraint():
    """A worker that is never asked for a form has no use for its memory."""
    code = "import sys, runner.engine.llama.backend; assert 'llguidance' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
