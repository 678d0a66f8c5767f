# What it came to when it was last looked at; the data are pinned, so another figure is another program
assert len(result.trades) == 49
assert abs(result.equity.iloc[-1] / 16690.03455233213 - 1) < 1e-9
assert abs(result.metrics["sharpe"] / 0.33952202798531284 - 1) < 1e-9
