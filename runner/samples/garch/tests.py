# The documentation of the arch package, S&P 500 1999 to 2018: mu 0.0564, omega 0.0175, alpha 0.1022, beta 0.8852
for got, printed in zip((model.mu, model.omega, model.alpha, model.beta), (0.0564, 0.0175, 0.1022, 0.8852)):
    assert abs(got - printed) < 1e-3
assert abs(model.log_likelihood + 6936.72) < 0.5
