// Redraws while a slider of one of our nodes is dragged, where the person switched that on; and names the sliders of
// Edit Sliders after their directions. Plain widgets go on working where any of this fails: nothing is drawn here.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

const SETTING = "Eigan.Live";
const LABELS = "eigan_labels"; // property of a node, saved with the workflow
const OURS = /^Eigan[A-Z]/;
const ENDS = ["execution_success", "execution_error", "execution_interrupted"];

function isLive() {
  return app.extensionManager?.setting?.get(SETTING) === true;
}

function tell(severity, detail) {
  app.extensionManager?.toast?.add({ severity, summary: "GAN edit", detail, life: 6000 });
}

// One prompt in flight; while it runs, positions are not queued but remembered as one: the last position wins.
class Live {
  inFlight = null; // the prompt's id, or "" while it is being sent
  isWanted = false;
  ended = []; // ids that ended lately: an end may overtake the answer to the prompt

  constructor() {
    for (const name of ENDS) api.addEventListener(name, (event) => this.onEnd(event.detail?.prompt_id));
    api.addEventListener("reconnected", () => this.free());
  }

  moved() {
    if (!isLive()) return;
    this.isWanted = true;
    if (this.inFlight === null) this.send();
  }

  async send() {
    this.isWanted = false;
    this.inFlight = "";
    try {
      const prompt = withoutSaving(await app.graphToPrompt());
      if (prompt === null) {
        tell("info", "Live sliders save nothing; add a Preview Image node to see the picture while you drag.");
        return this.free(false);
      }
      const reply = await api.queuePrompt(0, prompt);
      this.inFlight = reply.prompt_id;
      if (!reply.prompt_id || this.ended.includes(reply.prompt_id)) this.free();
    } catch (error) {
      tell("warn", "This graph cannot be drawn while you drag; press Run to see why.");
      this.free(false);
    }
  }

  onEnd(id) {
    if (!id) return;
    this.ended = [...this.ended.slice(-9), id];
    if (id === this.inFlight) this.free();
  }

  free(goesOn = true) {
    this.inFlight = null;
    if (!goesOn) this.isWanted = false;
    if (this.isWanted) this.send();
  }
}

// The prompt without the nodes that write files: a drag would write dozens. null: nothing would be left to show.
function withoutSaving(prompt) {
  const output = { ...prompt.output };
  for (const [id, node] of Object.entries(output)) {
    if ("filename_prefix" in (node.inputs ?? {})) delete output[id];
  }
  const shows = Object.keys(output).some((id) => isOutputNode(output[id].class_type));
  return shows ? { ...prompt, output } : null;
}

function isOutputNode(type) {
  return globalThis.LiteGraph?.registered_node_types?.[type]?.nodeData?.output_node ?? true;
}

function listen(node, live) {
  for (const widget of node.widgets ?? []) {
    if (widget.type !== "slider") continue;
    const before = widget.callback;
    widget.callback = function (...given) {
      const result = before?.apply(this, given);
      live.moved();
      return result;
    };
  }
}

// names: of the sliders in order; fewer on a last page.
function label(node, names) {
  if (!Array.isArray(names)) return;
  for (const widget of node.widgets ?? []) {
    const index = /^amount_(\d+)$/.exec(widget.name)?.[1];
    if (index === undefined) continue;
    const name = names[index] === undefined ? `${widget.name} (none)` : String(names[index]);
    widget.label = name;
    const socket = node.inputs?.find((input) => input.widget?.name === widget.name);
    if (socket) socket.label = name;
  }
  node.setDirtyCanvas?.(true, true);
}

function nameSliders(node) {
  const before = node.onExecuted;
  node.onExecuted = function (output, ...others) {
    if (Array.isArray(output?.sliders)) {
      this.properties[LABELS] = output.sliders;
      label(this, output.sliders);
    }
    return before?.call(this, output, ...others);
  };
}

const live = new Live();

app.registerExtension({
  name: "eigan.live",
  settings: [
    {
      id: SETTING,
      category: ["GAN edit", "Sliders", "Live"],
      name: "Redraw while a slider is dragged",
      tooltip: "One picture at a time, and always the slider's last position. Nodes that save files are left out.",
      type: "boolean",
      defaultValue: false,
    },
  ],
  nodeCreated(node) {
    if (!OURS.test(node.comfyClass ?? "")) return;
    listen(node, live);
    if (node.comfyClass === "EiganEditSliders") nameSliders(node);
  },
  loadedGraphNode(node) {
    if (node.comfyClass === "EiganEditSliders") label(node, node.properties?.[LABELS]);
  },
});
