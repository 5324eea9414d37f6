// Before the first paint: the theme that the person chose, so that nothing flashes.
try {
  const theme = localStorage.getItem("tabfarm.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing follows the system.
}
