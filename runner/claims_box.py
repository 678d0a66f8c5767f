"""What can this result claim? Nine lines in plain words, each with a state of qfp.tearsheet.states: green, amber, red,
blue (it is being looked into) or grey (said, and neither praise nor blame); the same wherever it is shown.

Page, report and API take them from here. An author can change what they say by changing the work, in no other
way.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.core.cache import cache
from django.utils.text import slugify
from qfp import metrics
from qfp.significance import deflated_sharpe_ratio
from qfp.tearsheet.states import NO_DOUBT, STATES
from redis.exceptions import RedisError

from marketdata.store import SnapshotMissing
from runner import trials, verdicts
from runner.claims import copied
from runner.honesty import sending
from runner.honesty.examinable import is_shown, why_never
from runner.models import Backtest, Run
from runner.private import UPLOADS, brought_series, is_brought, personal_series
from runner.snapshot_series import by_object

__all__ = ["checking", "lines", "summaries", "summary"]

NOT_MADE_AGAIN = "It has not made the run again on changed data."
CONFIDENT = 0.95
UNLIKELY = 0.5
COUNTING = "More may count: what was traded is still being compared with its author's other projects."
NAMED = 3
KEPT_SECONDS = 600
MADE_AT_ONCE = 6
SYNTHETIC = "S"  # the tier of series that are made
GUIDE = "/docs/honesty"
SAW_THE_BAR = (
    "Its orders filled at the open of the bar that decided (cheat-on-open), with that bar's high, low and close "
    "already in sight."
)

Line = dict[str, str]


def lines(
    backtest: Backtest,
    tried: trials.Trials | None = None,
    private: Sequence[str] | None = None,
    brought: Sequence[str] | None = None,
) -> list[Line]:
    """Nine of {key, state, word, title, text, link}, always in the same order.

    tried: of its project, where it has been counted for other backtests of it. private, brought: series that its run
    read and that are its owner's alone, or a file that somebody brought along, where that is known before it is kept.
    """
    read = _read_in_private(backtest) if private is None else private
    files = _read_of_files(backtest) if brought is None else brought
    found = [
        _lookahead(backtest, files),
        _memory(backtest),
        _trials(backtest, tried or trials.of_project(backtest.run.project)),
        _overfitting(backtest),
        _survivorship(backtest),
        _data(backtest, read),
        _conventions(backtest),
        _sample(backtest),
        _verified(backtest),
    ]
    return [line | {"word": STATES[line["state"]].word, "link": f"{GUIDE}#{slugify(line['title'])}"} for line in found]


def checking(backtest: Backtest) -> str:
    """How far the tests are that go on now and may change its lines; "" where none do."""
    run = backtest.run
    if not run.is_finished:
        found = backtest.checks.get("lookahead", {}).get("found", {}).get("state")
        # Of a program first its strategies alone are tested, in a moment; what is around them at its end.
        pending = not found or (found == "partly" and run.session_id is None)
        return "Being checked" if pending else ""
    if "companion" in backtest.checks or run.examination_asked is None or (told := sending.under_way(run)) is None:
        return ""
    return f"Checking: {told['done']} of {told['of']} done" if told["of"] else "Being checked"


def summary(found: list[Line], checking: str = "") -> Line:
    """The badge: as bad as the worst line; no praise where nothing but its sandbox's word speaks against a leak.

    checking: of the same backtest. While tests go on doubts are not counted, as their number would change; a problem
    stays one.
    """
    counts = Counter(line["state"] for line in found)
    if counts["red"]:
        text = "1 problem" if counts["red"] == 1 else f"{counts['red']} problems"
        return {"state": "red", "text": text}
    if checking:
        return {"state": "blue", "text": checking}
    if counts["amber"]:
        text = "1 doubt" if counts["amber"] == 1 else f"{counts['amber']} doubts"
        return {"state": "amber", "text": text}
    if counts["blue"]:
        return {"state": "blue", "text": "Waiting to be checked"}
    if any(line["state"] == "grey" and line.get("key") == "lookahead" for line in found):
        return {"state": "grey", "text": "No doubts found by its own sandbox"}
    return {"state": "green", "text": "No doubts found"}


def summaries(backtests: Iterable[Backtest]) -> dict[int, Line]:
    """The same badges for the many results of a list, by primary key: what was found counts at once, further trials
    after some minutes. Some are made at a time; the others have none before the list is opened again, and without the
    cache none has, for a list is worth more than its badges.
    """
    keys = {backtest.pk: _list_key(backtest) for backtest in backtests}
    try:
        kept: dict[str, Line] = cache.get_many(keys.values())
        new = [pk for pk, key in keys.items() if key not in kept][:MADE_AT_ONCE]
        few = Backtest.objects.select_related("run__revision__project").in_bulk(new)
        made = {keys[pk]: summary(lines(backtest), checking(backtest)) for pk, backtest in few.items()}
        cache.set_many(made, KEPT_SECONDS)
    except RedisError:
        return {}
    kept |= made
    return {pk: kept[key] for pk, key in keys.items() if key in kept}


def _list_key(backtest: Backtest) -> str:
    told = json.dumps([backtest.verified, backtest.checks], sort_keys=True)
    return f"claims-sum-{backtest.pk}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _line(key: str, state: str, title: str, text: str) -> Line:
    return {"key": key, "state": state, "title": title, "text": text}


def _found(backtest: Backtest, key: str, title: str) -> Line:
    found = backtest.checks.get(key)
    if not found and not backtest.run.is_finished:
        return _line(key, "blue", title, "Tested once its program is over.")
    if not found:
        return _line(key, "amber", title, "Not tested: no finding came from the run.")
    said = found["sentence"]
    if key == "lookahead" and found.get("found", {}).get("state") == "untested" and "companion" not in backtest.checks:
        said = f"{said} {sending.outlook(backtest.run)}".rstrip()
    return _line(key, found["state"], title, said)


def _read_in_private(backtest: Backtest) -> Sequence[str] | None:
    """Series that its run read and that are its owner's alone; None while that is not known yet."""
    read: Sequence[str] | None = backtest.run.manifest.get("data", {}).get("private")
    if read is None and (backtest.run.is_finished or not personal_series(backtest.run.snapshot)):
        return personal_series(backtest.run.snapshot)
    return read


