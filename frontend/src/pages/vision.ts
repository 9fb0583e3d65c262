/** Vision: what the cameras see, how sure they are, and what people say to their alarms. */

import { mdiCctv, mdiCog } from "@mdi/js";
import { css, html, nothing, type TemplateResult } from "lit";
import { state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { personName } from "../data/hass";
import { Live } from "../data/live";
import type { Device } from "../data/types";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import "../ui/dialog";
import { dateTime, percent, relative } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { say } from "../ui/say";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import "./shop/picture";
import { deviceName, type Eye, entityOf, type Incident, printerState } from "./shop/rows";

const PAGE = 12;

/** Tells whether words of a detector say more than its verdict. */
function says(words: string | null, verdict: string | null): boolean {
  return words !== null && !(verdict ?? "").startsWith(words.toLowerCase());
}

@define("kitty-page-vision")
export class KittyPageVision extends KittyPage {
  private readonly devices = new Live(this, "devices");
  private readonly vision = new Live<"vision", Eye>(this, "vision");
  private readonly incidents = new Live<"incidents", Incident>(this, "incidents");
  private readonly jobs = new Live(this, "jobs");
  private readonly rights = new Live(this, "rights");
  private readonly past = this.listed<Incident>(
    (cursor) => this.call("get_incidents", { ...this.here, limit: PAGE, ...(cursor ? { cursor } : {}) }),
    () => (this.incidents.loaded ? this.incidents.all.map((one) => `${one.id} ${one.status}`).join() : null),
  );
  @state() private setting: Eye | null = null;

  static override styles = [
    shared,
    css`
      .cameras {
        display: grid;
        gap: var(--space);
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr));
        align-items: start;
      }
      .camera {
        display: grid;
        gap: 12px;
      }
      .camera h2 {
        flex-basis: 90px;
      }
      .alarm {
        border-color: var(--error-color, #db4437);
        border-width: 2px;
        display: grid;
        gap: 16px;
        grid-template-columns: minmax(0, 2fr) minmax(0, 3fr);
      }
      :host([narrow]) .alarm {
        grid-template-columns: minmax(0, 1fr);
      }
      .sure {
        background: var(--divider-color, #e0e0e0);
        block-size: 8px;
        border-radius: 4px;
        overflow: hidden;
      }
      .sure div {
        background: var(--success-color, #43a047);
        block-size: 100%;
      }
      .sure.bad div {
        background: var(--error-color, #db4437);
      }
      .history {
        display: grid;
        gap: 12px;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 220px), 1fr));
        margin-block-start: 12px;
      }
      .old {
        border: var(--line);
        border-radius: 12px;
        display: grid;
        gap: 4px;
        align-content: start;
        padding: 8px;
      }
      form {
        display: grid;
        gap: 16px;
      }
      form select,
      form input[type="number"] {
        width: 100%;
      }
    `,
  ];

  override render() {
    const { failure, loaded } = this.vision;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!loaded || !this.devices.loaded) return this.notYet;
    const open = this.incidents.all.filter((one) => one.status === "open");
    return html`<div class="stack">
      ${open.map((one) => this.alarm(one))}
      ${
        this.vision.rows.size
          ? html`<div class="cameras">
              ${repeat(
                this.vision.all,
                (one) => one.device_id,
                (one) => this.camera(one),
              )}
            </div>`
          : empty(this.t(this.isAdmin ? "vision.none" : "vision.none_seen"), mdiCctv)
      }
      ${this.history()} ${this.settings()}
    </div>`;
  }

  private name(id: string | null | undefined): string {
    return deviceName(this.hass, this.devices.get(id)) ?? this.t("vision.gone");
  }

  // -- alarms -------------------------------------------------------------------------------------

  private printerOf(incident: Incident): string | null {
    const job = this.jobs.get(incident.job_id);
    return job?.device_id ?? incident.printer_id ?? this.vision.get(incident.device_id)?.printer_id ?? null;
  }

  private alarm(one: Incident): TemplateResult {
    const printer = this.devices.get(this.printerOf(one));
    const status = printer ? printerState(printer).status : null;
    const runs = status === "printing" || status === "preparing";
    const words = this.named(this.kind(one), deviceName(this.hass, printer) ?? this.name(one.device_id));
    return html`<section class="card alarm" role="alert" data-incident=${one.id}>
      ${one.picture ? html`<kitty-picture .hass=${this.hass} .of=${{ ...this.here, incident_id: one.id }} alt=${this.kind(one)}></kitty-picture>` : nothing}
      <div class="stack">
        <div>
          <h2>${words}</h2>
          <p class="muted">${this.t("vision.seen", { n: one.seen, when: relative(this.hass, one.created_at), sure: percent(this.hass, one.confidence) })}</p>
          ${says(one.detail, one.type) ? html`<p>${one.detail}</p>` : nothing}
          ${one.action === "pause" && status === "paused" ? html`<p><span class="chip warn">${this.t("vision.paused")}</span></p>` : nothing}
        </div>
        ${this.mayAnswer(one) ? this.answers(one, runs && printer ? printer : null) : this.onlyLook}
      </div>
    </section>`;
  }

  private answers(one: Incident, running: Device | null): TemplateResult {
    const busy = this.busy.has(one.id);
    return html`<div class="row">
        <button class="danger" ?disabled=${busy} @click=${() => this.answer(one, "confirmed")}>${this.t("vision.real")}</button>
        <button ?disabled=${busy} @click=${() => this.answer(one, "false_alarm")}>${this.t("vision.false_alarm")}</button>
        ${
          running
            ? html`<button class="primary" ?disabled=${busy} @click=${() => this.pause(one, running.registry_id)}>${this.t("prints.pause")}</button>`
            : nothing
        }
      </div>
      <p class="muted">${this.t("vision.answer_about")}</p>`;
  }

  /** Whoever controls the printer of an alarm answers it; where nobody knows which it is, who controls all. */
  private mayAnswer(one: Incident): boolean {
    const printer = this.printerOf(one);
    return (printer ? this.devices.get(printer)?.may_control : this.rights.whole?.may_print_anywhere) ?? false;
  }

  private kind(one: Incident): string {
    return this.t(`vision.kind.${one.type}` as Key);
  }

  private answer(one: Incident, verdict: "confirmed" | "false_alarm"): Promise<boolean> {
    return this.doing(
      one.id,
      () => this.call("answer_incident", { incident_id: one.id, verdict }),
      this.t(`vision.answered.${verdict}`),
    );
  }

  private pause(one: Incident, registryId: string): Promise<boolean> {
    return this.doing(one.id, () => this.call("pause_print", { device_id: registryId }), this.t("vision.pausing"));
  }

  // -- cameras ------------------------------------------------------------------------------------

  private camera(eye: Eye): TemplateResult {
    const device = this.devices.get(eye.device_id);
    const entity = device ? entityOf(this.hass, device, "camera") : undefined;
    const name = this.name(eye.device_id);
    const off = eye.settings.enabled === false;
    return html`<section class="card camera" data-camera=${eye.device_id}>
      <div class="row">
        <h2 class="grow">${name}</h2>
        <span class="chip ${eye.health === "ok" ? "good" : eye.health === "unknown" ? "" : "bad"}">${this.t(`vision.health.${eye.health}`)}</span>
        ${
          this.hass.user?.is_admin && device
            ? html`<button
                class="icon"
                aria-label=${this.named(this.t("vision.settings"), name)}
                @click=${() => {
                  this.setting = eye;
                }}
              >
                <kitty-icon .path=${mdiCog}></kitty-icon>
              </button>`
            : nothing
        }
      </div>
      ${entity ? html`<kitty-eye .hass=${this.hass} entity=${entity} alt=${this.t("prints.seen", { device: name })} .news=${eye.at}></kitty-eye>` : nothing}
      <p class="muted">${eye.printer_id ? this.t("vision.watches", { device: this.name(eye.printer_id) }) : this.t("vision.watches_none")}</p>
      ${eye.health === "ok" || eye.health === "unknown" ? nothing : html`<p>${this.trouble(eye)}</p>`} ${this.verdict(eye)}
      ${off ? html`<p><span class="chip">${this.t("vision.off")}</span></p>` : nothing}
      ${eye.muted_until_layer ? html`<p class="muted">${this.t("vision.muted_layer", { n: eye.muted_until_layer })}</p>` : nothing}
      ${eye.muted_until ? html`<p class="muted">${this.t("vision.muted", { when: relative(this.hass, eye.muted_until) })}</p>` : nothing}
      ${
        device?.may_control
          ? html`<div class="row">
              <button aria-label=${this.named(this.t("vision.look"), name)} ?disabled=${off || this.busy.has(eye.device_id)} @click=${() => this.lookNow(eye)}>
                ${this.t("vision.look")}
              </button>
            </div>`
          : this.onlyLook
      }
    </section>`;
  }

  private trouble(eye: Eye): string {
    const reason = this.t(`vision.reason.${eye.reason}` as Key);
    return reason.startsWith("vision.")
      ? this.t(`vision.cure.${eye.health as "frozen"}`)
      : `${reason} ${this.t(`vision.cure.${eye.health as "frozen"}`)}`;
  }

  private verdict(eye: Eye) {
    if (eye.verdict === null || eye.at === null) return html`<p class="muted">${this.t("vision.no_verdict")}</p>`;
    const bad = eye.verdict === "spaghetti" || eye.verdict === "clog";
    const sure = eye.confidence ?? 0;
    return html`<div>
      <div class="row">
        <h3 class="grow">${this.t(`vision.verdict.${eye.verdict}`)}</h3>
        <span class="muted">${relative(this.hass, eye.at)}</span>
      </div>
      <div class="row">
        <div class="sure grow ${bad ? "bad" : ""}" role="img" aria-label=${this.t("vision.sure", { n: percent(this.hass, sure) })}>
          <div style="inline-size: ${sure * 100}%"></div>
        </div>
        <span>${percent(this.hass, sure)}</span>
      </div>
      ${says(eye.what, eye.verdict) ? html`<p class="muted">${eye.what}</p>` : nothing}
    </div>`;
  }

  private lookNow(eye: Eye): Promise<boolean> {
    const device = this.devices.get(eye.device_id);
    return this.doing(eye.device_id, async () => {
      const seen = await this.call<Pick<Eye, "verdict" | "confidence" | "what">>("look_at_print", {
        device_id: device?.registry_id,
      });
      const verdict = this.t(`vision.verdict.${seen.verdict ?? "unknown"}`);
      const sure = percent(this.hass, seen.confidence ?? 0);
      say(this.t("vision.looked", { device: this.name(eye.device_id), verdict, sure }));
    });
  }

  private settings() {
    const eye = this.setting;
    const close = () => {
      this.setting = null;
    };
    return html`<kitty-dialog .open=${eye !== null} heading=${this.t("vision.settings_of", { device: eye ? this.name(eye.device_id) : "" })} @close=${close}>
      ${eye ? this.form(eye) : nothing}
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button slot="actions" class="primary" ?disabled=${this.busy.has("settings")} @click=${() => this.renderRoot.querySelector<HTMLFormElement>("#settings")?.requestSubmit()}>
        ${this.t("materials.save")}
      </button>
    </kitty-dialog>`;
  }

  private form(eye: Eye) {
    const printers = this.devices.all.filter((one) => one.kind === "printer");
    const { enabled = true, action = "notify", threshold = 0.6 } = eye.settings;
    return html`<form id="settings" @submit=${(event: Event) => this.save(event, eye)}>
      <label class="row"><input type="checkbox" name="enabled" ?checked=${enabled} />${this.t("vision.enabled")}</label>
      <label class="field"
        >${this.t("prints.printer")}
        <select name="printer">
          <option value="">${this.t("vision.by_itself")}</option>
          ${printers.map((one) => html`<option value=${one.registry_id} ?selected=${one.id === eye.printer_id}>${deviceName(this.hass, one)}</option>`)}
        </select>
      </label>
      <label class="field"
        >${this.t("vision.action")}
        <select name="action">
          <option value="notify" ?selected=${action === "notify"}>${this.t("vision.action_notify")}</option>
          <option value="pause" ?selected=${action === "pause"}>${this.t("vision.action_pause")}</option>
        </select>
      </label>
      <label class="field"
        >${this.t("vision.threshold")}
        <input type="number" name="threshold" min="5" max="100" step="1" .value=${String(Math.round(threshold * 100))} />
      </label>
    </form>`;
  }

  private async save(event: Event, eye: Eye): Promise<void> {
    event.preventDefault();
    const said = new FormData(event.target as HTMLFormElement);
    const data = {
      device_id: this.devices.get(eye.device_id)?.registry_id,
      enabled: said.has("enabled"),
      printer: said.get("printer") || null,
      action: said.get("action"),
      threshold: Number(said.get("threshold")) / 100,
    };
    if (await this.doing("settings", () => this.call("watch_camera", data), this.t("vision.saved")))
      this.setting = null;
  }

  // -- what was -----------------------------------------------------------------------------------

  private history() {
    const { items, failure, cursor, again } = this.past;
    if (failure) return failed(this.hass, failure, again);
    const rows = items?.filter((one) => one.status !== "open") ?? [];
    return html`<section class="card">
      <h2>${this.t("vision.history")}</h2>
      ${items ? nothing : this.notYet}
      ${items && !rows.length ? html`<p class="muted">${this.t("vision.no_history")}</p>` : nothing}
      <div class="history">
        ${repeat(
          rows,
          (one) => one.id,
          (one) => this.old(one),
        )}
      </div>
      ${
        cursor
          ? html`<div class="row" style="justify-content: center; margin-block-start: 12px">
              <button ?disabled=${this.busy.has("past")} @click=${() => this.doing("past", () => this.past.more())}>${this.t("prints.more")}</button>
            </div>`
          : nothing
      }
    </section>`;
  }

  private old(one: Incident): TemplateResult {
    const who = personName(this.hass, one.answered_by);
    return html`<article class="old" data-incident=${one.id}>
      ${one.picture ? html`<kitty-picture .hass=${this.hass} .of=${{ ...this.here, incident_id: one.id }} alt=${this.kind(one)}></kitty-picture>` : nothing}
      <h3>${this.named(this.kind(one), this.name(one.printer_id ?? one.device_id))}</h3>
      <p class="muted">${dateTime(this.hass, one.created_at)}</p>
      <p>
        <span class="chip ${one.status === "confirmed" ? "bad" : one.status === "false_alarm" ? "good" : ""}">${this.t(`vision.status.${one.status}`)}</span>
        ${who ? html`<span class="muted">${this.t("vision.by", { who })}</span>` : nothing}
      </p>
    </article>`;
  }
}
