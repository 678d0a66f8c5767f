"""Which column is which? Names as exchanges, brokers and spreadsheets write them -> ours."""

from __future__ import annotations

import re
import unicodedata

# our name -> theirs, the surest first; letters and digits only, lower case, accents off
ALIASES = {
    "date": "datetime timestamp date day tradedate tradingdate tradingday datum fecha data periodo period dates time "
    "opentime opentimestamp unixtime unix observationdate asofdate bardate 日付 日期 dt",
    "open": "open openprice opening openingprice px_open pxopen o 1open eroffnung eroffnungskurs erster ouverture "
    "ouv apertura abertura 始値 开盘 开盘价",
    "high": "high highprice dayhigh pxhigh h 2high hoch hochst tageshoch haut plushaut maximo max 高値 最高 最高价",
    "low": "low lowprice daylow pxlow l 3low tief tiefst tagestief bas plusbas minimo min 安値 最低 最低价",
    "close": "close closeprice closing closingprice closelast pxlast c 4close schluss schlusskurs cloture clot "
    "ultimo cierre fechamento dernier last lastprice ltp lasttradedprice price settle settlement settlementprice "
    "settleprice kurs 終値 收盘 收盘价",
    "adj_close": "adjclose adjustedclose adjcloseprice closeadj adjusted adj 5adjustedclose",
    "volume": "volume vol v 5volume 6volume totaltradedquantity tottrdqty ttltrdqnty quantity qty tradedvolume "
    "sharestraded tickvolume tickvol volumen stuck stucke umsatz volumebtc volumeusdt 出来高 成交量",
    "vwap": "vwap averageprice avgprice",
    "open_interest": "openinterest openint oi opnint",
    "trades": "trades numberoftrades nooftrades tradecount count",
    "bid": "bid bidprice",
    "ask": "ask askprice offer",
    "dividend": "dividend dividends dividendamount 7dividendamount",
    "split": "split splits stocksplits splitcoefficient 8splitcoefficient",
    "symbol": "symbol ticker instrument tradingsymbol secid isin ric stock",
}
PRICES = ("open", "high", "low", "close", "adj_close", "vwap", "bid", "ask")
OURS = tuple(ALIASES)
TIME_OF_DAY = {"time", "hour", "zeit", "uhrzeit", "hora", "heure", "timeofday", "tradetime"}
_RANK = {alias: (name, place) for name, aliases in ALIASES.items() for place, alias in enumerate(aliases.split())}


def bare(name: str) -> str:
    """The name without case, accents, signs and blanks: "Close/Last*" -> "closelast"."""
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    return "".join(letter for letter in plain if letter.isalnum())


def own_name(name: str, number: int) -> str:
    """A name that code can type, for a column that is none of ours."""
    plain = unicodedata.normalize("NFKD", name.strip().lower())
    word = re.sub(r"[^a-z0-9]+", "_", plain.encode("ascii", "ignore").decode()).strip("_")[:40]
    if not word:
        return f"column_{number + 1}"
    return f"c_{word}" if word[0].isdigit() else word


def propose(names: list[str]) -> list[str]:
    """Our name for each column; where two would have the same, the surer one has it."""
    best: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(names):
        target, rank = _RANK.get(bare(name), ("", 0))
        if target and (target not in best or rank < best[target][0]):
            best[target] = (rank, number)
    chosen = {number: target for target, (_, number) in best.items()}
    used = set(chosen.values())
    result = []
    for number, name in enumerate(names):
        target = chosen.get(number) or own_name(name, number)
        base, again = target, 2
        while number not in chosen and target in used:
            target, again = f"{base}_{again}", again + 1
        used.add(target)
        result.append(target)
    return result
