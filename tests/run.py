"""Everything that is checked and tested, cheapest first: what ``make test`` runs.

    python tests/run.py               all stages
    python tests/run.py --checks      those that run no test of behaviour: up to mypy
    python tests/run.py live wheel    these alone, in the order of the list

The first stage that fails ends the run.  A closing table names each stage with its time, and
whatever was left out with the reason.  Run it with the interpreter of ``.venv``: ``make`` sees to
it that all the tools are there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
#: Folders with Python of ours.
CODE = ("runner", "tests", "bench", "packaging")

Run = Callable[[], None]


class Failed(Exception):
    """A stage found a fault; the text says which, unless a tool has said it already."""


class LeftOut(Exception):
    """A stage cannot run on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the closing table.

    Attributes:
        name: As typed on the command line.
        what: What it makes sure of.
        run: Returns when all is well; raises ``Failed`` or ``LeftOut``.
        is_check: Whether ``--checks`` includes it.
        is_asked_for: Whether it runs only where it is named: it takes the screen, and its time.
    """

    name: str
    what: str
    run: Run
    is_check: bool = True
    is_asked_for: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How a stage ended: ``ok``, ``FAILED`` or ``left out``, after how many seconds."""

    stage: Stage
    state: str
    seconds: float
    reason: str = ""


def quiet(*command: str | Path) -> Run:
    """Return a stage that shows its command's output only when the command fails."""

    def run() -> None:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            raise Failed(done.stdout.rstrip() or f"{command[0]} exited with {done.returncode}")

    return run


def pytest(*arguments: str) -> Run:
    """Return a stage that runs pytest in plain sight."""

    def run() -> None:
        command = (sys.executable, "-m", "pytest", "-q", *arguments)
        code = subprocess.run(command, cwd=ROOT).returncode
        if code == 5:  # pytest's own word for "no test was collected"
            raise Failed("pytest found no test to run")
        if code:
            raise Failed("")

    return run


def wheel() -> None:
    """Build source distribution and wheel, install where no checkout is, and try what is there.

    llama.cpp is not compiled again: uv takes from its cache the wheel that ``make`` compiled.
    """
    uv = BIN / "uv"
    pinned = ("--constraint", "constraints.txt", "--build-constraint", "constraints.txt")
    with tempfile.TemporaryDirectory(prefix="corral-wheel-") as folder:
        away = Path(folder)
        python = away / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        # The wheel comes out of the source distribution, which so has all that it needs.
        quiet(uv, "build", "--quiet", *pinned[2:], "--out-dir", away)()
        quiet(uv, "venv", "--quiet", "--python", sys.executable, away / "venv")()
        built = next(away.glob("*.whl"))
        install = (uv, "pip", "install", "--quiet", "--python", python, *pinned)
        reuse_engine(install)
        quiet(*install, built)()
        # A folder named like ours must not be taken for the package: nothing of the checkout
        # is in reach here, and the environment says nothing of it.
        script = shutil.copy(ROOT / "tests" / "installed.py", away / "installed.py")
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        clean["CORRAL_HOME"] = str(away / "home")
        done = subprocess.run([python, "-I", script], cwd=away, env=clean)
        if done.returncode:
            raise Failed("the installed package does not work away from its checkout")


def reuse_engine(install: Sequence[str | Path]) -> None:
    """Install the compiled engine from uv's cache; where it is gone, the next step compiles it."""
    command = [*install, "--offline", "--no-deps", "llama-cpp-python"]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def desktop() -> None:
    """Drive the real app on a screen of its own, with a real mouse and keyboard."""
    lacking = [name for name in ("Xvfb", "openbox", "trayer", "xdotool") if not shutil.which(name)]
    if lacking:
        raise LeftOut(f"{', '.join(lacking)} not installed; packaging/ci_desktop does it on Debian")
    os.environ["CORRAL_DESKTOP"] = "yes"
    pytest("tests/desktop")()


