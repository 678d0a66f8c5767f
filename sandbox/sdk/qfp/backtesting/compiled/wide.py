"""How does machine code look at eight bars at once? The loop over those bars on which a condition holds.

    for bar in bars(start, stop, back, quiet, condition):

visits every bar from `start` to before `stop`; while `quiet` is true it leaves out those on which the condition is
false. The condition is of columns at `bar` or up to `back` bars before, and of what does not change meanwhile.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfp.backtesting.compiled.emission import _Function

__all__ = ["Wide"]

BARS = 8
WIDE = {"int": f"<{BARS} x i64>", "float": f"<{BARS} x double>", "bool": f"<{BARS} x i1>"}
OPERATIONS: dict[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}


class Wide:
    """Instructions on eight numbers at once, in a function being translated."""

    def __init__(self, function: _Function) -> None:
        self.function = function
        self.at = ""  # the first of the eight bars
        self.fixed: dict[str, tuple[str, str]] = {}  # what does not change, eight times, by its text

    def on_bars(self, node: ast.For) -> None:
        f = self.function
        assert isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call)
        begin, stop, back, quiet, condition = node.iter.args
        first, last = (f.convert(*f.expression(one), "int") for one in (begin, stop))
        assert isinstance(back, ast.Constant) and isinstance(back.value, int)
        f.count += 1
        counter = f"%n{f.count}"
        f.variables[counter] = ("int", counter)
        _, place = f.variables.setdefault(node.target.id, ("int", f"%v.{node.target.id}"))
        names = ("test", "look", "room", "wide", "on", "found", "rest", "inside", "onward", "after")
        test, look, room, wide, on, found, rest, inside, onward, after = (f.label(name) for name in names)
        f.emit(f"store i64 {first}, ptr {counter}")
        f.begin(test)
        at = f.value(f"load i64, ptr {counter}")
        f.end(f"br i1 {f.value(f'icmp slt i64 {at}, {last}')}, label %{look}, label %{after}")
        f.begin(look)
        early = f.value(f"icmp slt i64 {at}, {back.value}")
        still = f.value(f"select i1 {early}, i1 false, i1 {f.condition(quiet)}")
        prepared = f.label("prepared")
        f.end(f"br i1 {still}, label %{prepared}, label %{inside}")
        f.begin(prepared)
        self.prepare(condition)
        f.end(f"br label %{room}")
        f.begin(room)
        self.at = f.value(f"load i64, ptr {counter}")
        beyond = f.value(f"add i64 {self.at}, {BARS}")
        f.end(f"br i1 {f.value(f'icmp sle i64 {beyond}, {last}')}, label %{wide}, label %{rest}")
        f.begin(wide)
        holds = f.value(f"bitcast {WIDE['bool']} {self.truth(condition)} to i{BARS}")
        f.end(f"br i1 {f.value(f'icmp eq i{BARS} {holds}, 0')}, label %{on}, label %{found}")
        f.begin(on)
        f.emit(f"store i64 {beyond}, ptr {counter}")
        f.end(f"br label %{room}")
        f.begin(found)
        skipped = f.value(
            f"zext i{BARS} {f.value(f'call i{BARS} @llvm.cttz.i{BARS}(i{BARS} {holds}, i1 true)')} to i64"
        )
        f.emit(f"store i64 {f.value(f'add i64 {self.at}, {skipped}')}, ptr {counter}")
        f.end(f"br label %{inside}")
        f.begin(rest)
        left = f.value(f"icmp slt i64 {self.at}, {last}")
        f.end(f"br i1 {left}, label %{inside}, label %{after}")
        f.begin(inside)
        now = f.value(f"load i64, ptr {counter}")
        f.emit(f"store i64 {now}, ptr {place}")
        f.loops.append((onward, after))
        f.body(node.body)
        f.loops.pop()
        f.begin(onward)
        f.emit(f"store i64 {f.value(f'add i64 {now}, 1')}, ptr {counter}")
        f.end(f"br label %{test}")
        f.begin(after)

    def prepare(self, node: ast.AST) -> None:
        """Eight copies of every part that does not change, before the eight bars are looked at again and again."""
        if isinstance(node, ast.expr) and not isinstance(node, ast.Constant) and not changes(node):
            value, kind = self.function.expression(node)
            self.fixed[ast.unparse(node)] = (self.copies(value, kind), kind)
            return
        for one in ast.iter_child_nodes(node):
            if not isinstance(node, ast.Subscript):
                self.prepare(one)

    def copies(self, value: str, kind: str) -> str:
        scalar = WIDE[kind].split()[-1][:-1]
        one = self.function.value(f"insertelement {WIDE[kind]} poison, {scalar} {value}, i64 0")
        return self.function.value(
            f"shufflevector {WIDE[kind]} {one}, {WIDE[kind]} poison, <{BARS} x i32> zeroinitializer"
        )

    def truth(self, node: ast.expr) -> str:
        return self.converted(*self.wide(node), "bool")

    def wide(self, node: ast.expr) -> tuple[str, str]:
        """(eight values, their type)."""
        f = self.function
        text = ast.unparse(node)
        if text in self.fixed:
            return self.fixed[text]
        if isinstance(node, ast.Constant):
            value, kind = f.of_constant(node)
            scalar = WIDE[kind].split()[-1][:-1]
            return f"<{', '.join([f'{scalar} {value}'] * BARS)}>", kind
        if isinstance(node, ast.Subscript):
            return self.column(node)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                ones = f"<{', '.join(['i1 true'] * BARS)}>"
                return f.value(f"xor {WIDE['bool']} {self.truth(node.operand)}, {ones}"), "bool"
            value, kind = self.wide(node.operand)
            return f.value(f"fneg {WIDE[kind]} {self.converted(value, kind, 'float')}"), "float"
        if isinstance(node, ast.BoolOp):
            word = "and" if isinstance(node.op, ast.And) else "or"
            held = self.truth(node.values[0])
            for one in node.values[1:]:
                held = f.value(f"{word} {WIDE['bool']} {held}, {self.truth(one)}")
            return held, "bool"
        if isinstance(node, ast.BinOp):
            left, right, kind = self.pair(node.left, node.right)
            word = OPERATIONS[type(node.op)]
            return f.value(f"{'f' if kind == 'float' else ''}{word} {WIDE[kind]} {left}, {right}"), kind
        if isinstance(node, ast.Call):  # float()
            return self.converted(*self.wide(node.args[0]), "float"), "float"
        assert isinstance(node, ast.Compare)
        left, right, kind = self.pair(node.left, node.comparators[0])
        whole, floating = f.compared(node.ops[0])
        how = f"fcmp {floating}" if kind == "float" else f"icmp {whole}"
        return f.value(f"{how} {WIDE[kind]} {left}, {right}"), "bool"

    def pair(self, left: ast.expr, right: ast.expr) -> tuple[str, str, str]:
        one, kind = self.wide(left)
        two, other = self.wide(right)
        wanted = "float" if "float" in (kind, other) else ("int" if "int" in (kind, other) else "bool")
        return self.converted(one, kind, wanted), self.converted(two, other, wanted), wanted

    def converted(self, value: str, kind: str, wanted: str) -> str:
        f = self.function
        if kind == wanted:
            return value
        if wanted == "bool":
            how = "fcmp une" if kind == "float" else "icmp ne"
            return f.value(f"{how} {WIDE[kind]} {value}, zeroinitializer")
        if kind == "bool":
            word = "zext" if wanted == "int" else "uitofp"
            return f.value(f"{word} {WIDE[kind]} {value} to {WIDE[wanted]}")
        assert (kind, wanted) == ("int", "float")
        return f.value(f"sitofp {WIDE[kind]} {value} to {WIDE[wanted]}")

    def column(self, node: ast.Subscript) -> tuple[str, str]:
        f = self.function
        column, kind = f.expression(node.value)
        at = self.at
        if isinstance(node.slice, ast.BinOp):
            assert isinstance(node.slice.right, ast.Constant) and isinstance(node.slice.right.value, int)
            at = f.value(f"sub i64 {at}, {node.slice.right.value}")
        place = f.value(f"getelementptr i64, ptr {column}, i64 {at}")
        found = kind[5:-1]  # list[...]
        return f.value(f"load {WIDE[found]}, ptr {place}, align 8"), found


def changes(node: ast.AST) -> bool:
    """Whether it is of the bar that is looked at."""
    return any(isinstance(one, ast.Subscript) for one in ast.walk(node))
