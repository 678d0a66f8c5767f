"""The US Treasury curve, and when it was upside down.

Yields of the US Treasury, 1990 to 2017. An inverted curve (ten years below two) came before each recession of the time.
"""

from qfp import chart, data, show, table

curve = data.curve("ust")
print(f"{len(curve):,} days, {curve.index[0]:%Y-%m-%d} to {curve.index[-1]:%Y-%m-%d}, {curve.shape[1]} maturities")

# %% The slope
slope = (curve["10y"] - curve["2y"]).dropna() * 100
show(chart(slope.rename("10y minus 2y"), title="Ten-year less two-year yield, percentage points"))

# %% Days upside down, by year
inverted = slope[slope < 0].groupby(lambda day: day.year).count().rename("inverted days")
show(table(inverted.to_frame(), caption="Days with an inverted curve"))
