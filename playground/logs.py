"""How log lines look: one JSON object a line, with the run's id where a line is about a run. Never users' text."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

_RUN = re.compile(r"\brun ([0-9a-f]{8}-[0-9a-f-]{27})")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if found := _RUN.search(message):
            line["run"] = found[1]
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class HarmlessNoise(logging.Filter):
    """Keeps two known, harmless messages of the web server out of the logs."""

    _PHRASES = ("must consume synchronous iterators", "TCPTransport closed")

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(phrase in message for phrase in self._PHRASES)
