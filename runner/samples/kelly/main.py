"""How much to bet: Kelly.

Kelly (1956): bet the share that makes the logarithm of the capital grow fastest. More than that grows slower and falls
deeper; twice as much does not grow at all.
"""

import numpy as np
import pandas as pd
from qfp import chart, data, metrics, models, param, show, table

p = param("p", 0.55, 0.50, 0.80, step=0.01, label="Chance to win a bet")
share = param("share", 0.5, 0.1, 2.0, step=0.1, label="Part of the Kelly share")

# %% A coin that favours you: growth by the share that is bet
best = models.kelly.binary(p, 1.0)
bets = np.linspace(0, min(0.95, 3 * best + 0.02), 200)
growth = p * np.log1p(bets) + (1 - p) * np.log1p(-bets)
show(chart(x=100 * bets, y={"growth of a bet, %": 100 * growth}, title="Growth by the share that is bet", x_title="share, %"))
print(f"The Kelly share is {best:.0%}: growth {100 * growth.max():.2f} % a bet.")

# %% 500 bets, the same coin
rng = np.random.default_rng(5)
wins = np.where(rng.random(500) < p, 1.0, -1.0)
paths = {
    name: np.cumprod(1 + part * best * wins)
    for name, part in {f"{share:g} Kelly": share, "Kelly": 1.0, "twice Kelly": 2.0}.items()
    if part * best < 1
}
show(chart(x=range(1, 501), y=paths, title="Capital, from 1", x_title="bets", log=True))

# %% Shares: how much of the S&P 500?
returns = data.series("SPX")["close"].pct_change().dropna()
mean, volatility, rate = 252 * returns.mean(), returns.std() * np.sqrt(252), 0.02
whole = models.kelly.gaussian(mean, rate, volatility)
error = volatility / np.sqrt(len(returns) / 252)
show(table(
    pd.DataFrame({
        "if the mean return is": {"two errors lower": mean - 2 * error, "as measured": mean, "two errors higher": mean + 2 * error}
    }).assign(**{
        "Kelly share": lambda frame: [models.kelly.gaussian(m, rate, volatility).fraction for m in frame.iloc[:, 0]],
        "growth with the measured share": lambda frame: [
            rate + whole.fraction * (m - rate) - whole.fraction**2 * volatility**2 / 2 for m in frame.iloc[:, 0]
        ],
    }).round(3),
    caption=f"Twenty years tell the mean return to within ± {2 * error:.1%}: hence half of Kelly or less",
))  # fmt: skip

# %% What would have happened (without costs)
held = pd.DataFrame({
    f"{part:g} Kelly": (1 + rate / 252 + part * whole.fraction * (returns - rate / 252)).cumprod() for part in (0.5, 1.0, 2.0)
})  # fmt: skip
show(chart(held[::5], title=f"Growth of 1; the Kelly share in hindsight was {whole.fraction:.2f}", log=True))
show(table(pd.DataFrame({name: {"worst fall": metrics.max_drawdown(line)} for name, line in held.items()}).round(3)))
