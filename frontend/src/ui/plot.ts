/** Lines and bars in SVG, which say in words what they show. */

import { css, html, LitElement, nothing, svg } from "lit";
import { property, state } from "lit/decorators.js";
import { pageLanguage, words } from "../i18n";
import { define } from "./define";

export interface Point {
  /** What stands below it, e.g. a day; drawn as far as there is room. */
  label: string;
  value: number;
}

export interface Series {
  name: string;
  points: readonly Point[];
  /** A CSS colour; by itself the first colours of Home Assistant's graphs. */
  color?: string;
}

/** More values than this nobody wants to hear. */
const SPOKEN = 12;
const HEIGHT = 200;
const LEFT = 56;
const BOTTOM = 24;
const TOP = 8;
/** So much room a label below wants at least, and each letter of a long one. */
const LABEL = 64;
const LETTER = 8;
const COLORS = ["var(--primary-color)", "var(--accent-color, #ff9800)", "var(--success-color, #43a047)", "#8e24aa"];

/** "What: which", as the language of the page writes it. */
function named(what: string, which: string): string {
  return words(pageLanguage(), "common.named", { what, which });
}

/** Returns round steps of an axis from 0 to at least `most`. */
export function ticks(most: number, wanted = 4): number[] {
  if (!(most > 0)) return [0, 1];
  const rough = most / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? rough;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, at) => at * step);
}

/** `kind` "line" or "bar" (bars of several series stand on each other); `format` writes the values. */
@define("kitty-plot")
export class KittyPlot extends LitElement {
  @property() kind: "line" | "bar" = "line";
  @property() label = "";
  @property({ attribute: false }) series: readonly Series[] = [];
  @property({ attribute: false }) format: (value: number) => string = String;
  /** Horizontal lines with a name, e.g. a limit. */
  @property({ attribute: false }) marks: readonly Point[] = [];

  /** How wide it is on this screen, so that its letters are as large as all others. */
  @state() private wide = 600;
  private readonly sized = new ResizeObserver(([seen]) => {
    this.wide = Math.max(240, Math.round(seen?.contentRect.width ?? 0));
  });

  static override styles = css`
    :host {
      display: block;
    }
    figure {
      margin: 0;
    }
    svg {
      block-size: auto;
      display: block;
      inline-size: 100%;
      overflow: visible;
      /* An axis runs from left to right in every language. */
      direction: ltr;
    }
    text {
      fill: var(--secondary-text-color);
      font-size: 12px;
    }
    .axis {
      stroke: var(--divider-color, #e0e0e0);
    }
    .mark {
      stroke: var(--error-color, #db4437);
      stroke-dasharray: 6 4;
    }
    path {
      fill: none;
      stroke-linejoin: round;
      stroke-width: 2;
    }
    ul {
      display: flex;
      flex-wrap: wrap;
      font-size: 12px;
      gap: 4px 16px;
      list-style: none;
      margin: 4px 0 0;
      padding: 0;
    }
    .dot {
      border-radius: 50%;
      display: inline-block;
      height: 10px;
      margin-inline-end: 6px;
      width: 10px;
    }
  `;

  override connectedCallback(): void {
    super.connectedCallback();
    this.sized.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.sized.disconnect();
  }

  private color(at: number): string {
    return this.series[at]?.color ?? COLORS[at % COLORS.length] ?? "currentcolor";
  }

