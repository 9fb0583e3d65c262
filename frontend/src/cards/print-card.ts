/** A printer at a glance: its picture, its print, what is left of it, and what a person can do now. */

import {
  mdiAlertOutline,
  mdiBellCancelOutline,
  mdiBroom,
  mdiCameraOff,
  mdiCheck,
  mdiClose,
  mdiLanDisconnect,
  mdiPause,
  mdiPlay,
  mdiPrinter3d,
  mdiStop,
} from "@mdi/js";
import { css, html, nothing, svg, type TemplateResult } from "lit";
import { state } from "lit/decorators.js";
import { Live } from "../data/live";
import type { Key } from "../i18n";
import { pageLanguage, words } from "../i18n";
import "../ui/dialog";
import { define } from "../ui/define";
import { duration, percent, time } from "../ui/format";
import "../ui/icon";
import { shared } from "../ui/styles";
import { KittyCard } from "./card";
import "./decide-feature";
import { type ConfigForm, type GridOptions, showMore } from "./hass";
import { type Device, deviceOf, entityOf, PLATFORM, type Registries, readHouse } from "./house";
import { isRunning, type Mood, type Press, type Print, readPrint } from "./print";

export const PICTURES = ["auto", "camera", "preview", "none"] as const;

export interface PrintCardConfig {
  readonly type: string;
  /** Any entity of the printer. */
  readonly entity: string;
  readonly name?: string;
  readonly picture?: (typeof PICTURES)[number];
}

const STATUS = "sensor.printer_status";
/** A camera's picture is still; it is fetched anew this often while somebody looks. */
const LOOK_EVERY_MS = 10_000;
const RADIUS = 30;
const AROUND = 2 * Math.PI * RADIUS;

const FACES: Readonly<Record<Mood, string>> = {
  offline: mdiLanDisconnect,
  idle: mdiPrinter3d,
  preparing: mdiPrinter3d,
  printing: mdiPrinter3d,
  paused: mdiPause,
  done: mdiCheck,
  failed: mdiAlertOutline,
};
const PRESS: Readonly<Record<Press, { readonly icon: string; readonly word: Key; readonly asks: boolean }>> = {
  pause: { icon: mdiPause, word: "cards.print.pause", asks: false },
  resume: { icon: mdiPlay, word: "cards.print.resume", asks: false },
  cancel: { icon: mdiStop, word: "cards.print.cancel", asks: true },
  bed_cleared: { icon: mdiBroom, word: "cards.print.bed_cleared", asks: false },
  false_alarm: { icon: mdiBellCancelOutline, word: "cards.print.false_alarm", asks: false },
};

@define("kitty-print")
export class KittyPrintCard extends KittyCard {
  @state() private config: PrintCardConfig | undefined;
  @state() private asking = false;
  @state() private looked = 0;
  @state() private blind = false;
  private readonly rows = new Live(this, "devices");
  private timer: ReturnType<typeof setInterval> | undefined;
  /** The entities that were read when the card was drawn last. */
  private drawn: readonly string[] = [];

  static getConfigForm(): ConfigForm {
    const language = pageLanguage();
    return {
      schema: [
        {
          name: "entity",
          required: true,
          selector: { entity: { filter: { integration: PLATFORM, domain: "sensor", device_class: "enum" } } },
        },
        { name: "name", selector: { text: {} } },
        {
          name: "picture",
          selector: {
            select: {
              mode: "dropdown",
              options: PICTURES.map((value) => ({ value, label: words(language, `cards.print.pictures.${value}`) })),
            },
          },
        },
      ],
      computeLabel: ({ name }) =>
        name === "entity" || name === "name" || name === "picture"
          ? words(language, `cards.print.fields.${name}`)
          : undefined,
      assertConfig: (config) => {
        if (typeof config.entity !== "string") throw new Error(words(language, "cards.print.no_entity"));
      },
    };
  }

  static getStubConfig(hass: Registries): Omit<PrintCardConfig, "type"> {
    const first = readHouse(hass).printers[0];
    return { entity: (first && entityOf(first, STATUS)) ?? "" };
  }

