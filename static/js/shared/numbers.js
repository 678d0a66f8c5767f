// Numbers as figures and tables write them: a point, thin spaces that do not break, and a real minus sign.

/** @param {number | null | undefined} value @param {number} digits @param {string} [unit] */
export function written(value, digits, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "";
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  const text = Math.abs(value).toLocaleString("en-US", options).replaceAll(",", "\u202f");
  return `${value < 0 && /[1-9]/.test(text) ? "\u2212" : ""}${text}${unit}`;
}
