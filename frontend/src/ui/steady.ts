/** A list that does not move away under a finger: its order stands still as long as somebody is at it. */

import type { LitElement, ReactiveController } from "lit";

/** So long after a finger is lifted its click may still come. */
const CLICK_MS = 300;

interface Row {
  id: string;
}

/** Returns rows as they are now, each in the place in which it is shown; one that is gone stays as it was, new ones come last. */
export function inPlace<T extends Row>(shown: readonly T[], rows: readonly T[]): T[] {
  const now = new Map(rows.map((one) => [one.id, one]));
  const kept = shown.map((one) => now.get(one.id) ?? one);
  const known = new Set(shown.map((one) => one.id));
  return [...kept, ...rows.filter((one) => !known.has(one.id))];
}

/** Its list is `<div data-steady @pointerdown=${steady.press} @focusout=${steady.leave}>`. */
export class Steady<T extends Row> implements ReactiveController {
  private shown: readonly T[] = [];
  private pressed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly host: LitElement,
    /** Whether something of a row is open. */
    private readonly open: () => boolean,
  ) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.ends(window.removeEventListener);
    clearTimeout(this.timer);
    this.pressed = false;
  }

  /** Returns rows in the order in which they are to be shown now. */
  order(rows: readonly T[]): readonly T[] {
    this.shown = this.isHeld ? inPlace(this.shown, rows) : rows;
    return this.shown;
  }

  /** What was clicked keeps the focus, but shows it only to those who go by keyboard. */
  private get isHeld(): boolean {
    return this.pressed || this.open() || Boolean(this.host.renderRoot?.querySelector("[data-steady] :focus-visible"));
  }

  readonly press = (): void => {
    clearTimeout(this.timer);
    this.pressed = true;
    this.ends(window.addEventListener);
  };

  /** Whoever leaves one row may just go to the next. */
  readonly leave = (): void => {
    if (!this.pressed) this.soon();
  };

  private readonly lift = (): void => {
    this.ends(window.removeEventListener);
    this.soon();
  };

  private ends(change: typeof window.addEventListener): void {
    for (const name of ["pointerup", "pointercancel"]) change.call(window, name, this.lift);
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.pressed = false;
      this.host.requestUpdate();
    }, CLICK_MS);
  }
}
