"""What models of each family write, and what it means.

Written after the forms that their chat templates show.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.domain.chat import Tool

WEATHER = Tool(
    "get_weather",
    "The weather of a place",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["city"],
    },
)
CLOCK = Tool("clock", "The time", {"type": "object", "properties": {}})
TOOLS = (WEATHER, CLOCK)

#: The words by which a template tells its family.
TEMPLATES = {
    "hermes": "{{ tools }}<tool_call></tool_call>",
    "qwen3": "{{ tools }}<tool_call></tool_call><think>",
    "qwen3-coder": "{{ tools }}<tool_call><function=x><parameter=y>",
    "llama3": "{{ tools }}<|python_tag|>",
    "mistral": "{{ tools }}[TOOL_CALLS]",
    "mistral-names": "{{ tools }}[TOOL_CALLS][ARGS][THINK][/THINK]",
    "deepseek": "{{ tools }}<\uff5ctool\u2581call\u2581begin\uff5c>```json<think>",
    "deepseek-3.1": "{{ tools }}<\uff5ctool\u2581call\u2581begin\uff5c><think>",
    "harmony": "{{ tools }}<|channel|>analysis",
    "generic": "{{ tools }}",
    "glm": "{{ tools }}<tool_call><arg_key>k</arg_key>\n<arg_value><think>",
    "glm-4.7": "{{ tools }}<tool_call><arg_key>k</arg_key><arg_value><think>",
    "kimi": "{{ tools }}<|tool_call_begin|><|tool_call_argument_begin|><think></think>",
    "command": "{{ tools }}<|START_ACTION|><|START_THINKING|><|START_RESPONSE|><|END_RESPONSE|>",
    "command-r": "{{ tools }}<|CHATBOT_TOKEN|>Action:```json",
    "granite": "{{ tools }}<|start_of_role|><|tool_call|><think></think><response></response>",
    "phi": "{{ tools }}<|tool|><|/tool|>",
    "minimax": '{{ tools }}<minimax:tool_call><invoke name="x"><think></think>',
    "minimax-m1": "{{ tools }}<beginning_of_sentence><tool_calls>",
    "dsml": "{{ tools }}<\uff5cDSML\uff5cfunction_calls><invoke name=",
    "dsml-4": "{{ tools }}<\uff5cDSML\uff5ctool_calls><invoke name=",
    "seed": "{{ tools }}<seed:tool_call><function=x><parameter=y>",
    "nemotron": "{{ tools }}<TOOLCALL>",
    "apriel": "{{ tools }}<tool_calls>[",
    "firefunction": "{{ tools }} functools",
    "lfm": "{{ tools }}<|tool_call_start|>",
    "gemma": "{{ tools }}<start_of_turn>",
    "gemma4": "{{ tools }}<|tool_call>call:x{}<tool_call|><|channel>thought <channel|>",
    "minimax-m3": "{{ tools }}]<]minimax[>[<tool_call><invoke name=<mm:think></mm:think>",
}
#: The mark of MiniMax M3.
MARK = "]<]minimax[>["
BEGIN, END = "<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"
ONE, ONE_END = "<\uff5ctool\u2581call\u2581begin\uff5c>", "<\uff5ctool\u2581call\u2581end\uff5c>"
SEP = "<\uff5ctool\u2581sep\uff5c>"
BERLIN = ("get_weather", {"city": "Berlin"})
NOW = ("clock", {})


@dataclass
class Read:
    """An answer put together again."""

    text: str = ""
    thinking: str = ""
    calls: list = field(default_factory=list)


#: Family, what the model wrote, what it means.
ANSWERS = [
    ("hermes", "Just words.", Read("Just words.")),
    (
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n</tool_call>',
        Read(calls=[BERLIN]),
    ),
    (
        "hermes",
        'Let me look.\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n'
        '</tool_call>\n<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>\n',
        Read("Let me look.", calls=[BERLIN, NOW]),
    ),
    (
        "hermes",
        '<tool_call>{"name": "get_weather", "arguments": {"city": "a </tool_call> \\"}{ \\\\"}}'
        "</tool_call> done",
        Read(" done", calls=[("get_weather", {"city": 'a </tool_call> "}{ \\'})]),
    ),
    (
        "hermes",
        '<tool_call>{"arguments": "{\\"city\\": \\"K\u00f6ln\\"}", "name": "get_weather"}',
        Read(calls=[("get_weather", {"city": "K\u00f6ln"})]),
    ),
    (
        "hermes",
        '<tool_call>{"name": "clock"}</tool_call> a <tool_call> b </tool_call> <tool_ca',
        Read(" a <tool_call> b </tool_call> <tool_ca", calls=[NOW]),
    ),
    (
        "qwen3",
        "<think>\nI need the weather. Is <tool_call> right?\n</think>\n\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n</tool_call>',
        Read(thinking="I need the weather. Is <tool_call> right?", calls=[BERLIN]),
    ),
    (
        "qwen3-coder",
        "I look.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nBerlin\n</parameter>\n"
        '<parameter=days>\n3\n</parameter>\n<parameter=tags>\n["a", "b"]\n</parameter>\n'
        "</function>\n</tool_call>",
        Read("I look.", calls=[("get_weather", {"city": "Berlin", "days": 3, "tags": ["a", "b"]})]),
    ),
    (
        "qwen3-coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nif a < b:\n    </x>\n\n"
        "</parameter>\n</function>\n</tool_call>\n<function=clock>\n</function>",
        Read(calls=[("get_weather", {"city": "if a < b:\n    </x>\n"}), NOW]),
    ),
    (
        "qwen3-coder",
        '<tool_call>{"name": "clock", "arguments": {}}</tool_call>',
        Read(calls=[NOW]),
    ),
    ("llama3", '{"name": "get_weather", "parameters": {"city": "Berlin"}}', Read(calls=[BERLIN])),
    (
        "llama3",
        '<|python_tag|>{"type": "function", "name": "get_weather", "parameters": '
        '{"city": "Berlin"}}; {"name": "clock", "parameters": {}}',
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "llama3",
        'Here: {"name": "clock", "parameters": {}}',
        Read('Here: {"name": "clock", "parameters": {}}'),
    ),
    ("llama3", '{"colour": "red"}', Read('{"colour": "red"}')),
    ("llama3", '{"name": "nobody", "age": 3}', Read('{"name": "nobody", "age": 3}')),
    (
        "mistral",
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Berlin"}, "id": "abcdefghi"}, '
        '{"name": "clock", "arguments": {}, "id": "abcdefghj"}]',
        Read(calls=[BERLIN, NOW]),
    ),
    ("mistral", "[TOOL_CALLS] [1, 2]", Read("[TOOL_CALLS] [1, 2]")),
    (
        "mistral-names",
        '[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{"city": "Berlin"}'
        "[TOOL_CALLS]clock[ARGS]{}",
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "mistral-names",
        '[THINK]Hm [hm].[/THINK]Sure.[TOOL_CALLS]get_weather{"city": "Berlin"}',
        Read("Sure.", "Hm [hm].", [BERLIN]),
    ),
    (
        "deepseek",
        f"<think>\nyes\n</think>\n\nI ask.{BEGIN}{ONE}function{SEP}get_weather\n```json\n"
        f'{{"city": "Berlin"}}\n```{ONE_END}\n{ONE}function{SEP}clock\n```json\n{{}}\n```'
        f"{ONE_END}{END}",
        Read("I ask.", "yes", [BERLIN, NOW]),
    ),
    (
        "deepseek-3.1",
        f'{BEGIN}{ONE}get_weather{SEP}{{"city": "Berlin"}}{ONE_END}{ONE}clock{SEP}{{}}{ONE_END}'
        f"{END}",
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "deepseek-3.1",
        f"{BEGIN}{ONE}get_weather{SEP}{{'city'}}",
        Read(f"{BEGIN}{ONE}get_weather{SEP}{{'city'}}"),
    ),
    (
        "harmony",
        "<|channel|>analysis<|message|>I should look.<|end|><|start|>assistant<|channel|>commentary"
        ' to=functions.get_weather <|constrain|>json<|message|>{"city": "Berlin"}<|call|>',
        Read(thinking="I should look.", calls=[BERLIN]),
    ),
    (
        "harmony",
        "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>"
        "It is < 3 |> o'clock.",
        Read("It is < 3 |> o'clock.", "Easy."),
    ),
    (
        "harmony",
        "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.clock"
        "<|channel|>commentary json<|message|>{}",
        Read("I look.", calls=[NOW]),
    ),
    (
        "harmony",
        "<|channel|>commentary to=functions.clock<|message|>{no}<|call|>",
        Read("{no}"),
    ),
    ("harmony", '{"plain": true}', Read('{"plain": true}')),
    ("harmony", "<|channel|>fin", Read()),
    ("generic", '{"name": "get_weather", "arguments": {"city": "Berlin"}}', Read(calls=[BERLIN])),
    (
        "generic",
        '```json\n[{"name": "get_weather", "arguments": {"city": "Berlin"}}, {"name": "clock"}]\n'
        "```\n",
        Read(calls=[BERLIN, NOW]),
    ),
    ("generic", '["a", "b"]', Read('["a", "b"]')),
    ("generic", '{"name": "clock"} is how', Read('{"name": "clock"} is how')),
    ("generic", "```python\nprint()\n```", Read("```python\nprint()\n```")),
    ("generic", "   \n", Read("   \n")),
    # What is no whole call any more, once it has begun.
    ("hermes", '<tool_call>{"name": "clock", "arguments": {}} oops', Read("oops", calls=[NOW])),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {}</tool_call>', Read(calls=[NOW])),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {}}</tool_', Read(calls=[NOW])),
    (
        "hermes",
        '<tool_call>[{"name": "clock"}, {"function": {"name": "clock", "arguments": null}}]',
        Read(calls=[NOW, NOW]),
    ),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {', Read("same")),
    ("hermes", '<tool_call>{"name": "clock", "arguments": {city: 1}}', Read("same")),
    ("hermes", '<tool_call>{"name": "clock", "arguments": "{1"}', Read("same")),
    ("hermes", '<tool_call>{"name": "nobody", "arguments": {"a": 1}}</tool_call>', Read("same")),
    ("hermes", '<tool_call>{"name": 3, "arguments": {"a": 1}}</tool_call>', Read("same")),
    ("llama3", '{"name": "clock", "parameters": {}} is how', Read(" is how", calls=[NOW])),
    (
        "glm",
        "<think>\nhm</think>\nI look.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
        "<arg_value>Berlin</arg_value>\n</tool_call>",
        Read("I look.", "hm", [BERLIN]),
    ),
    (
        "glm-4.7",
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Ber\nlin </b></arg_value>"
        '<arg_key>days</arg_key><arg_value>3</arg_value><arg_key>tags</arg_key><arg_value>["a"]'
        "</arg_value></tool_call><tool_call>clock</tool_call>",
        Read(
            calls=[("get_weather", {"city": "Ber\nlin </b>", "days": 3, "tags": ["a"]}), NOW],
        ),
    ),
    ("glm", "<tool_call>nobody\n</tool_call>", Read("same")),
    (
        "kimi",
        "Sure. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        '<|tool_call_argument_begin|>{"city": "Berlin"}<|tool_call_end|><|tool_call_begin|>'
        "functions.clock:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        Read("Sure.", calls=[BERLIN, NOW]),
    ),
    (
        "command",
        "<|START_THINKING|>I look.<|END_THINKING|><|START_ACTION|>[\n    "
        '{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Berlin"}},\n'
        '    {"tool_call_id": "1", "tool_name": "clock", "parameters": {}}\n]<|END_ACTION|>',
        Read(thinking="I look.", calls=[BERLIN, NOW]),
    ),
    (
        "command",
        "<|START_THINKING|>Easy.<|END_THINKING|><|START_RESPONSE|>It is 3.<|END_RESPONSE|>",
        Read("It is 3.", "Easy."),
    ),
    (
        "command-r",
        'Action: ```json\n[\n    {\n        "tool_name": "get_weather",\n        "parameters": '
        '{"city": "Berlin"}\n    }\n]```',
        Read(calls=[BERLIN]),
    ),
    ("command-r", "Action: take it easy", Read("same")),
    (
        "granite",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Berlin"}}, '
        '{"name": "clock", "arguments": {}}]',
        Read(calls=[BERLIN, NOW]),
    ),
    ("granite", "<think>\nhm</think>\n<response>Yes.\n</response>", Read("Yes.\n", "hm")),
    ("granite", "It is <response> here </response>", Read("same")),
    (
        "phi",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Berlin"}}]<|/tool_call|>',
        Read(calls=[BERLIN]),
    ),
    ("phi", 'functools[{"name": "clock", "arguments": {}}]', Read(calls=[NOW])),
    (
        "minimax",
        "<think>hm</think>Wait.\n<minimax:tool_call>\n"
        '<invoke name="get_weather">\n<parameter name="city">Berlin</parameter>\n'
        '<parameter name="days">3</parameter>\n</invoke>\n<invoke name="clock">\n</invoke>\n'
        "</minimax:tool_call>",
        Read("Wait.", "hm", [("get_weather", {"city": "Berlin", "days": 3}), NOW]),
    ),
    (
        "minimax-m1",
        '<tool_calls>\n{"name": "get_weather", "arguments": {"city": "Berlin"}}\n'
        '{"name": "clock", "arguments": {}}\n</tool_calls>',
        Read(calls=[BERLIN, NOW]),
    ),
    (
        "dsml",
        '<\uff5cDSML\uff5cfunction_calls>\n<\uff5cDSML\uff5cinvoke name="get_weather">\n'
        '<\uff5cDSML\uff5cparameter name="city" string="true">Berlin</\uff5cDSML\uff5cparameter>\n'
        '<\uff5cDSML\uff5cparameter name="days" string="false">3</\uff5cDSML\uff5cparameter>\n'
        "</\uff5cDSML\uff5cinvoke>\n</\uff5cDSML\uff5cfunction_calls>",
        Read(calls=[("get_weather", {"city": "Berlin", "days": 3})]),
    ),
    (
        "dsml-4",
        'Sure.\n\n<\uff5cDSML\uff5ctool_calls>\n<\uff5cDSML\uff5cinvoke name="get_weather">\n'
        '<\uff5cDSML\uff5cparameter name="city" string="true">Berlin</\uff5cDSML\uff5cparameter>\n'
        "</\uff5cDSML\uff5cinvoke>\n</\uff5cDSML\uff5ctool_calls>",
        Read("Sure.", calls=[BERLIN]),
    ),
    (
        "seed",
        "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Berlin</parameter>\n"
        "</function>\n</seed:tool_call>",
        Read(calls=[BERLIN]),
    ),
    (
        "nemotron",
        '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Berlin"}}]</TOOLCALL>',
        Read(calls=[BERLIN]),
    ),
    (
        "apriel",
        '<tool_calls>[{"name": "get_weather", "arguments": {"city": "Berlin"}, "id": "1"}]'
        "</tool_calls>",
        Read(calls=[BERLIN]),
    ),
    ("firefunction", ' functools[{"name": "clock", "arguments": {}}]', Read(calls=[NOW])),
    (
        "lfm",
        '<|tool_call_start|>[get_weather(city="Berlin"), clock()]<|tool_call_end|>I look.',
        Read("I look.", calls=[BERLIN, NOW]),
    ),
    (
        "lfm",
        '<|tool_call_start|>[{"name": "clock", "arguments": {}}]<|tool_call_end|>',
        Read(calls=[NOW]),
    ),
    ("lfm", "<|tool_call_start|>[1, 2]<|tool_call_end|>", Read("same")),
    (
        "gemma",
        "```tool_code\nprint(get_weather(city='Berlin', tags=[']', \"b\"]))\n```",
        Read(calls=[("get_weather", {"city": "Berlin", "tags": ["]", "b"]})]),
    ),
    ("gemma", "[get_weather(city='Berlin')]", Read(calls=[BERLIN])),
    ("gemma", '```json\n{"name": "clock", "parameters": {}}\n```', Read(calls=[NOW])),
    ("gemma", "[1] says so", Read("same")),
    (
        "gemma4",
        "<|channel>thought\nI look.\n<channel|>Wait.<|tool_call>call:get_weather{city:"
        '<|"|>Ber"l\\in\n<|"|>,days:3,tags:[<|"|>a<|"|>,<|"|>}],{<|"|>]}<tool_call|>'
        "<|tool_call>call:clock{}<tool_call|>",
        Read(
            "Wait.",
            "I look.",
            [("get_weather", {"city": 'Ber"l\\in\n', "days": 3, "tags": ["a", "}],{"]}), NOW],
        ),
    ),
    (
        "gemma4",
        '<|tool_call>call:clock{a:{<|"|>b<|"|>:null,c:[],"d":{}}, e : None,f:-1.5,g:true,'
        'h:"x\\"y",i:word}<tool_call|>',
        Read(
            calls=[
                (
                    "clock",
                    {
                        **{"a": {"b": None, "c": [], "d": {}}, "e": None, "f": -1.5, "g": True},
                        **{"h": 'x"y', "i": "word"},
                    },
                )
            ]
        ),
    ),
    ("gemma4", "<|channel>thought\n<channel|>Hello.", Read("Hello.")),
    ("gemma4", "<|tool_call>call:nobody{}<tool_call|>", Read("same")),
    ("gemma4", "<|tool_call>what now?", Read("same")),
    (
        "minimax-m3",
        f"<mm:think>hm</mm:think>Wait.{MARK}<tool_call>\n"
        f'{MARK}<invoke name="get_weather">{MARK}<city>Ber\nlin </b>{MARK}</city>'
        f"{MARK}<days>3{MARK}</days>{MARK}<tags>{MARK}<item>a{MARK}</item>{MARK}<item>b"
        f"{MARK}</item>{MARK}</tags>{MARK}</invoke>\n"
        f'{MARK}<invoke name="clock">{MARK}</invoke>\n{MARK}</tool_call>',
        Read(
            "Wait.",
            "hm",
            [("get_weather", {"city": "Ber\nlin </b>", "days": 3, "tags": ["a", "b"]}), NOW],
        ),
    ),
    (
        "minimax-m3",
        f'</mm:think>{MARK}<tool_call>{MARK}<invoke name="clock">{MARK}<a>{MARK}<b>1{MARK}</b>'
        f"{MARK}<c>x{MARK}</c>{MARK}</a>{MARK}</invoke>{MARK}</tool_call>",
        Read(calls=[("clock", {"a": {"b": "1", "c": "x"}})]),
    ),
    (
        "minimax-m3",
        f'{MARK}<tool_call>{MARK}<invoke name="get_weather">{MARK}<tags>{MARK}</tags>'
        f"{MARK}</invoke>",
        Read(calls=[("get_weather", {"tags": []})]),
    ),
    ("minimax-m3", f"{MARK}<tool_call>what now?", Read("same")),
    ("gemma", "```python\nimport os\n```", Read("same")),
]
#: ``same``: nothing in it is a call.
ANSWERS = [(f, text, Read(text) if m == Read("same") else m) for f, text, m in ANSWERS]
