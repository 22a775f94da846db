"use strict";
const PEN = 14; // canvas pixels; the canvas is three times as large as the competition's images
const PAUSE = 350; // milliseconds without a stroke, before it is read
const paper = document.getElementById("paper");
const reading = document.getElementById("reading");
const strokes = [];
let waiting = 0;
let sheet = 0; // counts changes, so that a late answer to an earlier drawing is not shown

function place(event) {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) * paper.width / box.width, (event.clientY - box.top) * paper.height / box.height];
}

function draw() {
  const pen = paper.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, paper.width, paper.height);
  pen.lineWidth = PEN;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    for (const point of stroke) pen.lineTo(...point);
    pen.stroke();
  }
}

function change() {
  sheet += 1;
  draw();
  clearTimeout(waiting);
  if (strokes.length) waiting = setTimeout(read, PAUSE);
  else say("With the mouse, a finger or a pen.");
}

async function read() {
  const asked = sheet;
  const image = await new Promise(done => paper.toBlob(done, "image/png"));
  try {
    const response = await fetch("read", {method: "POST", headers: {"Content-Type": "image/png"}, body: image});
    const answer = await response.json();
    if (asked !== sheet) return;
    if (response.status === 429) waiting = setTimeout(read, PAUSE);
    else if (response.ok) show(answer, asked);
    else say(answer.error);
  } catch {
    if (asked === sheet) say("The program that reads has ended: start ./run.sh demo again.");
  }
}

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  made.append(...content);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function letters({text, path, width}) { // drawn: the machine may have no Bengali font
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const outline = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", `0 -1000 ${width} 1500`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", text);
  outline.setAttribute("d", path);
  svg.append(outline);
  return path ? svg : text;
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

function say(text) {
  reading.replaceChildren(element("p", [text], {id: "message"}));
}

function show(answer, asked) {
  const heads = answer.heads.map(head => element("tr", [
    element("th", [head.name]), element("td", [head.label]), element("td", [letters(head)]),
    element("td", [percent(head.probability)])]));
  const guesses = answer.guesses.map(guess => element("tr", [
    element("td", [letters(guess)]), element("td", [element("meter", [], {value: guess.probability})]),
    element("td", [percent(guess.probability)])], {class: "guess"}));
  reading.replaceChildren(
    element("div", [letters(answer.guesses[0]), element("table", heads)],
      {class: "answer", "data-text": answer.text, "data-sheet": asked}),
    element("h1", ["The likeliest"]), element("table", guesses));
}

paper.addEventListener("pointerdown", event => {
  if (!event.isPrimary || event.button) return;
  paper.setPointerCapture(event.pointerId);
  strokes.push([place(event)]);
  change();
});
paper.addEventListener("pointermove", event => {
  if (!paper.hasPointerCapture(event.pointerId)) return;
  strokes.at(-1).push(...(event.getCoalescedEvents?.() ?? [event]).map(place), place(event));
  change();
});
document.getElementById("undo").addEventListener("click", () => { strokes.pop(); change(); });
document.getElementById("clear").addEventListener("click", () => { strokes.length = 0; change(); });
draw();
