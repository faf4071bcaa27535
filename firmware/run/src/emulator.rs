//! QEMU and probe-rs as processes.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::log::Log;
use crate::screen;

/// A program in the emulator.
pub(crate) struct Run<'a> {
    pub elf: &'a Path,
    pub machine: &'a str,
    pub cpu: &'a str,
    /// The other end of the board's serial line, for QEMU.
    pub serial: &'a std::ffi::OsStr,
    /// Folder for every picture on the screen.
    pub screens: Option<&'a Path>,
    /// A program that runs longer is ended.
    pub time_limit: Duration,
}

impl Run<'_> {
    /// Runs the program to its end; its exit code is the result.
    pub(crate) fn start(&self, log: &mut Log) -> Result<ExitCode> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let elf = self.elf.canonicalize()?;
        let is_selftest = elf.file_stem().is_some_and(|name| name == "selftest");
        let mut command = Command::new("qemu-system-arm");
        command.args(["-machine", self.machine, "-cpu", self.cpu, "-nographic", "-monitor", "none", "-serial"]);
        command.arg(self.serial);
        if is_selftest {
            write_expected(&folder.path().join("selftest.bin"))?;
        } else {
            // One nanosecond per instruction: the emulated timers count instructions, at a third of the speed.
            command.args(["-icount", "shift=0"]);
        }
        command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]);
        // Files that the program reads and writes are in the working directory.
        command.arg(elf).current_dir(folder.path()).stdout(Stdio::piped()).stdin(Stdio::null());
        let child =
            command.spawn().context("qemu-system-arm does not start; is the package qemu-system-arm installed?")?;
        let ended = watch(child, self.time_limit, |bytes| log.receive(bytes));
        // `serve` ends only by the limit, and leaves a picture.
        let last = Path::new("midge-screen.png");
        let pictures = screen::save(&folder.path().join("midge-screen.bin"), last, self.screens);
        if let Ok(pictures @ 1..) = pictures {
            println!("screen: {} (the last of {pictures} pictures)", last.display());
        }
        let code = exit_code(ended?);
        pictures?;
        Ok(code)
    }
}

/// Has the host compute what the self-test compares with.
fn write_expected(path: &Path) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["run", "--quiet", "--release", "--package", "midge-trainer", "--example", "expected", "--"]);
    // There cargo builds for the host, with what was built for midge itself.
    command.arg(path).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    // Files and folders are named from where the user is.
    for variable in ["MIDGE_DATA", "MIDGE_MODEL"] {
        if let Some(path) = std::env::var_os(variable).filter(|path| Path::new(path).exists()) {
            command.env(variable, std::path::absolute(path)?);
        }
    }
    ensure!(command.status().context("cargo does not start")?.success(), "no results of the host to compare with");
    Ok(())
}

/// Hands on what a process writes until it ends. One that does not end within `limit` is killed.
fn watch(mut child: Child, limit: Duration, mut receive: impl FnMut(&[u8])) -> Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    let mut output = child.stdout.take().context("no output")?;
    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut open = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait()?;
            bail!("the program did not end within {} seconds and was stopped (--time-limit)", limit.as_secs_f64());
        }
        if open {
            match chunks.recv_timeout(left) {
                Ok(bytes) => receive(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        } else if let Some(status) = child.try_wait()? {
            return Ok(status);
        } else {
            thread::sleep(Duration::from_millis(5));
        }
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn watched(command: &str, limit: Duration) -> (Result<ExitStatus>, usize, Duration) {
        let (started, mut received) = (Instant::now(), 0);
        let child = Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).spawn().unwrap();
        let result = watch(child, limit, |bytes| received += bytes.len());
        (result, received, started.elapsed())
    }

    #[test]
    fn a_program_that_hangs_is_stopped_and_reported() {
        // Silent, never silent, and one that has closed its output.
        for hang in ["exec sleep 600", "exec yes", "exec sleep 600 >&-"] {
            let (result, _, time) = watched(hang, Duration::from_millis(300));
            let message = result.unwrap_err().to_string();
            assert!(message.contains("within 0.3 seconds") && message.contains("--time-limit"), "{message}");
            assert!(time < Duration::from_secs(60), "{hang}: {time:?}");
        }
    }

    #[test]
    fn a_program_that_ends_gives_all_of_its_output_and_its_exit_code() {
        let (result, received, _) = watched("head -c 100000 /dev/zero; exit 3", Duration::from_secs(60));
        assert_eq!((result.unwrap().code(), received), (Some(3), 100_000));
    }
}
