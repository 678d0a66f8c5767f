"""Honest backtests of programs drawn at random: orders of all kinds, withdrawn and moved, by all conventions."""

from __future__ import annotations

import contextlib
import io
import json
import random
import warnings
from typing import Any

from qfp import backtests, data
from qfp.backtesting import Strategy
from qfp.portfolio import Portfolio, PortfolioResult


def claim_of_one(seed: str, moving: bool = False, **fixed: Any) -> dict[str, Any]:
    """What a program with one instrument claims; see drawn()."""
    program, bars, options, original = drawn(seed, moving, **fixed)
    with _quietly():
        return _sent(backtests.backtest(program, bars, **options, **({"rules": "backtesting.py"} if original else {})))


def drawn(
    seed: str, moving: bool = False, base: type = Strategy, both: bool = False, outside: bool = False, **fixed: Any
) -> tuple[type, Any, dict[str, Any], bool]:
    """(strategy, bars, options, whether the rules are those of backtesting.py). moving: it also moves and drops stops
    and targets on most bars, of trades that are closed, too. base: its class, of one engine or the other.
    both: by the rules of backtesting.py, and nothing is moved with which that one breaks off. outside: with
    orders that these rules fill at prices that are not in their bar. fixed: options that are not drawn.
    """
    draw, moved = random.Random(seed), random.Random(f"{seed} moved")
    original, on_close = draw.random() < 0.5 or both, draw.random() < 0.25
    on_close = fixed.get("trade_on_close", on_close)
    kinds = ["market", "limit", "stop", "stop-limit"]
    sizes = draw.choice([[0.1, 0.3, 0.5, 0.95, 0.9999], [1, 3, 10, 50, 200]])
    orders_in_init = draw.random() < 0.25

    class Drawn(base):  # type: ignore[misc,valid-type]
        def init(self) -> None:
            if orders_in_init:
                self.place()

        def place(self) -> None:
            price, long, kind = self.data.Close[-1], draw.random() < 0.5, draw.choice(kinds)
            given: dict[str, float] = {
                name: price * draw.uniform(0.98, 1.02) for name in ("limit", "stop") if name in kind
            }
            if original and not outside and "stop" in given and (on_close or "limit" in given):
                del given["stop"]
            side, base, far = (1 if long else -1), next(iter(given.values()), price), draw.uniform(0.003, 0.06)
            if draw.random() < 0.4:
                given["sl"] = base * (1 - side * far) * (1 - side * 0.001)
            if draw.random() < 0.4:
                given["tp"] = base * (1 + side * far) * (1 + side * 0.06)
            with contextlib.suppress(ValueError):
                (self.buy if long else self.sell)(size=draw.choice(sizes), **given)

        def move(self) -> None:
            chance, price = moved.random(), self.data.Close[-1]
            trades = self.closed_trades[-3:] if chance > 0.9 and not both else self.trades
            for trade in trades:
                with contextlib.suppress(ValueError):  # a closed one has none that could be moved
                    self.move_of(trade, price, chance)
            if chance < 0.1:
                for order in self.orders[:2]:
                    order.cancel()

        def move_of(self, trade: Any, price: float, chance: float) -> None:
            side = 1 if trade.is_long else -1
            match moved.randrange(12):
                case 0:
                    trade.sl = price * (1 - side * moved.uniform(-0.004, 0.04))
                case 1:
                    trade.tp = price * (1 + side * moved.uniform(-0.004, 0.04))
                case 2:
                    trade.sl = max(trade.sl or 0, price * 0.99) if side > 0 else min(trade.sl or 1e9, price * 1.01)
                case 3:
                    trade.sl = None
                case 4:
                    trade.tp = None
                case 5 if chance < 0.3:
                    trade.close(moved.choice([0.2, 1.0]))
                case 6:
                    trade.sl, trade.tp = price * (1 - side * 0.02), price * (1 + side * 0.02)

        def next(self) -> None:
            if moving:
                self.move()
            chance, price = draw.random(), self.data.Close[-1]
            if chance < 0.15:
                self.place()
            elif chance < 0.17:
                self.place()
                self.place()
            elif chance < 0.22:
                self.position.close(draw.choice([1.0, 0.5, 0.3]))
            elif chance < 0.25 and self.orders:
                draw.choice(list(self.orders)).cancel()
            elif chance < 0.32 and self.trades:
                trade = draw.choice(list(self.trades))
                side = 1 if trade.is_long else -1
                if chance < 0.28:
                    trade.sl = price * (1 - 0.03 * side)
                elif chance < 0.3:
                    trade.tp = price * (1 + 0.04 * side)
                else:
                    trade.close(draw.choice([1.0, 0.5]))

    year = draw.choice([2005, 2007, 2009])
    bars = data.prices(draw.choice(["IBM", "GOOG", "AAPL", "MSFT"]), f"{year}-01-03", f"{year + 1}-06-30")
    options: dict[str, Any] = {
        "cash": draw.choice([1_000, 10_000, 100_000]),
        "commission": draw.choice([0.0, 0.001, 0.002, (5, 0.001), (1, 0.0), by_the_share]),
        "spread": draw.choice([0, 0, 0.0005, 0.002]),
        "margin": draw.choice([1, 1, 0.5, 0.1]),
        "trade_on_close": on_close,
        "hedging": draw.random() < 0.3,
        "exclusive_orders": draw.random() < 0.25,
        "finalize_trades": draw.random() < 0.7,
        **fixed,
    }
    return Drawn, bars, options, original


