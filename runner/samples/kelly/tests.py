# Thorp (2006): the S&P 500 with mean 11 %, rate 6 %, volatility 15 %: share 2.22, growth 11.56 %
thorp = models.kelly.gaussian(0.11, 0.06, 0.15)
assert abs(thorp.fraction - 2.2222222) < 1e-6 and abs(thorp.growth - 0.1155556) < 1e-6
assert abs(models.kelly.binary(0.6, 1) - 0.2) < 1e-12
assert abs(bets[growth.argmax()] - best) < bets[1]
