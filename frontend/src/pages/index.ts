/** All pages of the panel, in the order of its tabs. A new page is one row here and one file beside it. */

import {
  mdiCashMultiple,
  mdiCctv,
  mdiChatOutline,
  mdiCheckDecagramOutline,
  mdiClipboardTextClockOutline,
  mdiHeartPulse,
  mdiMagnify,
  mdiPrinter3d,
  mdiPrinter3dNozzleOutline,
  mdiToggleSwitchOutline,
  mdiToolboxOutline,
} from "@mdi/js";
import type { Key } from "../i18n";
import "./approvals";
import "./audit";
import "./conversations";
import "./costs";
import "./health";
import "./io";
import "./workshop";
import "./vision";
import "./prints";
import "./materials";
import "./research";

export interface Page {
  /** /kitty/PATH */
  path: string;
  label: Key;
  icon: string;
  /** The element that draws it. */
  tag: string;
  /** Capabilities of which this brain must have one, else the page is not there; none works: it says how to switch it on. */
  needs?: readonly string[];
  /** It shows what was, too, and so also where all of them are off. */
  past?: boolean;
  /** Only administrators see it. */
  admin?: boolean;
}

export const PAGES: readonly Page[] = [
  { path: "approvals", label: "approvals.title", icon: mdiCheckDecagramOutline, tag: "kitty-page-approvals" },
  { path: "workshop", label: "workshop.title", icon: mdiToolboxOutline, tag: "kitty-page-workshop" },
  {
    path: "prints",
    label: "prints.title",
    icon: mdiPrinter3d,
    tag: "kitty-page-prints",
    needs: ["prints", "queue"],
    past: true,
  },
  {
    path: "materials",
    label: "materials.title",
    icon: mdiPrinter3dNozzleOutline,
    tag: "kitty-page-materials",
    needs: ["inventory"],
  },
  { path: "vision", label: "vision.title", icon: mdiCctv, tag: "kitty-page-vision", needs: ["vision"] },
  {
    path: "conversations",
    label: "conversations.title",
    icon: mdiChatOutline,
    tag: "kitty-page-conversations",
    needs: ["conversation", "memory"],
  },
  {
    path: "research",
    label: "research.title",
    icon: mdiMagnify,
    tag: "kitty-page-research",
    needs: ["research", "autonomy"],
  },
  { path: "io", label: "io.title", icon: mdiToggleSwitchOutline, tag: "kitty-page-io" },
  { path: "costs", label: "costs.title", icon: mdiCashMultiple, tag: "kitty-page-costs" },
  { path: "health", label: "health.title", icon: mdiHeartPulse, tag: "kitty-page-health" },
  { path: "audit", label: "audit.title", icon: mdiClipboardTextClockOutline, tag: "kitty-page-audit", admin: true },
];
