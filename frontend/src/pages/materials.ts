/** Materials: the spools, what is left of each material, what should be bought, and what was used. */

import { mdiPrinter3dNozzle } from "@mdi/js";
import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { Live } from "../data/live";
import type { Spool } from "../data/types";
import { define } from "../ui/define";
import "../ui/dialog";
import { money } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import "../ui/plot";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import { spool as drawnSpool, stockBar } from "./shop/draw";
import { deviceName, grams, hasSlots, type Proposal, type Stock, type Use } from "./shop/rows";
import "./shop/spool-form";
import { byDay, DAY_MS, DAYS } from "./shop/usage";

interface Usage {
  items: Use[];
  materials: { material: string; uses: number; grams: number; cost: number | null }[];
}

@define("kitty-page-materials")
export class KittyPageMaterials extends KittyPage {
  private readonly spools = new Live(this, "spools");
  private readonly stock = new Live<"stock", Stock>(this, "stock");
  private readonly procurements = new Live<"procurements", Proposal>(this, "procurements");
  private readonly devices = new Live(this, "devices");
  private readonly rights = new Live(this, "rights");
  /** What is left of spools changes when something was used. */
  private readonly usage = this.fetched(
    () => {
      const since = new Date(Date.now() - (DAYS - 1) * DAY_MS);
      since.setHours(0, 0, 0, 0);
      return this.call<Usage>("get_usage", { ...this.here, since: since.toISOString() });
    },
    () => (this.spools.loaded ? this.spools.all.map((one) => `${one.id}:${one.remaining_g}`).join() : null),
  );
  @state() private archived: Spool[] | null = null;
  /** Whether somebody looks at what was put away. */
  private looksAway = false;
  @state() private editing: Partial<Spool> | null = null;
  @state() private loadingOf: Spool | null = null;
  @state() private limitOf: Stock | null = null;

  static override styles = [
    shared,
    css`
      .spools {
        display: grid;
        gap: 12px;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr));
        margin-block-start: 12px;
      }
      .one {
        align-items: center;
        border: var(--line);
        border-radius: 12px;
        display: grid;
        gap: 4px 12px;
        grid-template-columns: 84px minmax(0, 1fr);
        padding: 12px;
      }
      .one .spool {
        inline-size: 84px;
      }
      .one .row {
        grid-column: 1 / -1;
        justify-content: flex-end;
      }
      .bar {
        block-size: 16px;
        direction: ltr;
        inline-size: 100%;
      }
      .materials {
        display: grid;
        gap: 16px;
        margin-block-start: 12px;
      }
      .proposal {
        align-items: center;
        border-block-start: var(--line);
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
        padding-block: 12px;
      }
      .proposal .grow {
        flex-basis: 130px;
      }
      .where {
        --icon-size: 16px;
      }
      form {
        display: grid;
        gap: 16px;
      }
      form input,
      form select {
        width: 100%;
      }
    `,
  ];

  /** Whoever prints with a spool changes it: on a printer who controls that, on the shelf who controls any. */
  private mayChange(one: Spool): boolean {
    if (one.device_id) return this.devices.get(one.device_id)?.may_control ?? false;
    return this.mayWork;
  }

