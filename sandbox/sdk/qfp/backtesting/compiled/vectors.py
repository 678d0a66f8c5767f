"""Which words of the machine's language take several values of a column at once, or ask for one early?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfp.backtesting.compiled.emission import _Function

__all__ = ["VECTORS", "Vectors"]

# Word -> type of its answer.
VECTORS = {
    "both16": "int",
    "either16": "int",
    "shifted16": "int",
    "all_below16": "bool",
    "least16": "float",
    "scaled8": "int",
    "look_ahead": "int",
    "products128": "int",
}
EIGHT = "<8 x double>"
SIXTEEN = "<16 x i64>"


class Vectors:
    """Instructions on several floats at once, in a function being translated."""

    def __init__(self, function: _Function) -> None:
        self.function = function

    def answer(self, name: str, values: list[tuple[str, str]]) -> str:
        """The value of a word, of these registers and numbers."""
        found: str = getattr(self, name)(*(value for value, _ in values))
        return found

    def place(self, column: str, at: str, more: int = 0) -> str:
        if more:
            at = self.function.value(f"add i64 {at}, {more}")
        return self.function.value(f"getelementptr i64, ptr {column}, i64 {at}")

    def load(self, column: str, at: str, more: int = 0, kind: str = EIGHT) -> str:
        return self.function.value(f"load {kind}, ptr {self.place(column, at, more)}, align 8")

    def store(self, value: str, column: str, at: str) -> None:
        self.function.emit(f"store {EIGHT} {value}, ptr {self.place(column, at)}, align 8")

    def copies(self, value: str, count: int = 8) -> str:
        kind = f"<{count} x double>"
        one = self.function.value(f"insertelement {kind} poison, double {value}, i64 0")
        return self.function.value(f"shufflevector {kind} {one}, {kind} poison, <{count} x i32> zeroinitializer")

    def of(self, word: str, left: str, right: str) -> str:
        return self.function.value(f"{word} {EIGHT} {left}, {right}")

    def all_below16(self, column: str, at: str, limit: str) -> str:
        values = self.load(column, at, kind="<16 x double>")
        below = self.function.value(f"fcmp olt <16 x double> {values}, {self.copies(limit, 16)}")
        return self.function.value(f"icmp eq i16 {self.function.value(f'bitcast <16 x i1> {below} to i16')}, -1")

    def least16(self, column: str, at: str, start: str) -> str:
        values = self.load(column, at, kind="<16 x double>")
        least = self.function.value(f"call nnan double @llvm.vector.reduce.fmin.v16f64(<16 x double> {values})")
        less = self.function.value(f"fcmp olt double {least}, {start}")
        return self.function.value(f"select i1 {less}, double {least}, double {start}")

    def both16(self, column: str, one: str, other: str, to: str) -> str:
        return self.joined16("and", column, one, other, to)

    def either16(self, column: str, one: str, other: str, to: str) -> str:
        return self.joined16("or", column, one, other, to)

    def joined16(self, word: str, column: str, one: str, other: str, to: str) -> str:
        left, right = (self.load(column, at, kind=SIXTEEN) for at in (one, other))
        found = self.function.value(f"{word} {SIXTEEN} {left}, {right}")
        self.function.emit(f"store {SIXTEEN} {found}, ptr {self.place(column, to)}, align 8")
        return "0"

    def shifted16(self, column: str, one: str, count: str, to: str) -> str:
        parts = []
        for word, more, bits in (("shl", 0, count), ("lshr", -1, self.function.value(f"sub i64 64, {count}"))):
            first = self.function.value(f"insertelement {SIXTEEN} poison, i64 {bits}, i64 0")
            all_ = self.function.value(f"shufflevector {SIXTEEN} {first}, {SIXTEEN} poison, <16 x i32> zeroinitializer")
            parts.append(self.function.value(f"{word} {SIXTEEN} {self.load(column, one, more, SIXTEEN)}, {all_}"))
        found = self.function.value(f"or {SIXTEEN} {parts[0]}, {parts[1]}")
        self.function.emit(f"store {SIXTEEN} {found}, ptr {self.place(column, to)}, align 8")
        return "0"

    def scaled8(self, column: str, at: str, factor: str, less: str, more: str, out: str, to: str) -> str:
        scaled = self.of("fmul", self.load(column, at), self.copies(factor))
        lessened = self.of("fsub", scaled, self.copies(less))
        self.store(self.of("fadd", lessened, self.copies(more)), out, to)
        return "0"

    def look_ahead(self, column: str, at: str) -> str:
        self.function.emit(f"call void @llvm.prefetch.p0(ptr {self.place(column, at)}, i32 0, i32 3, i32 1)")
        return "0"

    def products128(
        self, own: str, market: str, at: str, own_mean: str, mean: str, together: str, alone: str, to: str
    ) -> str:
        means, sums = (self.copies(own_mean), self.copies(mean)), list[str]()
        for more in range(0, 128, 8):
            far = []
            for column, usual in zip((own, market), means, strict=True):
                step = self.of("fsub", self.load(column, at, more + 1), self.load(column, at, more))
                far.append(self.of("fsub", step, usual))
            found = [self.of("fmul", one, far[1]) for one in far]
            sums = [self.of("fadd", *pair) for pair in zip(sums, found, strict=True)] if sums else found
        for lanes, column in zip(sums, (together, alone), strict=True):
            self.function.emit(f"store double {self.sum8(lanes)}, ptr {self.place(column, to)}")
        return "0"

    def sum8(self, lanes: str) -> str:
        parts = [self.function.value(f"extractelement {EIGHT} {lanes}, i64 {lane}") for lane in range(8)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.function.value(f"fadd double {one}, {other}") for one, other in pairs]
        return parts[0]
