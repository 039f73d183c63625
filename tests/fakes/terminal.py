"""A terminal with somebody in front of it: a process on a pty, typed to and read from."""

import os
import pty
import select
import signal
import time
from contextlib import suppress


class Terminal:
    """Runs ``command`` on a pty; ``seen`` is all that appeared there."""

    def __init__(self, command, environ):
        self.seen = ""
        self._asked_from = 0
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            try:
                os.execve(command[0], command, environ)
            finally:
                os._exit(127)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    def type(self, text):
        os.write(self._fd, text.encode())

    def wait_for(self, text, within_s=60.0):
        """Return when ``text`` has appeared after what was last waited for."""
        deadline = time.monotonic() + within_s
        while (at := self.seen.find(text, self._asked_from)) < 0:
            assert self._read(deadline), f"{text!r} not in {self.seen[self._asked_from :]!r}"
        self._asked_from = at + len(text)

    def exit_code(self, within_s=60.0):
        """Return the exit code, once the process has ended by itself."""
        deadline = time.monotonic() + within_s
        while self._read(deadline):
            pass
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._fd], [], [], left)[0]:
            raise AssertionError(f"nothing more came; so far {self.seen!r}")
        try:
            raw = os.read(self._fd, 65536)
        except OSError:  # Linux's word for the other side being gone
            raw = b""
        self.seen += raw.decode(errors="replace")
        return bool(raw)
