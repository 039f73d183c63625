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
		"toTypeScriptType": func(any) string { return "any" },
	}
	t, err := template.New("").Option("missingkey=zero").Funcs(funcs).Parse(j.Template)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
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

    def run(self, template, value):
        """Return what Go writes, or ``None`` and its error."""
        line = json.dumps({"Template": template, "Value": value}).encode() + b"\n"
        self._process.stdin.write(line)
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer.get("out"), answer.get("error")

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()