STAGES = (
    Stage(
        "constraints",
        "versions are pinned, with hashes",
        quiet(sys.executable, "packaging/pinned.py", "--check"),
    ),
    Stage("format", "ruff format", quiet(BIN / "ruff", "format", "--check", "--quiet", ".")),
    Stage("lint", "ruff check", quiet(BIN / "ruff", "check", "--quiet", ".")),
    Stage("spelling", "codespell", quiet(BIN / "codespell", ".")),
    Stage("house", "imports, fences, lengths", pytest("tests/test_house.py", "--no-header")),
    Stage("types", "mypy --strict", quiet(BIN / "mypy")),
    Stage(
        "unit",
        "units and properties",
        pytest("-m", "not live and not clients and not docs", "--ignore=tests/test_house.py"),
        is_check=False,
    ),
    Stage("wheel", "the installed package works", wheel, is_check=False),
    Stage("live", "engine and starter model", pytest("-m", "live"), is_check=False),
    Stage(
        "clients",
        "official clients and frameworks, as they come",
        # What packages of others leave open when they go is no fault of ours.
        pytest("-m", "clients", "-p", "no:unraisableexception"),
        is_check=False,
    ),
    Stage("docs", "every program in the docs runs", pytest("-m", "docs"), is_check=False),
    Stage("desktop", "a window, a mouse, a keyboard", desktop, is_check=False, is_asked_for=True),
)


def main(arguments: Sequence[str]) -> int:
    """Run the stages asked for; returns 0 when none failed."""
    parser = argparse.ArgumentParser(description="Check and test everything, cheapest first.")
    parser.add_argument("--checks", action="store_true", help="stop after the type checker")
    names = [stage.name for stage in STAGES]
    parser.add_argument("stage", nargs="*", help=f"one of: {', '.join(names)}")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.stage) - set(names):
        parser.error(f"no stage is named {', '.join(sorted(unknown))}")
    stages = [
        stage
        for stage in STAGES
        if (stage.name in asked.stage if asked.stage else not stage.is_asked_for)
        and (not asked.checks or stage.is_check)
    ]
    os.environ["CORRAL_TESTS_SEEDED"] = "yes"  # tests/conftest.py: no new examples in here
    results = run_stages(stages)
    print(table(stages, results), flush=True)
    return 1 if any(result.state == "FAILED" for result in results) else 0


def run_stages(stages: Sequence[Stage]) -> list[Result]:
    """Run ``stages`` in order, up to the first that fails."""
    results: list[Result] = []
    for number, stage in enumerate(stages, start=1):
        head = f"[{number}/{len(stages)}] {stage.name}: {stage.what}"
        print(painted(head, "1"), flush=True)
        started = time.monotonic()
        try:
            stage.run()
            state, reason = "ok", ""
        except Failed as error:
            state, reason = "FAILED", str(error)
        except LeftOut as error:
            state, reason = "left out", str(error)
        results.append(Result(stage, state, time.monotonic() - started, reason))
        if reason:
            print(reason, flush=True)
        if state == "FAILED":
            break
    return results


def table(stages: Sequence[Stage], results: Sequence[Result]) -> str:
    """Return the closing table."""
    lines = [""]
    for result in results:
        colour = {"ok": "32", "FAILED": "31"}.get(result.state, "33")
        line = f"{result.state:9} {result.seconds:7.1f} s  {result.stage.name}"
        if result.state == "left out":
            line += f" ({result.reason})"
        lines.append(painted(line, colour))
    lines += [f"{'not run':9} {'':9}  {stage.name}" for stage in stages[len(results) :]]
    total = sum(result.seconds for result in results)
    lines.append(f"{'':9} {total:7.1f} s  in all")
    return "\n".join(lines)


def painted(text: str, colour: str) -> str:
    """Return ``text`` in an ANSI colour where a person looks on and has not asked for none."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{colour}m{text}\033[0m"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
