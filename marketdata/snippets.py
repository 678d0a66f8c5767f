"""What does a program look like that reads these series? The text of "use in a project"."""

from __future__ import annotations

from collections.abc import Sequence

from marketdata.browsing import Entry, View
from marketdata.figures import is_intraday


def title_of(entries: Sequence[Entry]) -> str:
    names = [entry["symbol"] for entry in entries]
    return f"First look at {names[0]}" if len(names) == 1 else f"Comparing {', '.join(names)}"


def program_for(entries: Sequence[Entry], view: View) -> str:
    """A short program that can be run as it is."""
    if len(entries) > 1:
        return _panel(entries, view)
    entry = entries[0]
    call = call_for(entry, view)
    lines = [f'"""{_plain(title_of(entries))}."""', "", "from qfp import chart, data, show, table", ""]
    if "close" in entry["columns"]:
        frame, column = "bars", 'bars["close"]'
    else:
        frame, column = "values", "values"
    lines += [
        f"{frame} = {call}",
        f'print(f"{{len({frame}):,}} rows, {{{frame}.index[0]}} to {{{frame}.index[-1]}}")',
        "",
    ]
    if entry["kind"] == "options":
        return "\n".join([*lines, f"show(table({frame}.tail(50)))", ""])
    lines += [f"show(chart({column}, title={_quoted(_chart_title(entry))}))", f"show(table({frame}.tail(10)))", ""]
    return "\n".join(lines)


def call_for(entry: Entry, view: View) -> str:
    """The expression that reads this series: by its symbol, unless that means another one."""
    name = entry["symbol"] if view.find(entry["symbol"], entry["interval"]) is entry else entry["id"]
    if entry["id"].startswith("mine/") or entry["kind"] == "dataset":
        dataset, _, version = entry["id"].partition("@")
        return f"data.dataset({_quoted(dataset)}" + (f", version={version})" if version.isdigit() else ")")
    if entry["kind"] == "curve":
        return f"data.curve({_quoted(name)})"
    if entry["kind"] == "factors":
        return f"data.factors({_quoted(name)})"
    if "close" not in entry["columns"]:
        return f"data.series({_quoted(name)})"
    interval = "" if entry["interval"] == "1d" else f", interval={_quoted(entry['interval'])}"
    return f"data.prices({_quoted(name)}{interval})"


def _panel(entries: Sequence[Entry], view: View) -> str:
    names = ", ".join(_quoted(view.name_in_addresses(entry)) for entry in entries)
    return "\n".join(
        [
            f'"""{_plain(title_of(entries))}."""',
            "",
            "from qfp import chart, data, show, table",
            "",
            f"closes = data.panel([{names}]).dropna()",
            "returns = closes.pct_change().dropna()",
            "",
            'show(chart(closes / closes.iloc[0] * 100, title="Closes, the first common day is 100"))',
            'show(table(returns.corr().round(2), caption="Correlation of the returns"))',
            "",
        ]
    )


def _chart_title(entry: Entry) -> str:
    unit = f", {entry['unit']}" if entry["unit"] else ""
    step = f", every {entry['interval']}" if is_intraday(entry) else ""
    return f"{entry['symbol']}{unit}{step}"


def _plain(text: str) -> str:
    return text.replace("\\", "").replace('"', "")


def _quoted(text: str) -> str:
    """As a Python string; names come from manifests, some of which people upload."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ") + '"'
