// What can a backtest claim? Draws the box of nine lines, as the server does.

import type { Claims } from "./events";
import { icon, make } from "./page";

const ICONS = { grey: "info", green: "shield-check", blue: "clock", amber: "circle-help", red: "triangle-alert" };

export function claimsBox(claims: Claims): HTMLElement {
  const { state, text } = claims.summary;
  const leak = claims.lines.find((line) => line.key === "lookahead" && line.state === "red");
  return make("details", { id: `claims-${claims.backtest}`, class: `claims claims--${state}`, "data-state": state, "data-claims": String(claims.backtest), "data-looks-ahead": leak?.text ?? null, open: state === "red" ? "" : null },
    make("summary", {}, make("span", { class: "claims__badge" }, icon(ICONS[state]), text), make("span", {}, "What this result can claim")),
    make("ol", {}, ...claims.lines.map((line) =>
      make("li", { class: `claims__line claims__line--${line.state}` }, make("a", { href: line.link }, line.title),
        make("span", { class: "claims__state" }, line.word), make("p", {}, line.text)))));
}
