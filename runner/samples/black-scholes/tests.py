assert np.allclose(implied[~np.isnan(implied)], sigma, atol=1e-6)
assert abs(call_price(spot) - models.options.price("call", spot, strike, rate, sigma, years)) < 1e-10
assert abs(put_price(spot) - models.options.price("put", spot, strike, rate, sigma, years)) < 1e-10
# Hull, Options, Futures, and Other Derivatives, example 15.6: call 4.76, put 0.81; delta of a call, chapter 19: 0.522
assert abs(models.options.price("call", 42, 40, 0.10, 0.20, 0.5) - 4.759422392871532) < 1e-8
assert round(models.options.price("put", 42, 40, 0.10, 0.20, 0.5), 2) == 0.81
assert round(models.options.greeks("call", 49, 50, 0.05, 0.20, 20 / 52)["delta"], 3) == 0.522
