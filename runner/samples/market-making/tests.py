# Avellaneda and Stoikov (2008), table 1, risk aversion 0.1: profit 62.94 with deviation 5.89, against 67.21 with 13.43
assert abs(minding.profits.mean() - 64) < 3 and abs(minding.profits.std() - 6.2) < 1
assert ignoring.profits.std() > 1.7 * minding.profits.std()