def _read_of_files(backtest: Backtest) -> Sequence[str]:
    """Series that its run read and that somebody brought along as a file; while that is not known, none."""
    data = backtest.run.manifest.get("data", {})
    told: Sequence[str] | None = data.get("brought")
    if told is None:  # the manifest is older, or there is none
        if data:
            return [series for series in data.get("private") or () if series.startswith(UPLOADS)]
        return brought_series(backtest.run.snapshot) if backtest.run.is_finished else ()
    return told


def _lookahead(backtest: Backtest, read: Sequence[str]) -> Line:
    """What was found, and a doubt where the run read a file that somebody brought along beside what it traded."""
    line = _seen_of_lookahead(backtest)
    if line["state"] == "green" and (told := backtest.checks.get("splits")):
        doubted = told["state"] == "amber"
        more = f"But: {told['sentence']}" if doubted else told["sentence"]
        line = line | {"state": "amber" if doubted else line["state"], "text": f"{line['text']} {more}"}
    traded = {instrument.get("series") for instrument in backtest.instruments}
    files = [series for series in read if series not in traded]
    if not files or line["state"] != "green":
        return line
    own = all(series.startswith(UPLOADS) for series in files)
    whose = "its author" if own else "somebody"
    files_are = f"{'a file' if len(files) == 1 else 'files'} that {whose} brought along"
    doubt = f"But its signals may come from {_named(files)}, {files_are}: what came later can stand in there."
    return line | {"state": "amber", "text": f"{line['text']} {doubt}"}


