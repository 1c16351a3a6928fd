// The rater's page. All texts enter as textContent, never as markup; each answer is sent when it is chosen.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { name: null, place: 0, total: 0, task: null, shown: 0, current: 0, pending: 0, queue: Promise.resolve(), turn: 0 };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function ask(path, body) {
  let answer, said;
  try {
    answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(8000) });
    said = await answer.json();
  } catch {
    throw new Error("The server does not answer. Is it still running? Your saved answers are safe.");
  }
  if (!answer.ok) throw new Error(said.error || "The server refused.");
  return said;
}

function complain(error) {
  $("alert").textContent = error ? error.message : "";
  $("alert").hidden = !error;
  if (error) $("alert").scrollIntoView({ block: "nearest" });
}

function show(section) {
  for (const id of ["join", "task", "done"]) $(id).hidden = id !== section;
  $("leave").hidden = section === "join";
}

function progress(complete) {
  $("count").textContent = `${complete} of ${state.total} done`;
  $("progress").max = Math.max(state.total, 1);
  $("progress").value = complete;
  $("progress").hidden = false;
}

async function join(name) {
  const said = await ask("/api/join", { name });
  state.name = said.name;
  state.total = said.total;
  sessionStorage.setItem("name", said.name);
  $("who").textContent = said.name;
  await open(null);
}

async function open(place) {
  const turn = ++state.turn;
  const said = await ask("/api/task", place === null ? { name: state.name } : { name: state.name, place });
  if (turn !== state.turn) return;
  complain(null);
  progress(said.complete);
  if (said.task === null) {
    show("done");
    $("review").focus();
    return;
  }
  Object.assign(state, { place: said.place, task: said.task, shown: performance.now() });
  draw(said.task);
  show("task");
  window.scrollTo(0, 0);
  $("main").focus({ preventScroll: true });
  const first = said.task.attributes.findIndex((attribute) => !(attribute.name in said.task.given));
  mark(first < 0 ? 0 : first);
  update();
}

function draw(task) {
  $("purpose").textContent = task.purpose ? `The text was meant to ${task.purpose}.` : "Please judge the text.";
  const material = [];
  const part = (title, ...content) => material.push(element("h2", { textContent: title }), ...content);
  if (task.item) part("The item", element("p", { textContent: task.item }));
  if (task.context) part("What the user asked for", element("p", { textContent: task.context }));
  if (task.history.length) {
    const bought = task.history.map((title) => element("li", { textContent: title }));
    part("What the user bought before, oldest first", element("ol", {}, ...bought));
  }
  $("material").replaceChildren(...material);
  $("material").hidden = material.length === 0;
  const two = task.texts.length === 2;
  $("texts").className = two ? "two" : "";
  $("texts").replaceChildren(...task.texts.map((text, side) => element("article", { className: "card" },
    element("h2", { textContent: two ? ["Text A", "Text B"][side] : "The text" }),
    element("p", { className: "text", textContent: text || "(empty)" }))));
  $("questions").replaceChildren(...task.attributes.map((attribute, index) => question(task, attribute, index)));
  const keys = task.design === "single" ? ["1", "to", "5", "choose"] : ["1", "A better", "2", "equal", "3", "B better"];
  $("keys").replaceChildren("Keys: ", ...keys.flatMap((word) => [/^\d$/.test(word) ? element("kbd", { textContent: word }) : word, " "]),
    element("kbd", { textContent: "0" }), " cannot tell ", element("kbd", { textContent: "Enter" }), " next ",
    element("kbd", { textContent: "Backspace" }), " back");
  $("back").disabled = state.place === 0;
}

function options(task, attribute) {
  if (task.design === "single") return attribute.scale.map((anchor, index) => [String(index + 1), String(index + 1), anchor]);
  return [["left", "1", "A is better"], ["tie", "2", "No difference"], ["right", "3", "B is better"]];
}

