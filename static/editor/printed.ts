/** What do libraries print by definitions of their own, and what is said of it beside the figures? */
import type { Figure } from "./events";

export const PRINTED_STATS = /^Sharpe Ratio\s+[-\d.n]/m;
export const PRINTED_SHARPE = /sharpe/i;
export const OF_BACKTRADER = "A Sharpe ratio that an analyser of backtrader prints is of returns of calendar years, less 1 % each, unless the program says otherwise; the one here is of all bars, with nothing taken off.";
const OF_BACKTESTING = "The table in the console is by the definitions of backtesting.py: its Sharpe Ratio and Volatility (Ann.) are compounded, its Exposure Time leaves out trades that are open at the end";
/** Rows of that table which are often the same, with the figure that stands for each, what makes it one of the table's digits, and why they differ. */
const OFTEN_THE_SAME: [row: RegExp, key: string, factor: number, why: string][] = [
  [/^CAGR \[%\]\s+(-?[\d.]+)/m, "cagr", 100, "its CAGR counts days of the calendar, not bars"],
  [/^# Trades\s+(\d+)/m, "trades", 1, "its # Trades and Win Rate are of the trades that the strategy closed, here they are counted from the fills, oldest entry closed first"],
];

/** What differs in the printed table, and of the rows that are often the same those that are not, as far as digits shown tell. */
export function ofBacktesting(printed: string, figures: Figure[]): string {
  const others = OFTEN_THE_SAME.filter(([row, key, factor]) => {
    const told = row.exec(printed)?.[1], ours = figures.find((figure) => figure.key === key)?.value;
    return told != null && ours != null && Number(told).toFixed(1) !== (ours * factor).toFixed(1);
  });
  return `${[OF_BACKTESTING, ...others.map(([, , , why]) => why)].join("; ")}.`;
}
