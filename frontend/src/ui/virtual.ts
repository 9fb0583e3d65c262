/** A list that holds in the page only the rows that are seen: thousands of rows scroll as ten do. */

import { html, LitElement, type TemplateResult } from "lit";
import { property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { define } from "./define";

const BEYOND = 8;

/** Rows of one height, in a height that its page gives it. Fires `end` when the last rows come near, of each list anew. */
@define("kitty-virtual")
export class KittyVirtual<T = unknown> extends LitElement {
  @property({ attribute: false }) items: readonly T[] = [];
  @property({ attribute: false }) draw: (item: T, index: number) => TemplateResult = () => html``;
  @property({ attribute: false }) keyOf: (item: T, index: number) => unknown = (_item, index) => index;
  @property({ type: Number }) rowHeight = 48;
  @property() label = "";
  @state() private first = 0;
  @state() private shown = 20;
  private readonly watch = new ResizeObserver(() => this.measure());
  private told: readonly T[] | undefined;

  /** In the page of whoever uses it: the rows have its styles. */
  override createRenderRoot() {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    Object.assign(this.style, { contain: "strict", display: "block", overflow: "auto" });
    this.addEventListener("scroll", this.measure, { passive: true });
    this.tabIndex = 0;
    this.setAttribute("role", "list");
    this.watch.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.removeEventListener("scroll", this.measure);
    this.watch.disconnect();
  }

  private readonly measure = (): void => {
    const first = Math.max(0, Math.floor(this.scrollTop / this.rowHeight) - BEYOND);
    // What was to come then may not have come: whoever scrolls on wants it still.
    if (first > this.first) this.told = undefined;
    this.first = first;
    this.shown = Math.ceil(this.clientHeight / this.rowHeight) + 2 * BEYOND;
  };

  override render() {
    const seen = this.items.slice(this.first, this.first + this.shown);
    return html`<div role="presentation" style="position: relative; block-size: ${this.items.length * this.rowHeight}px">
      ${repeat(
        seen,
        (item, at) => this.keyOf(item, this.first + at),
        (item, at) => html`<div
          role="listitem"
          aria-setsize=${this.items.length}
          aria-posinset=${this.first + at + 1}
          style="block-size: ${this.rowHeight}px; contain: content; inset-inline: 0; position: absolute; transform: translateY(${(this.first + at) * this.rowHeight}px)"
        >
          ${this.draw(item, this.first + at)}
        </div>`,
      )}
    </div>`;
  }

  override updated(): void {
    this.setAttribute("aria-label", this.label);
    const near = this.first + this.shown >= this.items.length;
    if (near && this.items.length > 0 && this.told !== this.items) {
      this.told = this.items;
      this.dispatchEvent(new CustomEvent("end"));
    }
  }
}
