"""What people expect of Python in a page: cells, values, tracebacks, questions, bars, files."""

# ruff: noqa: E501  (programs for the box read better in one line)
from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.sandbox.conftest import Engine

PLOTLY = "application/vnd.plotly.v1+json"
BOKEH = "application/vnd.qfp.bokeh+json"
TABLE = "application/vnd.qfp.table+json"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    return ANSI.sub("", text)


def test_the_last_expression_shows_itself_in_every_cell(engine: Engine) -> None:
    result = engine.run("# %% first\n1 + 1\n# %% second\nx = 3\nx * 2;\n# %%\n'a' * 3\n")
    assert result.data("text/plain") == ["2", "'aaa'"]
    assert [(cell["index"], cell["title"], cell["line"]) for cell in result.of("cell")] == [
        (0, "first", 2),
        (1, "second", 4),
        (2, "", 7),
    ]


def test_a_mark_inside_quotes_is_no_cell(engine: Engine) -> None:
    result = engine.run('text = """\n# %% not a cell\n"""\nprint(len(text))')
    assert result.outcome == "succeeded"
    assert result.of("cell") == []


def test_texts_and_charts_keep_their_order(engine: Engine) -> None:
    source = (
        "import sys\nfrom IPython.display import HTML\n"
        "for n in range(20):\n    print('out', n)\n    display(HTML(f'<i>{n}</i>'))\n    print('err', n, file=sys.stderr)\n"
    )
    result = engine.run(source)
    said = [event.get("text") or event["data"]["text/html"] + "\n" for event in result.events[1:-1]]
    expected = [f"{kind}\n" for n in range(20) for kind in (f"out {n}", f"<i>{n}</i>", f"err {n}")]
    assert "".join(said) == "".join(expected)


def test_a_character_in_two_writes_is_whole(engine: Engine) -> None:
    source = "import os, time\ne = '\u20ac'.encode()\nos.write(1, e[:1]); time.sleep(.2); os.write(1, e[1:]); os.write(1, b'\\xff.')"
    assert engine.run(source).stdout == "\u20ac\ufffd."


def test_a_traceback_names_the_users_lines_and_nothing_of_ours(engine: Engine) -> None:
    source = "def inner(x):\n    return 1 / x\n\ndef outer(x):\n    try:\n        inner(x)\n    except ZeroDivisionError as error:\n        raise ValueError('bad') from error\n\nouter(0)\n"
    result = engine.run(source)
    text = plain(result.stderr)
    for line in (
        'File "main.py", line 2, in inner',
        'File "main.py", line 8, in outer',
        'File "main.py", line 10, in <module>',
    ):
        assert line in text
    assert "direct cause" in text
    assert "return 1 / x" in text and "~~^~~" in text
    assert "/opt/" not in text and "IPython" not in text
    assert "\x1b[" in result.stderr
    error = result.of("error")[0]
    assert (error["name"], error["message"], error["line"]) == ("ValueError", "bad", 8)
    assert [frame["line"] for frame in error["frames"]] == [10, 8]


def test_lines_of_later_cells_and_of_libraries_are_right(engine: Engine) -> None:
    result = engine.run("# %%\nimport pandas as pd\n# %%\n\nframe = pd.DataFrame({'a': [1]})\nframe['b']\n")
    assert 'File "main.py", line 6, in <module>' in plain(result.stderr)
    assert "pandas/core" in result.stderr and "/opt/env" not in result.stderr
    assert result.of("error")[0]["line"] == 6


def test_a_syntax_error_is_told_before_anything_runs(engine: Engine) -> None:
    result = engine.run("print('ran')\n# %%\nx = (1,\ny = 2\n")
    assert result.stdout == ""
    assert result.outcome == "failed"
    error = result.of("error")[0]
    assert (error["name"], error["file"], error["line"]) == ("SyntaxError", "main.py", 3)
    assert "^" in result.stderr and "Traceback" not in result.stderr