def _seen_of_lookahead(backtest: Backtest) -> Line:
    """What the program's own box says of it is its word: a note to its author, and to others a doubt in the end."""
    line, found = _found(backtest, "lookahead", "Look-ahead"), backtest.checks.get("lookahead", {})
    if line["state"] == "green" and backtest.conventions.get("fill") == "same-open":
        return line | {"state": "amber", "text": f"{SAW_THE_BAR} {line['text']}"}
    if line["state"] != "green" or found.get("evidence") == "site":
        return line
    said = f"The program's own sandbox says: {line['text']}"
    if "companion" in backtest.checks:
        why = "and the site could not confirm that on data of its own"
    elif not is_shown(backtest.run):
        to_come = sending.outlook_of_choice(backtest.run) or _not_made_again(backtest.run)
        return line | {"state": "grey", "text": f"{said} {to_come}"}
    elif backtest.run.is_finished and (never := why_never(backtest.run)):
        why = f"and the site has not examined it: {never}"
    elif pending := sending.progress(backtest.run):
        known = "Its repeats by the site, on data that it has changed,"
        return line | {"state": "blue", "text": f"{said} {known} {pending}."}
    else:
        why = "and the site has not examined it yet"
    return line | {"state": "amber", "text": f"{said} That is its word, {why}."}


def _not_made_again(run: Run) -> str:
    """Why nothing but its sandbox's word is known of what it would do on other data."""
    again = "The site has not made this run again on changed data"
    if run.is_finished and (never := why_never(run)):
        return f"{again}: {never}."
    return f"{again} yet." if is_shown(run) else f"{again}; it does once the project is shared."


def _memory(backtest: Backtest) -> Line:
    """That it decides the same with other dates is seen in its own box alone, so it is told, and not praised: what the
    site itself sees of a memory are tables in the text.
    """
    line, again = _found(backtest, "amnesia", "Memory of history"), backtest.checks.get("dates", {})
    of_box = backtest.checks.get("amnesia", {})
    told = of_box.get("found", {}).get("state")
    if again.get("state") == "amber" and told != "remembers":  # which says more of the same
        return line | {"state": "amber", "text": again["sentence"]}
    by_number = backtest.checks.get("numbers", {})
    if told != "remembers" and by_number.get("state") == "amber":
        return line | {"state": "amber", "text": by_number["sentence"]}
    unseen = f" {by_number['sentence']}" if by_number.get("state") == "grey" else ""
    # Its strategy fails with other dates alone, and the site has made it again with all that it reads on other dates.
    moved = told == "untested" and of_box["found"].get("but_dates") and of_box.get("no_table") and again.get("same")
    if line["state"] != "green" and not moved:
        also = f" {again['sentence']}" if told == "untested" and again else ""
        return line | {"text": f"{line['text']}{also}{unseen}"}
    text = f"The program's own sandbox says: {line['text']} The site has found no table in its text."
    return line | {"state": "grey", "text": f"{text} {again.get('sentence', '')}".rstrip() + unseen}


def _trials(backtest: Backtest, tried: trials.Trials) -> Line:
    windows = backtest.checks.get("overfitting", {}).get("windows")
    within = min(trials.chosen_from(backtest.run), tried.count - 1) if windows else 0
    what = _lineage(tried, within)
    if backtest.standing.leak:
        text = f"{what} How likely luck is says nothing of a run that knows the future."
        return _line("trials", "amber", "Trials", text)
    returns = metrics.returns_of(np.array(backtest.equity, dtype=float))
    year = backtest.metrics.get("periods_per_year") or metrics.PERIODS_PER_YEAR
    # Trials of no skill spread as far over so many returns; those that are told may not spread less.
    least = year / (len(returns) - 1) if len(returns) > 1 else math.nan
    variance = max(least, tried.variance_beside(backtest) or 0.0)
    deflated = deflated_sharpe_ratio(returns, tried.count - within, variance, year)
    if math.isnan(deflated.probability):
        return _line("trials", "amber", "Trials", f"{what} Its Sharpe ratio is not defined.")
    if deflated.annual_sharpe <= 0:
        text = f"{what} Its Sharpe ratio is not above 0: there is no gain to owe to luck."
        return _line("trials", "grey", "Trials", text)
    state, also = _chance_state(deflated.probability), ""
    if within:
        whole = deflated_sharpe_ratio(returns, tried.count, variance, year).probability
        # How it chose is its program's word: what that makes better is a doubt, and no praise.
        if state == "green" and _chance_state(whole) != "green":
            state = "amber"
        also = f"; {_share(whole)} if those counted, too"
    than = "above 0" if tried.count - within == 1 else "more than the luck of the best of them"
    chance = (
        f"Probability that its Sharpe ratio is {than}: {_share(deflated.probability)} (deflated Sharpe ratio){also}."
    )
    return _line("trials", state, "Trials", f"{what} {chance}")