function question(task, attribute, index) {
  const option = (value, key, label, extra = "") => {
    const input = element("input", { type: "radio", name: attribute.name, value, checked: task.given[attribute.name] === value });
    input.addEventListener("change", () => choose(index, value));
    return element("label", { className: `option ${extra}` }, input, element("b", { textContent: key, ariaHidden: "true" }), element("span", { textContent: label }));
  };
  const scale = element("div", { className: task.design === "single" ? "scale" : "scale four" },
    ...options(task, attribute).map(([value, key, label]) => option(value, key, label)));
  const saved = element("span", { className: "saved", textContent: attribute.name in task.given ? "saved" : "" });
  const definition = element("p", { className: "definition", id: `about-${attribute.name}`, textContent: attribute.definition });
  const unsure = option("unsure", "0", "Cannot tell", "unsure");
  const set = element("fieldset", {}, element("legend", { textContent: attribute.title }), saved, definition, scale);
  (task.design === "single" ? set : scale).append(unsure);
  set.setAttribute("aria-describedby", definition.id);
  set.addEventListener("focusin", () => mark(index));
  return set;
}

function mark(index) {
  state.current = index;
  [...$("questions").children].forEach((set, place) => set.classList.toggle("current", place === index));
}

async function choose(index, value) {
  const attribute = state.task.attributes[index];
  const { place, task } = state;
  const set = $("questions").children[index];
  const saved = set.querySelector(".saved");
  task.given[attribute.name] = value;
  saved.className = "saved";
  saved.textContent = "saving…";
  state.pending += 1;
  update();
  try {
    const seconds = (performance.now() - state.shown) / 1000;
    // One after the other, so that of two quick answers to one question the later one stays.
    const body = { name: state.name, place, attribute: attribute.name, answer: value, seconds };
    const sent = state.queue.then(() => ask("/api/answer", body));
    state.queue = sent.catch(() => {});
    const said = await sent;
    if (task.given[attribute.name] === value) {
      saved.textContent = "saved";
      complain(null);
    }
    progress(said.complete);
  } catch (error) {
    // An open question again, so that choosing the same answer sends it.
    delete task.given[attribute.name];
    for (const input of set.querySelectorAll("input")) input.checked = false;
    saved.className = "saved failed";
    saved.textContent = "not saved, please choose again";
    complain(error);
  } finally {
    state.pending -= 1;
    update();
  }
}

function missing() {
  return state.task.attributes.filter((attribute) => !(attribute.name in state.task.given));
}

function update() {
  if (!state.task) return;
  const left = missing().length;
  $("next").disabled = left > 0 || state.pending > 0;
  $("state").textContent = left > 0 ? `${left} ${left === 1 ? "question" : "questions"} left` : "All answered";
}

// A key chooses in the current question and goes on to the next one that is open.
function pick(value) {
  const set = $("questions").children[state.current];
  const input = [...set.querySelectorAll("input")].find((found) => found.value === value);
  if (!input) return;
  const index = state.current;
  input.checked = true;
  choose(index, value);
  const open = state.task.attributes.map((attribute, place) => place).filter((place) => !(state.task.attributes[place].name in state.task.given));
  const after = open.find((place) => place > index) ?? open[0];
  if (after === undefined) return;
  mark(after);
  $("questions").children[after].scrollIntoView({ block: "nearest" });
}

const step = (by) => open(state.place + by).catch(complain);
const forward = () => {
  if (!$("next").disabled) (state.place + 1 < state.total ? step(1) : open(null).catch(complain));
};

document.addEventListener("keydown", (event) => {
  if ($("task").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  const single = state.task.design === "single";
  const value = event.key === "0" ? "unsure" : single ? event.key : { 1: "left", 2: "tie", 3: "right", a: "left", b: "right" }[event.key.toLowerCase()];
  if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    forward();
  } else if (event.key === "Backspace") {
    event.preventDefault();
    if (!$("back").disabled) step(-1);
  } else if (value && (event.key === "0" || !single || /^[1-5]$/.test(value))) {
    event.preventDefault();
    pick(value);
  }
});

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join($("name").value).catch(complain);
});
$("questions").addEventListener("submit", (event) => event.preventDefault());
$("next").addEventListener("click", forward);
$("back").addEventListener("click", () => step(-1));
$("review").addEventListener("click", () => open(0).catch(complain));
$("leave").addEventListener("click", () => {
  sessionStorage.removeItem("name");
  location.reload();
});

const known = sessionStorage.getItem("name");
if (known) join(known).catch((error) => { show("join"); complain(error); });
else { show("join"); $("name").focus(); }
