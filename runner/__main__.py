"""``corral`` and ``python -m runner``: which of our processes this one is.

The modules are imported here and late, so that the command line never loads daemon or engine.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the process that the first argument names; return its exit code."""
    argv = sys.argv
    role = argv[1] if len(argv) > 1 else ""
    try:
        if role == "_worker":
            from runner.engine.__main__ import main as worker

            return worker(argv)
        if role == "_tool":
            from runner.tools.__main__ import main as tool

            return tool(argv)
        if role == "_devices":
            from runner.engine.devices import main as devices

            return devices()
        if role == "_offer":
            from runner.engine.offer import main as offer

            return offer(argv)
        if role == "_doctor":
            from runner.daemon.doctor import main as doctor

            return doctor()
        if role in ("serve", "start") and not {"-h", "--help"} & set(argv):
            from runner.daemon.main import main as daemon

            return daemon(argv)
        from runner.cli.main import main as cli

        return cli(argv)
    except KeyboardInterrupt:  # even while modules are still being imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
