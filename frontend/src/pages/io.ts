/** I/O control: each part of the brain with its switch, what it needs, and whose switch keeps it from working. */

import { css, html, nothing } from "lit";
import { personName } from "../data/hass";
import { Live } from "../data/live";
import type { Capability } from "../data/types";
import { capabilityName } from "../data/words";
import { define } from "../ui/define";
import { relative } from "../ui/format";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";

@define("kitty-page-io")
export class KittyPageIo extends KittyPage {
  private readonly capabilities = new Live(this, "capabilities");

  static override styles = [
    shared,
    css`
      .part {
        display: grid;
        gap: 8px;
        align-content: start;
      }
      button[role="switch"] {
        background: var(--switch-unchecked-track-color, var(--disabled-color, #8a8a8a));
        border: none;
        border-radius: 14px;
        flex: none;
        height: 28px;
        min-height: 28px;
        padding: 0;
        position: relative;
        width: 52px;
      }
      button[role="switch"]::after {
        background: #fff;
        border-radius: 50%;
        content: "";
        height: 20px;
        inset-block-start: 4px;
        inset-inline-start: 4px;
        position: absolute;
        transition: inset-inline-start 120ms;
        width: 20px;
      }
      button[role="switch"][aria-checked="true"] {
        background: var(--primary-color);
      }
      button[role="switch"][aria-checked="true"]::after {
        inset-inline-start: 28px;
      }
    `,
  ];

  override render() {
    const { failure, loaded } = this.capabilities;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!loaded) return this.notYet;
    const rows = this.capabilities.all.filter((row) => row.set_up);
    if (rows.length === 0) return empty(this.t("io.none"));
    return html`<div class="stack">
      <p class="muted">${this.t(this.hass.user?.is_admin ? "io.about" : "io.about_others")}</p>
      <div class="grid">${rows.map((row) => this.drawn(row))}</div>
    </div>`;
  }

  private drawn(row: Capability) {
    const name = capabilityName(this.hass, row);
    return html`<section class="card part" data-name=${row.name}>
      <div class="row">
        <h3 class="grow" id=${row.name}>${name}</h3>
        <button
          role="switch"
          aria-checked=${row.enabled}
          aria-labelledby=${row.name}
          ?disabled=${!row.entity_id || !this.hass.user?.is_admin || this.busy.has(row.name)}
          @click=${() => this.turn(row, name)}
        ></button>
      </div>
      ${row.needs.length ? html`<p class="muted">${this.t("io.needs", { what: this.names(row.needs) })}</p>` : nothing}
      ${this.state(row)}
      ${row.changed_at ? html`<p class="muted">${this.changed(row, row.changed_at)}</p>` : nothing}
    </section>`;
  }

  private state(row: Capability) {
    if (row.available) return html`<div><span class="chip good">${this.t("io.works")}</span></div>`;
    if (row.because && row.because !== row.name) {
      return html`<div><span class="chip warn">${this.t("io.because", { what: this.names([row.because]) })}</span></div>`;
    }
    return html`<div><span class="chip">${this.t("io.off")}</span></div>`;
  }

  private changed(row: Capability, at: number): string {
    const who = personName(this.hass, row.changed_by) ?? this.t("common.somebody");
    return this.t("io.changed", { who, when: relative(this.hass, at) });
  }

  private names(names: readonly string[]): string {
    return names
      .map((name) => capabilityName(this.hass, this.capabilities.get(name) ?? { name, title: name }))
      .join(", ");
  }

  private turn(row: Capability, name: string): Promise<boolean> {
    const service = row.enabled ? "turn_off" : "turn_on";
    const done = this.t(row.enabled ? "io.is_off" : "io.is_on", { what: name });
    return this.doing(row.name, () => this.callAny("switch", service, { entity_id: row.entity_id }), done);
  }
}
