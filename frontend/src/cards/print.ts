/** What a print card shows, read from the entities of one printer; nothing here looks at the page. */

import type { EntityState } from "../data/hass";
import { cameraOf, type Device, entityOf } from "./house";

export type Mood = "offline" | "idle" | "preparing" | "printing" | "paused" | "done" | "failed";

/** What a person can press on a printer, by the translation key of the button. */
export const PRESSES = ["pause", "resume", "cancel", "bed_cleared", "false_alarm"] as const;
export type Press = (typeof PRESSES)[number];

export interface Filament {
  readonly text: string;
  /** `#rrggbb`, where a colour is known. */
  readonly color: string | null;
}

export interface Print {
  readonly mood: Mood;
  readonly status: EntityState | null;
  readonly file: string | null;
  /** From 0 to 100, of the print that runs or that just ended. */
  readonly progress: number | null;
  readonly leftS: number | null;
  readonly layer: string | null;
  readonly nozzle: EntityState | null;
  readonly bed: EntityState | null;
  readonly filaments: readonly Filament[];
  readonly bedIsToClear: boolean;
  readonly alarm: boolean;
  /** The last picture on which something was seen; its attribute `verdict` says what. */
  readonly frame: EntityState | null;
  readonly cameraFails: boolean;
  readonly camera: EntityState | null;
  readonly preview: EntityState | null;
  readonly next: EntityState | null;
  readonly chance: EntityState | null;
  /** The buttons that can be pressed now, by what they do. */
  readonly presses: Readonly<Partial<Record<Press, string>>>;
}

type States = Readonly<Record<string, EntityState>>;

const MOODS: Readonly<Record<string, Mood>> = {
  idle: "idle",
  preparing: "preparing",
  printing: "printing",
  paused: "paused",
  completed: "done",
  failed: "failed",
  aborted: "idle",
  error: "failed",
};
const SECONDS: Readonly<Record<string, number>> = { s: 1, min: 60, h: 3_600, d: 86_400 };
const COLOR = /^#?([0-9a-f]{6})/i;
const RUNNING: ReadonlySet<Mood> = new Set<Mood>(["preparing", "printing", "paused"]);

/** Tells whether there is a print that could still be watched, paused or cancelled. */
export function isRunning(mood: Mood): boolean {
  return RUNNING.has(mood);
}

/** Returns what is to be said of a printer now. */
export function readPrint(device: Device, states: States): Print {
  const state = (role: string) => known(states, entityOf(device, role));
  const status = state("sensor.printer_status");
  const mood = status === null ? "offline" : (MOODS[status.state] ?? "idle");
  const running = isRunning(mood);
  const preview = state("image.preview");
  return {
    mood,
    status,
    file: state("sensor.file")?.state ?? null,
    progress: mood === "done" ? 100 : running || mood === "failed" ? numberOf(state("sensor.progress")) : null,
    leftS: running ? secondsOf(state("sensor.remaining")) : null,
    layer: running ? layerOf(state("sensor.layer"), state("sensor.layers")) : null,
    nozzle: state("sensor.nozzle_temperature"),
    bed: state("sensor.bed_temperature"),
    filaments: filamentsOf(state("sensor.filament")),
    bedIsToClear: state("sensor.bed")?.state === "to_clear",
    alarm: pressable(states, device, "false_alarm") !== undefined,
    frame: state("image.frame"),
    cameraFails: state("binary_sensor.vision_problem")?.state === "on",
    camera: known(states, cameraOf(device)),
    preview,
    next: state("sensor.next_print"),
    chance: state("sensor.chance"),
    presses: Object.fromEntries(
      PRESSES.flatMap((press) => {
        const entityId = pressable(states, device, press);
        return entityId === undefined ? [] : [[press, entityId]];
      }),
    ),
  };
}

function known(states: States, entityId: string | undefined): EntityState | null {
  const found = entityId === undefined ? undefined : states[entityId];
  return found === undefined || found.state === "unknown" || found.state === "unavailable" ? null : found;
}

/** Returns the button if it can be pressed; one that was never pressed is `unknown`. */
function pressable(states: States, device: Device, press: Press): string | undefined {
  const entityId = entityOf(device, `button.${press}`);
  const state = entityId === undefined ? undefined : states[entityId];
  return state === undefined || state.state === "unavailable" ? undefined : entityId;
}

function numberOf(state: EntityState | null): number | null {
  const value = state === null ? Number.NaN : Number(state.state);
  return Number.isFinite(value) ? value : null;
}

/** Returns the seconds of a duration in whatever unit a person chose for it. */
function secondsOf(state: EntityState | null): number | null {
  const value = numberOf(state);
  const unit = SECONDS[String(state?.attributes.unit_of_measurement)];
  return value === null || unit === undefined ? null : value * unit;
}

function layerOf(layer: EntityState | null, layers: EntityState | null): string | null {
  if (layer === null) return null;
  return layers === null ? layer.state : `${layer.state}/${layers.state}`;
}

function filamentsOf(state: EntityState | null): readonly Filament[] {
  const slots = state?.attributes.slots;
  if (!Array.isArray(slots)) return [];
  return slots.flatMap((slot: Record<string, unknown>) => {
    const words = [slot.material, slot.color_name].filter((word) => typeof word === "string" && word !== "");
    const hex = COLOR.exec(String(slot.color ?? ""))?.[1];
    return words.length === 0 && hex === undefined
      ? []
      : [{ text: words.join(" "), color: hex === undefined ? null : `#${hex.toLowerCase()}` }];
  });
}
