"""What a box says is rebuilt so that it can be stored and sent, whatever its texts hold."""

from __future__ import annotations

import json

import pytest

from sandbox.host import messages

BAD = ("\x00", "\ud800")
SPOKEN = {
    "a value": {"type": "display", "data": {"application/json": {"a": ["x%s"]}}},
    "a key": {"type": "display", "data": {"application/json": {"x%s": 1}}},
    "metadata": {"type": "display", "data": {"text/plain": "x"}, "metadata": {"x%s": ["x%s"]}},
    "a figure": {"type": "display", "data": {messages.PLOTLY: {"data": [{"name": "x%s"}]}}},
    "a figure as text": {"type": "display", "data": {messages.PLOTLY: json.dumps({"data": [{"name": "x%s"}]})}},
    "a claim": {"type": "backtest", "claim": {"instruments": [{"symbol": "x%s"}]}},
    "a question": {"type": "ask", "id": 1, "what": "data", "body": {"name": "x%s"}},
    "a parameter": {"type": "param", "name": "a", "kind": "text", "value": "x%s", "choices": ["x%s"]},
}


@pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN)
@pytest.mark.parametrize("bad", BAD, ids=["NUL", "half a pair"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_text_that_cannot_be_stored_passes(spoken, bad, ascii_only):
    line = json.dumps(spoken, ensure_ascii=ascii_only).replace("%s", json.dumps(bad)[1:-1] if ascii_only else bad)
    try:
        passed, _ = messages.read_message(line.encode("utf-8", "surrogatepass"))
    except messages.Refused:
        return  # a bare NUL is no JSON
    texts = json.dumps(passed, ensure_ascii=False)
    texts.encode("utf-8")
    assert "\\u0000" not in texts and '"x' in texts, "only the bad character is gone"


@pytest.mark.parametrize(("sent", "kept"), [(3, 3), (-1, None), (True, None), ("3", None), (2**60, None)])
def test_a_claim_keeps_the_number_by_which_its_findings_name_it(sent, kept):
    message, _ = messages.read_message(json.dumps({"type": "backtest", "claim": {}, "number": sent}).encode())
    assert message == {"type": "backtest", "claim": {}, "number": kept}


@pytest.mark.parametrize(("sent", "kept"), [(True, {"attempt": True}), (False, {}), (1, {}), ("yes", {})])
def test_a_claim_that_is_only_counted_says_so(sent, kept):
    message, _ = messages.read_message(json.dumps({"type": "backtest", "claim": {}, "attempt": sent}).encode())
    assert message == {"type": "backtest", "claim": {}, "number": None, **kept}


def test_what_is_nested_too_deeply_to_be_cleaned_is_refused():
    line = b'{"type":"display","data":{"application/json":' + b"[" * 900 + b'"\\u0000"' + b"]" * 900 + b"}}"
    with pytest.raises(messages.Refused, match="nested too deeply"):
        messages.read_message(line)
