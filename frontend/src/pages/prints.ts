/** Prints: what is printed now, what comes next and why, what became of what was printed. */

import { mdiPrinter3d } from "@mdi/js";
import { css, html, nothing, type TemplateResult } from "lit";
import { state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { Live } from "../data/live";
import type { Device } from "../data/types";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import "../ui/dialog";
import { duration, number, percent, time } from "../ui/format";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import { ring } from "./shop/draw";
import "./shop/history";
import "./shop/picture";
import "./shop/queue";
import "./shop/review";
import {
  type Bed,
  css as colored,
  deviceName,
  type Eye,
  entityOf,
  type Heat,
  type Incident,
  OPEN_JOB,
  printerState,
  type Review,
} from "./shop/rows";

@define("kitty-page-prints")
export class KittyPagePrints extends KittyPage {
  private readonly devices = new Live(this, "devices");
  private readonly jobs = new Live(this, "jobs");
  private readonly beds = new Live<"beds", Bed>(this, "beds");
  private readonly spools = new Live(this, "spools");
  private readonly vision = new Live<"vision", Eye>(this, "vision");
  private readonly reviews = new Live<"reviews", Review>(this, "reviews");
  private readonly incidents = new Live<"incidents", Incident>(this, "incidents");
  @state() private cancelling: Device | null = null;
  @state() private reviewing: Review | null = null;
  @state() private judged = 0;

  static override styles = [
    shared,
    css`
      .printers {
        display: grid;
        gap: var(--space);
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 380px), 1fr));
        align-items: start;
      }
      .printer {
        display: grid;
        gap: 12px;
      }
      .now {
        align-items: center;
        display: grid;
        gap: 12px;
        grid-template-columns: 88px minmax(0, 1fr);
      }
      .ring {
        direction: ltr;
        inline-size: 88px;
      }
      .ring text {
        font-weight: 500;
      }
      .swatch {
        border: 1px solid var(--secondary-text-color);
        border-radius: 50%;
        display: inline-block;
        height: 14px;
        width: 14px;
      }
      .waiting {
        display: grid;
        gap: 12px;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr));
        margin-block-start: 12px;
      }
      .waiting .row {
        border: var(--line);
        border-radius: 12px;
        padding: 12px;
      }
      .waiting .grow {
        flex-basis: 130px;
      }
      kitty-eye {
        aspect-ratio: 16 / 9;
      }
    `,
  ];

  override render() {
    const { failure, loaded } = this.devices;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!loaded) return this.notYet;
    const printers = this.devices.all.filter((one) => one.kind === "printer");
    if (!printers.length) return empty(this.t(this.isAdmin ? "prints.none" : "prints.none_seen"), mdiPrinter3d);
    const common = { hass: this.hass, entryId: this.entryId };
    return html`<div class="stack">
      <div class="printers">
        ${repeat(
          printers,
          (one) => one.id,
          (one) => this.printer(one),
        )}
      </div>
      ${this.waiting()}
      <kitty-print-queue .hass=${common.hass} .entryId=${common.entryId} ?narrow=${this.narrow} .printers=${printers}></kitty-print-queue>
      <kitty-print-history
        .hass=${common.hass}
        .entryId=${common.entryId}
        ?narrow=${this.narrow}
        .printers=${printers}
        .finished=${this.finished}
        @review=${(event: CustomEvent<Review>) => {
          this.reviewing = event.detail;
        }}
      ></kitty-print-history>
      ${this.cancelDialog()}
      <kitty-print-review
        .hass=${common.hass}
        .entryId=${common.entryId}
        .review=${this.reviewing}
        @close=${() => {
          this.reviewing = null;
          this.judged += 1;
        }}
      ></kitty-print-review>
    </div>`;
  }

  /** Changes when a print ends or is judged, and with it the history. */
  private get finished(): string {
    const over = this.jobs.all.filter((one) => !OPEN_JOB.has(one.status)).map((one) => one.id);
    return `${over.sort().at(-1)} ${over.length} ${this.reviews.rows.size} ${this.judged}`;
  }

  private printer(device: Device): TemplateResult {
    const { status, job, nozzle, bed } = printerState(device);
    const name = deviceName(this.hass, device) ?? device.name;
    const on = device.online === "online";
    const busy = OPEN_JOB.has(status ?? "");
    return html`<section class="card printer" data-device=${device.id}>
      <div class="row">
        <h2 class="grow">${name}</h2>
        <span class="chip ${this.tone(device, status)}">${on ? this.word(status) : this.t(`workshop.${device.online}`)}</span>
      </div>
      ${this.alarm(device)} ${this.eye(device, name)}
      ${
        on && job
          ? html`<div class="now">
              ${ring(job.progress ?? 0, percent(this.hass, (job.progress ?? 0) / 100), this.t("prints.progress", { n: Math.round(job.progress ?? 0) }))}
              <div>
                <h3>${job.file}</h3>
                <p class="muted">${this.ahead(job, busy)}</p>
                ${job.error ? html`<p>${job.error}</p>` : nothing}
              </div>
            </div>`
          : on
            ? html`<p class="muted">${this.t("prints.nothing_now")}</p>`
            : html`<p class="muted">${this.t("prints.away")}</p>`
      }
      ${this.filament(device)}
      ${on ? html`<p class="muted">${[this.heat("prints.nozzle", nozzle), this.heat("prints.bed", bed)].filter(Boolean).join(" · ")}</p>` : nothing}
      ${on ? (device.may_control ? this.deeds(device, status ?? null, name) : this.onlyLook) : nothing}
    </section>`;
  }

  private word(status: string | null | undefined): string {
    return this.t(`prints.status.${status ?? "unknown"}` as Key);
  }

  private tone(device: Device, status: string | null | undefined): string {
    if (device.online !== "online" || status === "error" || status === "failed") return "bad";
    if (status === "paused") return "warn";
    return status === "printing" || status === "preparing" ? "info" : status === "completed" ? "good" : "";
  }

  /** That a camera has seen it fail, and nobody has answered yet. */
  private alarm(device: Device) {
    const open = this.incidents.all.find((one) => {
      const of = this.jobs.get(one.job_id)?.device_id ?? this.vision.get(one.device_id)?.printer_id;
      return one.status === "open" && of === device.id;
    });
    if (!open) return nothing;
    return html`<p class="row">
      <span class="chip bad">${this.t(`vision.kind.${open.type}` as Key)}</span>
      <a href="/kitty/vision" style="color: inherit" @click=${this.toVision}>${this.t("prints.answer")}</a>
    </p>`;
  }

  private toVision(event: MouseEvent): void {
    event.preventDefault();
    history.pushState(null, "", "/kitty/vision");
    window.dispatchEvent(new CustomEvent("location-changed", { detail: { replace: false } }));
  }

  /** What the printer's own camera sees, else one that watches it. */
  private eye(device: Device, name: string) {
    const watcher = this.vision.all.find((one) => one.printer_id === device.id);
    const looking = [device, this.devices.get(watcher?.device_id)].find(
      (one) => one && entityOf(this.hass, one, "camera"),
    );
    if (looking?.online !== "online") return nothing;
    return html`<kitty-eye
      .hass=${this.hass}
      entity=${entityOf(this.hass, looking, "camera") ?? ""}
      alt=${this.t("prints.seen", { device: name })}
      .news=${watcher?.at}
    ></kitty-eye>`;
  }

  private ahead(job: NonNullable<ReturnType<typeof printerState>["job"]>, busy: boolean): string {
    const parts: string[] = [];
    if (busy && job.remaining_s !== null) {
      parts.push(
        this.t("prints.left", {
          time: duration(this.hass, job.remaining_s),
          at: time(this.hass, Date.now() / 1000 + job.remaining_s),
        }),
      );
    } else if (job.elapsed_s !== null) parts.push(this.t("prints.took", { time: duration(this.hass, job.elapsed_s) }));
    if (job.layer && job.layers) parts.push(this.t("prints.layer", { n: job.layer, of: job.layers }));
    return parts.join(" · ");
  }

  private filament(device: Device) {
    const loaded = this.spools.all.filter((one) => one.device_id === device.id);
    if (!loaded.length) return nothing;
    return html`<p class="row">
      ${loaded.map(
        (one) => html`<span class="swatch" style="background: ${colored(one.color)}"></span>
          <span>${[one.material, one.color_name ?? one.name].filter(Boolean).join(" ")}, ${number(this.hass, one.remaining_g, 0)} g</span>`,
      )}
    </p>`;
  }

  private heat(part: Key, heat: Heat | null | undefined): string {
    if (heat?.actual === null || heat?.actual === undefined) return "";
    const target = heat.target ? ` → ${number(this.hass, heat.target, 0)}` : "";
    return `${this.t(part)} ${number(this.hass, heat.actual, 0)}${target} °C`;
  }

  private deeds(device: Device, status: string | null, name: string) {
    const can = (intent: string) => device.capabilities.includes(intent);
    const button = (label: Key, deed: () => void, kind = "") => html`<button
      class=${kind}
      aria-label=${this.named(this.t(label), name)}
      ?disabled=${this.busy.has(device.id)}
      @click=${deed}
    >
      ${this.t(label)}
    </button>`;
    const runs = status === "printing" || status === "preparing";
    const bed = this.beds.get(device.id);
    return html`<div class="row">
      ${runs && can("print_pause") ? button("prints.pause", () => this.act(device, "pause_print", "prints.pausing", name), "primary") : nothing}
      ${status === "paused" && can("print_resume") ? button("prints.resume", () => this.act(device, "resume_print", "prints.resuming", name), "primary") : nothing}
      ${
        (runs || status === "paused") && can("print_cancel")
          ? button("prints.stop", () => {
              this.cancelling = device;
            })
          : nothing
      }
      ${!OPEN_JOB.has(status ?? "") && !bed?.clear ? button("prints.bed_clear", () => this.act(device, "clear_bed", "prints.bed_is_clear", name)) : nothing}
    </div>`;
  }

  private act(device: Device, action: string, done: Key, name: string): Promise<boolean> {
    return this.doing(
      device.id,
      () => this.call(action, { device_id: device.registry_id }),
      this.t(done, { device: name }),
    );
  }

  private cancelDialog() {
    const device = this.cancelling;
    const name = deviceName(this.hass, device ?? undefined) ?? "";
    const close = () => {
      this.cancelling = null;
    };
    const file = device ? (printerState(device).job?.file ?? "") : "";
    return html`<kitty-dialog .open=${device !== null} heading=${this.t("prints.stop_ask", { device: name })} @close=${close}>
      <p>${this.t("prints.stop_about", { file })}</p>
      <button slot="actions" @click=${close}>${this.t("prints.go_on")}</button>
      <button
        slot="actions"
        class="danger"
        @click=${() => {
          close();
          if (device) void this.act(device, "cancel_print", "prints.stopping", name);
        }}
      >
        ${this.t("prints.stop")}
      </button>
    </kitty-dialog>`;
  }

  private waiting() {
    const mine = this.reviews.all.filter((one) => this.devices.get(one.device_id)?.may_control);
    const rows = mine.sort((one, other) => (other.ended_at ?? 0) - (one.ended_at ?? 0));
    if (!rows.length) return nothing;
    return html`<section class="card">
      <h2>${this.t("prints.waiting", { n: rows.length })}</h2>
      <p class="muted">${this.t("prints.waiting_about")}</p>
      <div class="waiting">
        ${rows.map(
          (one) => html`<div class="row" data-review=${one.job_id}>
            <div class="grow">
              <h3>${one.file}</h3>
              <p class="muted">${deviceName(this.hass, this.devices.get(one.device_id)) ?? ""} · ${this.word(one.outcome)}</p>
            </div>
            <button
              aria-label=${this.named(this.t("prints.judge"), one.file)}
              @click=${() => {
                this.reviewing = one;
              }}
            >
              ${this.t("prints.judge")}
            </button>
          </div>`,
        )}
      </div>
    </section>`;
  }
}
