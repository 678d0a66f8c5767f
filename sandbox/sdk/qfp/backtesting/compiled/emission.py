"""How does typed Python become LLVM's text? Functions in the words of language.py, instruction by instruction; words
themselves in words.py and vectors.py.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from qfp.backtesting.compiled.vectors import VECTORS, Vectors
from qfp.backtesting.compiled.wide import Wide
from qfp.backtesting.compiled.words import DECLARED, literal, word

__all__ = ["PREFIX", "Cell", "Layout", "Source"]

LLVM_TYPES = {"int": "i64", "float": "double", "bool": "i1"}
BINARY = {
    ("int", ast.Add): "add",
    ("int", ast.Sub): "sub",
    ("int", ast.Mult): "mul",
    ("int", ast.LShift): "shl",
    ("int", ast.RShift): "lshr",
    ("int", ast.BitAnd): "and",
    ("int", ast.BitOr): "or",
    ("float", ast.Add): "fadd",
    ("float", ast.Sub): "fsub",
    ("float", ast.Mult): "fmul",
    ("float", ast.Div): "fdiv",
}
COMPARE: dict[type, tuple[str, str]] = {  # by integers, by floats (false for NaN, but for !=)
    ast.Eq: ("eq", "oeq"),
    ast.NotEq: ("ne", "une"),
    ast.Lt: ("slt", "olt"),
    ast.LtE: ("sle", "ole"),
    ast.Gt: ("sgt", "ogt"),
    ast.GtE: ("sge", "oge"),
}
PREFIX = "account_"  # so that no function is taken for one of the C library: remainder() is another there
INLINED = 150  # lines of LLVM's text: with fewer a function may become part of those that call it


@dataclass(frozen=True)
class Cell:
    """A place in every row of a table. table: the field with the place where the table begins; width: of a row."""

    kind: str
    table: str
    at: int
    width: int


class Layout:
    """Where things are in the record. fields: type by name, in order. cells: those of its tables, by name."""

    def __init__(self, record: ast.ClassDef) -> None:
        self.fields: dict[str, str] = {}
        tables: dict[str, dict[str, str]] = {}
        for node in record.body:
            if isinstance(node, ast.AnnAssign):
                name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
                if kind.startswith("row["):  # of the table declared before
                    tables.setdefault(next(reversed(self.fields)), {})[name] = kind[4:-1]
                else:
                    self.fields[name] = kind
        self.places = {name: number for number, name in enumerate(self.fields)}
        self.cells = {
            name: Cell(kind, table, at, len(row))
            for table, row in tables.items()
            for at, (name, kind) in enumerate(row.items())
        }
        self.widths = {table: len(row) for table, row in tables.items()}


class Source:
    """Functions in LLVM's text. layout: of the record. known: functions that exist elsewhere, by name: types of the
    arguments and of the answer.
    """

    def __init__(self, layout: Layout, known: dict[str, tuple[list[str], str]], constants: dict[str, Any]):
        self.layout, self.known, self.constants = layout, known, constants
        self.own: dict[str, tuple[list[str], str]] = {}
        self.text: list[str] = []
        self.called: set[str] = set()

    def add(self, functions: list[ast.FunctionDef]) -> None:
        """Translate these; they may call each other."""
        for function in functions:
            self.own[function.name] = (
                [ast.unparse(one.annotation) for one in function.args.args if one.annotation],
                ast.unparse(function.returns) if function.returns else "int",
            )
        self.text += [_Function(self, function).llvm() for function in functions]

    def llvm(self) -> str:
        """The whole text."""
        elsewhere = [
            f"declare {_llvm(answer)} @{PREFIX}{name}({', '.join(map(_llvm, types))})"
            for name, (types, answer) in self.known.items()
            if name in self.called
        ]
        text = "\n".join(self.text)
        declared = [line for line in DECLARED.splitlines() if f"{line[line.index('@') : line.index('(')]}(" in text]
        return "\n".join([*declared, *elsewhere, text])

    def signature(self, name: str) -> tuple[list[str], str] | None:
        return self.own.get(name) or self.known.get(name)


def _llvm(kind: str) -> str:
    return LLVM_TYPES.get(kind, "ptr")


class _Function:
    """One function being translated, into a list of lines."""

    def __init__(self, source: Source, node: ast.FunctionDef) -> None:
        self.source, self.node = source, node
        self.lines: list[str] = []
        self.variables: dict[str, tuple[str, str]] = {}  # name -> type, place
        self.count = 0
        self.ended = False  # the current block has its last instruction
        self.loops: list[tuple[str, str]] = []  # (continue, break)
        self.answer = ast.unparse(node.returns) if node.returns else "int"
        self.failing = False

    def llvm(self) -> str:
        arguments = []
        head: list[str] = []
        for one in self.node.args.args:
            kind = ast.unparse(one.annotation) if one.annotation else "int"
            # The record: no column that it points to is a part of it, so what was read stays read.
            alone = " noalias" if kind == "Account" else ""
            arguments.append(f"{_llvm(kind)}{alone} %arg.{one.arg}")
            self.variables[one.arg] = (kind, f"%v.{one.arg}")
            head.append(f"  store {_llvm(kind)} %arg.{one.arg}, ptr %v.{one.arg}")
        self.body(self.node.body)
        if not self.ended:
            self.emit(f"ret {_llvm(self.answer)} {'0' if self.answer == 'int' else '0.0'}")
        places = [f"  {place} = alloca {_llvm(kind)}" for kind, place in self.variables.values()]
        failed = ["failed:", "  ret i64 -1"] if self.failing else []
        lines = ["entry:", *places, *head, *self.lines, *failed, "}"]
        inlined = "alwaysinline " if len(lines) < INLINED else ""  # by compilers that were told to look at it
        opening = f"define {_llvm(self.answer)} @{PREFIX}{self.node.name}({', '.join(arguments)}) nounwind {inlined}{{"
        return "\n".join([opening, *lines])

    # Pieces -----------------------------------------------------------------------------------------------------

    def emit(self, line: str) -> None:
        self.lines.append("  " + line)

    def value(self, line: str) -> str:
        self.count += 1
        self.emit(f"%x{self.count} = {line}")
        return f"%x{self.count}"

    def label(self, word: str) -> str:
        self.count += 1
        return f"{word}{self.count}"

    def begin(self, label: str) -> None:
        if not self.ended:
            self.emit(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.ended = False

    def end(self, line: str) -> None:
        if not self.ended:
            self.emit(line)
        self.ended = True

    # Statements -------------------------------------------------------------------------------------------------

    def body(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if self.ended:
                return
            getattr(self, f"on_{type(node).__name__.lower()}")(node)

    def on_pass(self, node: ast.Pass) -> None:
        pass

    def on_return(self, node: ast.Return) -> None:
        assert node.value is not None
        value, kind = self.expression(node.value)
        self.end(f"ret {_llvm(self.answer)} {self.convert(value, kind, self.answer)}")

    def on_expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Name):  # next_bar: onward in the outermost loop
            assert node.value.id == "next_bar"
            self.end(f"br label %{self.loops[0][0]}")
        elif not isinstance(node.value, ast.Constant):  # a docstring
            self.expression(node.value)

    def on_assign(self, node: ast.Assign) -> None:
        value, kind = self.expression(node.value)
        for target in node.targets:
            self.store(target, value, kind)

    def on_annassign(self, node: ast.AnnAssign) -> None:
        assert isinstance(node.target, ast.Name) and node.value is not None
        value, kind = self.expression(node.value)
        wanted = ast.unparse(node.annotation)
        self.variables.setdefault(node.target.id, (wanted, f"%v.{node.target.id}"))
        self.store(node.target, value, kind)

    def store(self, target: ast.expr, value: str, kind: str) -> None:
        if isinstance(target, ast.Name):
            wanted, place = self.variables.setdefault(target.id, (kind, f"%v.{target.id}"))
        elif isinstance(target, ast.Attribute):
            wanted, place = self.field(target)
        else:
            assert isinstance(target, ast.Subscript)
            wanted, place = self.element(target)
        self.emit(f"store {_llvm(wanted)} {self.convert(value, kind, wanted)}, ptr {place}")

    def on_if(self, node: ast.If) -> None:
        yes, no, after = self.label("yes"), self.label("no"), self.label("after")
        self.end(f"br i1 {self.condition(node.test)}, label %{yes}, label %{no if node.orelse else after}")
        self.begin(yes)
        self.body(node.body)
        self.end(f"br label %{after}")
        if node.orelse:
            self.begin(no)
            self.body(node.orelse)
            self.end(f"br label %{after}")
        self.begin(after)

    def on_while(self, node: ast.While) -> None:
        test, inside, after = self.label("test"), self.label("inside"), self.label("after")
        self.begin(test)
        self.end(f"br i1 {self.condition(node.test)}, label %{inside}, label %{after}")
        self.begin(inside)
        self.loops.append((test, after))
        self.body(node.body)
        self.loops.pop()
        self.end(f"br label %{test}")
        self.begin(after)

    def on_for(self, node: ast.For) -> None:
        """for name in range(stop), range(start, stop), range(start, stop, step) with a constant step, bars(), or
        sifted(start, stop, next): onward to `next`, an expression of the name, every time.
        """
        assert isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Call)
        if isinstance(node.iter.func, ast.Name) and node.iter.func.id == "bars":
            Wide(self).on_bars(node)
            return
        sifted = node.iter.args[2] if ast.unparse(node.iter.func) == "sifted" else None
        bounds = [self.convert(*self.expression(one), "int") for one in node.iter.args[: 2 if sifted else None]]
        begin, stop = ("0", bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else "1"
        self.count += 1
        counter = f"%n{self.count}"
        self.variables[counter] = ("int", counter)
        _, place = self.variables.setdefault(node.target.id, ("int", f"%v.{node.target.id}"))
        test, inside, onward, after = (self.label(word) for word in ("test", "inside", "onward", "after"))
        self.emit(f"store i64 {begin}, ptr {counter}")
        self.begin(test)
        at = self.value(f"load i64, ptr {counter}")
        if sifted is not None:
            self.emit(f"store i64 {at}, ptr {place}")
            at = self.convert(*self.expression(sifted), "int")
        going = self.value(f"icmp {'sgt' if step.startswith('-') else 'slt'} i64 {at}, {stop}")
        self.end(f"br i1 {going}, label %{inside}, label %{after}")
        self.begin(inside)
        self.emit(f"store i64 {at}, ptr {place}")
        self.loops.append((onward, after))
        self.body(node.body)
        self.loops.pop()
        self.begin(onward)
        self.emit(f"store i64 {self.value(f'add i64 {at}, {step}')}, ptr {counter}")
        self.end(f"br label %{test}")
        self.begin(after)

    def on_continue(self, node: ast.Continue) -> None:
        self.end(f"br label %{self.loops[-1][0]}")

    def on_break(self, node: ast.Break) -> None:
        self.end(f"br label %{self.loops[-1][1]}")

    # Expressions ------------------------------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> tuple[str, str]:
        """(a register or a number, its type)."""
        found: tuple[str, str] = getattr(self, f"of_{type(node).__name__.lower()}")(node)
        return found

    def condition(self, node: ast.expr) -> str:
        return self.convert(*self.expression(node), "bool")

    def convert(self, value: str, kind: str, wanted: str) -> str:
        if kind == wanted or _llvm(wanted) == _llvm(kind) == "ptr":
            return value
        if (kind, wanted) == ("int", "float"):
            return self.value(f"sitofp i64 {value} to double")
        if (kind, wanted) == ("bool", "int"):
            return self.value(f"zext i1 {value} to i64")
        if (kind, wanted) == ("bool", "float"):
            return self.value(f"uitofp i1 {value} to double")
        if (kind, wanted) == ("int", "bool"):
            return self.value(f"icmp ne i64 {value}, 0")
        if (kind, wanted) == ("float", "bool"):
            return self.value(f"fcmp une double {value}, 0.0")
        raise TypeError(f"{kind} is no {wanted} in {self.node.name}()")

    def of_constant(self, node: ast.Constant) -> tuple[str, str]:
        if isinstance(node.value, bool):
            return str(node.value).lower(), "bool"
        if isinstance(node.value, int):
            return str(node.value), "int"
        assert isinstance(node.value, float)
        return literal(node.value), "float"

    def of_name(self, node: ast.Name) -> tuple[str, str]:
        if node.id not in self.variables:
            return self.of_constant(ast.Constant(self.source.constants[node.id]))
        kind, place = self.variables[node.id]
        return self.value(f"load {_llvm(kind)}, ptr {place}"), kind

    def field(self, node: ast.Attribute) -> tuple[str, str]:
        record, _ = self.expression(node.value)
        place = self.value(f"getelementptr i64, ptr {record}, i64 {self.source.layout.places[node.attr]}")
        return self.source.layout.fields[node.attr], place

    def of_attribute(self, node: ast.Attribute) -> tuple[str, str]:
        kind, place = self.field(node)
        return self.value(f"load {_llvm(kind)}, ptr {place}"), kind

    def element(self, node: ast.Subscript) -> tuple[str, str]:
        cell = self.source.layout.cells.get(node.value.attr) if isinstance(node.value, ast.Attribute) else None
        if cell is not None:
            assert isinstance(node.value, ast.Attribute)
            table, _ = self.of_attribute(ast.Attribute(node.value.value, cell.table, ast.Load()))
            row = self.value(f"mul i64 {self.convert(*self.expression(node.slice), 'int')}, {cell.width}")
            at = self.value(f"add i64 {row}, {cell.at}")
            return cell.kind, self.value(f"getelementptr i64, ptr {table}, i64 {at}")
        column, kind = self.expression(node.value)
        index = self.convert(*self.expression(node.slice), "int")
        return kind[5:-1], self.value(f"getelementptr i64, ptr {column}, i64 {index}")  # list[...]

    def of_subscript(self, node: ast.Subscript) -> tuple[str, str]:
        kind, place = self.element(node)
        return self.value(f"load {_llvm(kind)}, ptr {place}"), kind

    def of_namedexpr(self, node: ast.NamedExpr) -> tuple[str, str]:
        value, kind = self.expression(node.value)
        self.store(node.target, value, kind)
        return value, kind

    def of_unaryop(self, node: ast.UnaryOp) -> tuple[str, str]:
        if isinstance(node.op, ast.Not):
            return self.value(f"xor i1 {self.condition(node.operand)}, true"), "bool"
        if isinstance(node.operand, ast.Constant):
            return self.of_constant(ast.Constant(-node.operand.value))  # type: ignore[operator]
        value, kind = self.expression(node.operand)
        return self.value(f"fneg double {value}" if kind == "float" else f"sub i64 0, {value}"), kind

    def both(self, left: ast.expr, right: ast.expr) -> tuple[str, str, str]:
        one, kind = self.expression(left)
        two, other = self.expression(right)
        wanted = "float" if "float" in (kind, other) else ("int" if "int" in (kind, other) else "bool")
        return self.convert(one, kind, wanted), self.convert(two, other, wanted), wanted

    def of_binop(self, node: ast.BinOp) -> tuple[str, str]:
        left, right, kind = self.both(node.left, node.right)
        return self.value(f"{BINARY[kind, type(node.op)]} {_llvm(kind)} {left}, {right}"), kind

    def compared(self, how: ast.cmpop) -> tuple[str, str]:
        """The instruction's word for whole numbers, and for floats."""
        return COMPARE[type(how)]

    def of_compare(self, node: ast.Compare) -> tuple[str, str]:
        assert len(node.ops) == 1, "comparisons are not chained here"
        left, right, kind = self.both(node.left, node.comparators[0])
        whole, floating = self.compared(node.ops[0])
        how = f"fcmp {floating}" if kind == "float" else f"icmp {whole}"
        return self.value(f"{how} {_llvm(kind)} {left}, {right}"), "bool"

    def of_boolop(self, node: ast.BoolOp) -> tuple[str, str]:
        self.count += 1
        place = f"%b{self.count}"
        self.variables[place] = ("bool", place)
        after = self.label("after")
        for number, one in enumerate(node.values):
            value = self.condition(one)
            self.emit(f"store i1 {value}, ptr {place}")
            if number == len(node.values) - 1:
                break
            onward = self.label("onward")
            ways = (onward, after) if isinstance(node.op, ast.And) else (after, onward)
            self.end(f"br i1 {value}, label %{ways[0]}, label %{ways[1]}")
            self.begin(onward)
        self.begin(after)
        return self.value(f"load i1, ptr {place}"), "bool"

    def of_ifexp(self, node: ast.IfExp) -> tuple[str, str]:
        yes, no, after = self.label("yes"), self.label("no"), self.label("after")
        self.count += 1
        place = f"%c{self.count}"
        self.end(f"br i1 {self.condition(node.test)}, label %{yes}, label %{no}")
        self.begin(yes)
        value, kind = self.expression(node.body)
        self.variables[place] = (kind, place)
        self.emit(f"store {_llvm(kind)} {value}, ptr {place}")
        self.end(f"br label %{after}")
        self.begin(no)
        value, other = self.expression(node.orelse)
        self.emit(f"store {_llvm(kind)} {self.convert(value, other, kind)}, ptr {place}")
        self.end(f"br label %{after}")
        self.begin(after)
        return self.value(f"load {_llvm(kind)}, ptr {place}"), kind

    def of_call(self, node: ast.Call) -> tuple[str, str]:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name == "must":
            onward = self.label("onward")
            self.failing = True
            self.end(f"br i1 {self.condition(node.args[0])}, label %{onward}, label %failed")
            self.begin(onward)
            return self.expression(node.args[1]) if len(node.args) > 1 else ("0", "int")
        values = [self.expression(one) for one in node.args]
        if name == "then":  # one after the other; the last is the value
            return values[-1]
        signature = self.source.signature(name)
        if signature is not None:
            types, answer = signature
            self.source.called.add(name)
            given = [
                f"{_llvm(wanted)} {self.convert(value, kind, wanted)}"
                for (value, kind), wanted in zip(values, types, strict=True)
            ]
            return self.value(f"call {_llvm(answer)} @{PREFIX}{name}({', '.join(given)})"), answer
        if name in VECTORS:
            return Vectors(self).answer(name, values), VECTORS[name]
        return word(self, node, values)
