/** Workshop: what stands where, how dangerous it is there, who is there, and what is asked. */

import {
  mdiAccount,
  mdiCamera,
  mdiDoor,
  mdiLightbulb,
  mdiLock,
  mdiLockOpenVariant,
  mdiPower,
  mdiPrinter3d,
  mdiRefresh,
  mdiShieldAlert,
  mdiThermometer,
} from "@mdi/js";
import { css, html, nothing, type TemplateResult } from "lit";
import { state } from "lit/decorators.js";
import { areaName, personEntity, personName } from "../data/hass";
import { Live } from "../data/live";
import type { Device, SafetyEvent } from "../data/types";
import type { Key } from "../i18n";
import "../ui/countdown";
import { define } from "../ui/define";
import "../ui/dialog";
import { number, percent, relative } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import "./shop/code";
import { type Deed, deeds } from "./shop/deeds";
import { hazard } from "./shop/draw";
import { deviceName, type Member, type Policy, type Presence, printerState, type Rules, type Zone } from "./shop/rows";

interface Area {
  id: string | null;
  name: string;
  zone: Zone | undefined;
  devices: Device[];
}

const ICONS: Readonly<Record<string, string>> = {
  camera: mdiCamera,
  door: mdiDoor,
  light: mdiLightbulb,
  power: mdiPower,
  printer: mdiPrinter3d,
  sensor: mdiThermometer,
};

@define("kitty-page-workshop")
export class KittyPageWorkshop extends KittyPage {
  private readonly devices = new Live(this, "devices");
  private readonly events = new Live(this, "events");
  private readonly commands = new Live(this, "commands");
  private readonly presences = new Live<"presences", Presence>(this, "presences");
  /** Read anew when something is asked for: the checks are looked at then. */
  private readonly read = this.fetched(
    () => this.call<Rules>("get_rules", this.here),
    () => [...this.events.rows.keys()].join(),
  );
  @state() private resetting: Member | null = null;

  static override styles = [
    shared,
    css`
      .zones {
        display: grid;
        gap: var(--space);
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr));
        align-items: start;
      }
      .hazard {
        block-size: 24px;
        inline-size: 36px;
      }
      .device {
        align-items: center;
        border-block-start: var(--line);
        display: grid;
        gap: 4px 12px;
        grid-template-columns: 40px minmax(0, 1fr) auto;
        padding-block: 12px;
      }
      .device:last-child {
        padding-block-end: 0;
      }
      .face {
        align-items: center;
        background: color-mix(in srgb, var(--secondary-text-color) 14%, transparent);
        border-radius: 50%;
        display: flex;
        height: 40px;
        justify-content: center;
        width: 40px;
      }
      .face.busy {
        background: color-mix(in srgb, var(--primary-color) 24%, transparent);
      }
      .face.open {
        background: color-mix(in srgb, var(--warning-color, #ffa600) 34%, transparent);
      }
      .face.away {
        opacity: 0.45;
      }
      .deeds {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
        justify-content: flex-end;
      }
      .waits {
        grid-column: 2 / -1;
      }
      .waits a {
        color: inherit;
      }
      .there {
        align-items: center;
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
        --icon-size: 18px;
      }
      ul.rules {
        margin: 0;
        padding-inline-start: 20px;
      }
      details summary {
        cursor: pointer;
        min-height: 32px;
        padding-block: 4px;
      }
      :host([narrow]) .device {
        grid-template-columns: 40px minmax(0, 1fr);
      }
      :host([narrow]) .deeds {
        grid-column: 2;
        justify-content: flex-start;
      }
    `,
  ];

  private get rules(): Rules | undefined {
    return this.read.value;
  }