def test_a_missing_package_is_named_with_its_line(engine: Engine) -> None:
    result = engine.run("x = 1\nimport no_such_package_zz9\n")
    assert result.of("error")[0]["message"].startswith(
        "No package called 'no_such_package_zz9' (line 2). A line `# requ"
    )


@pytest.mark.parametrize(
    "line", ["%pip install humanize", "!pip install -q humanize", "!python3 -m pip install humanize"]
)
def test_who_installs_a_package_by_hand_is_told_how_it_is_asked_for(engine: Engine, line: str) -> None:
    result = engine.run(f"{line}\nprint('went on')\n")
    assert (result.outcome, result.stdout) == ("failed", "")
    assert "`# requirements: humanize`" in result.of("error")[0]["message"]


@pytest.mark.parametrize(("wrong", "right"), [("pandsa", "pandas"), ("nunpy", "numpy"), ("sckit_learn", "sklearn")])
def test_a_slip_of_the_fingers_is_answered_with_the_name_meant(engine: Engine, wrong: str, right: str) -> None:
    result = engine.run(f"import {wrong}")
    assert result.of("error")[0]["message"] == f"{wrong!r} is not available. Did you mean {right!r}?"


def test_asking_whether_a_package_is_there_is_no_error(engine: Engine) -> None:
    assert engine.run("import importlib.util\nprint(importlib.util.find_spec('torch'))").stdout == "None\n"


def test_other_files_of_the_project_can_be_imported(engine: Engine) -> None:
    files = {
        "rules.py": "LIMIT = 5\ndef fail():\n    raise RuntimeError('no')\n",
        "lib/__init__.py": "",
        "lib/deep.py": "X = 7\n",
    }
    assert engine.run("import rules\nfrom lib.deep import X\nprint(rules.LIMIT, X)", files=files).stdout == "5 7\n"
    result = engine.run("import rules\nrules.fail()", files=files)
    assert (result.of("error")[0]["file"], result.of("error")[0]["line"]) == ("rules.py", 3)


def test_a_table_has_columns_with_kinds_and_says_how_long_it_is(engine: Engine) -> None:
    source = (
        "import pandas as pd, numpy as np\n"
        "pd.DataFrame({'n': np.arange(500.), 's': 'x', 'd': pd.date_range('2024-01-01', periods=500), 'b': True})"
        ".assign(n=lambda f: f.n.where(f.n > 0))"
    )
    table = engine.run(source).data(TABLE)[0]
    assert [(column["name"], column["kind"]) for column in table["columns"]] == [
        ("n", "number"), ("s", "text"), ("d", "date"), ("b", "boolean"),
    ]  # fmt: skip
    assert table["total_rows"] == 500
    assert len(table["rows"]) == 100
    assert table["rows"][0] == [None, "x", "2024-01-01", True]


def test_a_series_with_an_index_is_a_table_of_both(engine: Engine) -> None:
    table = engine.run("import pandas as pd\npd.Series([1, 2], index=['a', 'b'], name='v').rename_axis('k')").data(
        TABLE
    )[0]
    assert [column["name"] for column in table["columns"]] == ["k", "v"]
    assert table["rows"] == [["a", 1], ["b", 2]]
    counted = engine.run("import pandas as pd\npd.Series([0.5, 1.5])").data(TABLE)[0]
    assert counted["rows"] == [[0, 0.5], [1, 1.5]]


@pytest.mark.parametrize(
    ("rows", "first"), [("head(2)", [0.5]), ("tail(2)", [998, 0.5]), ("iloc[::500]", [0, 0.5]), ("iloc[5:7]", [5, 0.5])]
)
def test_a_counted_index_is_shown_unless_it_only_says_the_place(engine: Engine, rows: str, first: list) -> None:
    source = f"import pandas as pd\npd.DataFrame({{'x': [0.5] * 1000}}).{rows}"
    assert engine.run(source).data(TABLE)[0]["rows"][0] == first


