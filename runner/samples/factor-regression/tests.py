import numpy as np

# By ordinary least squares on the same rows
name = capm.index[0]
slope = np.polyfit(both["mkt_rf"], excess[name], 1)
assert abs(slope[0] - capm.loc[name, "mkt_rf"]) < 1e-8
assert abs(1200 * slope[1] - capm.loc[name, "alpha a year, %"]) < 1e-6
assert (fama["explained"] >= capm["explained"] - 1e-12).all()