  override render() {
    const { failure, loaded } = this.devices;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!loaded) return this.notYet;
    if (this.devices.rows.size === 0)
      return empty(this.t(this.isAdmin ? "workshop.none" : "workshop.none_seen"), mdiDoor);
    return html`<div class="stack">
      ${this.read.failure ? failed(this.hass, this.read.failure, this.read.again) : nothing}
      <div class="zones">${this.areas().map((area) => this.area(area))}</div>
      ${this.ownCode()} ${this.people()} ${this.resetDialog()}
    </div>`;
  }

  private areas(): Area[] {
    const found = new Map<string | null, Area>();
    for (const zone of this.rules?.zones ?? []) {
      found.set(zone.id, { id: zone.id, name: areaName(this.hass, zone.id) ?? zone.name, zone, devices: [] });
    }
    for (const device of this.devices.all) {
      const { zone_id: id } = device;
      const area = found.get(id) ?? {
        id,
        name: areaName(this.hass, id) ?? this.t("workshop.elsewhere"),
        zone: undefined,
        devices: [],
      };
      area.devices.push(device);
      found.set(id, area);
    }
    const areas = [...found.values()].filter((area) => area.devices.length);
    return areas.sort(
      (one, other) => Number(one.id === null) - Number(other.id === null) || one.name.localeCompare(other.name),
    );
  }

  private area(area: Area): TemplateResult {
    const { zone } = area;
    return html`<section class="card" data-area=${area.id ?? ""}>
      <div class="row">
        ${zone ? hazard(zone.hazard_level, this.t(`workshop.hazard.${zone.hazard_level}`)) : nothing}
        <h2 class="grow">${area.name}</h2>
        ${zone?.requires_ppe ? html`<span class="chip warn"><kitty-icon style="--icon-size: 16px" .path=${mdiShieldAlert}></kitty-icon>${this.t("workshop.ppe")}</span>` : nothing}
      </div>
      ${this.danger(area)}
      ${zone ? this.there(zone) : nothing} ${zone ? this.policy(zone) : nothing}
      <div>${[...area.devices].sort(byName).map((device) => this.device(device))}</div>
    </section>`;
  }

  /** How dangerous an area is; that nobody said so is known only when the rules were read. */
  private danger({ id, zone }: Area): TemplateResult | typeof nothing {
    const words = (key: Key) => html`<p class="muted">${this.t(key)}</p>`;
    if (zone) return words(`workshop.hazard.${zone.hazard_level}`);
    if (!id) return words("workshop.no_area");
    if (this.rules) return words("workshop.no_rules");
    if (this.read.failure) return nothing;
    return this.isAway() ? words("workshop.rules_not_known") : this.notYet;
  }

  /** Who is known to be in an area, and whether that still counts. */
  private there(zone: Zone) {
    const seen = this.presences.all.filter((one) => one.zone_id === zone.id && one.status === "present");
    if (!seen.length) return nothing;
    return html`<p class="there">
      <kitty-icon .path=${mdiAccount}></kitty-icon>
      ${seen.map((one) => {
        const fresh = this.counts(one, zone.policy);
        const age = relative(this.hass, one.observed_at);
        return html`<span class="chip ${fresh ? "good" : ""}"
          >${this.who(one.user_id)} · ${fresh ? age : this.t("workshop.too_old", { when: age })}</span
        >`;
      })}
    </p>`;
  }

  private counts(seen: Presence, policy: Policy | null): boolean {
    return Date.now() / 1000 - seen.observed_at <= (policy?.presence_ttl ?? 300);
  }

  private policy(zone: Zone) {
    const { policy } = zone;
    const doors = zone.door_ids.flatMap((id) => deviceName(this.hass, this.devices.get(id)) ?? []);
    const roles = policy?.required_roles.map((role) => this.roleName(role)).join(", ") ?? this.t("workshop.any_role");
    return html`<details>
      <summary>${this.t("workshop.rules")}</summary>
      <ul class="rules">
        <li>${this.t("workshop.rule.roles", { roles })}</li>
        ${policy?.requires_dual_confirm ? html`<li>${this.t("workshop.rule.dual")}</li>` : nothing}
        ${policy?.requires_presence ? html`<li>${this.t("workshop.rule.presence", { n: Math.round(policy.presence_ttl / 60) })}</li>` : nothing}
        <li>${this.t(policy && !policy.requester_may_confirm ? "workshop.rule.not_requester" : "workshop.rule.requester")}</li>
        ${policy?.voice_may_confirm ? html`<li>${this.t("workshop.rule.voice")}</li>` : nothing}
        ${zone.requires_ppe ? html`<li>${this.t("workshop.rule.ppe")}</li>` : nothing}
        ${doors.length ? html`<li>${this.t("workshop.rule.doors", { doors: doors.join(", ") })}</li>` : nothing}
        ${zone.checks.map(
          (check) => html`<li>
            ${this.t("workshop.rule.check", { name: check.name })}
            <span class="chip ${check.ok ? "good" : "bad"}">${this.t(check.ok ? "workshop.check_ok" : "workshop.check_not")}</span>
          </li>`,
        )}
      </ul>
    </details>`;
  }

  private device(device: Device) {
    const events = this.events.all.filter((one) => one.device_id === device.id && one.status === "pending");
    const name = deviceName(this.hass, device) ?? device.name;
    const found = device.online === "online" && !this.isAway() ? deeds(device) : [];
    const offered = found.filter((deed) => !events.some((event) => event.intent === deed.intent));
    return html`<div class="device" data-device=${device.id}>
      <span class="face ${this.mood(device)}"><kitty-icon .path=${this.face(device)}></kitty-icon></span>
      <div>
        <h3>${name}</h3>
        <p class="muted">${this.stateOf(device)}</p>
      </div>
      <div class="deeds">
        ${device.may_control ? offered.map((deed) => this.deed(device, deed, name)) : found.length ? this.onlyLook : nothing}
      </div>
      ${events.map((event) => this.waiting(event))} ${this.underWay(device)}
    </div>`;
  }

  private deed(device: Device, deed: Deed, name: string) {
    return html`<button
      ?disabled=${this.busy.has(device.id)}
      aria-label=${this.named(this.t(deed.label), name)}
      @click=${() => this.ask(device, deed, name)}
    >
      ${this.t(deed.label)}
    </button>`;
  }

  private ask(device: Device, deed: Deed, name: string): Promise<boolean> {
    return this.doing(
      device.id,
      () => this.call("request", { device_id: device.registry_id, intent: deed.intent }),
      this.t(deed.safe ? "workshop.done" : "workshop.asked", { what: this.t(deed.label), device: name }),
    );
  }

  private waiting(event: SafetyEvent) {
    const who = personName(this.hass, event.initiated_by) ?? this.t("common.somebody");
    return html`<p class="row waits">
      <span class="chip warn">${this.t("workshop.waits", { what: this.intent(event.intent), who })}</span>
      <kitty-countdown .hass=${this.hass} .until=${event.expires_at} .total=${event.expires_at - event.created_at}></kitty-countdown>
      <a href="/kitty/approvals" @click=${this.toApprovals}>${this.t("workshop.to_approvals")}</a>
    </p>`;
  }

  /** What was asked and is not done: it waits until something is cool, or nobody saw how it ended. */
  private underWay(device: Device) {
    const open = this.commands.all.filter((one) => one.device_id === device.id);
    return open.map((one) => {
      const what = this.intent(one.intent);
      if (one.status === "deferred") {
        return html`<p class="waits"><span class="chip info">${this.t("workshop.deferred", { what })}</span></p>`;
      }
      if (one.status !== "unknown") return nothing;
      return html`<p class="row waits">
        <span class="chip bad">${this.t("workshop.outcome_unknown", { what })}</span>
        <span class="muted">${this.t("workshop.settle")}</span>
      </p>`;
    });
  }

  private toApprovals(event: MouseEvent): void {
    event.preventDefault();
    history.pushState(null, "", "/kitty/approvals");
    window.dispatchEvent(new CustomEvent("location-changed", { detail: { replace: false } }));
  }

  private face(device: Device): string {
    if (device.kind !== "door") return ICONS[device.kind] ?? mdiPower;
    return (device.state as { locked?: boolean | null }).locked ? mdiLock : mdiLockOpenVariant;
  }

  private mood(device: Device): string {
    if (device.online !== "online") return "away";
    const { locked, on } = device.state as { locked?: boolean | null; on?: boolean | null };
    if (device.kind === "door") return locked ? "" : "open";
    if (device.kind === "printer") return printerState(device).job && this.prints(device) ? "busy" : "";
    return on ? "busy" : "";
  }

  private prints(device: Device): boolean {
    return ["preparing", "printing", "paused"].includes(printerState(device).status ?? "");
  }

  /** What a device shows, in a line. */
  private stateOf(device: Device): string {
    if (device.online !== "online") {
      const seen = device.last_seen
        ? ` · ${this.t("workshop.last_seen", { when: relative(this.hass, device.last_seen) })}`
        : "";
      return `${this.t(`workshop.${device.online}`)}${seen}`;
    }
    const shown = device.state as Record<string, unknown>;
    const { locked, open, jammed, on, value, unit } = shown;
    if (device.kind === "door") {
      const parts: Key[] = [
        locked === true ? "workshop.locked" : locked === false ? "workshop.unlocked" : "workshop.unknown",
      ];
      if (open === true) parts.push("workshop.open");
      if (jammed === true) parts.push("workshop.jammed");
      return parts.map((part) => this.t(part)).join(", ");
    }
    if (device.kind === "printer") return this.printer(device);
    if (device.kind === "sensor") {
      return typeof value === "number"
        ? `${number(this.hass, value)} ${String(unit ?? "")}`
        : this.t("workshop.unknown");
    }
    if (device.kind === "camera") return this.t("workshop.online");
    return this.t(on === true ? "workshop.is_on" : on === false ? "workshop.is_off" : "workshop.unknown");
  }

  private printer(device: Device): string {
    const { status, job, nozzle } = printerState(device);
    const word = this.t(`prints.status.${status ?? "unknown"}` as Key);
    if (job && this.prints(device)) {
      return `${this.named(word, job.file)} · ${percent(this.hass, (job.progress ?? 0) / 100)}`;
    }
    const heat = nozzle?.actual && nozzle.actual > 50 ? ` · ${number(this.hass, nozzle.actual, 0)} °C` : "";
    return `${word}${heat}`;
  }

  private people() {
    const { rules } = this;
    if (!rules?.people?.length) return nothing;
    return html`<section class="card">
      <div class="row">
        <h2 class="grow">${this.t("workshop.people")}</h2>
        <button class="icon" aria-label=${this.t("workshop.look_again")} title=${this.t("workshop.look_again")} @click=${this.read.again}>
          <kitty-icon .path=${mdiRefresh}></kitty-icon>
        </button>
      </div>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">${this.t("workshop.person")}</th>
              <th scope="col">${this.t("workshop.roles")}</th>
              <th scope="col">${this.t("workshop.where")}</th>
            </tr>
          </thead>
          <tbody>
            ${rules.people.map((one) => this.person(one))}
          </tbody>
        </table>
      </div>
    </section>`;
  }

  private person(member: Member) {
    const seen = this.presences.all.filter((one) => one.user_id === member.id && one.status === "present");
    return html`<tr>
      <td>
        ${this.who(member.id, member.display_name)} ${member.active ? nothing : html`<span class="chip">${this.t("workshop.inactive")}</span>`}
        ${this.reset(member)}
      </td>
      <td>${member.roles.map((role) => html`<span class="chip">${this.roleName(role)}</span> `)}</td>
      <td>
        ${
          seen.length
            ? seen.map((one) => html`<div>${this.place(one)}</div>`)
            : html`<span class="muted">${this.t("workshop.not_known")}</span>`
        }
      </td>
    </tr>`;
  }

  /** To whoever may say so, that somebody has a code, and the way to clear one that was forgotten. */
  private reset(member: Member) {
    if (!member.has_code || member.id === this.hass.user?.id || !personEntity(this.hass, member.id)) return nothing;
    return html`<button
      class="plain"
      aria-label=${this.named(this.t("codes.reset"), member.display_name)}
      ?disabled=${this.busy.has("reset")}
      @click=${() => {
        this.resetting = member;
      }}
    >
      ${this.t("codes.reset")}
    </button>`;
  }

  private resetDialog() {
    const member = this.resetting;
    const who = member ? this.who(member.id, member.display_name) : "";
    const close = () => {
      this.resetting = null;
    };
    const clear = async () => {
      close();
      const data = { ...this.here, person: personEntity(this.hass, member?.id) };
      const deed = () => this.call("reset_code", data, { response: false });
      if (await this.doing("reset", deed, this.t("codes.was_reset", { who }))) await this.read.again();
    };
    return html`<kitty-dialog .open=${member !== null} heading=${this.t("codes.reset_ask", { who })} @close=${close}>
      <p>${this.t("codes.reset_about", { who })}</p>
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button slot="actions" class="danger" @click=${clear}>${this.t("codes.reset")}</button>
    </kitty-dialog>`;
  }

  private ownCode() {
    const own = this.rules?.people?.find((one) => one.id === this.hass.user?.id);
    if (!own) return nothing;
    return html`<kitty-own-code
      .hass=${this.hass}
      .entryId=${this.entryId}
      ?has=${own.has_code === true}
      @changed=${this.read.again}
    ></kitty-own-code>`;
  }

  private place(seen: Presence): string {
    const zone = areaName(this.hass, seen.zone_id) ?? seen.zone_id;
    const source = this.t(`workshop.source.${seen.source}` as Key);
    return this.t("workshop.place", { zone, source, when: relative(this.hass, seen.observed_at) });
  }

  private who(userId: string, fallback = "?"): string {
    const known = this.rules?.people?.find((one) => one.id === userId)?.display_name;
    return personName(this.hass, userId) ?? known ?? fallback;
  }

  private roleName(role: string): string {
    return this.t(`workshop.role.${role}` as Key);
  }

  private intent(intent: string): string {
    return this.t(`workshop.intent.${intent}` as Key);
  }
}

function byName(one: Device, other: Device): number {
  return one.kind.localeCompare(other.kind) || one.name.localeCompare(other.name);
}
