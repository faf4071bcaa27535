//! Ctrl-C for a command that runs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use super::command;

/// Starts the command with pipes.
pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    // A signal that a program catches has its usual effect on those that it starts; one that it ignores is ignored there too,
    // and tests may run where it is, such as in a script's background.
    static CAUGHT: Once = Once::new();
    CAUGHT.call_once(|| ctrlc::set_handler(|| std::process::exit(130)).unwrap());
    command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}