  setConfig(config: PrintCardConfig): void {
    if (typeof config.entity !== "string") throw new Error(words(pageLanguage(), "cards.print.no_entity"));
    this.config = config;
  }

  getCardSize(): number {
    return 5;
  }

  getGridOptions(): GridOptions {
    return { columns: 12, min_columns: 6, rows: "auto" };
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setInterval(() => {
      if (document.visibilityState === "visible") this.looked = Date.now();
    }, LOOK_EVERY_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.timer);
  }

  protected override get shown(): readonly string[] {
    return this.drawn;
  }

  private get device(): Device | undefined {
    return this.config && deviceOf(this.hass, this.config.entity);
  }

  static override styles = [
    shared,
    css`
      :host {
        display: block;
        block-size: 100%;
      }
      .card {
        container-type: inline-size;
        display: grid;
        align-content: start;
        min-block-size: 100%;
        overflow: hidden;
        padding: 0;
        background: var(--ha-card-background, var(--card-background-color, #fff));
        box-shadow: var(--ha-card-box-shadow, none);
      }
      .picture {
        all: unset;
        box-sizing: border-box;
        cursor: pointer;
        display: block;
        aspect-ratio: 16 / 9;
        background: color-mix(in srgb, var(--primary-text-color) 6%, transparent);
        position: relative;
      }
      .picture:focus-visible {
        outline: 2px solid var(--primary-color);
        outline-offset: -2px;
      }
      .picture img {
        block-size: 100%;
        inline-size: 100%;
        display: block;
        object-fit: cover;
      }
      .picture img.drawn {
        object-fit: contain;
        padding: 8px;
      }
      .over {
        position: absolute;
        inset-block-end: 8px;
        inset-inline-start: 8px;
        background: rgb(0 0 0 / 70%);
        border-radius: 12px;
        color: #fff;
        display: flex;
        gap: 4px;
        align-items: center;
        font-size: 12px;
        padding: 2px 10px;
        --icon-size: 16px;
      }
      .body {
        display: grid;
        gap: 12px;
        padding: var(--space);
      }
      .head {
        all: unset;
        cursor: pointer;
        display: grid;
        grid-template-columns: auto minmax(0, 1fr);
        gap: 16px;
        align-items: center;
        border-radius: 8px;
      }
      .head:focus-visible {
        outline: 2px solid var(--primary-color);
        outline-offset: 2px;
      }
      .face {
        position: relative;
        inline-size: 68px;
        block-size: 68px;
        display: grid;
        place-items: center;
        color: var(--tint);
      }
      .face svg {
        position: absolute;
        inset: 0;
        rotate: -90deg;
      }
      .face text,
      .share {
        color: var(--primary-text-color);
        font-size: 16px;
        font-weight: 500;
        font-variant-numeric: tabular-nums;
      }
      .track {
        fill: none;
        stroke: var(--divider-color, #e0e0e0);
        stroke-width: 6;
      }
      .gone {
        fill: none;
        stroke: var(--tint);
        stroke-linecap: round;
        stroke-width: 6;
        transition: stroke-dashoffset 400ms;
      }
      .name {
        display: block;
        font-size: 16px;
        font-weight: 500;
      }
      .line {
        display: block;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .dot {
        inline-size: 10px;
        block-size: 10px;
        border-radius: 50%;
        border: 1px solid var(--secondary-text-color);
        flex: none;
      }
      .printing,
      .preparing {
        --tint: var(--primary-color, #03a9f4);
      }
      .paused {
        --tint: var(--warning-color, #ffa600);
      }
      .done {
        --tint: var(--success-color, #43a047);
      }
      .failed {
        --tint: var(--error-color, #db4437);
      }
      .idle,
      .offline {
        --tint: var(--secondary-text-color, #727272);
      }
      .presses button {
        flex: 1 1 auto;
      }
      @container (max-width: 300px) {
        .presses button {
          flex: 1 1 100%;
        }
      }
    `,
  ];

