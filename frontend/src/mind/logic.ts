/** What pages of the mind work out; nothing here draws. */

import type { Answering, Rights } from "../data/types";
import type { Key } from "../i18n";
import type { Goal, Outcome, Project, Research } from "./types";

/** Tells whether nothing more happens to it. */
export function over(research: Pick<Research, "status">): boolean {
  return research.status !== "pending" && research.status !== "running";
}

const TOOLS = "mcp";

/** Tells whether it is a model that is in use; a server of tools answers nothing by itself. */
export function isModel(one: Answering): boolean {
  return one.enabled && one.tier !== TOOLS;
}

/** Returns what a research lacks of these: what searches, or what reads. */
export function missing(among: readonly Answering[]): "search" | "model" | null {
  if (!among.some((one) => one.enabled && one.tier === TOOLS)) return "search";
  return among.some(isModel) ? null : "model";
}

/** Tells whether somebody may end or renew what `owner` wanted, null being the house; undefined: nobody knows who. */
export function hasSay(owner: string | null | undefined, userId: string | undefined, rights?: Rights): boolean {
  return owner === null || (owner !== undefined && owner === userId) || (rights?.may_overrule ?? false);
}

/** Returns the findings of a report; its sources and limits stand in lists of their own. */
export function findingsOf(report: string): string[] {
  const body = report.split("\n\n").slice(1).join("\n\n");
  const end = body.search(/^(Sources|What could not be done)$/m);
  return (end < 0 ? body : body.slice(0, end))
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
}

/** Returns goals in the order in which people look at them: what waits for them first, then the most important. */
export function ordered(goals: readonly Goal[]): Goal[] {
  const rank = (one: Goal) =>
    one.status === "identified" ? 0 : one.status === "active" || one.status === "approved" ? 1 : 2;
  return [...goals].sort((a, b) => rank(a) - rank(b) || b.priority - a.priority || b.created_at - a.created_at);
}

/** Returns which share of its tasks is over. */
export function progress(project: Pick<Project, "tasks">): number {
  const done = project.tasks.filter((one) => ["completed", "failed", "cancelled"].includes(one.status)).length;
  return project.tasks.length ? done / project.tasks.length : 0;
}

export type Unit = "share" | "points" | "money" | "count";
export const UNITS: Record<string, Unit> = {
  print_success: "share",
  filament_waste: "share",
  estimate_error: "share",
  quality: "points",
  cost_per_print: "money",
  incidents_per_week: "count",
};

/** Returns how far two figures reach on the same scale, from 0 to 1. */
export function reaches(metric: string, before: number, after: number): [number, number] {
  const unit = UNITS[metric];
  const most = Math.max(unit === "share" ? 1 : unit === "points" ? 100 : 0, before, after) || 1;
  return [before / most, after / most];
}

/** Returns what came of it, as a key of our words. */
export function verdict(one: Pick<Outcome, "measured_at" | "score">): Key {
  if (one.measured_at === null) return "outcomes.not_yet";
  if (one.score === null) return "outcomes.unknown";
  return one.score > 0 ? "outcomes.better" : one.score < 0 ? "outcomes.worse" : "outcomes.same";
}