def test_plotly_figures_arrive_as_json(engine: Engine) -> None:
    figures = engine.run("import plotly.graph_objects as go\nf = go.Figure(go.Scatter(y=[1, 2]))\nf.show()\nf").data(
        PLOTLY
    )
    assert len(figures) == 2
    assert figures[0]["data"][0]["type"] == "scatter"
    assert set(figures[0]) == {"data", "layout", "frames"}


def test_matplotlib_draws_by_show_and_at_the_end_of_a_cell(engine: Engine) -> None:
    source = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nplt.figure()\nplt.plot([2, 1])\n"
    result = engine.run(source)
    images = result.data("image/png")
    assert len(images) == 2
    assert base64.b64decode(images[0]).startswith(b"\x89PNG")
    assert result.stderr == ""


def test_backtesting_draws_its_own_chart_without_opening_anything(engine: Engine) -> None:
    source = (
        "from backtesting import Backtest, Strategy\nfrom backtesting.test import GOOG\n"
        "class Hold(Strategy):\n    def init(self): pass\n    def next(self):\n        if not self.position: self.buy()\n"
        "test = Backtest(GOOG.iloc[:200], Hold)\ntest.run()\ntest.plot()\n"
    )
    result = engine.run(source)
    items = result.data(BOKEH)
    assert result.outcome == "succeeded"
    assert len(items) == 1
    assert items[0]["doc"]["version"]
    assert "plx.gif" not in str(items[0])  # its counter of visits
    assert result.of("artefact") == []


def test_our_engine_runs_in_a_box_without_loading_anything_and_draws_a_chart_of_the_site(engine: Engine) -> None:
    source = (
        "import sys\nloaded = 'qfp.backtesting.core' in sys.modules\nfrom backtesting.test import GOOG\n"
        "from qfp.backtesting import Backtest, Strategy\n"
        "class Hold(Strategy):\n    def init(self): self.seen = []\n    def next(self):\n"
        "        self.seen.append(len(self.data.Close))\n        if not self.position: self.buy()\n"
        "test = Backtest(GOOG.iloc[:200], Hold, finalize_trades=True)\nstats = test.run()\ntest.plot()\n"
        "print(loaded, stats['# Trades'], stats['_strategy'].seen == list(range(2, 201)))\n"
    )
    result = engine.run(source)
    assert result.outcome == "succeeded" and result.stdout == "True 1 True\n", result.stderr
    (figure,) = result.data("application/vnd.plotly.v1+json")
    assert [trace["name"] for trace in figure["data"]] == ["Equity", "Drawdown"]


@pytest.mark.parametrize(
    ("source", "mime", "value"),
    [
        ("from IPython.display import HTML\nHTML('<b>x</b>')", "text/html", "<b>x</b>"),
        ("from IPython.display import Markdown\ndisplay(Markdown('**x**'))", "text/markdown", "**x**"),
        ("from IPython.display import Latex\ndisplay(Latex('$x$'))", "text/latex", "$x$"),
        ("from IPython.display import JSON\ndisplay(JSON({'a': 1}))", "application/json", {"a": 1}),
        ("display({'text/html': '<i>y</i>'}, raw=True)", "text/html", "<i>y</i>"),
        (f"import json\ndisplay({{{PLOTLY!r}: json.dumps({{'data': [], 'layout': {{}}}})}}, raw=True)", PLOTLY,
         {"data": [], "layout": {}, "frames": []}),
    ],
)  # fmt: skip
def test_every_kind_of_value_travels(engine: Engine, source: str, mime: str, value: object) -> None:
    assert engine.run(source).data(mime) == [value]


def test_tqdm_is_one_bar_and_no_flood(engine: Engine) -> None:
    source = (
        "from tqdm import tqdm\nimport time\nfor _ in tqdm(range(200), desc='Sweep'): time.sleep(.002)\nprint('done')"
    )
    result = engine.run(source)
    bars = result.of("progress")
    assert {bar["id"] for bar in bars} == {bars[0]["id"]}
    assert (bars[-1]["label"], bars[-1]["value"], bars[-1]["total"], bars[-1]["done"]) == ("Sweep", 200, 200, True)
    assert len(bars) < 20
    assert result.stderr == ""