  override render() {
    const columns = Math.max(0, ...this.series.map((one) => one.points.length));
    const sums = Array.from({ length: columns }, (_, at) =>
      this.kind === "bar"
        ? this.series.reduce((sum, one) => sum + (one.points[at]?.value ?? 0), 0)
        : Math.max(...this.series.map((one) => one.points[at]?.value ?? 0)),
    );
    const axis = ticks(Math.max(0, ...sums, ...this.marks.map((mark) => mark.value)));
    const most = axis.at(-1) ?? 1;
    const y = (value: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
    const width = (this.wide - LEFT) / Math.max(1, columns);
    const x = (at: number) => LEFT + width * (at + 0.5);
    const labels = this.series.find((one) => one.points.length === columns)?.points ?? [];
    const room = Math.max(LABEL, ...labels.map((one) => LETTER * one.label.length));
    const every = Math.max(1, Math.ceil((columns * room) / (this.wide - LEFT)));
    // The last label has no room beside it.
    const under = (at: number, label: string) => Math.min(x(at), this.wide - (LETTER * label.length) / 2);
    return html`<figure>
      <svg viewBox="0 0 ${this.wide} ${HEIGHT}" role="img" aria-label=${this.spoken()}>
        ${axis.map(
          (value) => svg`<line class="axis" x1=${LEFT} x2=${this.wide} y1=${y(value)} y2=${y(value)}></line>
            <text x=${LEFT - 6} y=${y(value) + 4} text-anchor="end">${this.format(value)}</text>`,
        )}
        ${labels.map((point, at) =>
          at % every === 0
            ? svg`<text x=${under(at, point.label)} y=${HEIGHT - 6} text-anchor="middle">${point.label}</text>`
            : nothing,
        )}
        ${this.series.map((_, at) => (this.kind === "bar" ? this.bars(at, x, y, width) : this.line(at, x, y)))}
        ${this.marks.map(
          (mark) => svg`<line class="mark" x1=${LEFT} x2=${this.wide} y1=${y(mark.value)} y2=${y(mark.value)}></line>
            <text x=${this.wide} y=${y(mark.value) - 4} text-anchor="end">${mark.label}</text>`,
        )}
      </svg>
      ${
        this.series.length > 1
          ? html`<ul aria-hidden="true">
              ${this.series.map((one, at) => html`<li><span class="dot" style="background: ${this.color(at)}"></span>${one.name}</li>`)}
            </ul>`
          : nothing
      }
    </figure>`;
  }

  private line(at: number, x: (at: number) => number, y: (value: number) => number) {
    const points = this.series[at]?.points ?? [];
    const path = points.map((point, column) => `${column ? "L" : "M"}${x(column)} ${y(point.value)}`).join(" ");
    return svg`<path d=${path} stroke=${this.color(at)}></path>
      ${points.map(
        (point, column) => svg`<circle cx=${x(column)} cy=${y(point.value)} r="3" fill=${this.color(at)}>
          <title>${named(point.label, this.format(point.value))}</title></circle>`,
      )}`;
  }

  private bars(at: number, x: (at: number) => number, y: (value: number) => number, width: number) {
    const below = (column: number) =>
      this.series.slice(0, at).reduce((sum, one) => sum + (one.points[column]?.value ?? 0), 0);
    const name = this.series[at]?.name ?? "";
    return (this.series[at]?.points ?? []).map((point, column) => {
      const foot = below(column);
      const top = y(foot + point.value);
      return svg`<rect x=${x(column) - width * 0.35} y=${top} width=${width * 0.7} height=${Math.max(0, y(foot) - top)}
        rx="2" fill=${this.color(at)}><title>${named(`${point.label} · ${name}`, this.format(point.value))}</title></rect>`;
    });
  }

  /** What a screen reader says: the name, and of each series all values, or of a long one its ends and its top. */
  private spoken(): string {
    const say = (point: Point) => `${point.label} ${this.format(point.value)}`;
    const told = this.series.map(({ name, points }) => {
      const [first, last] = [points[0], points.at(-1)];
      if (points.length <= SPOKEN || !first || !last) return named(name, points.map(say).join(", "));
      const top = points.reduce((most, one) => (one.value > most.value ? one : most), first);
      const ends = { first: say(first), last: say(last), top: say(top) };
      return named(name, words(pageLanguage(), "common.course", ends));
    });
    return [this.label, ...told].join(" · ");
  }
}
