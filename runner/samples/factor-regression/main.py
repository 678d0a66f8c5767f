"""CAPM and Fama-French.

Sharpe (1964): what a return owes to the market is its beta; Fama and French (1993) add size and value. What is left is
alpha. Standard errors are those of Newey and West, which forgive months that resemble their neighbours.
"""

import pandas as pd
from qfp import chart, data, param, regression, show, table

lags = param("lags", 4, 0, 24, step=1, label="Lags of Newey and West, months")
years = param("years", 5, 2, 15, step=1, label="Years of a rolling beta")

# %% Twelve industries and the factors, monthly
factors = data.factors("carhart4")
industries = data.factors("industries12")
industries = industries.drop(columns=[name for name in industries if name in factors])
both = industries.join(factors, how="inner")
excess = industries.sub(factors["rf"], axis=0).loc[both.index]
market = ["mkt_rf"]
three = ["mkt_rf", "smb", "hml"]


# %% One regression for each industry, by market alone and by three factors
def summary(model, names):
    row = {"alpha a year, %": 100 * model.annual_alpha.value, "t of alpha": model["alpha"].t}
    row.update({name: model[name].value for name in names})
    return {**row, "explained": model.r_squared}


fits = {
    label: {
        name: regression.factor_model(excess[name], both[names], lags=lags, periods_per_year=12)
        for name in excess
    }
    for label, names in {"CAPM": market, "three factors": three}.items()
}
capm = pd.DataFrame({name: summary(fit, market) for name, fit in fits["CAPM"].items()}).T
fama = pd.DataFrame({name: summary(fit, three) for name, fit in fits["three factors"].items()}).T
show(table(capm.round(2), caption=f"CAPM, {both.index[0]:%Y} to {both.index[-1]:%Y}, monthly"))
show(table(fama.round(2), caption="Fama and French's three factors"))

# %% Does beta earn what the CAPM says?
line = pd.DataFrame({"beta": capm["mkt_rf"], "mean": 1200 * excess.mean()}).sort_values("beta")
figure = chart(x=line["beta"], y={"industries": line["mean"]}, kind="points",
               title="Mean excess return against beta, % a year", x_title="beta", y_title="% a year")  # fmt: skip
figure.data += chart(x=line["beta"], y={"CAPM": line["beta"] * 1200 * both["mkt_rf"].mean()}).data
figure.layout["showlegend"] = True
show(figure)

# %% Betas move
window = 12 * years
moving = pd.DataFrame({
    name: excess[name].rolling(window).cov(both["mkt_rf"]) / both["mkt_rf"].rolling(window).var()
    for name in (line.index[0], line.index[-1])
}).dropna()  # fmt: skip
show(chart(moving, title=f"Beta over {years} years"))
several = int((capm["t of alpha"].abs() > 2).sum())
print(f"{several} of {len(capm)} alphas lie more than two standard errors from 0; with {len(capm)} tests one may by luck.")
