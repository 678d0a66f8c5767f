"""How is a client that we do not trust with our process used? In one of its own, for one question, then it is gone."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from marketdata.providers.errors import BadResponse, ProviderDown

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
    with tempfile.TemporaryDirectory(prefix="provider-") as home, tempfile.TemporaryFile() as chatter:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = subprocess.Popen(
            # -I: neither our folder nor PYTHON variables are looked at.
            [python, "-I", str(PROGRAMS / f"{program}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=chatter,  # of libraries; what matters is in the answer, unless it fails
            cwd=home,
            env={**environment, "HOME": home, "TMPDIR": home},
            start_new_session=True,
        )
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
            chatter.seek(max(0, chatter.seek(0, os.SEEK_END) - MOST_SAID))
            said = chatter.read().decode(errors="replace").strip()
            logger.error("the program that asks %s failed, exit status %s: %s", provider, process.returncode, said)
    if not isinstance(answer, dict):
        raise BadResponse(
            f"The program that asks {provider} failed. Try again; if it fails again, tell the site's operator."
        )
    return answer
