# Hull: two shares, 10 days, 99 %: 1.62 million. A coin that falls twice: value at risk is not subadditive.
assert abs(models.risk.portfolio([10e6, 5e6], [0.02, 0.01], [[1, 0.3], [0.3, 1]], level=0.99, periods=10) - 1620113.82) < 0.01
assert abs(models.risk.discrete([2, 11, 20], [0.9604, 0.0392, 0.0004], level=0.975).es - 11.144) < 1e-9
assert report.loc["normal", "days beyond it"] > report.loc["filtered historical", "days beyond it"]
