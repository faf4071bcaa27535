//! Progress of long work: a bar with an ETA on a terminal, nothing but plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar over `total` steps on standard error; hidden unless that is a terminal.
pub fn bar(total: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template("{msg:<22} {wide_bar:.cyan/blue} {pos:>6}/{len} {rate:>9}/s ETA {eta:>4}");
    if let Ok(style) = style {
        // indicatif's own rate has a dozen decimals.
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}", state.per_sec());
        }));
    }
    bar.set_message(what.to_string());
    bar
}

/// Whether standard error is not a terminal, so that bars are hidden and plain lines are wanted.
pub fn is_plain() -> bool {
    !std::io::stderr().is_terminal()
}
