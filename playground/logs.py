"""What does a log line look like? One JSON object with the run it is about, and without lines known to mean nothing."""

from __future__ import annotations

import json
import logging
import re
import warnings
from datetime import UTC, datetime

RUN_IN_MESSAGE = re.compile(r"\brun ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b")

# WhiteNoise answers with a plain iterator, which is right for files; Django warns at each one under ASGI.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, and where present the run's id, the answer's status and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        run = getattr(record, "run", None)
        if run is None and (found := RUN_IN_MESSAGE.search(message)):
            run = found.group(1)
        if run is not None:
            line["run"] = str(run)
        if (status := getattr(record, "status_code", None)) is not None:
            line["status"] = status
        if record.exc_text or record.exc_info:
            line["traceback"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class KnownNoise(logging.Filter):
    """Drops the traceback that the ASGI worker logs when a browser leaves before its WebSocket was accepted."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info is None or record.exc_info is True or not record.name.startswith("gunicorn"):
            return True
        return "TCPTransport closed" not in str(record.exc_info[1])
