//! QEMU and probe-rs as processes.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::expected;
use crate::log::Log;
use crate::screen;

/// A program in the emulator.
pub(crate) struct Run<'a> {
    pub elf: &'a Path,
    pub machine: &'a str,
    pub cpu: &'a str,
    /// Folder for every picture on the screen.
    pub screens: Option<&'a Path>,
}

impl Run<'_> {
    /// Runs the program to its end; its exit code is the result.
    pub(crate) fn start(&self, log: &mut Log) -> Result<ExitCode> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let elf = self.elf.canonicalize()?;
        let is_selftest = elf.file_stem().is_some_and(|name| name == "selftest");
        let mut command = Command::new("qemu-system-arm");
        command.args(["-machine", self.machine, "-cpu", self.cpu, "-nographic", "-monitor", "none", "-serial", "none"]);
        if is_selftest {
            expected::write(&folder.path().join("selftest.bin"))?;
        } else {
            // One nanosecond per instruction: the emulated timers count instructions, at a third of the speed.
            command.args(["-icount", "shift=0"]);
        }
        command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]);
        // Files that the program reads and writes are in the working directory.
        command.arg(elf).current_dir(folder.path()).stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child =
            command.spawn().context("qemu-system-arm does not start; is the package qemu-system-arm installed?")?;
        let mut output = child.stdout.take().context("no output")?;
        let mut bytes = [0; 4096];
        loop {
            match output.read(&mut bytes)? {
                0 => break,
                n => log.receive(&bytes[..n]),
            }
        }
        let code = exit_code(child.wait()?);
        let last = Path::new("midge-screen.png");
        let pictures = screen::save(&folder.path().join("midge-screen.bin"), last, self.screens)?;
        if pictures > 0 {
            println!("screen: {} (the last of {pictures} pictures)", last.display());
        }
        Ok(code)
    }
}

/// Flashes a real board and shows its log.
pub(crate) fn flash(elf: &Path, chip: &str) -> Result<ExitCode> {
    let status = Command::new("probe-rs").args(["run", "--chip", chip]).arg(elf).status();
    Ok(exit_code(status.context("probe-rs does not start; https://probe.rs says how to install it")?))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}
