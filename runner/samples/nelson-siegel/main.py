"""Fitting the yield curve: Nelson and Siegel.

Nelson and Siegel (1987): a yield curve is a level, a slope and a hump. Svensson (1994) adds a second hump. Diebold and Li
(2006) read the three as factors that move through time.
"""

import numpy as np
import pandas as pd
from qfp import chart, data, models, param, show, table

day = param("day", "2007-02-27", label="Day of the curve")

# %% One day's curve
curve = data.curve("ust")
years = np.array([float(name[:-1]) / (12 if name.endswith("m") else 1) for name in curve.columns])
seen = 100 * curve.loc[:day].dropna(how="all").iloc[-1]
simple, double = models.rates.nelson_siegel(years, seen), models.rates.svensson(years, seen)
grid = np.linspace(0.1, 30, 150)
figure = chart(
    x=grid, y={"Nelson-Siegel": simple(grid), "Svensson": double(grid)},
    title=f"US Treasury yields on {seen.name:%d %B %Y}, %", x_title="years",
)  # fmt: skip
known = seen.notna().to_numpy()
figure.data += chart(x=years[known], y={"observed": seen[known].to_numpy()}, kind="points").data
show(figure)
show(table(
    pd.DataFrame({
        name: {"level": fit.beta0, "slope": fit.beta1, "curvature": fit.beta2, "tau, years": fit.tau,
               "second hump": fit.beta3, "error, basis points": 100 * fit.rmse}
        for name, fit in {"Nelson-Siegel": simple, "Svensson": double}.items()
    }).round(3),
    caption="The parameters of noisy yields are poorly identified: compare the errors first",
))  # fmt: skip

# %% Through the years: level, slope and curvature at each quarter's end, tau held at 1.37 years
quarters = 100 * curve.groupby(curve.index.to_period("Q")).last()
x = years / 1.37
load = np.column_stack([np.ones_like(x), -np.expm1(-x) / x, -np.expm1(-x) / x - np.exp(-x)])
factors = {}
for quarter, row in quarters.iterrows():
    there = row.notna().to_numpy()
    factors[quarter.to_timestamp(how="end").normalize()] = np.linalg.lstsq(load[there], row[there], rcond=None)[0]
history = pd.DataFrame(factors, index=["level", "slope (short less long)", "curvature"]).T
show(chart(history, title="Level, slope and curvature, percentage points"))
print(f"Level followed the ten-year yield with a correlation of {history['level'].corr(quarters['10y'].set_axis(history.index)):.2f}.")
