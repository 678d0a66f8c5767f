"""How are averages over several windows made in one pass? As LLVM's text, a window in each lane of a vector.

An average is a chain of sums each of which waits for the one before it; several chains side by side take no longer
than one. Every lane does, operation by operation, what moving_average() of passes.py does with a column in which no
value has a minus or is missing; of other columns no averages are made here.
"""

from __future__ import annotations

from qfp.backtesting.compiled.emission import PREFIX

__all__ = ["LANES", "SIGNATURE", "averages"]

LANES = (2, 8)  # windows at once
SIGNATURE = (["list[float]", "int", "list[int]", "list[int]", "int"], "int")

FUNCTION = """
define i64 @{prefix}moving_averages{lanes}(ptr %values, i64 %count, ptr %windows, ptr %outs, i64 %longest) nounwind {{
entry:
  %windows.all = load {whole}, ptr %windows, align 8
  %windows.real = sitofp {whole} %windows.all to {real}
{places}
  %few = icmp slt i64 %count, %longest
  %full.at = select i1 %few, i64 %count, i64 %longest
  %first = load double, ptr %values
  br label %early
{early}
{late}
done:
  ret i64 0
unfit:
  ret i64 -1
}}"""
PLACES = """  %window{k} = extractelement {whole} %windows.all, i64 {k}
  %outs{k} = getelementptr ptr, ptr %outs, i64 {k}
  %out{k} = load ptr, ptr %outs{k}"""
# 9218868437227405312: the bits of what is infinite; those of smaller numbers without a minus are below.
LOOP = """{n}:
  %{n}.bar = phi i64 [ {bar}, %{before} ], [ %{n}.onward, %{n}.fit ]
  %{n}.total = phi {real} [ {total}, %{before} ], [ %{n}.entered, %{n}.fit ]
  %{n}.adding = phi {real} [ {adding}, %{before} ], [ %{n}.adding.lost, %{n}.fit ]
  %{n}.removing = phi {real} [ {removing}, %{before} ], [ %{n}.removing.lost, %{n}.fit ]
  %{n}.last = phi double [ {last}, %{before} ], [ %{n}.value, %{n}.fit ]
  %{n}.alike = phi i64 [ {alike}, %{before} ], [ %{n}.alike.now, %{n}.fit ]
  %{n}.going = icmp slt i64 %{n}.bar, {end}
  br i1 %{n}.going, label %{n}.look, label %{after}
{n}.look:
  %{n}.place = getelementptr double, ptr %values, i64 %{n}.bar
  %{n}.value = load double, ptr %{n}.place
  %{n}.bits = bitcast double %{n}.value to i64
  %{n}.usual = icmp ult i64 %{n}.bits, 9218868437227405312
  br i1 %{n}.usual, label %{n}.fit, label %unfit
{n}.fit:
  %{n}.value.one = insertelement {real} poison, double %{n}.value, i64 0
  %{n}.new = shufflevector {real} %{n}.value.one, {real} poison, <{lanes} x i32> zeroinitializer
{leaving}
  %{n}.minus = fneg {real} %{n}.old{lanes}
  %{n}.out = fsub {real} %{n}.minus, %{n}.removing
  %{n}.left = fadd {real} %{n}.total, %{n}.out
  %{n}.left.more = fsub {real} %{n}.left, %{n}.total
  %{n}.removing.lost = fsub {real} %{n}.left.more, %{n}.out
  %{n}.in = fsub {real} %{n}.new, %{n}.adding
  %{n}.entered = fadd {real} %{n}.left, %{n}.in
  %{n}.entered.more = fsub {real} %{n}.entered, %{n}.left
  %{n}.adding.lost = fsub {real} %{n}.entered.more, %{n}.in
  %{n}.mean = fdiv {real} %{n}.entered, %windows.real
  %{n}.below = fcmp olt {real} %{n}.mean, zeroinitializer
  %{n}.not.below = select <{lanes} x i1> %{n}.below, {real} zeroinitializer, {real} %{n}.mean
  %{n}.same = fcmp oeq double %{n}.value, %{n}.last
  %{n}.alike.more = add i64 %{n}.alike, 1
  %{n}.alike.now = select i1 %{n}.same, i64 %{n}.alike.more, i64 1
  %{n}.alike.one = insertelement {whole} poison, i64 %{n}.alike.now, i64 0
  %{n}.alike.all = shufflevector {whole} %{n}.alike.one, {whole} poison, <{lanes} x i32> zeroinitializer
  %{n}.equal = icmp sge {whole} %{n}.alike.all, %windows.all
  %{n}.known = select <{lanes} x i1> %{n}.equal, {real} %{n}.new, {real} %{n}.not.below
  %{n}.onward = add i64 %{n}.bar, 1
  %{n}.onward.one = insertelement {whole} poison, i64 %{n}.onward, i64 0
  %{n}.onward.all = shufflevector {whole} %{n}.onward.one, {whole} poison, <{lanes} x i32> zeroinitializer
  %{n}.short = icmp slt {whole} %{n}.onward.all, %windows.all
  %{n}.found = select <{lanes} x i1> %{n}.short, {real} <{missing}>, {real} %{n}.known
{writing}
  br label %{n}"""
