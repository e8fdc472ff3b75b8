// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences between two backends: verdicts, logs, runs.
