// Which values will the next run be given? Sliders and boxes beside Run, drawn from what the code declared.

import type { Param } from "./events";
import { find, jsonScript, make, need } from "./page";

export class ParamPanel {
  private readonly drawn = new Map<string, string>();
  private readonly list: HTMLElement;
  private readonly all: HTMLButtonElement | null;

  constructor(private readonly root: HTMLElement, private readonly changed: () => void) {
    this.list = find("[data-params]", root) ?? root;
    // The template drew plain boxes, which work without a script; here they get sliders and their kinds.
    this.list.replaceChildren();
    for (const param of jsonScript<Param[]>("params-declared") ?? []) {
      this.drawn.set(param.name, shapeOf(param));
      this.list.append(this.field(param, param.value ?? param.default));
    }
    // On a phone they are one row; pressed, all of them stand below each other.
    this.all = find<HTMLButtonElement>("[data-params-all]", root);
    this.all?.addEventListener("click", () => this.all?.setAttribute("aria-expanded", String(this.root.toggleAttribute("data-open"))));
    this.drawNumber();
  }

  private drawNumber(): void {
    this.root.hidden = this.drawn.size === 0;
    if (!this.all) return;
    this.all.hidden = this.drawn.size < 2;
    need("span", this.all).textContent = `All ${this.drawn.size}`;
  }

  /** A declaration heard from a run. What the person has set meanwhile stays. */
  declare(param: Param): void {
    if (!param.name || this.drawn.get(param.name) === shapeOf(param)) return;
    const before = this.list.querySelector<HTMLElement>(`[data-name="${CSS.escape(param.name)}"]`);
    const value = before && this.kindOf(before) === param.kind ? this.valueOf(before) : (param.value ?? param.default);
    const fresh = this.field(param, value);
    if (before) before.replaceWith(fresh);
    else this.list.append(fresh);
    this.drawn.set(param.name, shapeOf(param));
    this.drawNumber();
  }

  /** The code of the last finished run declared only these. */
  keepOnly(names: Set<string>): void {
    for (const field of this.list.querySelectorAll<HTMLElement>("[data-name]")) {
      const name = field.dataset.name ?? "";
      if (names.has(name)) continue;
      field.remove();
      this.drawn.delete(name);
    }
    this.drawNumber();
  }

  values(): Record<string, string> {
    const values: Record<string, string> = {};
    for (const field of this.list.querySelectorAll<HTMLElement>("[data-name]")) {
      values[`param:${field.dataset.name}`] = this.valueOf(field);
    }
    return values;
  }

  /** Set one value as if by hand; false when there is no such parameter. */
  set(name: string, value: number): boolean {
    const field = this.list.querySelector<HTMLElement>(`[data-name="${CSS.escape(name)}"]`);
    if (!field) return false;
    for (const input of field.querySelectorAll<HTMLInputElement>("input")) input.value = String(value);
    this.changed();
    return true;
  }

  /** A numeric parameter worth trying elsewhere, and where: a third of its value, within its range. */
  suggestion(): { name: string; label: string; from: number; to: number } | null {
    for (const field of this.list.querySelectorAll<HTMLElement>("[data-name]")) {
      const slider = field.querySelector<HTMLInputElement>("input[type=range]");
      if (!slider) continue;
      const from = Number(slider.value);
      const [low, high, step] = [Number(slider.min), Number(slider.max), Number(slider.step) || 1];
      let to = low + Math.round((from / 3 - low) / step) * step;
      if (to < low || to === from) to = Math.min(high, from + 3 * step);
      to = Number(to.toFixed(6));
      if (to !== from) return { name: field.dataset.name ?? "", label: field.dataset.name ?? "", from, to };
    }
    return null;
  }

  private kindOf(field: HTMLElement): string {
    return field.dataset.kind ?? "";
  }

  private valueOf(field: HTMLElement): string {
    const control = field.querySelector<HTMLInputElement | HTMLSelectElement>("[data-value]");
    if (control instanceof HTMLInputElement && control.type === "checkbox") return control.checked ? "true" : "false";
    return control?.value ?? "";
  }

  private field(param: Param, value: unknown): HTMLElement {
    const id = `param-${param.name}`;
    const label = make("label", { for: id, class: "param__label", title: param.name }, param.label || param.name);
    const field = make("div", { class: `param param--${param.kind}`, "data-name": param.name, "data-kind": param.kind });
    const name = `param:${param.name}`;
    const form = "run-form";
    if (param.kind === "number") {
      // A sweep may find a value between the declared steps: those are for the slider and the arrow keys alone.
      const bounds = { min: param.minimum, max: param.maximum, step: "any", value: String(value ?? "") };
      const box = make("input", { id, name, form, type: "number", class: "param__box", "data-value": true, inputmode: "decimal", ...bounds });
      field.append(label);
      let distance = param.step ?? null;
      if (typeof param.minimum === "number" && typeof param.maximum === "number") {
        const step = param.step ?? (Number.isInteger(param.minimum) && Number.isInteger(param.maximum) && Number.isInteger(Number(value)) ? 1 : (param.maximum - param.minimum) / 100);
        distance = step;
        // The slider carries no name: the box is what is sent. Its maximum must be set before its value.
        const slider = make("input", { type: "range", class: "param__slider", min: param.minimum, max: param.maximum, step, "aria-label": `${param.label || param.name}, slider` });
        slider.value = String(value ?? "");
        slider.addEventListener("input", () => { box.value = slider.value; this.changed(); });
        box.addEventListener("input", () => { if (box.value !== "") slider.value = box.value; });
        field.append(slider);
      }
      box.addEventListener("input", this.changed);
      box.addEventListener("change", () => { if (box.value === "") box.value = String(param.default ?? ""); });
      box.addEventListener("keydown", (event) => {
        if (distance === null || box.value === "" || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
        event.preventDefault();
        box.value = String(nextPlace(Number(box.value), event.key === "ArrowUp", distance, param));
        box.dispatchEvent(new Event("input"));
      });
      field.append(box);
    } else if (param.kind === "choice") {
      const select = make("select", { id, name, form, class: "param__box", "data-value": true });
      for (const choice of param.choices ?? []) {
        select.append(make("option", { value: String(choice), selected: String(choice) === String(value) }, String(choice)));
      }
      select.addEventListener("change", this.changed);
      field.append(label, select);
    } else if (param.kind === "boolean") {
      const checked = value === true || value === "true";
      const box = make("input", { id, type: "checkbox", class: "param__check", "data-value": true, checked });
      const hidden = make("input", { type: "hidden", name, form, value: String(checked) });
      box.addEventListener("change", () => { hidden.value = String(box.checked); this.changed(); });
      field.append(box, label, hidden);
    } else {
      const box = make("input", { id, name, form, type: "text", class: "param__box", "data-value": true, value: String(value ?? "") });
      box.addEventListener("input", this.changed);
      field.append(label, box);
    }
    return field;
  }
}

/** The next of the declared places above or below a value that may lie between two of them. */
function nextPlace(value: number, up: boolean, step: number, { minimum, maximum }: Param): number {
  const low = minimum ?? 0;
  const steps = Number(((value - low) / step).toFixed(6));
  const next = Number((low + (up ? Math.floor(steps) + 1 : Math.ceil(steps) - 1) * step).toFixed(9));
  return Math.max(minimum ?? next, Math.min(maximum ?? next, next));
}

function shapeOf(param: Param): string {
  return JSON.stringify([param.kind, param.label, param.default, param.minimum, param.maximum, param.step, param.choices]);
}
