assert abs(parity.risk_shares - 1 / len(names)).max() < 1e-9
assert book["risk parity"].std() < book["equal weights"].std()
