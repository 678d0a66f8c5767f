"""How does a series that is not in the snapshot come into a running program? The host is asked, and has it fetched
with the key of whoever runs this, which never comes near the program.
"""

from __future__ import annotations

import hashlib
import tempfile
from base64 import b64decode
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from qfp import channel, data, objects

MAX_NAME = 120
_KINDS = {
    "NotEntitled": data.NotEntitled,
    "QuotaExceeded": data.QuotaExceeded,
    "ProviderDown": data.ProviderDown,
    "BadResponse": data.BadResponse,
    "NoData": data.NoData,
}


class NobodyToAsk(Exception):
    """This program runs where no host has anything fetched; the text says why."""


def fetch(name: str, what: str, interval: str, start: str | None, end: str | None, prefer: str = "") -> dict[str, Any]:
    """The answer of the host: entry, snapshot, and the folder in which its objects lie now.

    what: "prices" or "series". Raises an error of qfp.data, or NobodyToAsk.
    """
    question = {"name": name, "what": what, "interval": interval, "start": start, "end": end, "prefer": prefer}
    answer = _ask({"do": "want", **question}, name)
    number, told = answer["want"], ""
    while "entry" not in answer:
        if (text := str(answer["text"])) != told:
            told = text
            channel.emit({"type": "notice", "text": text})
        answer = _ask({"do": "look", "want": number}, name)
    for digest, size in answer["sizes"].items():
        _bring(digest, size, name)
    return {**answer, "folder": _folder()}


def _ask(body: dict[str, Any], name: str) -> dict[str, Any]:
    if not channel.connected:
        raise NobodyToAsk("On a laptop only the starter data can be read.")
    try:
        answer = channel.ask("data", body)
    except channel.Unanswered as reason:
        raise NobodyToAsk(str(reason)) from None
    if (problem := answer.get("problem")) is not None:
        raise _error(problem, name)
    return answer


def _error(problem: dict[str, Any], name: str) -> data.DataError:
    kind, sentence = problem["kind"], problem["message"]
    if kind == "UnknownSymbol":
        return data.UnknownSymbol(name, problem["nearest"], sentence)
    if kind == "RateLimited":
        moment = problem["retry_at"]
        return data.RateLimited(sentence, datetime.fromisoformat(moment) if moment else None)
    return _KINDS.get(kind, data.DataError)(sentence)


@lru_cache(maxsize=1)
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="qfp-data-"))
    (folder / "objects").mkdir()
    return folder


def _bring(digest: str, size: int, name: str) -> None:
    """The bytes, part by part, into a file that is mapped when it is read."""
    if objects.object_path(_folder(), digest).is_file():
        return
    content = bytearray()
    while len(content) < size:
        part = b64decode(_ask({"do": "read", "object": digest, "from": len(content)}, name)["content"])
        if not part:
            break
        content += part
    if hashlib.sha256(content).hexdigest() != digest:
        raise data.BadResponse(f"The site gave {name} incompletely, which is a fault of ours. Run again.")
    # The site keeps no other Parquet than minutes of its own making; what is no Parquet is refused when it is read.
    objects.put(_folder(), bytes(content), objects.PARQUET if content.startswith(b"PAR1") else objects.ARROW)
