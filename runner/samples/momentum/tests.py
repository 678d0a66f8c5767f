# What it came to when it was last looked at; the data are pinned, so another figure is another program
assert len(result.trades) == 42
assert abs(result.equity.iloc[-1] / 430915.57451935305 - 1) < 1e-9
assert abs(result.metrics["sharpe"] / 1.4145780774099153 - 1) < 1e-9
