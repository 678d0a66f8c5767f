"""What does Bloomberg say of one security? Run by a Python that has Bloomberg's blpapi, which the operator installs.

A question on the input, the answer on the output, both JSON: a session, one HistoricalDataRequest, and the end.
"""

import json
import signal
import sys
import traceback

import blpapi

CATEGORIES = {
    "BAD_SEC": "UnknownSymbol",
    "NO_AUTH": "NotEntitled",
    "NOT_ENTITLED": "NotEntitled",
    "LIMIT": "RateLimited",
}


def answer(question: dict) -> dict:
    options = blpapi.SessionOptions()
    options.setServerHost(question["host"])
    options.setServerPort(question["port"])
    if question["application"]:
        options.setSessionIdentityOptions(blpapi.AuthOptions.createWithApp(question["application"]))
    session = blpapi.Session(options)
    if not session.start():
        return {"error": "ProviderDown"}
    try:
        if not session.openService("//blp/refdata"):
            return {"error": "NotEntitled"}
        request = session.getService("//blp/refdata").createRequest("HistoricalDataRequest")
        request.getElement("securities").appendValue(question["security"])
        for field in question["fields"]:
            request.getElement("fields").appendValue(field)
        request.set("startDate", question["start"])
        if question["end"]:
            request.set("endDate", question["end"])
        request.set("periodicitySelection", "DAILY")
        # As traded, whatever is set for this session elsewhere.
        for name in ("adjustmentNormal", "adjustmentAbnormal", "adjustmentSplit"):
            request.set(name, False)
        request.set("adjustmentFollowDPDF", False)
        session.sendRequest(request)
        return received(session, question["fields"])
    finally:
        session.stop()


def received(session: object, fields: list) -> dict:
    rows: list = []
    while True:
        event = session.nextEvent(10_000)
        kind = event.eventType()
        if kind == blpapi.Event.TIMEOUT:
            return {"error": "ProviderDown"}
        for message in event:
            if message.hasElement("responseError"):
                return {"error": category(message.getElement("responseError"))}
            if not message.hasElement("securityData"):
                continue
            data = message.getElement("securityData")
            if data.hasElement("securityError"):
                return {"error": category(data.getElement("securityError"))}
            table = data.getElement("fieldData")
            for position in range(table.numValues()):
                row = table.getValueAsElement(position)
                values = {name: row.getElementAsFloat(name) for name in fields if row.hasElement(name)}
                rows.append({"date": row.getElementAsDatetime("date").strftime("%Y-%m-%d"), **values})
        if kind == blpapi.Event.RESPONSE:
            return {"rows": rows}


def category(element: object) -> str:
    return CATEGORIES.get(element.getElementAsString("category"), "ProviderDown")


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    signal.alarm(asked["seconds"])
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        said = answer(asked)
    except Exception as problem:
        traceback.print_exc()
        # What is asked of a session that is lost; other errors of blpapi tell of an answer of no form that is known.
        lost = isinstance(problem, (blpapi.InvalidStateException, blpapi.UnknownErrorException))
        said = {"error": "ProviderDown" if lost else "BadResponse"}
    json.dump(said, out)