def test_nested_bars_reuse_the_inner_line(engine: Engine) -> None:
    source = (
        "import time\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(3)):\n"
        "    for _ in tqdm(range(4), leave=False): time.sleep(.05)"
    )
    assert len({bar["id"] for bar in engine.run(source).of("progress")}) == 2


def test_a_bar_that_is_gone_at_once_is_not_shown(engine: Engine) -> None:
    source = "from tqdm.auto import tqdm\nfor _ in tqdm(range(50)):\n    for _ in tqdm(range(3), leave=False): pass"
    bars = engine.run(source).of("progress")
    assert {(bar["total"], bar["done"]) for bar in bars[-1:]} == {(50, True)}
    assert len({bar["id"] for bar in bars}) == 1


def test_input_asks_and_gets_an_answer(engine: Engine) -> None:
    source = "import getpass, sys\nname = input('Name? ')\nsecret = getpass.getpass('Word? ')\nline = sys.stdin.readline()\nprint(name, len(secret), line.strip())"
    result = engine.run(source, answers=("Ada", "four", "free"))
    assert result.stdout == "Ada 4 free\n"
    asked = [(event["prompt"], event["password"]) for event in result.of("input")]
    assert asked == [("Name? ", False), ("Word? ", True), ("", False)]


def test_warnings_and_logging_look_as_usual(engine: Engine) -> None:
    result = engine.run("import warnings, logging\nwarnings.warn('careful')\nlogging.warning('logged')")
    assert result.stderr == "main.py:2: UserWarning: careful\n  warnings.warn('careful')\nWARNING:root:logged\n"


def test_threads_atexit_and_main_work_as_in_a_script(engine: Engine) -> None:
    source = (
        "import atexit, threading, time\natexit.register(print, 'bye')\n"
        "def later():\n    time.sleep(.2); print('thread')\nthreading.Thread(target=later).start()\n"
        "if __name__ == '__main__': print('main', __file__)"
    )
    assert engine.run(source).stdout == "main /box/main.py\nthread\nbye\n"


def test_objects_go_at_the_end_as_in_a_script(engine: Engine) -> None:
    source = (
        "import atexit, math\natexit.register(print, 'bye')\n"
        "def words(name): return 'gone', name, math.floor(5.5)\n"
        "class Thing:\n    def __init__(self, name): self.name = name\n"
        "    def __del__(self):\n        print(*words(self.name))\n        globals().pop('other', None)\n"
        "alone = Thing('alone')\ncycle = Thing('cycle')\ncycle.itself = cycle\nother = [Thing('held')]\n"
    )
    result = engine.run(source)
    gone = "bye\ngone alone 5\ngone held 5\ngone cycle 5\n"
    assert (result.stdout, result.stderr, result.outcome) == (gone, "", "succeeded")


def test_processes_asyncio_and_subprocesses_work(engine: Engine) -> None:
    source = (
        "import asyncio, multiprocessing, subprocess\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "def square(x): return x * x\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(2) as pool: print(list(pool.map(square, range(4))))\n"
        "    print(asyncio.run(asyncio.sleep(0, 'async')))\n"
        "    print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n"
    )
    result = engine.run(source)
    assert result.stdout == "[0, 1, 4, 9]\nasync\nchild\n", result.stderr


def test_parameters_reach_the_program(engine: Engine) -> None:
    source = "import json, os\nprint(json.loads(os.environ['QFP_PARAMS'])['lookback'])"
    assert engine.run(source, params={"lookback": 60}).stdout == "60\n"


def test_two_runs_draw_different_random_numbers(engine: Engine) -> None:
    source = "import random, numpy as np\nprint(random.random(), np.random.rand(), np.random.default_rng().random())"
    assert engine.run(source).stdout != engine.run(source).stdout


