// Puts the page as it is now in the place of the page as it was. Without this the
// page is whole; it only does not refresh itself.
"use strict";
(() => {
  const box = document.querySelector("#refresh");
  box.hidden = false;
  const wanted = box.querySelector("input");
  const refresh = async () => {
    if (!wanted.checked || document.hidden || document.activeElement instanceof HTMLInputElement && document.activeElement !== wanted) return;
    const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = new Map([...document.querySelectorAll("article")].map((a) => [a.dataset.registry, a.querySelector("details")?.open]));
    for (const a of fresh.querySelectorAll("article")) {
      const details = a.querySelector("details");
      if (details && open.get(a.dataset.registry) !== undefined) details.open = open.get(a.dataset.registry);
    }
    document.title = fresh.title;
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    const times = fresh.querySelectorAll("header time");
    document.querySelectorAll("header time").forEach((t, i) => { t.textContent = times[i].textContent; });
  };
  setInterval(() => { refresh().catch(() => {}); }, 5000);
})();
