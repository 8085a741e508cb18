import { render } from "preact";
import { applyTheme, loadSettings } from "./data/settings.js";
import { App } from "./view/app.js";

applyTheme(loadSettings().theme);
const root = document.getElementById("page");
if (root) render(<App />, root);