def test_a_cold_box_imports_nothing_that_the_program_does_not_import(cold_engine: Engine) -> None:
    source = "import sys\nprint([m for m in ('numpy', 'pandas', 'plotly', 'matplotlib', 'bokeh', 'tqdm', 'sqlite3') if m in sys.modules])"
    assert cold_engine.run(source).stdout == "[]\n"


# Files


def test_files_it_wrote_are_offered_and_its_sources_are_not(engine: Engine) -> None:
    source = "import os\nos.makedirs('out')\nopen('out/a.csv', 'w').write('x,y\\n')\nopen('b.txt', 'wb').write(b'\\x00\\xff')\nopen('.hidden', 'w').write('h')"
    artefacts = {event["name"]: event for event in engine.run(source, files={"rules.py": "x = 1"}).of("artefact")}
    assert set(artefacts) == {"out/a.csv", "b.txt"}
    content = base64.b64decode(artefacts["b.txt"]["content_base64"])
    assert content == b"\x00\xff"
    assert artefacts["b.txt"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert artefacts["b.txt"]["size"] == 2


def test_links_fifos_and_devices_are_not_followed(engine: Engine) -> None:
    source = (
        "import os\nfor n, t in enumerate(['/etc/passwd', '/dev/zero', '/usr/lib', '../../etc/passwd', '/data']): os.symlink(t, f'l{n}.csv')\n"
        "try: os.mkfifo('pipe.csv')\nexcept OSError: print('no fifo')\nos.symlink('/usr', 'folder'); os.link('main.py', 'hard.py')\n"
        "open('real.csv', 'w').write('1')"
    )
    result = engine.run(source)
    assert result.stdout == "no fifo\n"  # the filter refuses to make one; the collector would not open it
    assert sorted(event["name"] for event in result.of("artefact")) == ["hard.py", "real.csv"]


def test_files_over_the_limits_are_named_with_the_reason(engine: Engine) -> None:
    source = "open('big.bin', 'wb').write(b'x' * (5 << 20))\nfor n in range(12): open(f'f{n:02}', 'w').write('1')"
    result = engine.run(source)
    assert len(result.of("artefact")) == 10
    skipped = {each["name"]: each["why"] for each in result.ended["artefacts_skipped"]}
    assert skipped["big.bin"] == "size"
    assert skipped["f11"] == "count"


def test_a_deep_and_wide_directory_does_not_hold_the_end_up(engine: Engine) -> None:
    source = "import os\nfor _ in range(300):\n    os.mkdir('d'); os.chdir('d')\nos.chdir('/box')\nfor n in range(9000): open(f'e{n}', 'w').close()"
    result = engine.run(source)
    assert result.outcome == "succeeded"
    assert len(result.of("artefact")) <= 10


# What a program may say on the rich channel


@pytest.mark.parametrize(
    "line",
    [
        '{"type": "ended", "outcome": "succeeded"}',
        '{"type": "started"}',
        '{"type": "artefact", "name": "x", "content_base64": ""}',
        '{"type": "stdout", "text": "forged"}',
        '{"type": "display", "data": {"text/html": NaN}}',
        '{"type": "display", "data": {"application/x-evil": "x"}}',
        '{"type": "display", "data": {"image/png": "not base64!"}}',
        '{"type": "param", "name": "not a name", "kind": "number"}',
        "[1, 2]",
        "garbage",
        "[" * 5000,
    ],
)
def test_what_is_not_a_message_is_dropped_with_a_notice(engine: Engine, line: str) -> None:
    result = engine.run(
        f"import os\nos.write(int(os.environ['QFP_CHANNEL_FD']), {line!r}.encode() + b'\\n')\nprint('on')"
    )
    assert [event["type"] for event in result.events] == ["started", "notice", "stdout", "ended"] or sorted(
        event["type"] for event in result.events
    ) == ["ended", "notice", "started", "stdout"]
    assert result.outcome == "succeeded"


def test_a_message_that_is_too_large_is_left_out_and_said(engine: Engine) -> None:
    result = engine.run("from IPython.display import HTML\ndisplay(HTML('x' * (3 << 20)))\ndisplay(HTML('small'))")
    assert result.data("text/html") == ["small"]
    assert "larger than 2 MB" in result.of("notice")[0]["text"]


def test_a_message_of_countless_parts_is_left_out_before_anybody_reads_it(engine: Engine) -> None:
    source = "import os\nline = b'{\"type\":\"display\",\"data\":{\"application/json\":[' + b'{},' * 200_000 + b'{}]}}\\n'\nos.write(int(os.environ['QFP_CHANNEL_FD']), line)\nprint('on')"
    result = engine.run(source)
    assert "too many parts" in result.of("notice")[0]["text"]
    assert result.stdout == "on\n"


def test_unknown_fields_and_plotlys_config_stay_behind(engine: Engine) -> None:
    source = (
        "import os, json\nos.write(int(os.environ['QFP_CHANNEL_FD']), json.dumps({'type': 'display', 'evil': 1, 'data': "
        f"{{'{PLOTLY}': {{'data': [], 'layout': {{}}, 'config': {{'plotlyServerURL': 'http://x'}}}}}}}}).encode() + b'\\n')"
    )
    event = engine.run(source).of("display")[0]
    assert set(event) == {"type", "data", "metadata", "t"}
    assert set(event["data"][PLOTLY]) == {"data", "layout", "frames"}


def test_closing_the_channel_harms_only_the_program(engine: Engine) -> None:
    result = engine.run(
        "import os\nos.close(int(os.environ['QFP_CHANNEL_FD']))\nfrom IPython.display import HTML\ndisplay(HTML('x'))\nprint('on')"
    )
    assert result.stdout == "on\n"
    assert result.outcome == "succeeded"


@pytest.mark.parametrize(
    "source",
    [
        "import urllib.request\nurllib.request.urlopen('https://query1.finance.yahoo.com/v8/finance/chart/AAPL')",
        "import socket\nsocket.create_connection(('192.0.2.1', 443))",
    ],
)
def test_who_asks_the_network_for_prices_is_told_where_they_are(engine: Engine, source: str) -> None:
    assert "Programs here have no network. Prices come from qfp" in engine.run(source).stderr
    assert "no network" not in engine.run("open('/root/x')").stderr


BARS = "import pandas as pd\nbars = pd.DataFrame(1.0, range(3), ['open', 'high', 'low', 'close', 'volume'])\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('bars["Close"]', ' among open, high, low, close, volume'),
        ('bars.Close', 'write ["close"]. Code that wants Open, High, Low and Close gets them from .rename('),
        ('bars[["open", "High"]]', 'There is no "High" among'),
        ('bars.iloc[0]["Open"]', 'write ["open"]'),
        ('bars["Clsoe"]', 'There is no "Clsoe" among open, high, low, close, volume. Did you mean ["close"]?'),
        ('bars.volumne', 'There is no "volumne" among open, high, low, close, volume. Did you mean ["volume"]?'),
        ("rising = 1\nprint(Rising)", "Did you mean: 'rising'?"),
        ("import math\nmath.SQRT(2)", "Did you mean: 'sqrt'?"),
        ("class A:\n    def __init__(self): self.size = 1\n    def __dir__(self): print('called')\nA().Size", "Did you mean: 'size'?"),
    ],
)  # fmt: skip
def test_what_is_spelled_otherwise_is_told_with_its_spelling(engine: Engine, source: str, said: str) -> None:
    result = engine.run((BARS if "bars" in source else "") + source)
    assert said in plain(result.stderr).strip().splitlines()[-1] and "called" not in result.stdout


def test_what_is_not_there_at_all_is_told_as_it_is(engine: Engine) -> None:
    lines = plain(engine.run(BARS + "bars['sentiment']").stderr).strip().splitlines()
    assert lines[-1] == "KeyError: 'sentiment'"
