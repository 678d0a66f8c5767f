"""What is a statement of next() in the machine's language? Assignments, conditions, loops."""

from __future__ import annotations

import ast

from qfp.backtesting.compiled.calls import Calls
from qfp.backtesting.compiled.expressions import NAMES
from qfp.backtesting.compiled.values import NUMBERS, Value, article, is_call_of, leaves


class Statements(Calls):
    """Statements: on_...() by kind of node, written as lines."""

    def body(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self.statement(node)

    def block(self, nodes: list[ast.stmt]) -> set[str]:
        """A deeper block; the variables that have a value after it."""
        before = set(self.known)
        self.depth += 1
        self.body(nodes)
        self.write("pass")
        self.depth -= 1
        after, self.known = self.known, before
        return after

    def statement(self, node: ast.stmt) -> None:
        method = getattr(self, f"on_{type(node).__name__.lower()}", None)
        if method is None:
            raise self.refuse(f"uses {NAMES.get(type(node), type(node).__name__)}", node)
        method(node)

    def on_pass(self, node: ast.Pass) -> None:
        pass

    def on_return(self, node: ast.Return) -> None:
        if self.scopes[-1].inlined:
            raise self.refuse("calls a function that returns from within", node)
        self.write("next_bar")

    def on_if(self, node: ast.If) -> None:
        self.write(f"if {self.truth(self.expression(node.test), node.test)}:")
        after = self.block(node.body)
        if leaves(node.body):
            after = None  # type: ignore[assignment]
        if node.orelse:
            self.write("else:")
            other = self.block(node.orelse)
            if not leaves(node.orelse):
                after = other if after is None else after & other
        elif after is not None:
            return
        if after is not None:
            self.known = after

    def on_continue(self, node: ast.Continue) -> None:
        self.write("continue")

    def on_break(self, node: ast.Break) -> None:
        self.write("break")

    def on_for(self, node: ast.For) -> None:
        if node.orelse or not isinstance(node.target, ast.Name):
            raise self.refuse("uses a loop with else, or over pairs,", node)
        walked = node.iter
        if is_call_of(walked, "list", "tuple") and len(walked.args) == 1:  # type: ignore[attr-defined]
            walked = walked.args[0]  # type: ignore[attr-defined]
        if is_call_of(walked, "range"):
            assert isinstance(walked, ast.Call)
            bounds = [self.number(self.expression(one), one) for one in walked.args]
            if any(kind != "int" for _, kind in bounds) or not 1 <= len(bounds) <= 2:
                raise self.refuse("uses range() with other than one or two whole numbers", node)
            place = self.place(node.target.id, "int")
            counter = self.temporary()
            self.write(f"for {counter} in range({', '.join(code for code, _ in bounds)}):")
            self.write(f"    {place} = {counter}")
        else:
            over = self.expression(walked)
            if over.kind not in ("trades", "orders", "closed_trades"):
                raise self.refuse(f"loops over {ast.unparse(walked)}", node)
            counter = self.temporary()
            place = self.place(node.target.id, "order" if over.kind == "orders" else "trade")
            if over.kind == "orders":
                if self.walking:
                    raise self.refuse("walks the orders within a walk of the orders", node)
                self.walking = True
                count = self.temporary()
                self.write(f"{count} = a.waiting")
                self.write(f"for {counter} in range({count}):")
                self.write(f"    a.walked[{counter}] = a.waits[{counter}]")
                self.write(f"for {counter} in range({count}):")
                self.write(f"    {place} = a.walked[{counter}]")
            else:
                count, column = ("a.open", "opened") if over.kind == "trades" else ("a.closed", "closed_ids")
                self.write(f"for {counter} in range({count}):")
                self.write(f"    {place} = a.{column}[{counter}]")
        before = set(self.known)
        self.known.add(place)
        self.block(node.body)
        self.known = before
        self.walking = False

    def on_expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        found = self.expression(node.value, statement=True)
        if found.kind in ("done", "order"):
            if found.code:
                self.write(f"must({found.code} >= 0)")
        elif found.kind in NUMBERS:
            self.write(f"{self.temporary()} = {found.code}")

    def on_annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.on_assign(ast.Assign(targets=[node.target], value=node.value, lineno=node.lineno))

    def on_assign(self, node: ast.Assign) -> None:
        if isinstance(node.value, ast.Tuple):
            values = [self.expression(one) for one in node.value.elts]
            for target in node.targets:
                if not isinstance(target, (ast.Tuple, ast.List)) or len(target.elts) != len(values):
                    raise self.refuse("keeps a tuple", node)
            kept = [self._kept(value) for value in values]
            for target in node.targets:
                for one, value in zip(target.elts, kept, strict=True):  # type: ignore[attr-defined]
                    self.assign(one, value)
            return
        value = self.expression(node.value)
        if len(node.targets) > 1:
            value = self._kept(value)
        for target in node.targets:
            self.assign(target, value)

    def _kept(self, value: Value) -> Value:
        """Evaluated now, whatever is set in between."""
        if value.kind not in (*NUMBERS, "optional", "trade"):
            return value
        name = self.temporary()
        self.write(f"{name} = {value.code}")
        return Value(value.kind, name)

    def on_augassign(self, node: ast.AugAssign) -> None:
        target = node.target
        before = ast.copy_location(
            ast.parse(ast.unparse(target), mode="eval").body,
            node,
        )
        ast.fix_missing_locations(before)
        self.assign(target, self.of_binop(ast.copy_location(ast.BinOp(before, node.op, node.value), node)))

    def assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            if value.kind in ("line", "thing", "trades", "orders", "closed_trades", "data", "position", "function"):
                name = self._variable(target.id)
                known = self.scopes[-1].names.get(target.id)
                if name in self.types or (known is not None and (known.path, known.kind) != (value.path, value.kind)):
                    raise self.refuse(f"keeps different things under {target.id}", target)
                self.scopes[-1].names[target.id] = value
                return
            if target.id in self.scopes[-1].names and self.scopes[-1].names[target.id].kind not in (*NUMBERS, "none"):
                raise self.refuse(f"keeps different things under {target.id}", target)
            self.scopes[-1].names.pop(target.id, None)
            value = self.scalar(value, target)
            place = self.place(target.id, value.kind)
            self.write(f"{place} = {self.as_type(value, self.types[place], target)}")
            self.known.add(place)
            return
        if isinstance(target, ast.Attribute):
            base = self.expression(target.value)
            if base.kind == "self":
                if target.attr not in self.set_attributes:
                    raise self.refuse(f"sets self.{target.attr} in a function of the library", target)
                value = self.scalar(value, target)
                if value.kind in ("trade", "order"):
                    raise self.refuse(f"keeps {article(value.kind)} in self.{target.attr}", target)
                name = f"s_{target.attr}"
                kind = self._typed(name, value.kind)
                self.write(f"{name} = {self.as_type(value, kind, target)}")
                self.known.add(name)
                return
            if base.kind == "trade" and target.attr in ("sl", "tp"):
                call = "decide_stop_loss" if target.attr == "sl" else "decide_take_profit"
                self.write(f"must({call}(a, {base.code}, {self.price(value, target)}) >= 0)")
                return
        raise self.refuse(f"sets {ast.unparse(target)}", target)
