# He and Litterman (1999), tables 2 and 4, printed to one decimal of a percent
assert np.allclose(100 * found.equilibrium, [3.9, 6.9, 8.4, 9.0, 4.3, 6.8, 7.6], atol=0.051)
assert np.allclose(100 * found.weights, [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6], atol=0.06)
silent = models.allocation.black_litterman(covariance, market, [pick], [pick @ found.equilibrium], tau=tau)
assert np.allclose(silent.weights_prior, market, atol=1e-9)
