// Plays a simulated run back: asks for the state at a moment of it, as often as the slider or the clock says.

import { ask } from "./access.js";
import { at, show } from "./elements.js";
import * as place from "./location.js";
import { clock, countFromStart } from "./wording.js";

const STEP_MS = 500; // as often as a live page

export async function play(onFrame, onTrouble) {
  const { begin, end } = await ask("run");
  document.body.classList.add("simulated");
  countFromStart();
  show(at("player"), true);
  const slider = at("moment");
  slider.max = String(end - begin);
  let moment = Math.min(end - begin, Number(place.read().at) || 0);
  let playing = false;
  let asking = false;
  let wanted = null;

  const goTo = async (offset) => {
    moment = Math.max(0, Math.min(end - begin, offset));
    slider.value = String(moment);
    const day = Math.floor(moment / 86_400_000) + 1;
    at("moment-text").textContent = `day ${day} ${clock(begin + moment)}`;
    if (asking) {
      wanted = moment;
      return;
    }
    asking = true;
    try {
      onFrame(await ask("frame", { at: Math.floor(begin + moment) }));
    } catch (error) {
      onTrouble(error.message);
    }
    asking = false;
    if (wanted !== null) {
      const next = wanted;
      wanted = null;
      await goTo(next);
    }
  };
  const setPlaying = (on) => {
    playing = on;
    at("play").textContent = on ? "Pause" : "Play";
  };
  at("player").onsubmit = (event) => event.preventDefault();
  at("play").onclick = () => {
    if (moment >= end - begin) moment = 0;
    setPlaying(!playing);
  };
  slider.oninput = () => goTo(Number(slider.value));
  slider.onchange = () => place.write({ at: slider.value });
  setInterval(() => {
    if (!playing) return;
    if (moment >= end - begin) setPlaying(false);
    else goTo(moment + STEP_MS * Number(at("speed").value));
  }, STEP_MS);
  await goTo(moment);
}
