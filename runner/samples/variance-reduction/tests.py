assert comparison["away from exact, errors"].abs().max() < 3
assert (comparison.loc[["antithetic", "control", "stratified"], "worth so many times the paths"] > 1.3).all()
# Fifty dates of exercise are worth a little less than continuous exercise; the rest is chance.
assert ((early["simulated"] - early["finite differences (printed)"]).abs() < 3 * early["standard error"] + 0.01).all()
