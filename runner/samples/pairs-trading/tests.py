# What it came to when it was last looked at; the data are pinned, so another figure is another program
assert len(pair.trades) == 52
assert abs(pair.equity.iloc[-1] / 93052.16977403844 - 1) < 1e-9
assert abs(pair.metrics["sharpe"] / -0.19597804078275266 - 1) < 1e-9

# As much short as long, to one in a hundred, whenever it opens
money = pair.fills["size"] * pair.fills["price"]
opened = [side for _, side in money.groupby(pair.fills["bar"].to_numpy())][::2]
assert len(opened) == 26 and all(len(side) == 2 and abs(side.sum()) < 0.01 * side.abs().sum() for side in opened)
