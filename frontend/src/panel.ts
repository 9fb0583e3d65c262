/** The panel in the sidebar: a toolbar, one tab for each page that there is, and the page. */

import { mdiMenu } from "@mdi/js";
import { css, html, LitElement, nothing } from "lit";
import { property, state } from "lit/decorators.js";
import { html as staticHtml, unsafeStatic } from "lit/static-html.js";
import { differs, type Hass } from "./data/hass";
import { Live } from "./data/live";
import type { Link } from "./data/types";
import { capabilityName } from "./data/words";
import { t } from "./i18n";
import { PAGES, type Page } from "./pages";
import { define } from "./ui/define";
import "./ui/icon";
import { deafness } from "./ui/requests";
import { empty, failed, loading, unknown } from "./ui/states";
import { shared } from "./ui/styles";

const ROOT = "/kitty";

/** Goes to another address of Home Assistant's frontend, as its own links do. */
export function navigate(path: string, replace = false): void {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  window.dispatchEvent(new CustomEvent("location-changed", { detail: { replace } }));
}

@define("kitty-panel")
export class KittyPanel extends LitElement {
  @property({ attribute: false, hasChanged: differs }) hass!: Hass;
  @property({ type: Boolean, reflect: true }) narrow = false;
  @property({ attribute: false }) route: { prefix: string; path: string } = { prefix: ROOT, path: "" };
  @property({ attribute: false }) panel: unknown;
  /** The brain that was chosen; undefined where there is only one. */
  @state() private chosen: string | undefined;
  @state() private online = true;
  private watched: Hass["connection"] | undefined;

  private readonly brains = new Live(this, "link", { everywhere: true });
  private readonly capabilities = new Live(this, "capabilities");

