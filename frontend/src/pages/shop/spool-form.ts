/** A spool, to be added or changed. */

import { css, html, nothing } from "lit";
import { property, state } from "lit/decorators.js";
import type { Spool } from "../../data/types";
import type { Key } from "../../i18n";
import { define } from "../../ui/define";
import "../../ui/dialog";
import { KittyPage } from "../../ui/page";
import { shared } from "../../ui/styles";
import { spool as drawn } from "./draw";

const MATERIALS = ["PLA", "PETG", "ABS", "ASA", "TPU", "PC", "PA"];

/** Fires `close` when it was saved, or left. Without an id it is a new one. */
@define("kitty-spool-form")
export class KittySpoolForm extends KittyPage {
  @property({ attribute: false }) spool: Partial<Spool> | null = null;
  @state() private color: string | null = null;

  static override styles = [
    shared,
    css`
      form {
        display: grid;
        gap: 16px;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 200px), 1fr));
      }
      form input {
        width: 100%;
      }
      input[type="color"] {
        padding: 4px;
      }
      .spool {
        grid-column: 1 / -1;
        inline-size: 72px;
        justify-self: center;
      }
    `,
  ];

  override willUpdate(changed: Map<string, unknown>): void {
    if (changed.has("spool")) this.color = this.spool?.color ?? null;
  }

  override render() {
    const one = this.spool;
    const heading = this.t(one?.id ? "materials.change_ask" : "materials.add");
    return html`<kitty-dialog .open=${one !== null} heading=${heading} @close=${this.leave}>
      ${one ? this.form(one) : nothing}
      <button slot="actions" @click=${this.leave}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${this.busy.has("save")} @click=${() => this.renderRoot.querySelector("form")?.requestSubmit()}>
        ${this.t("materials.save")}
      </button>
    </kitty-dialog>`;
  }

  private form(one: Partial<Spool>) {
    const field = (
      name: keyof Spool,
      label: Key,
      more: { type?: string; required?: boolean; list?: string; max?: number } = {},
    ) => html`<label
      class="field"
      >${this.t(label)}
      <input
        name=${name}
        type=${more.type ?? "text"}
        list=${more.list ?? nothing}
        min=${more.type === "number" ? 0 : nothing}
        max=${more.max ?? nothing}
        step=${more.type === "number" ? "any" : nothing}
        maxlength=${more.type ? nothing : 255}
        ?required=${more.required ?? false}
        .value=${String(one[name] ?? "")}
    /></label>`;
    return html`<form @submit=${this.save}>
      ${field("material", "materials.material", { required: true, list: "materials" })}
      <datalist id="materials">${MATERIALS.map((name) => html`<option value=${name}></option>`)}</datalist>
      ${field("vendor", "materials.vendor")} ${field("name", "materials.name")}
      <label class="field"
        >${this.t("materials.color")}
        <input type="color" name="color" .value=${this.color ? `#${this.color}` : "#9e9e9e"} @input=${this.paint} />
      </label>
      ${field("full_g", "materials.full", { type: "number", max: 100_000 })}
      ${field("remaining_g", "materials.remaining", { type: "number", max: 100_000 })}
      ${field("price", "materials.price", { type: "number", max: 1_000_000 })} ${field("location", "materials.location")}
      ${drawn(this.color, 85, this.t("materials.color"))}
    </form>`;
  }

  private paint(event: Event): void {
    this.color = (event.target as HTMLInputElement).value.slice(1);
  }

  private async save(event: Event): Promise<void> {
    event.preventDefault();
    const said = new FormData(event.target as HTMLFormElement);
    const one = this.spool ?? {};
    const data: Record<string, unknown> = one.id ? { spool_id: one.id } : { ...this.here };
    for (const name of ["material", "vendor", "name", "location", "full_g", "remaining_g", "price"] as const) {
      const text = String(said.get(name) ?? "").trim();
      const value = text === "" ? null : name.endsWith("_g") || name === "price" ? Number(text) : text;
      // Only what was changed is said: another may have changed the rest meanwhile.
      const same = value === (one[name] ?? null);
      const emptied = value === null && !["vendor", "location", "price"].includes(name);
      if (!same && !emptied) data[name] = value;
    }
    if (this.color !== (one.color ?? null)) data.color = `#${this.color}`;
    if (Object.keys(data).length === (one.id ? 1 : Object.keys(this.here).length)) {
      this.leave();
      return;
    }
    const action = one.id ? "update_spool" : "add_spool";
    if (await this.doing("save", () => this.call(action, data), this.t("materials.saved"))) this.leave();
  }

  private leave(): void {
    this.dispatchEvent(new CustomEvent("close"));
  }
}
