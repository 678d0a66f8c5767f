made = models.rates.Curve(0.045, -0.025, 0.015, 1.8, 0.0)
back = models.rates.nelson_siegel([0.25, 0.5, 1, 2, 3, 5, 7, 10, 20, 30], made([0.25, 0.5, 1, 2, 3, 5, 7, 10, 20, 30]))
assert abs(back.tau - 1.8) < 1e-4 and back.rmse < 1e-9
assert double.rmse <= simple.rmse + 1e-12
