"""Go's own ``text/template`` as a child process: what it makes of a template is right.

Built once a session with the machine's ``go``.  A value crosses as JSON, where whole numbers are
``int``, as ours are.
"""

import json
import shutil
import subprocess

SOURCE = r"""
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type job struct {
	Template string
	Value    any
	Chat     *chat
}

type chat struct {
	System     string
	Messages   []*message
	Tools      tools
	Response   string
	Think      bool
	ThinkLevel string
	IsThinkSet bool
}

type message struct {
	Role, Content, Thinking string
	Images                  []string
	ToolCalls               []call
	ToolName, ToolCallID    string
}

type call struct {
	ID       string `json:"id"`
	Function struct {
		Index     int       `json:"index"`
		Name      string    `json:"name"`
		Arguments arguments `json:"arguments"`
	} `json:"function"`
}

type arguments map[string]any

func (a arguments) String() string { return text(a) }

type tools []tool

func (t tools) String() string { return text(t) }

type tool struct {
	Type     string   `json:"type"`
	Items    any      `json:"items,omitempty"`
	Function function `json:"function"`
}

func (t tool) String() string { return text(t) }

type function struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Parameters  struct {
		Type       string     `json:"type"`
		Defs       any        `json:"$defs,omitempty"`
		Items      any        `json:"items,omitempty"`
		Required   []string   `json:"required,omitempty"`
		Properties properties `json:"properties"`
	} `json:"parameters"`
}

func (f function) String() string { return text(f) }

type properties map[string]property

func (p properties) String() string { return text(p) }

type property struct {
	AnyOf       []property `json:"anyOf,omitempty"`
	Type        names      `json:"type,omitempty"`
	Items       any        `json:"items,omitempty"`
	Description string     `json:"description,omitempty"`
	Enum        []any      `json:"enum,omitempty"`
}

type names []string

func (n *names) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = names{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(n))
}

func (n names) MarshalJSON() ([]byte, error) {
	if len(n) == 1 {
		return json.Marshal(n[0])
	}
	return json.Marshal([]string(n))
}

func (n names) String() string {
	if len(n) <= 1 {
		return strings.Join(n, "")
	}
	return fmt.Sprint([]string(n))
}

func (p property) ToTypeScriptType() string {
	var ways []string
	for _, one := range p.AnyOf {
		ways = append(ways, one.ToTypeScriptType())
	}
	if len(ways) > 0 {
		return strings.Join(ways, " | ")
	}
	known := map[string]string{
		"string": "string", "number": "number", "integer": "number", "boolean": "boolean",
		"array": "any[]", "object": "Record<string, any>", "null": "null",
	}
	var found []string
	for _, name := range p.Type {
		found = append(found, known[name])
	}
	if len(found) == 0 {
		return "any"
	}
	return strings.Join(found, " | ")
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func plain(v any) any {
	switch t := v.(type) {
	case json.Number:
		if i, err := t.Int64(); err == nil && !strings.ContainsAny(t.String(), ".eE") {
			return int(i)
		}
		f, _ := t.Float64()
		return f
	case map[string]any:
		for k, e := range t {
			t[k] = plain(e)
		}
	case []any:
		for i, e := range t {
			t[i] = plain(e)
		}
	}
	return v
}

func run(j job) (out string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	funcs := template.FuncMap{
		"json":             func(v any) string { b, _ := json.Marshal(v); return string(b) },
		"currentDate":      func(...string) string { return "" },
		"yesterdayDate":    func(...string) string { return "" },
		"toTypeScriptType": func(v any) string {
			if p, ok := v.(property); ok {
				return p.ToTypeScriptType()
			}
			return "any"
		},
	}
	t, err := template.New("").Option("missingkey=zero").Funcs(funcs).Parse(j.Template)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if j.Chat != nil {
		err = t.Execute(&b, map[string]any{
			"System": j.Chat.System, "Messages": j.Chat.Messages, "Tools": j.Chat.Tools,
			"Response": "", "Think": j.Chat.Think, "ThinkLevel": j.Chat.ThinkLevel,
			"IsThinkSet": j.Chat.IsThinkSet,
		})
		return b.String(), err
	}
	err = t.Execute(&b, plain(j.Value))
	return b.String(), err
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var j job
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&j); err != nil {
			panic(err)
		}
		out, err := run(j)
		answer := map[string]string{"out": out}
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		b, _ := json.Marshal(answer)
		fmt.Println(string(b))
	}
}
"""


class Oracle:
    """A running Go program; closed by ``close``."""

    def __init__(self, folder):
        source, program = folder / "oracle.go", folder / "oracle"
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run(
            [shutil.which("go"), "build", "-o", str(program), str(source)],
            check=True,
            timeout=300,
            cwd=folder,
        )
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, template, value=None, chat=None):
        """Return what Go writes, or ``None`` and its error; ``chat`` has Ollama's own types."""
        job = {"Template": template, "Value": value, "Chat": chat}
        line = json.dumps(job).encode() + b"\n"
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer.get("out"), answer.get("error")

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
