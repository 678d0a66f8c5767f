"""A machine-learning signal with purged cross-validation.

A forest predicts whether a share rises over the next twenty days. The labels of neighbouring days share nineteen of
these twenty days, so a random fold trains on the answers of its test. Purged folds leave such days out (Lopez de Prado 2018).
"""

import numpy as np
import pandas as pd
from qfp import chart, data, metrics, models, param, progress, show, table
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import KFold

symbol = param("symbol", "JPM", choices=["JPM", "XOM", "KO", "HD", "WMT"], label="Share")
horizon = param("horizon", 20, 1, 60, step=1, label="Days ahead")
trees = param("trees", 15, 5, 200, step=5, label="Trees")

# %% What is known at each close, and what came after it
close = data.panel([symbol], "2004-01-01", "2019-12-31")[symbol].dropna()
move = close.pct_change()
known = pd.DataFrame({
    "return, 5 days": close.pct_change(5), "return, 20 days": close.pct_change(20),
    "return, 120 days": close.pct_change(120), "volatility, 20 days": move.rolling(20).std(),
    "volatility, 120 days": move.rolling(120).std(), "from the high of a year": close / close.rolling(250).max() - 1,
})  # fmt: skip
ahead = close.shift(-horizon) / close - 1
rows = known.notna().all(axis=1) & ahead.notna()
features, label, after = known[rows], (ahead[rows] > 0).to_numpy(), ahead[rows]
print(f"{len(features):,} days; {label.mean():.0%} of them were followed by a rise")


# %% The same forest, three ways to test it
def accuracy(folds):
    right, total = 0, 0
    for train, test in folds:
        forest = RandomForestClassifier(trees, min_samples_leaf=5, max_features=2, random_state=0)
        forest.fit(features.iloc[train], label[train])
        right += (forest.predict(features.iloc[test]) == label[test]).sum()
        total += len(test)
    return right / total


count = len(features)
ways = {
    "random folds": KFold(4, shuffle=True, random_state=0).split(features),
    "folds in order": KFold(4).split(features),
    "purged, with embargo": models.cross_validation.purged_folds(count, 4, horizon=horizon, embargo=0.01),
}
scores = {name: accuracy(folds) for name, folds in progress(list(ways.items()), label="Testing")}
scores["always say up"] = label.mean()
show(chart(x=list(scores), y={"right, %": [100 * score for score in scores.values()]}, kind="bar", title="Right predictions, %"))
show(table(pd.DataFrame({"right": scores}).round(3), caption="What random folds add is leaked, not learnt"))

# %% The signal as it could have been traded: every two years predicted by the years before them, purged
signal = pd.Series(0.0, features.index)
for year in range(2008, 2020, 2):
    start = int(features.index.searchsorted(pd.Timestamp(f"{year}-01-01")))
    train = np.arange(max(0, start - horizon))  # their labels end before these years begin
    test = np.flatnonzero(features.index.year // 2 == year // 2)
    forest = RandomForestClassifier(trees, min_samples_leaf=5, max_features=2, random_state=0)
    forest.fit(features.iloc[train], label[train])
    signal.iloc[test] = (forest.predict_proba(features.iloc[test])[:, 1] > 0.5).astype(float)
traded = signal.loc["2008":]
result = pd.DataFrame({
    "signal": traded.shift(1) * move[traded.index] - 0.0005 * traded.diff().abs().shift(1), "hold": move[traded.index]
}).fillna(0.0)  # fmt: skip
show(chart((1 + result).cumprod(), title="Growth of 1, costs included"))
print(f"Sharpe ratio: signal {metrics.sharpe_ratio(result['signal']):.2f}, holding {metrics.sharpe_ratio(result['hold']):.2f}")
