//! What the command prints: results on standard output, notes and progress on standard error.
//!
//! Either may be a pipe that nobody reads any more, or a file on a full disk. The macros of the standard library panic
//! there and take the work with them. Those of this module keep the names, so that no call can miss them; here a failed
//! write to standard output is remembered until [`finish`], and one to standard error is dropped.

use std::fmt;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

/// `println!` for results.
#[cfg(not(test))]
macro_rules! println {
    () => { $crate::output::line(format_args!("")) };
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// `eprintln!` for errors, which every user wants to see.
#[cfg(not(test))]
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::error_line(format_args!($($text)*)) };
}

/// A line on standard error about how the work goes; not with `--quiet`.
macro_rules! note {
    ($($text:tt)*) => {
        if $crate::output::verbosity() >= $crate::output::Verbosity::Normal {
            eprintln!($($text)*);
        }
    };
}

/// A line on standard error that only `--verbose` shows.
macro_rules! detail {
    ($($text:tt)*) => {
        if $crate::output::verbosity() >= $crate::output::Verbosity::Verbose {
            eprintln!($($text)*);
        }
    };
}

/// How much the command says beside its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Progress too.
    Normal,
    /// Also which files and which vectors are used, and how long the work took.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Sets how much all later notes say.
pub fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

/// How much notes say.
pub fn verbosity() -> Verbosity {
    match VERBOSITY.load(Ordering::Relaxed) {
        0 => Verbosity::Quiet,
        1 => Verbosity::Normal,
        _ => Verbosity::Verbose,
    }
}

/// Writes a line to standard output.
pub fn line(text: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    remember(out.write_fmt(text).and_then(|()| out.write_all(b"\n")));
}

/// Writes bytes to standard output.
pub fn bytes(bytes: &[u8]) {
    remember(io::stdout().lock().write_all(bytes));
}

/// Writes a line to standard error.
pub fn error_line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Keeps the first failure of standard output for [`finish`].
pub(crate) fn remember(written: io::Result<()>) {
    if let (Err(error), Ok(mut failure)) = (written, FAILURE.lock()) {
        failure.get_or_insert(error);
    }
}

/// Writes what standard output still holds back.
///
/// # Errors
/// The first failure of standard output since the last call. A pipe whose reader left is none: the reader has what it
/// wanted.
pub fn finish() -> io::Result<()> {
    remember(io::stdout().flush());
    match FAILURE.lock().ok().and_then(|mut failure| failure.take()) {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
