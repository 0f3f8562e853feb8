"""How the page looks: a quiet theme, the system's fonts, nothing fetched from anywhere.

Wide screens: the picture and what belongs to it stay in view on the left, the pack's sliders scroll on the right.
Phones: the picture sticks to the top, a good third of the screen, and everything else scrolls under it.
"""

from __future__ import annotations

import gradio as gr

from eigan.ui.panel import script

FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """Soft indigo on slate, light and dark."""
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", spacing_size="sm", font=FONT, font_mono=MONO
    ).set(
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_border_color="*border_color_primary",
        block_shadow="none",
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_700",
        input_shadow="none",
        input_background_fill_dark="*neutral_800",
        checkbox_border_width="1px",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        button_large_text_weight="600",
        button_medium_text_weight="600",
        button_border_width="1px",
        button_border_width_dark="1px",
        button_secondary_border_color="*border_color_primary",
        button_secondary_border_color_dark="*border_color_primary",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
    )


PAGE = """
.gradio-container { max-width: 1160px !important; margin: 0 auto !important;
  overflow: clip !important; /* hidden, as it is otherwise, would keep the picture from sticking */ }
.gradio-container .main { padding-inline: clamp(12px, 3vw, 32px) !important; }
#title { margin: 0 0 4px; }
#title h1 { font-size: 1.6rem; font-weight: 750; letter-spacing: -.025em; line-height: 1.2; margin: 0; }
#title p { margin: 2px 0 0; color: var(--body-text-color-subdued); }
#stage { gap: 20px; align-items: flex-start; }
#picture-column { position: sticky; top: 14px; gap: 10px; }
#controls { gap: 12px; }
footer { opacity: .75; }
"""

PICTURE = """
#picture, #comparison { width: 100%; max-width: max(260px, min(460px, calc(100vh - 480px)));
  aspect-ratio: 1; margin: 0 auto; padding: 0; overflow: hidden; background: var(--block-background-fill); }
#picture img, #comparison img { width: 100%; height: 100%; max-width: none; object-fit: contain;
  image-rendering: auto; border-radius: 0; }
#under-picture { align-items: center; flex-wrap: wrap; gap: 6px; }
#under-picture .block { border: 0; background: none; padding: 0 2px; flex: 1 0 auto !important; width: auto; }
#under-picture .label-text { white-space: nowrap; }
#under-picture button { flex: 0 1 auto; padding: 6px 11px; min-width: 0; font-size: var(--text-md);
  white-space: nowrap; }
#scene, #drawing, #picker-row, #sharing { align-items: flex-end; gap: 10px; }
#seed { padding-block: 8px; }
#shuffle { align-self: center; }
#shuffle, #load, #upload { font-size: var(--text-md); min-height: 42px; padding-inline: 16px; }
#load, #upload, #shuffle { flex: none !important; width: auto; }
#seed { flex: 1 1 90px; }
#scene { align-items: stretch; }
#scene .form { background: none; border: 0; gap: 10px; }
#scene .form > .block { border: 1px solid var(--border-color-primary) !important; border-radius: var(--radius-lg); }
#count { padding-block: 8px; }
#count .wrap { flex-wrap: nowrap; gap: 4px; }
#count label { padding: 6px 10px; gap: 0; }
#count label input { position: absolute; opacity: 0; }
#count label:has(input:focus-visible) { outline: 2px solid var(--slider-color); outline-offset: 1px; }
#noise { flex: none; }
"""

RANGES = """
.block:not(#panel) > .wrap input[type=range]::-webkit-slider-runnable-track { height: 6px !important; }
.block:not(#panel) > .wrap input[type=range]::-webkit-slider-thumb { background-color: var(--slider-color) !important;
  margin-top: -5px !important; border: 2px solid white; box-shadow: 0 1px 4px #0005 !important; }
.dark .block input[type=range] { --neutral-200: var(--neutral-700); }
"""

BADGE = """
#badge .badge { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: baseline; font-size: var(--text-sm); }
#badge strong { font-size: var(--text-md); overflow-wrap: anywhere; }
#badge .fact { white-space: normal; overflow-wrap: anywhere; }
#badge .what { color: var(--body-text-color-subdued); }
#badge .about { margin: 4px 0 0; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
"""

PHONE = """
@media (max-width: 760px) {
  #title { margin: 0; }
  #title p { display: none; }
  #stage { gap: 10px; }
  #picture-column, #controls { display: contents; }
  #stage > div > * { order: 5; width: 100%; }
  #picture, #comparison { order: 0 !important; position: sticky; top: 6px; z-index: 60; max-width: min(100%, 40vh);
    box-shadow: 0 0 0 60px var(--body-background-fill); clip-path: inset(-8px -60px -8px -60px); }
  #under-picture { justify-content: space-between; gap: 6px; }
  #under-picture button { padding-inline: 10px; }
  #under-picture { order: 1 !important; }
  #picker-row, #badge { order: 2 !important; }
  #tabs { order: 3 !important; }
  #tabs .tab-container button { padding-inline: 7px; font-size: var(--text-sm); }
  #history { order: 4 !important; }
}
"""

SHEETS = ("panel", "compare", "explore", "compose", "take", "opening")
CSS = "".join((PAGE, PICTURE, RANGES, BADGE, *(script(f"{name}.css") for name in SHEETS), PHONE))
