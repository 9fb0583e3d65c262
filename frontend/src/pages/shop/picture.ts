/** Pictures: what the brain keeps, fetched when it comes into sight, and what a camera sees now. */

import { mdiImageOffOutline } from "@mdi/js";
import { css, html, LitElement, nothing, type PropertyValues } from "lit";
import { property, state } from "lit/decorators.js";
import { call } from "../../data/actions";
import { Fetched } from "../../data/fetched";
import type { Hass } from "../../data/hass";
import { define } from "../../ui/define";
import "../../ui/icon";

const KEPT_MOST = 60;
/** As often as Home Assistant's own cards look. */
const LOOK_EVERY_MS = 10_000;

interface Image {
  content_type: string;
  image: string;
}

const kept = new Map<string, Promise<string>>();

/** Returns a picture as a data URL; asked for once, however many show it. */
function picture(hass: Hass, of: Record<string, unknown>): Promise<string> {
  const key = JSON.stringify(of);
  const known = kept.get(key);
  if (known) return known;
  const asked = call<Image>(hass, "get_picture", of).then(
    ({ content_type, image }) => `data:${content_type};base64,${image}`,
  );
  // Perhaps it is drawn later: the next who looks asks again.
  asked.catch(() => kept.delete(key));
  kept.set(key, asked);
  const [oldest] = kept.keys();
  if (kept.size > KEPT_MOST && oldest) kept.delete(oldest);
  return asked;
}

/** Tells when an element comes into sight, and when it leaves. */
class Sight {
  private readonly watch = new IntersectionObserver((seen) => this.told(seen.some((one) => one.isIntersecting)), {
    rootMargin: "300px",
  });

  constructor(private readonly told: (seen: boolean) => void) {}

  on(element: Element): void {
    this.watch.observe(element);
  }

  off(): void {
    this.watch.disconnect();
  }
}

const STYLE = css`
  :host {
    align-items: center;
    aspect-ratio: 4 / 3;
    background: var(--secondary-background-color, #f0f0f0);
    border-radius: 8px;
    color: var(--secondary-text-color);
    display: flex;
    justify-content: center;
    overflow: hidden;
  }
  img {
    height: 100%;
    object-fit: cover;
    width: 100%;
  }
`;

/** A picture that the brain keeps. `of` is what kitty.get_picture wants; what it shows is said by `alt`. */
@define("kitty-picture")
export class KittyPicture extends LitElement {
  @property({ attribute: false, hasChanged: () => false }) hass!: Hass;
  @property({ attribute: false, hasChanged: (now, before) => JSON.stringify(now) !== JSON.stringify(before) })
  of: Record<string, unknown> = {};
  @property() alt = "";
  @state() private seen = false;
  private readonly told = new Fetched(
    this,
    () => picture(this.hass, this.of),
    () => (this.seen ? JSON.stringify(this.of) : null),
  );
  private readonly sight = new Sight((seen) => {
    this.seen ||= seen;
  });

  static override styles = STYLE;

  override connectedCallback(): void {
    super.connectedCallback();
    this.sight.on(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sight.off();
    this.seen = false;
  }

  override render() {
    const { value, failure } = this.told;
    if (failure) return html`<kitty-icon .path=${mdiImageOffOutline}></kitty-icon>`;
    return value ? html`<img src=${value} alt=${this.alt} />` : nothing;
  }
}

/** What a camera entity sees; looked at again now and then, for as long as somebody can see it. */
@define("kitty-eye")
export class KittyEye extends LitElement {
  @property({ attribute: false, hasChanged: () => false }) hass!: Hass;
  @property() entity = "";
  @property() alt = "";
  /** Something that changes when there is something new to see. */
  @property({ attribute: false }) news: unknown;
  /** A browser shows an address that it has seen again, as it was: each look has an address of its own. */
  @state() private turn = Date.now();
  @state() private broken = false;
  private timer: ReturnType<typeof setInterval> | undefined;
  private readonly sight = new Sight((seen) => this.watch(seen));

  static override styles = STYLE;

  override connectedCallback(): void {
    super.connectedCallback();
    this.sight.on(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sight.off();
    this.watch(false);
  }

  private watch(seen: boolean): void {
    clearInterval(this.timer);
    this.timer = seen ? setInterval(this.look, LOOK_EVERY_MS) : undefined;
  }

  private readonly look = (): void => {
    if (document.visibilityState !== "visible") return;
    this.turn = Date.now();
    this.broken = false;
  };

  override willUpdate(changed: PropertyValues): void {
    if (changed.has("news")) this.turn = Date.now();
  }

  override render() {
    const source = this.hass.states[this.entity]?.attributes.entity_picture;
    if (!source || this.broken) return html`<kitty-icon .path=${mdiImageOffOutline}></kitty-icon>`;
    const address = `${source}${source.includes("?") ? "&" : "?"}look=${this.turn}`;
    return html`<img src=${this.hass.hassUrl(address)} alt=${this.alt} @error=${this.fail} />`;
  }

  private fail(): void {
    this.broken = true;
  }
}