  private get mayWork(): boolean {
    return this.rights.whole?.may_work ?? false;
  }

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("entryId")) return;
    // What another brain has put away is not this one's.
    this.archived = null;
    if (this.looksAway) void this.lookAway();
  }

  override render() {
    const { failure, loaded } = this.spools;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!loaded) return this.notYet;
    return html`<div class="stack">
      ${this.buy()} ${this.shelf()}
      <div class="grid" style="grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr))">
        ${this.store()} ${this.spent()}
      </div>
      ${this.away()} ${this.editDialog()} ${this.loadDialog()} ${this.limitDialog()}
    </div>`;
  }

  // -- spools -------------------------------------------------------------------------------------

  private shelf() {
    const rows = this.spools.all.sort(
      (one, other) =>
        Number(other.device_id !== null) - Number(one.device_id !== null) || one.material.localeCompare(other.material),
    );
    return html`<section class="card">
      <div class="row">
        <h2 class="grow">${this.t("materials.spools")}</h2>
        ${
          this.mayWork
            ? html`<button
                @click=${() => {
                  this.editing = {};
                }}
              >
                ${this.t("materials.add")}
              </button>`
            : nothing
        }
      </div>
      ${this.rights.loaded && !this.mayWork ? this.onlyLook : nothing}
      ${
        rows.length
          ? html`<div class="spools">${repeat(
              rows,
              (one) => one.id,
              (one) => this.spool(one),
            )}</div>`
          : html`<p class="muted">${this.t(this.mayWork ? "materials.none" : "materials.none_seen")}</p>`
      }
    </section>`;
  }

  private called(one: Spool): string {
    return [one.vendor, one.name ?? one.color_name].filter(Boolean).join(" ") || one.material;
  }

  private spool(one: Spool): TemplateResult {
    const { hass } = this;
    const left = this.t("materials.left", {
      n: Math.round(one.remaining_g),
      of: Math.round(one.full_g ?? one.remaining_g),
    });
    const name = `${one.material} ${this.called(one)}`;
    return html`<article class="one" data-spool=${one.id}>
      ${drawnSpool(one.color, one.percent, this.t("materials.drawn", { name, left }))}
      <div>
        <h3>${this.called(one)}</h3>
        <p>
          <span class="chip">${one.material}</span>
          ${one.color_name ? html`<span class="muted">${one.color_name}</span>` : nothing}
        </p>
        <p>${left}</p>
        ${one.reserved_g > 0 ? html`<p class="muted">${this.t("materials.reserved", { n: Math.round(one.reserved_g) })}</p>` : nothing}
        <p class="muted where">${this.place(one)}${one.price === null ? "" : ` · ${money(hass, one.price)}`}</p>
      </div>
      ${this.mayChange(one) ? this.deeds(one, name) : nothing}
    </article>`;
  }

  private deeds(one: Spool, name: string): TemplateResult {
    const busy = this.busy.has(one.id);
    return html`<div class="row">
      <button
        aria-label=${this.named(this.t("materials.load"), name)}
        ?disabled=${busy}
        @click=${() => {
          this.loadingOf = one;
        }}
      >
        <kitty-icon style="--icon-size: 18px" .path=${mdiPrinter3dNozzle}></kitty-icon>${this.t("materials.load")}
      </button>
      <button
        aria-label=${this.named(this.t("materials.change"), name)}
        ?disabled=${busy}
        @click=${() => {
          this.editing = one;
        }}
      >
        ${this.t("materials.change")}
      </button>
      <button aria-label=${this.named(this.t("materials.archive"), name)} ?disabled=${busy} @click=${() => this.archive(one, true)}>
        ${this.t("materials.archive")}
      </button>
    </div>`;
  }

  private place(one: Spool): string {
    if (!one.device_id) return one.location ?? this.t("materials.on_shelf");
    const printer = this.devices.get(one.device_id);
    const device = deviceName(this.hass, printer) ?? this.t("prints.a_printer");
    if (one.slot === null || !hasSlots(printer)) return this.t("materials.on", { device });
    return this.t("materials.in_slot", { device, n: one.slot + 1 });
  }

  private async archive(one: Spool, archived: boolean): Promise<void> {
    const done = this.t(archived ? "materials.archived" : "materials.taken_back", { name: this.called(one) });
    await this.doing(one.id, () => this.call("archive_spool", { spool_id: one.id, archived }), done);
    if (this.archived) await this.lookAway();
  }

  private lookAway(): Promise<boolean> {
    const { entryId } = this;
    return this.doing(`archived ${entryId}`, async () => {
      const { spools } = await this.call<{ spools: Spool[] }>("get_stock", { ...this.here, archived: true });
      if (entryId === this.entryId) this.archived = spools;
    });
  }

  private away() {
    const toggled = (event: Event) => {
      this.looksAway = (event.target as HTMLDetailsElement).open;
      if (this.looksAway) void this.lookAway();
    };
    return html`<details class="card" @toggle=${toggled}>
      <summary>${this.t("materials.away")}</summary>
      ${this.archived?.length === 0 ? html`<p class="muted">${this.t("materials.none_away")}</p>` : nothing}
      ${this.archived?.map(
        (one) => html`<div class="proposal">
          <span class="grow">${one.material} ${this.called(one)}</span>
          ${this.mayChange(one) ? html`<button ?disabled=${this.busy.has(one.id)} @click=${() => this.archive(one, false)}>${this.t("materials.take_back")}</button>` : nothing}
        </div>`,
      )}
    </details>`;
  }

  private editDialog() {
    return html`<kitty-spool-form
      .hass=${this.hass}
      .entryId=${this.entryId}
      .spool=${this.editing}
      @close=${() => {
        this.editing = null;
      }}
    ></kitty-spool-form>`;
  }

  private loadDialog() {
    const one = this.loadingOf;
    const close = () => {
      this.loadingOf = null;
    };
    const printers = this.devices.all.filter((device) => device.kind === "printer" && device.may_control);
    const put = async (event: Event) => {
      event.preventDefault();
      const said = new FormData(event.target as HTMLFormElement);
      const data: Record<string, unknown> = { spool_id: one?.id };
      if (said.get("device_id")) {
        data.device_id = said.get("device_id");
        if (said.get("slot")) data.slot = Number(said.get("slot")) - 1;
      }
      if (
        one &&
        (await this.doing(
          one.id,
          () => this.call("load_spool", data),
          this.t("materials.loaded", { name: this.called(one) }),
        ))
      )
        close();
    };
    return html`<kitty-dialog .open=${one !== null} heading=${this.t("materials.load_ask", { name: one ? this.called(one) : "" })} @close=${close}>
      <form id="load" @submit=${put}>
        <label class="field"
          >${this.t("prints.printer")}
          <select name="device_id">
            <option value="">${this.t("materials.to_shelf")}</option>
            ${printers.map(
              (device) =>
                html`<option value=${device.registry_id} ?selected=${device.id === one?.device_id}>${deviceName(this.hass, device)}</option>`,
            )}
          </select>
        </label>
        ${
          printers.some(hasSlots)
            ? html`<label class="field">${this.t("materials.slot")}<input type="number" name="slot" min="1" max="16" /></label>`
            : nothing
        }
      </form>
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${one !== null && this.busy.has(one.id)} @click=${this.send("load")}>
        ${this.t("materials.load_do")}
      </button>
    </kitty-dialog>`;
  }

  /** A button outside a form sends it, and the form says what is missing. */
  private send(form: string) {
    return () => this.renderRoot.querySelector<HTMLFormElement>(`#${form}`)?.requestSubmit();
  }

  // -- stock --------------------------------------------------------------------------------------

  private store() {
    const rows = this.stock.all.sort((one, other) => one.material.localeCompare(other.material));
    return html`<section class="card">
      <h2>${this.t("materials.stock")}</h2>
      ${rows.length ? nothing : html`<p class="muted">${this.t(this.mayWork ? "materials.no_stock" : "materials.no_stock_seen")}</p>`}
      <div class="materials">${rows.map((one) => this.material(one))}</div>
    </section>`;
  }

  private material(one: Stock) {
    const words = this.t("materials.free", { n: Math.round(one.free_g), reserved: Math.round(one.reserved_g) });
    const limit = one.low_g ? this.t("materials.limit", { n: Math.round(one.low_g) }) : this.t("materials.no_limit");
    return html`<div data-material=${one.material}>
      <div class="row">
        <h3 class="grow">${one.material}</h3>
        ${one.low ? html`<span class="chip bad">${this.t("materials.low")}</span>` : nothing}
        ${
          this.hass.user?.is_admin
            ? html`<button
                aria-label=${this.named(this.t("materials.set_limit"), one.material)}
                @click=${() => {
                  this.limitOf = one;
                }}
              >
                ${this.t("materials.set_limit")}
              </button>`
            : nothing
        }
      </div>
      ${stockBar(one.free_g, one.reserved_g, one.low_g, one.low, `${words} · ${limit}`)}
      <p class="muted">${words} · ${limit}</p>
    </div>`;
  }

  private limitDialog() {
    const one = this.limitOf;
    const close = () => {
      this.limitOf = null;
    };
    const put = async (event: Event) => {
      event.preventDefault();
      const said = new FormData(event.target as HTMLFormElement);
      const figure = (name: string) => (said.get(name) ? Number(said.get(name)) : null);
      const order = figure("order_g");
      const data = {
        ...this.here,
        material: one?.material,
        low_g: figure("low_g"),
        ...(order ? { order_g: order } : {}),
      };
      if (
        await this.doing(
          "limit",
          () => this.call("set_stock_limit", data),
          this.t("materials.limit_set", { material: one?.material ?? "" }),
        )
      )
        close();
    };
    return html`<kitty-dialog .open=${one !== null} heading=${this.t("materials.limit_ask", { material: one?.material ?? "" })} @close=${close}>
      ${
        one
          ? html`<form id="limit" @submit=${put}>
              <label class="field"
                >${this.t("materials.low_g")}<input type="number" name="low_g" min="0" step="any" .value=${String(one.low_g ?? "")}
              /></label>
              <label class="field"
                >${this.t("materials.order_g")}<input type="number" name="order_g" min="1" step="any" .value=${String(one.order_g ?? "")}
              /></label>
            </form>`
          : nothing
      }
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${this.busy.has("limit")} @click=${this.send("limit")}>${this.t("materials.save")}</button>
    </kitty-dialog>`;
  }

  // -- what to buy --------------------------------------------------------------------------------

  private buy() {
    const rows = this.procurements.all.sort((one, other) => one.created_at - other.created_at);
    if (!rows.length) return nothing;
    return html`<section class="card">
      <h2>${this.t("materials.buy")}</h2>
      <p class="muted">${this.t("materials.buy_about")}</p>
      ${rows.map((one) => this.proposal(one))}
    </section>`;
  }

  private proposal(one: Proposal) {
    const what = this.t("materials.proposal", { material: one.material, n: Math.round(one.grams) });
    const decide = (decision: "approve" | "reject" | "done", label: string, kind = "") => html`<button
      class=${kind}
      aria-label=${this.named(label, what)}
      ?disabled=${this.busy.has(one.id)}
      @click=${() =>
        this.doing(
          one.id,
          () => this.call("decide_procurement", { proposal_id: one.id, decision }),
          this.t(`materials.decided.${decision}`, { what }),
        )}
    >
      ${label}
    </button>`;
    return html`<div class="proposal" data-proposal=${one.id}>
      <div class="grow">
        <h3>${what}</h3>
        <p class="muted">${one.cost === null ? this.t("materials.price_unknown") : this.t("materials.about", { sum: money(this.hass, one.cost) })}</p>
      </div>
      ${
        !this.mayWork
          ? this.onlyLook
          : one.status === "proposed"
            ? html`${decide("reject", this.t("materials.decline"))} ${decide("approve", this.t("materials.agree"), "primary")}`
            : html`<span class="chip info">${this.t("materials.agreed")}</span> ${decide("reject", this.t("materials.decline"))}
            ${decide("done", this.t("materials.bought"), "primary")}`
      }
    </div>`;
  }

  // -- what was used ------------------------------------------------------------------------------

  private spent() {
    const { hass } = this;
    const { value: usage, failure, again } = this.usage;
    if (failure) return failed(hass, failure, again);
    const label = (day: Date) =>
      new Intl.DateTimeFormat(hass.locale?.language ?? hass.language, { day: "numeric", month: "numeric" }).format(day);
    const series = usage ? byDay(usage.items, Date.now(), label) : [];
    return html`<section class="card">
      <h2>${this.t("materials.used", { n: DAYS })}</h2>
      ${
        usage === undefined
          ? this.notYet
          : series.length
            ? html`<kitty-plot
                  kind="bar"
                  label=${this.t("materials.used", { n: DAYS })}
                  .series=${series}
                  .format=${(value: number) => grams(hass, value)}
                ></kitty-plot>
                <table>
                  <thead>
                    <tr>
                      <th scope="col">${this.t("materials.material")}</th>
                      <th scope="col" class="number">${this.t("materials.grams")}</th>
                      <th scope="col" class="number">${this.t("materials.cost")}</th>
                    </tr>
                  </thead>
                  <tbody>
                    ${usage.materials.map(
                      (one) => html`<tr>
                        <td>${one.material}</td>
                        <td class="number">${grams(hass, one.grams)}</td>
                        <td class="number">${one.cost === null ? "–" : money(hass, one.cost)}</td>
                      </tr>`,
                    )}
                  </tbody>
                </table>`
            : empty(this.t("materials.nothing_used"))
      }
    </section>`;
  }
}
