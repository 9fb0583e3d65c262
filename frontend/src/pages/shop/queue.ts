/** The queue: who prints what when, drawn as a plan, and why each thing waits. */

import { mdiArrowDown, mdiArrowUp, mdiClose, mdiPause, mdiPlay } from "@mdi/js";
import { css, html, nothing, type TemplateResult } from "lit";
import { property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { Live } from "../../data/live";
import type { Device } from "../../data/types";
import type { Key } from "../../i18n";
import { define } from "../../ui/define";
import "../../ui/dialog";
import { dateTime, duration, percent, time } from "../../ui/format";
import "../../ui/icon";
import { KittyPage } from "../../ui/page";
import { empty, loading } from "../../ui/states";
import { Steady } from "../../ui/steady";
import { shared } from "../../ui/styles";
import { interval } from "./draw";
import "./picture";
import { misfits, type Names, reasonText } from "./reasons";
import { deviceName, grams, inOrder, type Prediction, type PrintFile, platesOf, type QueueItem } from "./rows";

const LOWEST = 1;
const HIGHEST = 10;
/** Of so many that come next it is asked how they will turn out. */
const FORETOLD = 10;

@define("kitty-print-queue")
export class KittyPrintQueue extends KittyPage {
  @property({ attribute: false }) printers: readonly Device[] = [];
  private readonly queue = new Live<"queue", QueueItem>(this, "queue");
  private readonly rights = new Live(this, "rights");
  private readonly capabilities = new Live(this, "capabilities");
  private readonly steady = new Steady<QueueItem>(this, () => this.cancelling !== null);
  private readonly foretold = new Map<string, Prediction | null>();
  @state() private cancelling: QueueItem | null = null;
  @state() private adding = false;
  @state() private files: PrintFile[] | null = null;
  /** The file that is chosen in the form; the first where nobody has chosen. */
  @state() private chosen: string | null = null;

  static override styles = [
    shared,
    css`
      .item {
        border-block-start: var(--line);
        display: grid;
        gap: 4px 12px;
        grid-template-columns: 72px minmax(0, 1fr) auto;
        padding-block: 12px;
      }
      kitty-picture {
        align-self: start;
        width: 72px;
      }
      .item ul {
        color: var(--secondary-text-color);
        margin: 4px 0 0;
        padding-inline-start: 18px;
      }
      .interval {
        block-size: 20px;
        inline-size: min(200px, 100%);
        flex: none;
        direction: ltr;
      }
      .plan {
        display: grid;
        gap: 6px 12px;
        grid-template-columns: minmax(64px, max-content) minmax(0, 1fr);
        align-items: center;
        margin-block: 12px 16px;
      }
      .track {
        background: color-mix(in srgb, var(--secondary-text-color) 10%, transparent);
        block-size: 28px;
        border-radius: 6px;
        direction: ltr;
        overflow: hidden;
        position: relative;
      }
      .slot {
        background: color-mix(in srgb, var(--primary-color) 30%, var(--card-background-color, #fff));
        border-inline-start: 3px solid var(--primary-color);
        block-size: 100%;
        font-size: 12px;
        line-height: 28px;
        overflow: hidden;
        padding-inline: 6px;
        position: absolute;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .slot.late {
        background: color-mix(in srgb, var(--error-color, #db4437) 30%, var(--card-background-color, #fff));
        border-color: var(--error-color, #db4437);
      }
      .hours {
        display: flex;
        font-size: 12px;
        justify-content: space-between;
        direction: ltr;
      }
      :host([narrow]) .item {
        grid-template-columns: 56px minmax(0, 1fr);
      }
      :host([narrow]) kitty-picture {
        width: 56px;
      }
      :host([narrow]) .deeds {
        grid-column: 1 / -1;
        justify-content: flex-end;
      }
      form {
        display: grid;
        gap: 16px;
      }
      form select {
        width: 100%;
      }
    `,
  ];

  private get names(): Names {
    return {
      device: (id) =>
        deviceName(
          this.hass,
          this.printers.find((one) => one.id === id),
        ) ?? this.t("prints.a_printer"),
      item: (id) => this.queue.get(id)?.title ?? this.t("prints.another"),
    };
  }

  /** The printers to which this person may send something. */
  private get mine(): readonly Device[] {
    return this.printers.filter((one) => one.may_control);
  }

  /** Whoever controls the printer of an item changes it; of one for any printer, who controls all. */
  private mayChange(item: QueueItem): boolean {
    const id = item.wanted_device_id ?? item.device_id;
    if (!id) return this.rights.whole?.may_print_anywhere ?? false;
    return this.mine.some((one) => one.id === id);
  }

  override render() {
    const items = this.steady.order(inOrder(this.queue.all));
    return html`<section class="card">
      <div class="row">
        <h2 class="grow">${this.t("prints.queue")}</h2>
        ${this.mine.length ? html`<button @click=${this.add}>${this.t("prints.add")}</button>` : nothing}
      </div>
      ${this.printers.length && !this.mine.length ? this.onlyLook : nothing}
      ${this.capabilities.get("queue")?.available === false ? html`<p class="muted">${this.t("prints.queue_off")}</p>` : nothing}
      ${this.queue.loaded ? nothing : this.notYet}
      ${this.queue.loaded && !items.length ? html`<p class="muted">${this.t("prints.queue_empty")}</p>` : nothing}
      ${this.plan(items)}
      <div data-steady @pointerdown=${this.steady.press} @focusout=${this.steady.leave}>
        ${repeat(
          items,
          (item) => item.id,
          (item, at) => this.item(item, at + 1),
        )}
      </div>
      ${this.cancelDialog()} ${this.addDialog()}
    </section>`;
  }

  /** The plan as people read one: a line for each printer, from now on. */
  private plan(items: readonly QueueItem[]) {
    const planned = items.filter((one) => one.device_id && one.planned_start && one.planned_end);
    if (!planned.length) return nothing;
    const from = Date.now() / 1000;
    const to = Math.max(...planned.map((one) => one.planned_end ?? 0), from + 3600);
    const share = (at: number) => Math.max(0, Math.min(100, (100 * (at - from)) / (to - from)));
    const printers = this.printers.filter((printer) => planned.some((one) => one.device_id === printer.id));
    const day = to - from > 20 * 3600;
    return html`<div class="plan" role="img" aria-label=${this.spokenPlan(planned)}>
      ${printers.map(
        (printer) => html`<span>${deviceName(this.hass, printer)}</span>
          <div class="track">
            ${planned
              .filter((one) => one.device_id === printer.id)
              .map((one) => {
                const start = share(one.planned_start ?? 0);
                const end = share(one.planned_end ?? 0);
                const late = one.deadline !== null && (one.planned_end ?? 0) > one.deadline;
                return html`<div class="slot ${late ? "late" : ""}" style="left: ${start}%; width: ${end - start}%" title=${one.title}>
                  ${one.title}
                </div>`;
              })}
          </div>`,
      )}
      <span></span>
      <div class="hours muted">
        <span>${this.t("prints.now")}</span>
        <span>${day ? dateTime(this.hass, to) : time(this.hass, to)}</span>
      </div>
    </div>`;
  }

  private spokenPlan(planned: readonly QueueItem[]): string {
    const told = planned.map((one) =>
      this.t("prints.planned", {
        title: one.title,
        device: this.names.device(one.device_id),
        from: dateTime(this.hass, one.planned_start ?? 0),
        to: dateTime(this.hass, one.planned_end ?? 0),
      }),
    );
    return [this.t("prints.plan"), ...told].join(" · ");
  }

  private item(item: QueueItem, place: number): TemplateResult {
    const waits = item.status === "queued" || item.status === "held";
    const pictured = item.artifact_id ? { ...this.here, artifact_id: item.artifact_id } : null;
    return html`<div class="item" data-item=${item.id}>
      ${pictured ? html`<kitty-picture .hass=${this.hass} .of=${pictured} alt=${this.t("prints.looks", { title: item.title })}></kitty-picture>` : html`<span></span>`}
      <div>
        <div class="row">
          <h3>${place}. ${item.title}</h3>
          <span class="chip ${item.status === "held" ? "warn" : item.status === "printing" ? "good" : ""}"
            >${this.t(`prints.queue_status.${item.status}` as Key)}</span
          >
          ${item.start === "cheap" ? html`<span class="chip info">${this.t("prints.cheap")}</span>` : nothing}
        </div>
        <p class="muted">${this.summary(item)}</p>
        ${this.why(item)} ${waits && place <= FORETOLD ? this.prediction(item) : nothing}
      </div>
      ${waits && this.mayChange(item) ? this.deeds(item) : html`<span></span>`}
    </div>`;
  }

  private summary(item: QueueItem): string {
    const { hass } = this;
    const parts = [item.material, item.grams ? grams(hass, item.grams) : null];
    if (item.estimated_s) parts.push(duration(hass, item.estimated_s));
    parts.push(this.t("prints.priority", { n: item.priority }));
    if (item.device_id && item.planned_start) {
      const start =
        item.planned_start < Date.now() / 1000 + 60 ? this.t("prints.at_once") : dateTime(hass, item.planned_start);
      parts.push(this.t("prints.on", { device: this.names.device(item.device_id), when: start }));
    }
    if (item.deadline) parts.push(this.t("prints.deadline", { when: dateTime(hass, item.deadline) }));
    return parts.filter(Boolean).join(" · ");
  }

  private why(item: QueueItem) {
    const lines = item.reasons.flatMap((reason) => [
      reasonText(this.hass, reason, this.names),
      ...misfits(this.hass, reason, this.names),
    ]);
    if (!lines.length) return nothing;
    return html`<ul>${lines.map((line) => html`<li>${line}</li>`)}</ul>`;
  }

  /** How likely it turns out well on the printer for which it is planned, as far as the house knows. */
  private prediction(item: QueueItem) {
    const printer = this.printers.find((one) => one.id === (item.device_id ?? item.wanted_device_id));
    if (!printer?.registry_id || !item.artifact_id) return nothing;
    const key = `${printer.id} ${item.artifact_id}`;
    if (!this.foretold.has(key)) {
      this.foretold.set(key, null);
      void this.foretell(key, printer, item.artifact_id);
    }
    const told = this.foretold.get(key);
    if (!told) return nothing;
    const { hass } = this;
    const words = this.t(told.cold ? "prints.chance_cold" : "prints.chance", {
      likely: percent(hass, told.probability),
      low: percent(hass, told.low),
      high: percent(hass, told.high),
      n: told.n,
    });
    return html`<div class="row">${interval(told.low, told.probability, told.high, words)}<span class="muted">${words}</span></div>`;
  }

  private async foretell(key: string, printer: Device, artifactId: string): Promise<void> {
    try {
      const asked = { device_id: printer.registry_id, artifact_id: artifactId };
      this.foretold.set(key, await this.call<Prediction>("get_prediction", asked));
      this.requestUpdate();
    } catch {
      // Nothing is drawn of what nobody foretells.
      this.foretold.set(key, null);
    }
  }

  private deeds(item: QueueItem) {
    // One that is gone stays where it was as long as somebody is at the list.
    const busy = this.busy.has(item.id) || !this.queue.get(item.id);
    const button = (label: Key, icon: string, deed: () => void, off = false) => html`<button
      class="icon"
      aria-label=${this.named(this.t(label), item.title)}
      title=${this.t(label)}
      ?disabled=${busy || off}
      @click=${deed}
    >
      <kitty-icon .path=${icon}></kitty-icon>
    </button>`;
    const held = item.status === "held";
    return html`<div class="row deeds">
      ${button("prints.earlier", mdiArrowUp, () => this.rank(item, 1), item.priority >= HIGHEST)}
      ${button("prints.later", mdiArrowDown, () => this.rank(item, -1), item.priority <= LOWEST)}
      ${held ? button("prints.release", mdiPlay, () => this.act(item, "release_queued_print", "prints.released")) : button("prints.hold", mdiPause, () => this.act(item, "hold_queued_print", "prints.held"))}
      ${button("prints.take_out", mdiClose, () => {
        this.cancelling = item;
      })}
    </div>`;
  }

  private rank(item: QueueItem, by: number): Promise<boolean> {
    const priority = Math.max(LOWEST, Math.min(HIGHEST, item.priority + by));
    return this.doing(
      item.id,
      () => this.call("change_queued_print", { queue_id: item.id, priority }),
      this.t("prints.ranked", { title: item.title, n: priority }),
    );
  }

  private act(item: QueueItem, action: string, done: Key): Promise<boolean> {
    return this.doing(item.id, () => this.call(action, { queue_id: item.id }), this.t(done, { title: item.title }));
  }

  private cancelDialog() {
    const item = this.cancelling;
    const close = () => {
      this.cancelling = null;
    };
    return html`<kitty-dialog .open=${item !== null} heading=${this.t("prints.take_out_ask", { title: item?.title ?? "" })} @close=${close}>
      <p>${this.t("prints.take_out_about")}</p>
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button
        slot="actions"
        class="danger"
        @click=${() => {
          close();
          if (item) void this.act(item, "cancel_queued_print", "prints.taken_out");
        }}
      >
        ${this.t("prints.take_out")}
      </button>
    </kitty-dialog>`;
  }

  private add(): void {
    this.adding = true;
    this.files = null;
    this.chosen = null;
    void this.doing("files", async () => {
      const { items } = await this.call<{ items: PrintFile[] }>("get_files", this.here);
      this.files = items.filter((one) => !one.missing).sort((one, other) => other.created_at - one.created_at);
    });
  }

  private addDialog() {
    const close = () => {
      this.adding = false;
    };
    return html`<kitty-dialog .open=${this.adding} heading=${this.t("prints.add")} @close=${close}>
      ${this.adding ? this.addForm() : nothing}
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${!this.files?.length || this.busy.has("add")} @click=${this.put}>
        ${this.t("prints.add_do")}
      </button>
    </kitty-dialog>`;
  }

  private addForm() {
    if (!this.files) return this.busy.has("files") ? loading(this.hass) : empty(this.t("prints.no_files"));
    if (!this.files.length) return empty(this.t("prints.no_files"));
    const plates = platesOf(this.files.find((one) => one.id === this.chosen) ?? this.files[0]);
    return html`<form id="add" @submit=${(event: Event) => event.preventDefault()}>
      <label class="field"
        >${this.t("prints.file")}
        <select
          name="artifact_id"
          @change=${(event: Event) => {
            this.chosen = (event.target as HTMLSelectElement).value;
          }}
        >
          ${this.files.map((one) => html`<option value=${one.id}>${one.name}${this.takes(one)}</option>`)}
        </select>
      </label>
      ${plates.length ? this.plateField(plates) : nothing}
      <label class="field"
        >${this.t("prints.printer")}
        <select name="device_id">
          ${this.rights.whole?.may_print_anywhere ? html`<option value="">${this.t("prints.any_printer")}</option>` : nothing}
          ${this.mine.map((one) => html`<option value=${one.registry_id}>${deviceName(this.hass, one)}</option>`)}
        </select>
      </label>
      <label class="field"
        >${this.t("prints.when")}
        <select name="start">
          <option value="asap">${this.t("prints.asap")}</option>
          <option value="cheap">${this.t("prints.when_cheap")}</option>
        </select>
      </label>
      <label class="row"><input type="checkbox" name="ventilation" />${this.t("prints.ventilation")}</label>
    </form>`;
  }

  private plateField(plates: readonly number[]) {
    return html`<label class="field"
      >${this.t("prints.plate")}
      <select name="plate">
        ${plates.map((one) => html`<option value=${one}>${one}</option>`)}
      </select>
    </label>`;
  }

  private takes(file: PrintFile): string {
    const { material, estimated_s: seconds } = (file.facts ?? {}) as { material?: string; estimated_s?: number };
    const known = [material, seconds ? duration(this.hass, seconds) : null].filter(Boolean);
    return known.length ? ` (${known.join(", ")})` : "";
  }

  private async put(): Promise<void> {
    const form = this.renderRoot.querySelector<HTMLFormElement>("#add");
    if (!form) return;
    const said = new FormData(form);
    const data: Record<string, unknown> = { artifact_id: said.get("artifact_id"), start: said.get("start") };
    if (said.get("device_id")) data.device_id = said.get("device_id");
    else Object.assign(data, this.here);
    if (said.get("plate")) data.plate = Number(said.get("plate"));
    if (said.get("ventilation")) data.ventilation = true;
    const title = this.files?.find((one) => one.id === data.artifact_id)?.name ?? "";
    if (await this.doing("add", () => this.call("queue_print", data), this.t("prints.added", { title })))
      this.adding = false;
  }
}
