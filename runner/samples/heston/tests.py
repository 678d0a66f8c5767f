assert abs(simulated - formula) < 3 * error + 0.02  # the steps in time leave a small bias
# Fang and Oosterlee (2008), table 4: 5.785155435; Lewis (2000), put with strike 80: 7.958878113256745
fang = models.heston.Heston(0.0175, 1.5768, 0.0398, 0.5751, -0.5711)
assert abs(fang.price("call", 100, 100, 0.0, 1.0) - 5.7851554343762075) < 1e-7
lewis = models.heston.Heston(0.04, 4.0, 0.25, 1.0, -0.5)
assert abs(lewis.price("put", 100, 80, 0.01, 1.0, dividend=0.02) - 7.958878113256745) < 1e-7
