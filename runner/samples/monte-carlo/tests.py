# Seeds are fixed, so a result within three standard errors stays there.
assert results["standard errors away"].abs().max() < 3
assert abs(price - models.asian.arithmetic("call", spot, strike, rate, sigma, 1.0, steps=days)) < 3 * error
# A down-and-out call watched on 50 days: Broadie, Glasserman and Kou (1997), table 2.1
assert abs(models.barriers.barrier_discrete("down-out", "call", 100, 100, 91, 0.1, 0.3, 0.2, observations=50) - 5.977) < 6e-4