  override render() {
    const { config, device } = this;
    if (config === undefined) return nothing;
    this.drawn = [config.entity, ...Object.values(device?.entities ?? {}).flat()];
    const status = device && entityOf(device, STATUS);
    if (device === undefined || status === undefined) return this.missing(config.entity);
    const print = readPrint(device, this.hass.states);
    const name = config.name || device.name;
    return html`<div class="card" role="group" aria-label=${name}>
      ${this.picture(print, name)}
      <div class="body ${print.mood}">
        <button class="head" @click=${() => showMore(this, status)}>
          ${this.ring(print)}
          <span class="grow">
            <span class="name line">${name}</span>
            <span class="line">${this.headline(print)}</span>
            ${this.details(print).map((line) => html`<span class="line muted">${line}</span>`)}
          </span>
        </button>
        ${this.chips(print)}
        <kitty-decide .hass=${this.hass} .context=${{ entity_id: status }} quiet></kitty-decide>
        ${this.presses(print)}
      </div>
      ${this.dialog(print, name)}
    </div>`;
  }

  private missing(entityId: string): TemplateResult {
    return html`<div class="card"><div class="body">
      <p>${this.t(entityId === "" ? "cards.print.no_entity" : "cards.print.no_printer", { entity: entityId })}</p>
    </div></div>`;
  }

  /** What the camera sees while there is something to see; else what the print will be. */
  private picture(print: Print, name: string): TemplateResult | typeof nothing {
    const wish = this.config?.picture ?? "auto";
    // While there is an alarm, what it is about stands in the place of what is seen now.
    const evidence = wish === "auto" && print.alarm ? print.frame : null;
    const eye = wish === "auto" || wish === "camera" ? print.camera : null;
    const drawn = wish === "auto" || wish === "preview" ? print.preview : null;
    const shown = evidence ?? (this.blind ? null : eye) ?? drawn;
    const source = shown?.attributes.entity_picture;
    if (!shown || !source) return nothing;
    const seen = shown === eye;
    const word = shown === evidence ? "evidence_of" : seen ? "camera_of" : "preview_of";
    const words = this.t(`cards.print.${word}`, { name });
    // What was drawn changes with its state; what is seen, with every look.
    const address = this.hass.hassUrl(seen && this.looked > 0 ? `${source}&look=${this.looked}` : source);
    return html`<button class="picture" aria-label=${words} @click=${() => showMore(this, shown.entity_id)}>
      <img
        class=${shown === drawn ? "drawn" : "seen"}
        src=${address}
        alt=""
        @error=${() => {
          this.blind = seen;
        }}
      />
      ${print.cameraFails ? this.blindness() : nothing}
    </button>`;
  }

  private blindness(): TemplateResult {
    return html`<span class="over"><kitty-icon .path=${mdiCameraOff}></kitty-icon>${this.t("cards.print.camera_fails")}</span>`;
  }

  private ring(print: Print): TemplateResult {
    if (print.progress === null || print.mood === "done") {
      return html`<span class="face"><kitty-icon style="--icon-size: 40px" .path=${FACES[print.mood]}></kitty-icon></span>`;
    }
    const share = Math.max(0, Math.min(1, print.progress / 100));
    return html`<span class="face">
      <svg viewBox="0 0 68 68" aria-hidden="true">
        <circle class="track" cx="34" cy="34" r=${RADIUS}></circle>
        ${
          share > 0
            ? svg`<circle class="gone" cx="34" cy="34" r=${RADIUS}
                stroke-dasharray=${AROUND} stroke-dashoffset=${AROUND * (1 - share)}></circle>`
            : nothing
        }
      </svg>
      <span class="share">${percent(this.hass, share)}</span>
    </span>`;
  }

  private headline(print: Print): string {
    if (print.status === null) return this.t("cards.print.offline");
    const status = this.hass.formatEntityState(print.status);
    if (print.leftS === null) return status;
    const left = this.t("cards.print.left", { duration: duration(this.hass, print.leftS) });
    return `${status} · ${left}`;
  }

