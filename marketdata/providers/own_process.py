"""How is a client that we do not trust with our process used? In one of its own, for one question, then it is gone."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, cast

from marketdata.providers.errors import BadResponse, ProviderDown
from marketdata.redaction import redact

logger = logging.getLogger(__name__)

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 25
MOST_SAID = 4000  # bytes of what a program that failed has said last
# What reaches the program of our surroundings: the way out, and whose certificates count. No other setting of ours.
PASSED_ON = (
    *("PATH", "LANG", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)


def ask_program(program: str, question: dict[str, Any], provider: str, python: str = sys.executable) -> dict[str, Any]:
    """What the program of this name answers on its output, asked on its input, both JSON. Its folder goes with it.

    Raises ProviderDown when it takes too long, BadResponse when it fails or answers with something else; the log
    says why it failed.
    """
    with tempfile.TemporaryDirectory(prefix="provider-") as home:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = subprocess.Popen(
            # -I: neither our folder nor PYTHON variables are looked at.
            [python, "-I", str(PROGRAMS / f"{program}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,  # of libraries; what matters is in the answer, unless it fails
            cwd=home,
            env={**environment, "HOME": home, "TMPDIR": home},
            start_new_session=True,
        )
        chatter = _Chatter(cast(IO[bytes], process.stderr))
        process.stderr = None  # communicate() would keep all of it
        try:
            # It also ends itself after that time, should we be gone by then.
            output, _ = process.communicate(json.dumps({**question, "seconds": SECONDS}).encode(), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise ProviderDown(
                f"{provider} did not answer in time. Try again in some minutes, or use another provider."
            ) from None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        try:
            answer = json.loads(output)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.get("error") == BadResponse.__name__:
            said = chatter.last_lines()
            logger.error("the program that asks %s failed, exit status %s: %s", provider, process.returncode, said)
    if not isinstance(answer, dict):
        raise BadResponse(
            f"The program that asks {provider} failed. Try again; if it fails again, tell the site's operator."
        )
    return answer


class _Chatter(threading.Thread):
    """Reads what a program says beside its answer, so that it never waits for us, and keeps the last of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.kept = b""
        self.start()

    def run(self) -> None:
        with self.stream as stream:
            while piece := os.read(stream.fileno(), MOST_SAID):
                self.kept = (self.kept + piece)[-MOST_SAID:]

    def last_lines(self) -> str:
        """Whole ones, without keys: of half a line nobody could tell that a key begins it."""
        self.join(1)  # what left its session may hold the other end still
        said = self.kept.partition(b"\n")[2] if len(self.kept) == MOST_SAID else self.kept
        return redact(said.decode(errors="replace").strip())
