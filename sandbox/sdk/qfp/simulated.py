"""How are the prices of many paths walked at once? As machine code for sixteen pairs of paths, by LLVM.

Every step draws the numbers that numpy's generator would draw, makes normal ones of them (Box and Muller 1958) and lets
the paths grow. Numbers, order and precision are those of numpy's way in montecarlo.py. Logarithm, sine, cosine and
exponential are the polynomials of Cephes (Moshier), single precision, so results differ in its last digits.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

__all__ = ["machine_code", "walk"]

LANES = 16
FLOATS, WORDS = f"<{LANES} x float>", f"<{LANES} x i32>"
LOG = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
       2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)  # fmt: skip
SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
EXPONENTIAL = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
LOG2_HIGH, LOG2_LOW = 0.693359375, -2.12194440e-4  # their sum is log 2; products with the first are exact
ROUND = 12_582_912.0  # 1.5 * 2^23: added to a small number, it leaves the nearest whole one in the last bits


def walk(generator: Any, paths: int, adds: Sequence[float], deviation: float) -> Any:
    """(sums, logs) of paths: `Y = Q (a + Y)` over all steps, a from adds and Q = exp(z), and the sum of a step's number
    times its z; None where there is no machine code to be had.

    generator: of SFC64, between two draws of 64 bits; it is left as if it had drawn the numbers itself.
    """
    import numpy as np

    function = machine_code()
    if function is None:
        return None
    half = (paths + 1) // 2
    room = -(-half // LANES) * LANES
    state = generator.bit_generator.state
    words = np.array(state["state"]["state"], np.uint64)
    draws, sums, logs = np.empty(room, np.uint64), np.zeros(2 * room, np.float32), np.zeros(2 * room, np.float32)
    added = np.array(adds, np.float32)
    places = (array.ctypes.data for array in (words, draws, sums, logs, added))
    function(*places, len(added), half, room, -2 * deviation**2)
    state["state"]["state"] = words
    generator.bit_generator.state = state
    if half == room:
        return sums[:paths], logs[:paths]
    parts = ((one[:half], one[room : room + paths - half]) for one in (sums, logs))
    return tuple(np.concatenate(part) for part in parts)


@cache
def machine_code() -> Any:
    """The function, made when first asked for; what is forked after that has it, too. None where it cannot be had."""
    try:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
        )
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(_Text().of()), machine)
        engine.finalize_object()
    except Exception:  # not installed, or memory must not become executable here
        return None
    place, whole = ctypes.c_void_p, ctypes.c_int64
    made = ctypes.CFUNCTYPE(None, *[place] * 5, *[whole] * 3, ctypes.c_float)(engine.get_function_address("walk"))
    return partial(_with, engine, made)


def _with(engine: Any, function: Any, *arguments: Any) -> None:
    """Call a function of an engine; its code lives as long as the engine."""
    function(*arguments)


class _Text:
    """The function in LLVM's words."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def let(self, what: str) -> str:
        """An instruction's value."""
        name = f"%x{len(self.lines)}"
        self.lines.append(f"  {name} = {what}")
        return name

    def all(self, number: float | int) -> str:
        """The same constant in every lane."""
        if isinstance(number, int):
            return f"splat (i32 {number})"
        # LLVM wants to be told the exact number: in single precision, written as one of double precision.
        return f"splat (float 0x{struct.pack('>d', ctypes.c_float(number).value).hex()})"

    def floats(self, operation: str, one: str, other: str) -> str:
        return self.let(f"f{operation} {FLOATS} {one}, {other}")

    def words(self, operation: str, one: str, other: str) -> str:
        return self.let(f"{operation} {WORDS} {one}, {other}")

    def product(self, one: str, other: str, more: str) -> str:
        """one * other + more, rounded once where the processor can."""
        function = f"@llvm.fmuladd.v{LANES}f32"
        return self.let(f"call {FLOATS} {function}({FLOATS} {one}, {FLOATS} {other}, {FLOATS} {more})")

    def polynomial(self, x: str, factors: Sequence[float]) -> str:
        found = self.all(factors[0])
        for factor in factors[1:]:
            found = self.product(found, x, self.all(factor))
        return found

    def as_words(self, x: str) -> str:
        return self.let(f"bitcast {FLOATS} {x} to {WORDS}")

    def as_floats(self, x: str) -> str:
        return self.let(f"bitcast {WORDS} {x} to {FLOATS}")

    def logarithm(self, x: str) -> str:
        """Of numbers above 0."""
        bits = self.as_words(x)
        power = self.words("ashr", self.words("sub", bits, self.all(0x3F3504F3)), self.all(23))  # of 2, nearest to x
        rest = self.as_floats(self.words("sub", bits, self.words("shl", power, self.all(23))))
        f = self.floats("sub", rest, self.all(1.0))
        exponent = self.let(f"sitofp {WORDS} {power} to {FLOATS}")
        square = self.floats("mul", f, f)
        tail = self.floats("mul", self.floats("mul", square, f), self.polynomial(f, LOG))
        tail = self.product(exponent, self.all(LOG2_LOW), tail)
        tail = self.product(square, self.all(-0.5), tail)
        return self.product(exponent, self.all(LOG2_HIGH), self.floats("add", f, tail))

    def exponential(self, x: str) -> str:
        rounded = self.product(x, self.all(1.4426950408889634), self.all(ROUND))
        power = self.floats("sub", rounded, self.all(ROUND))
        rest = self.product(power, self.all(-LOG2_HIGH), x)
        rest = self.product(power, self.all(-LOG2_LOW), rest)
        tail = self.product(self.polynomial(rest, EXPONENTIAL), self.floats("mul", rest, rest), rest)
        scale = self.words("add", self.words("shl", self.as_words(rounded), self.all(23)), self.all(127 << 23))
        return self.floats("mul", self.floats("add", tail, self.all(1.0)), self.as_floats(scale))

    def sine_and_cosine(self, turns: str) -> tuple[str, str]:
        """Of an angle in 2^24ths of a full turn."""
        quarter = self.words("lshr", self.words("add", turns, self.all(1 << 21)), self.all(22))
        rest = self.words("sub", turns, self.words("shl", quarter, self.all(22)))
        x = self.floats("mul", self.let(f"sitofp {WORDS} {rest} to {FLOATS}"), self.all(6.283185307179586 / (1 << 24)))
        square = self.floats("mul", x, x)
        sine = self.product(self.floats("mul", square, self.polynomial(square, SINE)), x, x)
        tail = self.product(self.polynomial(square, COSINE), square, self.all(-0.5))
        cosine = self.product(tail, square, self.all(1.0))
        odd = self.let(f"trunc {WORDS} {quarter} to <{LANES} x i1>")
        bits = []
        for at, (even_one, odd_one) in enumerate(((sine, cosine), (cosine, sine))):
            chosen = self.let(f"select <{LANES} x i1> {odd}, {FLOATS} {odd_one}, {FLOATS} {even_one}")
            turned = self.words("and", self.words("add", quarter, self.all(at)), self.all(2))
            sign = self.words("shl", turned, self.all(30))
            bits.append(self.as_floats(self.words("xor", self.as_words(chosen), sign)))
        return bits[0], bits[1]

    def loaded(self, kind: str, table: str, at: str) -> tuple[str, str]:
        """Sixteen numbers of a table, and their place."""
        place = self.let(f"getelementptr inbounds i32, ptr {table}, i64 {at}")
        return self.let(f"load {kind}, ptr {place}, align 4"), place

    def every(self, kind: str, one: str) -> str:
        """A variable in every lane."""
        first = self.let(f"insertelement <{LANES} x {kind}> poison, {kind} {one}, i64 0")
        nobody = f"<{LANES} x i32> zeroinitializer"
        return self.let(f"shufflevector <{LANES} x {kind}> {first}, <{LANES} x {kind}> poison, {nobody}")

    def drawn(self) -> None:
        """SFC64 (Doty-Humphrey), as numpy has it: `half` numbers of 64 bits."""
        old = [f"%s{at}" for at in range(4)]
        number = self.let(f"add i64 {self.let(f'add i64 {old[0]}, {old[1]}')}, {old[3]}")
        place = self.let("getelementptr inbounds i64, ptr %draws, i64 %draw")
        self.lines.append(f"  store i64 {number}, ptr {place}, align 8")
        self.lines.append(f"  %n0 = xor i64 {old[1]}, {self.let(f'lshr i64 {old[1]}, 11')}")
        self.lines.append(f"  %n1 = add i64 {old[2]}, {self.let(f'shl i64 {old[2]}, 3')}")
        turned = self.let(f"call i64 @llvm.fshl.i64(i64 {old[2]}, i64 {old[2]}, i64 24)")
        self.lines += [f"  %n2 = add i64 {turned}, {number}", f"  %n3 = add i64 {old[3]}, 1"]

    def grown(self, width: str, add: str, weight: str) -> None:
        """Sixteen pairs of paths grow by one step."""
        radius, _ = self.loaded(WORDS, "%draws", "%pair")
        angle, _ = self.loaded(WORDS, "%draws", self.let("add i64 %pair, %half"))
        uniform = self.let(f"uitofp {WORDS} {self.words('lshr', radius, self.all(8))} to {FLOATS}")
        # From (0, 1], of which there is a logarithm.
        uniform = self.product(uniform, self.all(-(0.5**24)), self.all(1.0))
        radius = self.floats("mul", self.logarithm(uniform), width)
        radius = self.let(f"call {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS} {radius})")
        sine, cosine = self.sine_and_cosine(self.words("lshr", angle, self.all(8)))
        for at, share in (("%pair", cosine), (self.let("add i64 %pair, %room"), sine)):
            z = self.floats("mul", radius, share)
            before, place = self.loaded(FLOATS, "%sums", at)
            after = self.floats("mul", self.floats("add", before, add), self.exponential(z))
            self.lines.append(f"  store {FLOATS} {after}, ptr {place}, align 4")
            before, place = self.loaded(FLOATS, "%logs", at)
            after = self.product(z, weight, before)
            self.lines.append(f"  store {FLOATS} {after}, ptr {place}, align 4")

    def of(self) -> str:
        """All of it."""
        state = [f"%w{at}" for at in range(4)]
        self.lines.append(
            "define void @walk(ptr noalias %words, ptr noalias %draws, ptr noalias %sums, ptr noalias %logs,"
            " ptr noalias %adds, i64 %steps, i64 %half, i64 %room, float %width) {\nentry:"
        )
        for at in range(4):
            self.lines.append(f"  %p{at} = getelementptr inbounds i64, ptr %words, i64 {at}")
            self.lines.append(f"  {state[at]} = load i64, ptr %p{at}, align 8")
        wide = self.every("float", "%width")
        self.lines += ["  br label %step", "step:", "  %number = phi i64 [0, %entry], [%next, %stepped]"]
        self.lines += [f"  %t{at} = phi i64 [{state[at]}, %entry], [%n{at}, %stepped]" for at in range(4)]
        self.lines += ["  br label %drawing", "drawing:", "  %draw = phi i64 [0, %step], [%draws_so_far, %drawing]"]
        self.lines += [f"  %s{at} = phi i64 [%t{at}, %step], [%n{at}, %drawing]" for at in range(4)]
        self.drawn()
        self.lines += ["  %draws_so_far = add i64 %draw, 1", "  %enough = icmp eq i64 %draws_so_far, %half"]
        self.lines += ["  br i1 %enough, label %drawn, label %drawing", "drawn:", "  %next = add i64 %number, 1"]
        place = self.let("getelementptr inbounds float, ptr %adds, i64 %number")
        add = self.every("float", self.let(f"load float, ptr {place}, align 4"))
        weight = self.every("float", self.let("uitofp i64 %next to float"))
        self.lines += ["  br label %growing", "growing:", "  %pair = phi i64 [0, %drawn], [%pairs, %growing]"]
        self.grown(wide, add, weight)
        self.lines += [f"  %pairs = add i64 %pair, {LANES}", "  %all = icmp uge i64 %pairs, %half"]
        self.lines += ["  br i1 %all, label %stepped, label %growing", "stepped:"]
        self.lines += ["  %last = icmp eq i64 %next, %steps", "  br i1 %last, label %end, label %step", "end:"]
        self.lines += [f"  store i64 %n{at}, ptr %p{at}, align 8" for at in range(4)]
        self.lines += ["  ret void", "}"]
        self.lines.append(f"declare {FLOATS} @llvm.fmuladd.v{LANES}f32({FLOATS}, {FLOATS}, {FLOATS})")
        self.lines.append(f"declare {FLOATS} @llvm.sqrt.v{LANES}f32({FLOATS})")
        self.lines.append("declare i64 @llvm.fshl.i64(i64, i64, i64)")
        return "\n".join(self.lines)