  private details(print: Print): readonly string[] {
    if (print.mood === "idle") {
      if (print.next === null) return [];
      const next = this.t("cards.print.next", { title: print.next.state });
      if (print.chance === null) return [next];
      return [next, this.t("cards.print.chance", { chance: this.hass.formatEntityState(print.chance) })];
    }
    const lines = print.file === null ? [] : [print.file];
    const more: string[] = [];
    if (print.mood === "printing" && print.leftS !== null) {
      more.push(this.t("cards.print.until", { time: time(this.hass, Date.now() / 1000 + print.leftS) }));
    }
    if (print.layer !== null) more.push(this.t("cards.print.layer", { layer: print.layer }));
    return more.length === 0 ? lines : [...lines, more.join(" · ")];
  }

  private chips(print: Print): TemplateResult | typeof nothing {
    const heat = isRunning(print.mood) ? this.heat(print) : [];
    const found = [
      ...(print.bedIsToClear ? [html`<span class="chip warn">${this.t("cards.print.bed_to_clear")}</span>`] : []),
      ...(print.alarm ? [html`<span class="chip bad">${this.alarm(print)}</span>`] : []),
      ...print.filaments.map(
        (one) => html`<span class="chip">
          ${one.color === null ? nothing : html`<span class="dot" style="background: ${one.color}"></span>`}${one.text}
        </span>`,
      ),
      ...heat.map((words) => html`<span class="chip">${words}</span>`),
    ];
    return found.length === 0 ? nothing : html`<div class="row">${found}</div>`;
  }

  private alarm(print: Print): string {
    const what = print.frame === null ? "" : this.hass.formatEntityAttributeValue(print.frame, "verdict");
    return what === "" ? this.t("cards.print.alarm") : this.t("cards.print.alarm_of", { what });
  }

  private heat(print: Print): readonly string[] {
    return [
      ...(print.nozzle === null
        ? []
        : [this.t("cards.print.nozzle", { heat: this.hass.formatEntityState(print.nozzle) })]),
      ...(print.bed === null ? [] : [this.t("cards.print.bed", { heat: this.hass.formatEntityState(print.bed) })]),
    ];
  }

  private presses(print: Print): TemplateResult | typeof nothing {
    const wanted = (Object.keys(print.presses) as Press[]).filter(
      (press) => press !== "bed_cleared" || print.bedIsToClear,
    );
    if (wanted.length === 0) return nothing;
    // Nothing is known of a printer of another brain: whoever may not press it, is told so when they do.
    const row = this.rows.all.find((one) => one.registry_id === this.device?.id);
    if (row?.may_control === false) return this.onlyLook;
    return html`<div class="row presses">
      ${wanted.map(
        (press) => html`<button ?disabled=${this.busy.has(press)} @click=${() => this.press(press, print)}>
          <kitty-icon style="--icon-size: 20px" .path=${PRESS[press].icon}></kitty-icon>${this.t(PRESS[press].word)}
        </button>`,
      )}
    </div>`;
  }

  private dialog(print: Print, name: string): TemplateResult {
    const close = () => {
      this.asking = false;
    };
    return html`<kitty-dialog
      .open=${this.asking}
      heading=${this.t("cards.print.cancel_heading", { name })}
      @close=${close}
    >
      <p>${this.t("cards.print.cancel_words", { file: print.file ?? name })}</p>
      <button slot="actions" @click=${close}>${this.t("cards.print.keep")}</button>
      <button
        slot="actions"
        class="danger"
        @click=${() => {
          close();
          this.go("cancel", print);
        }}
      >
        <kitty-icon style="--icon-size: 20px" .path=${mdiClose}></kitty-icon>${this.t("cards.print.cancel")}
      </button>
    </kitty-dialog>`;
  }

  private press(press: Press, print: Print): void {
    if (PRESS[press].asks) this.asking = true;
    else this.go(press, print);
  }

  private go(press: Press, print: Print): void {
    const entity_id = print.presses[press];
    if (entity_id === undefined) return;
    void this.doing(press, () => this.callAny("button", "press", { entity_id }));
  }
}
