//! How the command ends.

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

/// The exit status, for scripts; [`HELP`] documents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is done.
    Success = 0,
    /// A file, a value or the system stood in the way.
    Failure = 1,
    /// The command line has no meaning.
    Usage = 2,
    /// All is done, and a check that was asked for did not pass.
    CheckFailed = 3,
}

/// What `--help` says about the exit status.
pub const HELP: &str = "\
Exit status:
  0  all is done, also if nobody reads the output any more
  1  a file, a value or the system stood in the way; the message says which
  2  the command line has no meaning
  3  all is done, and a check that was asked for did not pass
  130  ended at once by Ctrl-C";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The exit status of a command that ended with `error`.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.is::<CheckFailed>() { Self::CheckFailed } else { Self::Failure }
    }
}

/// The error of a command whose work is done, but whose check did not pass.
#[derive(Debug)]
pub struct CheckFailed(
    /// What did not pass.
    pub String,
);

impl Display for CheckFailed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CheckFailed {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn a_failed_check_has_a_status_of_its_own_under_any_context() {
        let failed: anyhow::Result<()> = Err(CheckFailed("2 gates failed".into()).into());
        assert_eq!(Exit::of(&failed.context("model m").unwrap_err()), Exit::CheckFailed);
        assert_eq!(Exit::of(&anyhow!("no file")), Exit::Failure);
        for exit in [Exit::Success, Exit::Failure, Exit::Usage, Exit::CheckFailed] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)));
        }
    }
}
