"""Every known way in which a provider, a library or a log line repeats a key, and none that gets through."""

from __future__ import annotations

import base64
import json
import logging
from urllib.parse import quote, quote_plus

import httpx
import pytest

from marketdata.redaction import STRUCK_OUT, Redacting, hiding, redact
from playground.logs import JsonFormatter

KEY = "KQ7x/9a+Zb==Wm3'p"
PLAIN = "AB12CD34EF56GH78"

BY_FORM = [
    f"https://www.alphavantage.co/query?function=TIME_SERIES_DAILY&symbol=IBM&apikey={PLAIN}&datatype=json",
    f"https://api.stlouisfed.org/fred/series?series_id=GDP&api_key={PLAIN}",
    f"HTTPSConnectionPool(host='www.alphavantage.co', port=443): Max retries exceeded with url: /query?apikey={PLAIN}",
    f"We have detected your API key as {PLAIN} and our standard API rate limit is 25 requests per day.",
    f"API key {PLAIN} is not registered",
    f"headers: {{'x-api-token': '{PLAIN}', 'accept': '*/*'}}",
    f"Headers([('host', 'data.nasdaq.com'), ('x-api-token', '{PLAIN}')])",
    f"[(b'X-Api-Token', b'{PLAIN}')]",
    f"X-Api-Token: {PLAIN}",
    f"Authorization: Token {PLAIN}",
    f"('authorization', 'Token {PLAIN}')",
    f"authorization: Bearer {PLAIN}.{PLAIN}",
    f"Authorization: Basic {base64.b64encode(PLAIN.encode()).decode()}7",
    f'{{"apikey": "{PLAIN}", "symbol": "IBM"}}',
    '{\\"api_key\\": \\"' + PLAIN + '\\"}',
    f"access_token={PLAIN}; client_secret={PLAIN}",
    f"redirect?next=%2Fquery%3Fapikey%3D{PLAIN}%26symbol%3DIBM",
    f"crumb={PLAIN}",
    f"proxy https://user:{PLAIN}@proxy.example.org:3128 refused",
    f"ApiConfig.api_key = '{PLAIN}'",
]


@pytest.mark.parametrize("text", BY_FORM)
def test_a_key_nobody_told_us_of_is_known_by_where_it_stands(text):
    struck = redact(text)
    assert PLAIN not in struck and STRUCK_OUT in struck
    assert base64.b64encode(PLAIN.encode()).decode() not in struck


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        quote(KEY, safe=""),
        quote_plus(KEY),
        json.dumps(KEY)[1:-1],
        base64.b64encode(KEY.encode()).decode(),
        KEY.upper(),
        repr(KEY)[1:-1],
    ],
)
def test_a_key_in_use_is_struck_out_wherever_it_stands(spelled):
    with hiding([KEY]):
        assert redact(f"Invalid token {spelled}, sorry") == f"Invalid token {STRUCK_OUT}, sorry"
    assert redact(f"see {spelled}", [KEY]) == f"see {STRUCK_OUT}"


@pytest.mark.parametrize(
    "text",
    [
        "fetch 4d5e: Tiingo AAPL 1d stored after 3 attempts in 4.2 s",
        "the parameter apikey is invalid or missing",
        "Basic information on tokens and keys",
        "https://example.org/docs?page=2#api-key",
        "",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert redact(text) == text


@pytest.mark.parametrize("formatter", [JsonFormatter(), logging.Formatter("%(message)s")])
def test_neither_message_nor_traceback_of_a_log_line_has_the_key(formatter):
    lines = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.setFormatter(formatter)
    handler.addFilter(Redacting())
    logger = logging.getLogger("tests.redaction")
    logger.addHandler(handler)
    try:
        with hiding([KEY]):
            logger.warning("asked %s", f"https://x/?apikey={PLAIN}")
            try:
                raise ValueError(f"provider said: {KEY}") from httpx.ConnectError(f"https://x/?token={PLAIN}")
            except ValueError:
                logger.exception("failed with %s", KEY)
    finally:
        logger.removeHandler(handler)
    assert len(lines) == 2 and "Traceback" in lines[1] and "ConnectError" in lines[1]
    assert all(PLAIN not in line and KEY not in line for line in lines)


def test_the_sites_own_logs_go_through_the_filter(settings):
    for handler in settings.LOGGING["handlers"].values():
        assert "redacting" in handler["filters"]
    assert settings.LOGGING["loggers"]["httpx"]["level"] == "WARNING"
