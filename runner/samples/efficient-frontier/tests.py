assert best.sharpe >= max((point.mean - rate) / point.volatility for point in alone) - 1e-9
assert abs(best.weights.sum() - 1) < 1e-9 and best.weights.min() >= 0
assert all(wide.volatility <= narrow.volatility + 1e-9 for wide, narrow in zip(shorts, alone) if wide.mean >= narrow.mean)
