"""Which instructions is a word of the machine's language? Those on one value; vectors.py has those on several."""

from __future__ import annotations

import ast
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfp.backtesting.compiled.emission import _Function

__all__ = ["DECLARED", "LIBRARY", "literal", "word"]

# Functions of one argument or two, in LLVM or the C library. Those of the library go by names of our own: LLVM knows
# what pow(x, 2) is and would put x * x, which is not always the same to the last bit.
LIBRARY = {"fmod": 2, "pow": 2, "exp": 1, "log": 1, "sin": 1, "cos": 1, "tan": 1, "log10": 1, "log2": 1, "atan": 1}
WORDS = {"less64": "olt", "at_most64": "ole", "equal64": "oeq", "unlike64": "une"}
INTRINSICS = {"rint": "roundeven", "floor": "floor", "ceiling": "ceil", "root": "sqrt", "truncated": "trunc"}
DECLARED = """declare double @llvm.fabs.f64(double)
declare double @llvm.copysign.f64(double, double)
declare double @llvm.roundeven.f64(double)
declare double @llvm.floor.f64(double)
declare double @llvm.ceil.f64(double)
declare double @llvm.trunc.f64(double)
declare double @llvm.sqrt.f64(double)
declare double @llvm.fma.f64(double, double, double)
declare double @llvm.vector.reduce.fmin.v16f64(<16 x double>)
declare i8 @llvm.cttz.i8(i8, i1)
declare i64 @llvm.cttz.i64(i64, i1)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare ptr @qfp_realloc(ptr, i64)
""" + "\n".join(f"declare double @qfp_{name}({', '.join(['double'] * count)})" for name, count in LIBRARY.items())


def literal(value: float) -> str:
    """A float as LLVM reads it back, to the last bit."""
    return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"


def word(function: _Function, node: ast.Call, values: list[tuple[str, str]]) -> tuple[str, str]:
    """(a register, its type) of what a word answers, in a function being translated. values: its arguments, at least
    one. Raises NameError where there is no such word.
    """
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    value, kind = values[0]
    if name == "resize":
        column = node.args[0].attr if isinstance(node.args[0], ast.Attribute) else ""
        size = function.value(f"mul i64 {values[1][0]}, {8 * function.source.layout.widths.get(column, 1)}")
        found = function.value(f"call ptr @qfp_realloc(ptr {value}, i64 {size})")
        onward = function.label("onward")
        function.failing = True
        function.end(f"br i1 {function.value(f'icmp ne ptr {found}, null')}, label %{onward}, label %failed")
        function.begin(onward)
        return found, kind
    if name == "whole":  # of a float without a fraction
        return function.value(f"fptosi double {value} to i64"), "int"
    if name == "column":  # an address as a column of floats, column_of_int of ints
        return function.value(f"inttoptr i64 {value} to ptr"), "list[float]"
    if name == "column_of_int":
        return function.value(f"inttoptr i64 {value} to ptr"), "list[int]"
    if name == "called":
        called = function.value(f"inttoptr i64 {values[0][0]} to ptr")
        return function.value(f"call i64 {called}(ptr {values[1][0]})"), "int"
    if name == "lowest_bit":
        return function.value(f"call i64 @llvm.cttz.i64(i64 {value}, i1 true)"), "int"
    if name in WORDS:
        places = [function.value(f"inttoptr i64 {one} to ptr") for one, _ in values]
        left, right = (function.value(f"load <64 x double>, ptr {place}, align 8") for place in places)
        compared = function.value(f"fcmp {WORDS[name]} <64 x double> {left}, {right}")
        return function.value(f"bitcast <64 x i1> {compared} to i64"), "int"
    if name == "bits":
        return function.value(f"bitcast double {value} to i64"), "int"
    if name == "from_bits":
        return function.value(f"bitcast i64 {value} to double"), "float"
    floats = [function.convert(value, kind, "float") for value, kind in values]
    passed = ", ".join(f"double {one}" for one in floats)
    if name == "absolute":
        return function.value(f"call double @llvm.fabs.f64({passed})"), "float"
    if name == "fused":
        return function.value(f"call double @llvm.fma.f64({passed})"), "float"
    if name == "is_finite":
        size = function.value(f"call double @llvm.fabs.f64({passed})")
        return function.value(f"fcmp olt double {size}, {literal(float('inf'))}"), "bool"
    if name == "float":
        return floats[0], "float"
    if name == "copysign":
        return function.value(f"call double @llvm.copysign.f64({passed})"), "float"
    if name in INTRINSICS:
        return function.value(f"call double @llvm.{INTRINSICS[name]}.f64({passed})"), "float"
    if name in LIBRARY:
        return function.value(f"call double @qfp_{name}({passed})"), "float"
    raise NameError(f"{name}() is not among the words of the language")
