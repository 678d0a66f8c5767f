# Hull, Options, Futures, and Other Derivatives: American put with 500 steps, European one with five
assert abs(models.trees.crr("put", 50, 50, 0.1, 0.4, 0.4166666666666667, steps=500) - 4.283021276450367) < 1e-8
assert abs(models.trees.crr("put", 50, 50, 0.1, 0.4, 0.4166666666666667, steps=5, style="european") - 4.319018716515818) < 1e-8
assert abs(values[0][0] - models.trees.crr("put", spot, strike, rate, sigma, years, steps=steps)) < 1e-10
assert abs(european[-1] - exact) < 0.03
assert all(later <= sooner + 1e-6 for sooner, later in zip(boundary, boundary[1:]))