def _chance_state(probability: float) -> str:
    return "green" if probability >= CONFIDENT else "amber" if probability >= UNLIKELY else "red"


def _lineage(tried: trials.Trials, within: int) -> str:
    """within: those that the windows of a walk-forward chose from."""
    count, swept = tried.count - within, max(0, tried.in_sweeps - within)
    what = "1 trial" if count == 1 else f"{_count(count)} different trials"
    rest = count - swept - tried.of_searches - tried.deleted
    parts = [
        f"{_count(number)} {one if number == 1 else several}"
        for number, one, several in (
            (swept, "combination of a sweep", "combinations of sweeps"),
            (tried.of_searches, "result of a sweep or walk-forward", "results of sweeps and walk-forwards"),
            (rest, "backtest of another run", "backtests of other runs"),
            (tried.deleted, "in a deleted project", "in deleted projects"),
        )
        if number > 0
    ]
    if len(parts) > 1:
        what += f" ({', '.join(parts)})"
    if tried.others:
        what += f", with {_count(tried.others)} of other programs of its author that trade nearly the same,"
    counting = f" {COUNTING}" if tried.counting else ""
    if not within:
        return f"{what} along the project's lineage.{counting}"
    of = "the one combination" if within == 1 else f"the {_count(within)} combinations"
    return (
        f"{what} along the project's lineage, besides {of} that its windows chose from: each chose on earlier bars, by "
        f"the word of its program, so what was traded is not the best of them.{counting}"
    )


def _overfitting(backtest: Backtest) -> Line:
    found = backtest.checks.get("overfitting")
    if found:
        return _line("pbo", found["state"], "Overfitting", found["sentence"])
    if backtest.checks.get("lookahead", {}).get("found", {}).get("state") == "chosen":
        text = "The program chose its parameters from the data that it then traded on."
        return _line("pbo", "amber", "Overfitting", text)
    return _line("pbo", "green", "Overfitting", "No sweep has chosen these parameters.")


def _survivorship(backtest: Backtest) -> Line:
    note = backtest.conventions.get("survivorship", "")
    if note:
        return _line("survivorship", "amber", "Survivorship", note)
    return _line("survivorship", "green", "Survivorship", "No sign that its instruments were chosen with hindsight.")


def _data(backtest: Backtest, read: Sequence[str] | None) -> Line:
    title = "Data"
    if sample := backtest.conventions.get("sample"):
        text = f"Its bars are the sample {sample} of the package backtesting.py, the same for everybody who has it."
        return _line("data", "grey", title, text)
    if not backtest.snapshot:
        text = (
            "Its bars came with the code or a package, so nobody can look where they are from. "
            "Bars of data.prices(), or of a file that was brought, can be checked."
        )
        return _line("data", "red", title, text)
    try:
        entries = _known(backtest.snapshot)
    except SnapshotMissing:
        return _line("data", "amber", title, "Its data snapshot is not in the store any more; it cannot be made again.")
    used = [entries[each["object"]] for each in backtest.instruments if each["object"] in entries]
    if len(used) < len(backtest.instruments):
        return _line("data", "red", title, "Some of its bars are not part of its data snapshot.")
    until = max((entry.get("last") or "" for entry in used), default="")
    pinned = f"Pinned to snapshot {backtest.snapshot[:12]}, data until {until[:10]}."
    if any(entry.get("rights") == "personal" for entry in used):
        return _line(
            "data", "amber", title, f"{pinned} Some of it is for its author alone, so others cannot repeat it."
        )
    if made := [entry["symbol"] for entry in used if entry.get("tier") == SYNTHETIC]:
        text = (
            f"{pinned} The bars of {_named(made)} are synthetic: a model made them, and no market was ever like that."
        )
        return _line("data", "amber", title, text)
    if any(is_brought(entry) for entry in used):
        text = f"{pinned} Some of its bars are a file that somebody brought along, and nobody else has checked it."
        return _line("data", "amber", title, text)
    if read is None:
        return _line("data", "green", title, f"{pinned} What else the run reads is known once it has ended.")
    if read:
        text = f"{pinned} The run also read {_named(read)}, for its author alone, so others cannot repeat it."
        return _line("data", "amber", title, text)
    return _line("data", "green", title, f"{pinned} Everybody may use it, so everybody can repeat it.")


