#!/usr/bin/env node
/** The `saccade` command: exit codes, signals and closed pipes are settled here, once. */
import { runCommandLine } from "./program.js";

process.exitCode = await runCommandLine(process.argv);