def by_the_share(size: float, price: float) -> float:
    return max(1.0, abs(size) * 0.01)


def claim_of_many(seed: str, **fixed: Any) -> dict[str, Any]:
    """What a program with several instruments claims. fixed: options that are not drawn."""
    draw = random.Random(seed)
    names = draw.sample(["IBM", "AAPL", "MSFT", "GOOG"], draw.randint(2, 4))
    adjust = draw.choice([None, "split"])
    frames = {name: data.prices(name, "2005-01-03", "2006-03-31", adjust=adjust) for name in names}
    if draw.random() < 0.3:
        frames[names[0]] = frames[names[0]].iloc[draw.randint(1, 120) :]
    short, waiting = draw.random() < 0.5, []
    options: dict[str, Any] = {
        "cash": draw.choice([2_000, 10_000, 100_000]),
        "fill": draw.choice(["next-open", "next-close", "next-average", "same-close"]),
        "commission": draw.choice([0.0, 0.001, (5, 0.001), by_the_share]),
        "spread": draw.choice([0, 0.001]),
        "slippage": draw.choice([0, 0.001]),
        "fractional": draw.random() < 0.5,
        "short": short,
        "leverage": draw.choice([1.0, 1.0, 2.0]),
        "borrow": draw.choice([0, 0.03]),
        "interest": draw.choice([0, 0.02]),
        "halted": draw.choice(["wait", "refuse"]),
        **fixed,
    }

    def on_bar(ctx: Any) -> None:
        chance, name = draw.random(), draw.choice(names)
        if chance < 0.1:
            for each in names:
                ctx.target(each, draw.uniform(-0.5 if short else 0, 1.2) / len(names))
        elif chance < 0.2:
            ctx.target(name, draw.uniform(0, 1.2))
        elif chance < 0.23:
            ctx.target_weights({name: draw.uniform(0, 1.1)})
        elif chance < 0.25:
            ctx.close(name)
        elif chance < 0.4 and ctx.price(name) == ctx.price(name):
            kind = draw.choice(["market", "limit", "stop", "stop-limit"])
            given = {each: ctx.price(name) * draw.uniform(0.98, 1.02) for each in ("limit", "stop") if each in kind}
            waiting.append(ctx.order(name, draw.choice([1, 5, 20, 100]) * draw.choice([1, -1]), **given))
        elif chance < 0.45 and waiting:
            waiting.pop(draw.randrange(len(waiting))).cancel()

    def weights(ctx: Any) -> dict[str, float]:
        return {each: draw.choice([0, draw.uniform(-0.5 if short else 0, 0.9) / len(names)]) for each in names}

    drawn: dict[str, Any] = {"on_bar": on_bar}
    if draw.random() < 0.3:
        drawn = {"weights": weights, "rebalance": draw.choice(["weekly", "monthly"])}
    with _quietly():
        return _sent(PortfolioResult("Drawn", Portfolio(frames, **options).run(**drawn), {}))


@contextlib.contextmanager
def _quietly() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sent(result: Any) -> dict[str, Any]:
    return json.loads(json.dumps(result.claim, allow_nan=False))
