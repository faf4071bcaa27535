//! Progress of long work: a bar with an ETA on a terminal, plain lines now and then elsewhere.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use crate::output::{Verbosity, verbosity};
use crate::terminal::is_dumb;

/// Time between two plain lines, and before the first.
const INTERVAL: Duration = Duration::from_secs(10);

/// Whether bars can be drawn: on a terminal that can move its cursor.
pub fn is_drawn() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// A bar over `total` steps on standard error; where it cannot be drawn, a line every 10 seconds.
pub fn bar(total: u64, what: &str) -> ProgressBar {
    if verbosity() == Verbosity::Quiet {
        return ProgressBar::hidden();
    }
    let (target, template) = if is_drawn() {
        let template = "{msg:<22} {wide_bar:.cyan/blue} {pos:>6}/{len} {rate:>9}/s ETA {eta:>4}";
        (ProgressDrawTarget::stderr_with_hz(10), template)
    } else {
        let lines = Box::new(Lines { last: Mutex::new((Instant::now(), String::new())) });
        (ProgressDrawTarget::term_like_with_hz(lines, 1), "{msg}  {pos}/{len}  {rate}/s  ETA {eta}")
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        // indicatif's own rate has a dozen decimals.
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0}", state.per_sec());
        }));
    }
    bar.set_message(what.to_string());
    bar
}

/// Something like a terminal on which a bar becomes a line from time to time.
#[derive(Debug)]
struct Lines {
    /// When a line was printed last, and the next one.
    last: Mutex<(Instant, String)>,
}

impl TermLike for Lines {
    fn width(&self) -> u16 {
        200
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if let Ok(mut last) = self.last.lock() {
            last.1.push_str(text);
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let Ok(mut last) = self.last.lock() else { return Ok(()) };
        let line = std::mem::take(&mut last.1);
        if !line.trim().is_empty() && last.0.elapsed() >= INTERVAL {
            last.0 = Instant::now();
            note!("{}", line.trim());
        }
        Ok(())
    }
}