# Before a window is full nothing leaves it; to take 0.0 away changes neither the sum nor what rounding took.
LEAVING_EARLY = """  %{n}.back{k} = sub i64 %{n}.bar, %window{k}
  %{n}.there{k} = getelementptr double, ptr %values, i64 %{n}.back{k}
  %{n}.full{k} = icmp sge i64 %{n}.back{k}, 0
  %{n}.from{k} = select i1 %{n}.full{k}, ptr %{n}.there{k}, ptr @{prefix}nothing
  %{n}.leaves{k} = load double, ptr %{n}.from{k}
  %{n}.old{next} = insertelement {real} {so_far}, double %{n}.leaves{k}, i64 {k}"""
LEAVING_LATE = """  %{n}.back{k} = sub i64 %{n}.bar, %window{k}
  %{n}.there{k} = getelementptr double, ptr %values, i64 %{n}.back{k}
  %{n}.leaves{k} = load double, ptr %{n}.there{k}
  %{n}.old{next} = insertelement {real} {so_far}, double %{n}.leaves{k}, i64 {k}"""
WRITING = """  %{n}.mean{k} = extractelement {real} %{n}.found, i64 {k}
  %{n}.to{k} = getelementptr double, ptr %out{k}, i64 %{n}.bar
  store double %{n}.mean{k}, ptr %{n}.to{k}"""


def averages() -> str:
    """Functions moving_averages2(values, count, windows, outs, longest) and moving_averages8(). windows: one for each
    lane. outs: where the averages of each go. longest: of the windows. They fail at a value that has a minus or is
    missing.
    """
    return "\n".join([f"@{PREFIX}nothing = private constant double 0.0", *map(_function, LANES)])


def _function(lanes: int) -> str:
    words = {
        "prefix": PREFIX,
        "lanes": str(lanes),
        "whole": f"<{lanes} x i64>",
        "real": f"<{lanes} x double>",
        "missing": ", ".join(["double 0x7FF8000000000000"] * lanes),  # the NaN that pandas writes
    }
    begun = {"bar": "0", "alike": "0", "last": "%first"}
    begun |= dict.fromkeys(("total", "adding", "removing"), "zeroinitializer")
    carried = {name: f"%early.{name}" for name in begun}
    early = {"before": "entry", "after": "late", "end": "%full.at", **begun}
    late = {"before": "early", "after": "done", "end": "%count", **carried}
    return FUNCTION.format(
        **words,
        places=_by_lane(PLACES, lanes, words, ""),
        early=_loop("early", LEAVING_EARLY, lanes, words, early),
        late=_loop("late", LEAVING_LATE, lanes, words, late),
    )


def _loop(name: str, leaving: str, lanes: int, words: dict[str, str], its: dict[str, str]) -> str:
    parts = {"leaving": _by_lane(leaving, lanes, words, name), "writing": _by_lane(WRITING, lanes, words, name)}
    return LOOP.format(n=name, **words, **parts, **its)


def _by_lane(text: str, lanes: int, words: dict[str, str], name: str) -> str:
    return "\n".join(
        text.format(n=name, k=k, next=k + 1, so_far=f"%{name}.old{k}" if k else "poison", **words) for k in range(lanes)
    )