def _named(series: Sequence[str]) -> str:
    more = f" and {len(series) - NAMED} more" if len(series) > NAMED else ""
    return f"{', '.join(series[:NAMED])}{more}"


@lru_cache(maxsize=32)
def _known(snapshot: str) -> dict[str, dict[str, Any]]:
    """Kept, as lists of results ask for it again and again; snapshots never change."""
    return by_object(Path(settings.STORE_DIR), snapshot)


def _conventions(backtest: Backtest) -> Line:
    title, found = "Conventions and costs", backtest.checks.get("band")
    rules = f"Filled by {backtest.conventions.get('id')}, version {backtest.conventions.get('version')}."
    received = -sum(min(fill["commission"], 0.0) for fill in backtest.fills)
    if received > 0:
        text = f"Fills were charged less than nothing: {_count(received)} were paid to the trader as commission."
        return _line("conventions", "red", title, f"{rules} {text}")
    if not found:
        return _line("conventions", "amber", title, f"{rules} Others were not tried.")
    return _line("conventions", found["state"], title, f"{rules} {found['sentence']}")


def _sample(backtest: Backtest) -> Line:
    title, returns = "Length of the sample", metrics.returns_of(np.array(backtest.equity, dtype=float))
    needed, have = metrics.minimum_track_record(returns), len(returns)
    if backtest.standing.leak:
        text = f"{_count(have)} returns; no number of them says anything of a run that knows the future."
        return _line("sample", "amber", title, text)
    if math.isnan(needed):
        state = "grey" if metrics.sharpe_ratio(returns) <= 0 else "amber"
        return _line("sample", state, title, "Its Sharpe ratio is not above 0, and no length would make it so.")
    if have >= needed:
        text = f"{_count(have)} returns; {_count(needed)} are enough to be 95 % sure of a Sharpe ratio above 0."
        return _line("sample", "green", title, text)
    text = f"{_count(have)} returns, but {_count(needed)} are needed to be 95 % sure of a Sharpe ratio above 0."
    return _line("sample", "amber", title, text)


def _verified(backtest: Backtest) -> Line:
    if not backtest.standing.verified:
        state = "amber" if backtest.conventions.get("sample") else "red"
        return _line("verified", state, "Verified", backtest.standing.said)
    companion = backtest.checks.get("companion") or {"state": "grey", "sentence": NOT_MADE_AGAIN}
    again, answer = _made_again(backtest.run.verification)
    theirs = copied.left_to_the_library(backtest.conventions) or backtest.conventions.get("unlogged", "")
    replayed = "The site has replayed its fills over its own bars: the same equity."
    said = [replayed, theirs, companion["sentence"], again]
    doubted = theirs or answer in verdicts.ALARMING or companion["state"] not in NO_DOUBT
    return _line("verified", "amber" if doubted else companion["state"], "Verified", " ".join(filter(None, said)))


def _made_again(kept: dict[str, Any]) -> tuple[str, str]:
    """What making the run again gave, as a sentence and as a key of verdicts.ANSWERS; empty before."""
    last = verdicts.answered(kept)
    if last.get("answer") not in verdicts.ANSWERS:
        return "", ""
    return f"Made again on {last['at'][:10]}: {verdicts.ANSWERS[last['answer']].lower()}.", last["answer"]


def _share(value: float) -> str:
    return f"{min(value, 0.999) * 100:.1f}\u00a0%" if value < 0.999 else "over 99.9\u00a0%"


def _count(value: float) -> str:
    return f"{math.ceil(value):,}".replace(",", "\u202f")