  static override styles = [
    shared,
    css`
      :host {
        background: var(--primary-background-color);
        display: flex;
        flex-direction: column;
        min-height: 100dvh;
      }
      header {
        background: var(--app-header-background-color, var(--primary-color));
        border-block-end: var(--app-header-border-bottom, none);
        color: var(--app-header-text-color, var(--text-primary-color, #fff));
        inset-block-start: 0;
        position: sticky;
        z-index: 4;
      }
      .bar {
        align-items: center;
        display: flex;
        gap: 8px;
        height: var(--header-height, 56px);
        padding-inline: 12px;
      }
      .bar button {
        color: inherit;
      }
      h1 {
        font-size: 20px;
        font-weight: 400;
        line-height: 1.2;
        margin: 0;
        overflow: hidden;
        padding-inline: 8px;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      header select {
        background: transparent;
        border-color: currentcolor;
        color: inherit;
        margin-inline-start: auto;
        min-width: 0;
      }
      header select.pages {
        border-color: transparent;
        font-size: 18px;
        margin-inline-start: 0;
        flex: 1 1 0;
      }
      header option {
        background: var(--card-background-color, #fff);
        color: var(--primary-text-color);
      }
      nav {
        display: flex;
        overflow-x: auto;
        padding-inline: 12px;
        scrollbar-width: none;
      }
      nav a {
        align-items: center;
        border-block-end: 2px solid transparent;
        color: inherit;
        display: flex;
        flex: none;
        font-weight: 500;
        gap: 8px;
        height: 48px;
        padding-inline: 12px;
        text-decoration: none;
        --icon-size: 20px;
      }
      header {
        container-type: inline-size;
      }
      /* All tabs without icons rather than some behind the edge. */
      @container (max-width: 1350px) {
        nav kitty-icon {
          display: none;
        }
      }
      nav a[aria-current="page"] {
        border-color: currentcolor;
      }
      nav a:focus-visible {
        outline-color: currentcolor;
        outline-offset: -4px;
      }
      main {
        flex: 1;
        margin-inline: auto;
        max-width: 1400px;
        padding: 16px;
        padding-block-end: calc(16px + env(safe-area-inset-bottom, 0px));
        width: 100%;
      }
      .off:not(:last-child) {
        margin-block-end: 16px;
      }
      .note {
        background: color-mix(in srgb, var(--warning-color, #ffa600) 24%, var(--card-background-color, #fff));
        border-radius: 12px;
        margin-block-end: 16px;
        padding: 12px 16px;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    this.watch();
    void this.hass?.loadBackendTranslation("entity", "kitty").then(() => this.requestUpdate());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.watched?.removeEventListener("ready", this.back);
    this.watched?.removeEventListener("disconnected", this.away);
    this.watched = undefined;
  }

  private readonly back = () => {
    this.online = true;
  };
  private readonly away = () => {
    this.online = false;
  };

  private watch(): void {
    const connection = this.hass?.connection;
    if (!connection || connection === this.watched) return;
    this.watched?.removeEventListener("ready", this.back);
    this.watched?.removeEventListener("disconnected", this.away);
    connection.addEventListener("ready", this.back);
    connection.addEventListener("disconnected", this.away);
    this.watched = connection;
  }

  /** The brain that is shown, where there are several. */
  get entryId(): string | undefined {
    if (this.brains.rows.size < 2) return undefined;
    return this.brains.rows.has(this.chosen ?? "") ? this.chosen : this.brains.rows.keys().next().value;
  }

  /** The pages that are there for this person and this brain. */
  private get pages(): Page[] {
    return PAGES.filter(
      (page) =>
        (!page.admin || this.hass.user?.is_admin) &&
        (!page.needs || page.needs.some((name) => this.capabilities.get(name)?.set_up)),
    );
  }

  override willUpdate(): void {
    this.watch();
    if (this.hass && this.route.path.replaceAll("/", "") === "" && this.capabilities.loaded) {
      const first = this.pages[0];
      if (first) navigate(`${ROOT}/${first.path}`, true);
    }
  }

  override render() {
    if (!this.hass) return nothing;
    const [, path = "", ...rest] = this.route.path.split("/");
    const page = this.pages.find((one) => one.path === path);
    return html`<header>
        <div class="bar">
          ${
            this.narrow || this.hass.dockedSidebar === "always_hidden"
              ? html`<button class="icon" aria-label=${t(this.hass, "common.menu")} @click=${this.toggleMenu}>
                  <kitty-icon .path=${mdiMenu}></kitty-icon>
                </button>`
              : nothing
          }
          ${this.narrow ? this.menu(page) : html`<h1>KITTY</h1>`} ${this.brainChoice()}
        </div>
        ${this.narrow ? nothing : this.tabs(page)}
      </header>
      <main>${this.notes()} ${this.body(page, rest.join("/"))}</main>`;
  }

  override updated(): void {
    this.renderRoot.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  private tabs(page: Page | undefined) {
    return html`<nav aria-label=${t(this.hass, "common.pages")}>
      ${this.pages.map(
        (one) => html`<a
          href="${ROOT}/${one.path}"
          aria-current=${one === page ? "page" : nothing}
          @click=${(event: MouseEvent) => this.follow(event, one.path)}
          ><kitty-icon .path=${one.icon}></kitty-icon>${t(this.hass, one.label)}</a
        >`,
      )}
    </nav>`;
  }

  private menu(page: Page | undefined) {
    return html`<select
      class="pages"
      aria-label=${t(this.hass, "common.pages")}
      @change=${(event: Event) => navigate(`${ROOT}/${(event.target as HTMLSelectElement).value}`)}
    >
      ${this.pages.map((one) => html`<option value=${one.path} ?selected=${one === page}>${t(this.hass, one.label)}</option>`)}
    </select>`;
  }

  private brainChoice() {
    if (this.brains.rows.size < 2) return nothing;
    return html`<select
      aria-label=${t(this.hass, "common.brain")}
      @change=${(event: Event) => {
        this.chosen = (event.target as HTMLSelectElement).value;
      }}
    >
      ${this.brains.all.map(
        (one) =>
          html`<option value=${one.entry_id} ?selected=${one.entry_id === this.entryId}>${this.titled(one)}</option>`,
      )}
    </select>`;
  }

  /** The name of a brain; those of one name are counted. */
  private titled(brain: Link): string {
    const alike = this.brains.all.filter((one) => one.title === brain.title);
    return alike.length > 1 ? `${brain.title} ${alike.indexOf(brain) + 1}` : brain.title;
  }

  private notes() {
    if (!this.online) return html`<p class="note" role="status">${t(this.hass, "panel.home_away")}</p>`;
    const why = deafness(this.brains.all, this.entryId);
    if (!why) return nothing;
    const isOld = why !== "brain_away" && this.capabilities.loaded;
    return html`<p class="note" role="status">
      ${t(this.hass, `panel.${why}`)} ${isOld ? t(this.hass, "panel.last_said") : nothing}
    </p>`;
  }

  private body(page: Page | undefined, rest: string) {
    if (this.brains.loaded && this.brains.rows.size === 0) return empty(t(this.hass, "panel.no_brain"));
    if (!this.capabilities.loaded) {
      const { failure } = this.capabilities;
      if (failure && this.brains.loaded) return failed(this.hass, failure);
      return deafness(this.brains.all, this.entryId) ? unknown(this.hass) : loading(this.hass);
    }
    if (!page) return this.pages.length ? this.elsewhere() : nothing;
    const off = this.switchedOff(page);
    if (off && !page.past) return off;
    const tag = unsafeStatic(page.tag);
    return staticHtml`${off ?? nothing}<${tag}
      .hass=${this.hass}
      .entryId=${this.entryId}
      .narrow=${this.narrow}
      .rest=${rest}
    ></${tag}>`;
  }

  /** A page that is not, or no more: the first one is shown in its place. */
  private elsewhere() {
    queueMicrotask(() => navigate(`${ROOT}/${this.pages[0]?.path}`, true));
    return loading(this.hass);
  }

  /** What stands in the place of a page none of whose parts works, and above one that shows the past. */
  private switchedOff(page: Page) {
    const parts = (page.needs ?? []).map((name) => this.capabilities.get(name)).filter((row) => row?.set_up);
    const [first] = parts;
    if (!first || parts.some((row) => row?.available)) return null;
    const off = this.capabilities.get(first.because) ?? first;
    return html`<div class="card stack off">
      <h2>${t(this.hass, "panel.switched_off", { what: capabilityName(this.hass, off) })}</h2>
      <p class="muted">${t(this.hass, "panel.switch_on")}</p>
      <div class="row">
        <a class="button" href="${ROOT}/io" @click=${(event: MouseEvent) => this.follow(event, "io")}
          >${t(this.hass, "panel.to_io")}</a
        >
      </div>
    </div>`;
  }

  private follow(event: MouseEvent, path: string): void {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    navigate(`${ROOT}/${path}`);
  }

  private toggleMenu(): void {
    this.dispatchEvent(new CustomEvent("hass-toggle-menu", { bubbles: true, composed: true }));
  }
}
