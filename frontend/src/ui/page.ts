/** What every page of the panel is: it knows Home Assistant, its brain and its words, and calls actions. */

import { type CSSResultGroup, html, LitElement, type TemplateResult } from "lit";
import { property, state } from "lit/decorators.js";
import { call, callAny, failureOf } from "../data/actions";
import { type About, Fetched, Listed, type Listing } from "../data/fetched";
import { differs, type Hass } from "../data/hass";
import { Live } from "../data/live";
import { type Key, t, type Values } from "../i18n";
import { deafness } from "./requests";
import { say } from "./say";
import { loading, unknown } from "./states";
import { shared } from "./styles";

/** So often what says how long ago something was is written anew. */
const TICK_MS = 30_000;

export abstract class KittyPage extends LitElement {
  /** Always the newest; the page is drawn anew only when more than states changed. */
  @property({ attribute: false, hasChanged: differs }) hass!: Hass;
  /** The brain that is looked at; undefined where there is only one. */
  @property({ attribute: false }) entryId: string | undefined;
  @property({ type: Boolean, reflect: true }) narrow = false;
  /** What stands behind the page in the address: /kitty/audit/REST. */
  @property() rest = "";
  /** What is being done now, by a name of the page's own: its button is disabled meanwhile. */
  @state() protected busy: ReadonlySet<string> = new Set();

  /** How often Home Assistant has come back since this page is there. */
  @state() private returns = 0;

  static override styles: CSSResultGroup = shared;

  private readonly fetches: Fetched<unknown>[] = [];
  private readonly links = new Live(this, "link", { everywhere: true });
  private ticking: ReturnType<typeof setInterval> | undefined;
  private watched: Hass["connection"] | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.ticking = setInterval(() => this.requestUpdate(), TICK_MS);
    this.watched = this.hass?.connection;
    this.watched?.addEventListener("ready", this.back);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.ticking);
    this.watched?.removeEventListener("ready", this.back);
  }

  /** When Home Assistant is reachable again, what was fetched, and not live, may be old or missing. */
  private readonly back = (): void => {
    this.returns += 1;
    for (const one of this.fetches) void one.again();
  };

  /** Reads something that is not live, whenever it has to be. */
  protected fetched<T>(read: () => Promise<T>, about?: About, waitMs?: number): Fetched<T> {
    const made = new Fetched<T>(this, read, this.whileHeard(about), waitMs);
    this.fetches.push(made);
    return made;
  }

  /** Reads a list that is not live and comes in parts. */
  protected listed<T>(part: (cursor: string | null) => Promise<Listing<T>>, about?: About, waitMs?: number): Listed<T> {
    const made = new Listed<T>(this, part, this.whileHeard(about), waitMs);
    this.fetches.push(made);
    return made;
  }

  /**
   * Nothing is read of a brain that is away: what it said last stays, and is read anew when it is back.
   * A Home Assistant that is starting knows neither the brain nor what is asked of it.
   */
  private whileHeard(about: About = () => ""): About {
    return () => (this.hearing === null ? null : about());
  }

  /** Null while nothing can be read of this brain, and another number whenever what was read may be old or missing. */
  protected get hearing(): number | null {
    return this.isAway() || this.links.failure ? null : this.returns;
  }

  /** Tells whether a brain is not heard now, so that nothing new is known of it. */
  protected isAway(entryId = this.entryId): boolean {
    return deafness(this.links.all, entryId) !== null;
  }

  /** What stands where something is still to come: of a brain that is away, nothing does. */
  protected get notYet(): TemplateResult {
    return this.isAway() ? unknown(this.hass) : loading(this.hass);
  }

  protected t(key: Key, values?: Values): string {
    return t(this.hass, key, values);
  }

  /** "What: which", as this language writes it. */
  protected named(what: string, which: string): string {
    return this.t("common.named", { what, which });
  }

  /** What stands in the place of buttons that would be refused. */
  protected get onlyLook(): TemplateResult {
    return html`<p class="muted">${this.t("common.only_look")}</p>`;
  }

  /** Whether this person sets things up: nobody else is told to. */
  protected get isAdmin(): boolean {
    return this.hass.user?.is_admin ?? false;
  }

  /** For actions that take `config_entry_id`: which brain is meant. */
  protected get here(): Record<string, string> {
    return this.entryId ? { config_entry_id: this.entryId } : {};
  }

  /** Calls an action of KITTY and returns its response; throws ActionError. */
  protected call<T>(action: string, data: Record<string, unknown> = {}, options?: { response?: boolean }): Promise<T> {
    return call<T>(this.hass, action, data, options);
  }

  /** Calls a standard action, e.g. switch.turn_off; throws ActionError. */
  protected callAny(domain: string, service: string, data: Record<string, unknown>): Promise<unknown> {
    return callAny(this.hass, domain, service, data);
  }

  /** Does something once at a time: disables its button, says `done`, or why it failed; tells whether it worked. */
  protected async doing(name: string, deed: () => Promise<unknown>, done?: string): Promise<boolean> {
    if (this.busy.has(name)) return false;
    this.busy = new Set(this.busy).add(name);
    try {
      await deed();
      if (done) say(done);
      return true;
    } catch (error) {
      say(failureOf(error).message, "error");
      return false;
    } finally {
      const left = new Set(this.busy);
      left.delete(name);
      this.busy = left;
    }
  }
}
