"""Our templates beside Go's own: the same text, or both refuse."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.prompt.gotemplate.execute import execute
from runner.prompt.gotemplate.lex import BadTemplate
from runner.prompt.gotemplate.parse import parse

VALUE = {
    "System": 'Be <brief> & "kind".',
    "Prompt": "héllo\n",
    "Empty": "",
    "No": False,
    "Yes": True,
    "Zero": 0,
    "N": 3,
    "Half": 0.5,
    "Big": 1234567.0,
    "Tiny": 0.00001,
    "Null": None,
    "Words": ["a", "b", "c"],
    "Mixed": ["x", 1, 2.5, True, None, ["y"], {"z": 1}],
    "None": [],
    "Map": {"b": 2, "a": 1, "é": None},
    "Nothing": {},
    "Messages": [
        {"Role": "system", "Content": "S"},
        {"Role": "user", "Content": "U"},
        {"Role": "assistant", "Content": "", "ToolCalls": [{"Function": {"Name": "f"}}]},
    ],
}


def ours(template, value=VALUE):
    try:
        return execute(parse(template), value), None
    except BadTemplate as error:
        return None, str(error)


def agree(oracle, template, value=VALUE):
    wanted, refusal = oracle.run(template, value)
    made, error = ours(template, value)
    assert made == wanted, (template, error, refusal)
    assert (error is None) == (refusal is None), (template, error, refusal)


@pytest.mark.parametrize(
    "template",
    [
        "a{{- 1 -}} b {{- /* c */ -}} d",
        "a {{/* c */}} b",
        "a {{- /* c */}}\n b",
        "{{ /* no comment */ }}",
        "{{.System}}{{ .Missing }}{{ .Null }}|{{ print .Missing }}|{{ html .Missing }}",
        "{{html .No .No}}|{{js .Zero .N}}|{{urlquery .Yes .Half}}|{{html .Null .Null .No}}",
        "{{html .Words .Map}}|{{js .System .No .No}}|{{urlquery 1 2}}",
        "{{ .Missing.Deeper }}",
        "{{ $x := .Missing }}{{ $x.Deeper }}",
        "{{ (.Missing).Deeper }}",
        "{{ range .Missing }}x{{ else }}none{{ end }}",
        "{{ range $i, $v := .Words }}{{ if $i }}, {{ end }}{{ $i }}={{ $v }}{{ end }}",
        "{{ range $k, $v := .Map }}{{ $k }}:{{ $v }} {{ end }}",
        "{{ range .Mixed }}[{{ . }}]{{ end }}",
        "{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ end }}",
        "{{ range $i, $v := 2 }}{{ end }}",
        "{{ range .System }}{{ end }}",
        '{{ range .Words }}{{ if eq . "b" }}{{ continue }}{{ end }}{{ . }}{{ end }}',
        '{{ range .Words }}{{ if eq . "b" }}{{ break }}{{ end }}{{ . }}{{ end }}after',
        "{{ break }}",
        "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ end }}{{ $x }}",
        "{{ if true }}{{ $y := 3 }}{{ end }}{{ $y }}",
        '{{ $last := "" }}{{ range .Words }}{{ $last = . }}{{ end }}{{ $last }}',
        "{{ with .Map }}{{ .a }}{{ else }}no{{ end }}{{ with .Nothing }}x{{ else }}y{{ end }}",
        "{{ with .Nothing }}x{{ else with .Map }}{{ .b }}{{ end }}",
        "{{ with .Nothing }}x{{ else if .Map }}{{ .b }}{{ end }}",
        "{{ if .No }}a{{ else if .Zero }}b{{ else if .N }}c{{ else }}d{{ end }}",
        '{{ define "t" }}<{{ . }}{{ $ }}>{{ end }}{{ template "t" .N }}{{ template "t" }}',
        '{{ block "b" .Words }}{{ len . }}{{ end }}{{ template "b" .Map }}',
        '{{ template "nowhere" }}',
        '{{ if false }}{{ template "nowhere" }}{{ end }}ok',
        '{{ define "a" }}x{{ end }}{{ define "a" }}y{{ end }}{{ template "a" }}',
        '{{ define "a" }} {{ end }}{{ define "a" }}y{{ end }}{{ template "a" }}',
        '{{ define "r" }}{{ template "r" }}{{ end }}ok',
        '{{ if .Yes }}{{ define "a" }}{{ end }}{{ end }}',
        '{{ and 1 0 .Missing }}{{ or 0 "" "x" }}{{ not .Empty }}{{ and }}',
        "{{ or .Empty .System | print }}",
        "{{ 0 | or .Empty }}{{ 1 | and .N }}",
        "{{ len .System }} {{ len .Prompt }} {{ len .Words }} {{ len .Map }}",
        "{{ len .N }}",
        "{{ len .Missing }}",
        '{{ index .Words 1 }}{{ index .Map "b" }}{{ index .Prompt 0 }}{{ index .Map "q" }}',
        '{{ index .Messages 2 "ToolCalls" 0 "Function" "Name" }}',
        "{{ index .Words 3 }}",
        "{{ index .Words -1 }}",
        '{{ index .Words "a" }}',
        "{{ slice .Words 1 }}{{ slice .System 1 4 }}{{ slice .Prompt 1 3 }}{{ slice .Words 1 2 }}",
        "{{ slice .Words 2 1 }}",
        "{{ slice .Prompt 2 }}",
        '{{ eq .N 3 }}{{ eq .N 1 2 3 }}{{ ne .Prompt "x" }}{{ lt 1 2 }}{{ ge .Half 0.5 }}',
        '{{ eq .Missing "" }}{{ eq .Missing nil }}{{ eq .Null .Missing }}{{ ne .N nil }}',
        "{{ eq 1 1.0 }}",
        "{{ eq .Words .Words }}",
        "{{ lt .Missing 1 }}",
        "{{ lt true false }}",
        "{{ eq 1 }}",
        '{{ print 1 2 "x" 3 nil 4.5 true false }}|{{ println 1 "x" }}|{{ print }}',
        "{{ .Big }} {{ .Tiny }} {{ .Half }} {{ 1e6 }} {{ 1e20 }} {{ 100000.0 }} {{ 1e-4 }}",
        "{{ 0x1F }} {{ 017 }} {{ 0b11 }} {{ 0o17 }} {{ 1_000 }} {{ 'a' }} {{ '\\n' }} {{ +1 }}",
        "{{ 9223372036854775808 }}",
        '{{ "\\u00e9\\t\\x41\\"" }}{{ `raw\\n` }}',
        '{{ "\\q" }}',
        '{{ "open }}',
        "{{ html .System }} {{ js .System }} {{ urlquery .System }} {{ js .Prompt }}",
        "{{ .System | html | len }}",
        "{{ json .Map }}{{ json .Mixed }}{{ json .System }}{{ json .Big }}{{ json .Missing }}",
        "{{ .Map }}{{ .Mixed }}{{ .Messages }}",
        '{{ printf "%s-%d-%v-%q-%5d|%-5s|%05.1f" .Prompt .N .Words .System .N "ab" 2.55 }}',
        '{{ printf "%d %s %t %x" "x" 1 1 "hi" }}{{ printf "%d" }}{{ printf "%!" }}',
        '{{ printf "%d" 1 2 }}{{ printf "%v %v" nil .Missing }}{{ printf "%*d" 5 1 }}',
        '{{ printf "%x %X %o %b %c %U %e %g %T" 255 255 8 5 65 65 1.5 0.1 .Words }}',
        "{{ printf .Words }}",
        "{{ printf 1 }}",
        "{{ .N.Foo }}",
        "{{ .System 1 }}",
        "{{ 1 2 }}",
        "{{ 1 | 2 }}",
        "{{ .N | .System }}",
        "{{ nil }}",
        "{{ }}",
        "{{ if }}x{{ end }}",
        "{{ if .N }}x",
        "{{ end }}",
        "{{ else }}",
        "{{ foo }}",
        "{{ $x }}",
        "{{ $x = 1 }}",
        "{{ (1).Foo }}",
        "{{ 1.Foo }}",
        "{{ .N) }}",
        "{{ (.N }}",
        "{{ .N, }}",
        "{{ .N! }}",
        '{{ "a""b" }}',
        "{{ range $a, $b, $c := .Words }}{{ end }}",
        "{{ range $a, 1 }}{{ end }}",
        "{{ $a, $b := .Words }}",
        "{{ template }}",
        "{{ template 1 }}",
        "{{ define x }}{{ end }}",
        "{{ call .N }}",
        "{{ not }}",
        "{{ ne 1 }}",
        "{{ len 1 2 }}",
        "{{\n.N\n}}",
        "{{- .N -}}",
        "{{-3}}",
        "{{ .N -}} }}",
        "}} {{ .N }} }}",
        "{{ with $x := .N }}{{ $x }}{{ . }}{{ end }}",
        "{{ with $x, $y := .N }}{{ end }}",
        "{{ if $x := .N }}{{ $x }}{{ else }}{{ $x }}{{ end }}",
        "{{ range $x = .Words }}{{ end }}",
        "{{ $x := 0 }}{{ range $x = .Words }}{{ $x }}{{ end }}{{ $x }}",
        "{{ $i := 0 }}{{ $x := 0 }}{{ range $i, $x = .Words }}{{ end }}{{ $i }}{{ $x }}",
        "{{ true.Foo }}",
        "{{ .Words.Foo }}",
        "{{ $.N }}{{ range .Words }}{{ $.N }}{{ end }}",
        "{{ (index .Messages 0).Role }}",
        '{{ (len .Words | printf "%03d") }}',
        "{{ range (slice .Messages 1) }}{{ .Role }};{{ end }}",
        "{{ if and (eq (len .Words) 3) (not .No) (gt .N 2) }}yes{{ end }}",
        "{{ break }}{{ range .Words }}{{ end }}",
        '{{ range .Words }}{{ define "x" }}{{ break }}{{ end }}{{ end }}',
        "{{ range .Words }}{{ else }}{{ break }}{{ end }}",
        "{{ continue 1 }}",
        "{{ if .N }}{{ else }}{{ else }}{{ end }}",
    ],
)
def test_go_makes_the_same_of_it(oracle, template):
    agree(oracle, template)


NAMES = st.sampled_from([*VALUE, "Missing", "Role", "Content", "a"])
WORDS = st.sampled_from(["$", "$x", "$y", "$i", ".", "nil", "true", "false"])
CONSTANTS = st.one_of(
    st.integers(-3, 12).map(str),
    st.sampled_from(["1.5", "1e6", "0x10", "'a'", '"a"', '""', '"a b"', "`c`", '"%v %d"']),
)
LEAVES = st.one_of(NAMES.map(lambda name: f".{name}"), CONSTANTS, WORDS)
CALLS = st.sampled_from(
    (
        *("and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html"),
        *("js", "urlquery", "eq", "ne", "lt", "le", "gt", "ge", "json", "call"),
    )
)


def _expressions(inner):
    return st.one_of(
        st.tuples(CALLS, st.lists(inner, min_size=1, max_size=3)).map(
            lambda made: f"({made[0]} {' '.join(made[1])})"
        ),
        st.tuples(inner, NAMES).map(lambda made: f"({made[0]}).{made[1]}"),
        st.tuples(inner, CALLS).map(lambda made: f"({made[0]} | {made[1]})"),
    )


EXPRESSIONS = st.recursive(LEAVES, _expressions, max_leaves=5)
PIPES = EXPRESSIONS.map(lambda text: text[1:-1] if text[0] == "(" and text[-1] == ")" else text)
TEXTS = st.sampled_from(["", " ", "a", "\n", " b \n", "{", "}", "-", "<|im_end|>"])
LEFT = st.sampled_from(["{{", "{{ ", "{{- "])
RIGHT = st.sampled_from(["}}", " }}", " -}}"])


def action(inner):
    return st.tuples(LEFT, inner, RIGHT).map("".join)


def _blocks(inner):
    heads = st.one_of(
        PIPES.map(lambda pipe: f"if {pipe}"),
        PIPES.map(lambda pipe: f"with {pipe}"),
        PIPES.map(lambda pipe: f"with $x := {pipe}"),
        PIPES.map(lambda pipe: f"range {pipe}"),
        PIPES.map(lambda pipe: f"range $i, $x := {pipe}"),
        PIPES.map(lambda pipe: f"range $y := {pipe}"),
    )
    ends = st.one_of(
        st.just("{{ end }}"),
        inner.map(lambda body: f"{{{{ else }}}}{body}{{{{- end -}}}}".replace("{{-", "{{- ")),
        st.tuples(PIPES, inner).map(lambda made: f"{{{{else if {made[0]}}}}}{made[1]}{{{{end}}}}"),
    )
    return st.one_of(
        st.tuples(action(heads), inner, ends).map("".join),
        st.tuples(inner, inner).map("".join),
        inner.map(lambda body: f'{{{{ define "t" }}}}{body}{{{{ end }}}}'),
    )


PIECES = st.one_of(
    TEXTS,
    action(PIPES),
    action(PIPES.map(lambda pipe: f"$x := {pipe}")),
    action(PIPES.map(lambda pipe: f"$x = {pipe}")),
    action(PIPES.map(lambda pipe: f'template "t" {pipe}')),
    action(st.sampled_from(["break", "continue", 'template "t"', "/* c */", "end"])),
)
TEMPLATES = st.recursive(PIECES, _blocks, max_leaves=8)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(template=TEMPLATES)
def test_go_makes_the_same_of_whatever_can_be_made_up(oracle, template):
    agree(oracle, '{{ $x := "x" }}{{ $y := 1 }}{{ $i := .Words }}' + template)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(template=st.text(st.sampled_from("{}{}-  .NaMe$x|()\"`'/*=:,01ifendrang\n"), max_size=40))
def test_go_refuses_what_we_refuse(oracle, template):
    agree(oracle, template)
