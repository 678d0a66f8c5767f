"""Market making with inventory.

Avellaneda and Stoikov (2008): a dealer quotes about a price that moves away from the inventory, so that what is held is
sold again soon. The market here is the paper's: a random walk, orders that come more rarely the further a quote lies.
"""

import numpy as np
import pandas as pd
from qfp import chart, models, param, show, table

gamma = param("gamma", 0.1, 0.01, 1.0, step=0.01, label="Risk aversion")
sessions = param("sessions", 1000, 100, 5000, step=100, label="Sessions")

# %% One session: the quotes lean against the inventory
minding = models.market_making.simulate(sessions=sessions, risk_aversion=gamma, seed=2)
one = pd.DataFrame({"mid price": minding.mid, "bid": minding.bids, "ask": minding.asks}, index=minding.times)
show(chart(one, title="Quotes through one session", x_title="time"))
show(chart(x=minding.times, y={"shares held": minding.inventory}, title="Inventory", x_title="time"))

# %% Many sessions, with and without minding the inventory
ignoring = models.market_making.simulate(sessions=sessions, risk_aversion=gamma, about="mid", seed=2)
result = pd.DataFrame({
    name: {"profit": run.profits.mean(), "its deviation": run.profits.std(), "profit / deviation": run.profits.mean() / run.profits.std(),
           "deviation of the last inventory": run.inventories.std()}
    for name, run in {"about the reservation price": minding, "about the mid price": ignoring}.items()
})  # fmt: skip
show(table(result.round(2), caption=f"{sessions:,} sessions"))
low, high = min(minding.profits.min(), ignoring.profits.min()), max(minding.profits.max(), ignoring.profits.max())
bins = np.linspace(low, high, 50)
show(chart(
    x=(bins[:-1] + bins[1:]) / 2,
    y={name: np.histogram(run.profits, bins)[0] for name, run in {"minding": minding, "ignoring": ignoring}.items()},
    kind="bar", title="Profits of the sessions", x_title="profit",
))  # fmt: skip

# %% More fear, less risk, less profit
fear = [0.01, 0.05, 0.1, 0.2, 0.5, 1.0]
runs = [models.market_making.simulate(sessions=300, risk_aversion=g, seed=3) for g in fear]
show(table(pd.DataFrame({
    "profit": [run.profits.mean() for run in runs], "its deviation": [run.profits.std() for run in runs],
    "spread at the start": [models.market_making.optimal_spread(g, 2.0, 1.5, 1.0) for g in fear],
}, index=pd.Index(fear, name="risk aversion")).round(2)))  # fmt: skip
