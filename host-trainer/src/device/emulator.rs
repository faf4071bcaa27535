//! Emulated boards, with a program that is built for them here.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::line::{Line, Tcp};
use crate::output::{Verbosity, verbosity};

/// A board that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Board {
    /// QEMU's name of it, or the firmware's feature.
    pub name: &'static str,
    machine: Machine,
    /// The firmware's feature.
    feature: &'static str,
    target: &'static str,
    /// The model that it gets if nobody names one, where that is not the firmware's own.
    model: Option<&'static str>,
}

/// What emulates a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    /// QEMU, with this processor.
    Qemu(&'static str),
    /// The program `firmware/run/pico/board.mjs`.
    Node,
}

const M4: (Machine, &str) = (Machine::Qemu("cortex-m4"), "thumbv7em-none-eabihf");
const M7: (Machine, &str) = (Machine::Qemu("cortex-m7"), "thumbv7em-none-eabihf");
const M33: (Machine, &str) = (Machine::Qemu("cortex-m33"), "thumbv8m.main-none-eabihf");
const M55: (Machine, &str) = (Machine::Qemu("cortex-m55"), "thumbv8m.main-none-eabihf");
const PICO: (Machine, &str) = (Machine::Node, "thumbv6m-none-eabi");

const fn board(
    name: &'static str,
    feature: &'static str,
    (machine, target): (Machine, &'static str),
    model: Option<&'static str>,
) -> Board {
    Board { name, machine, feature, target, model }
}

/// What a board gets that has no room for the bundled models of f16, or no floating-point unit.
const SMALL: Option<&str> = Some("plain-int8");

/// The boards; the first is the default.
pub const BOARDS: [Board; 6] = [
    board("mps2-an386", "qemu", M4, None),
    board("mps2-an500", "qemu-an500", M7, None),
    board("mps2-an505", "qemu-an505", M33, None),
    board("mps3-an547", "mps3-an547", M55, SMALL),
    board("netduinoplus2", "netduinoplus2", M4, SMALL),
    board("pico", "pico", PICO, SMALL),
];

/// The model that the firmware has where nobody names one.
const FIRMWARES_OWN: &str = "plain";

/// The emulator, and the package that it is in.
const QEMU: &str = "qemu-system-arm";
/// What runs the other one, and its folder in the firmware's.
const NODE: &str = "node";
const PICO_FOLDER: &str = "run/pico";

/// How long an emulator may take to start.
const START: Duration = Duration::from_secs(30);

impl Board {
    /// The board of that name.
    pub fn named(name: &str) -> Option<Self> {
        BOARDS.into_iter().find(|board| board.name == name)
    }

    /// The model that the board gets if nobody names one.
    pub fn default_model(self) -> &'static str {
        self.model.unwrap_or(FIRMWARES_OWN)
    }

    /// Builds the program `serve` with a model, which is what the firmware's variable `MIDGE_MODEL` takes.
    ///
    /// # Errors
    /// If there is no firmware, or it cannot be built.
    pub fn build(self, model: &Path) -> Result<PathBuf> {
        let folder = firmware()?;
        // Before minutes of work. (Behind the shell of `watched` nobody would see that it is missing.)
        self.machine.check(&folder)?;
        // It has no work here, and says so in its own way.
        let probe = Command::new("flip-link").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        probe.context("flip-link does not start, which links midge's firmware; cargo install flip-link")?;
        note!("building midge's firmware for {}", self.name);
        let target = folder.join("target");
        let built = target.join(self.target).join("release").join("serve");
        let mut command = Command::new("cargo");
        // A file for the board's USB drive is written by the firmware's runner.
        command.arg(if self.machine == Machine::Node { "run" } else { "build" });
        command.args(["--release", "--bin", "serve", "--no-default-features", "--features", self.feature]);
        command.args(["--target", self.target, "--target-dir"]).arg(&target).current_dir(&folder);
        if verbosity() != Verbosity::Verbose {
            command.arg("--quiet");
        }
        let uf2 = built.with_extension("uf2");
        if self.machine == Machine::Node {
            command.args(["--", "--uf2"]).arg(&uf2);
        }
        // The firmware has a toolchain and options of its own.
        for name in
            ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"]
        {
            command.env_remove(name);
        }
        // The firmware's own model is there anyway, and takes no program of the host's to embed it.
        if model.to_str() == Some(FIRMWARES_OWN) && self.model.is_none() {
            command.env_remove("MIDGE_MODEL");
        } else {
            command.env("MIDGE_MODEL", model);
        }
        // Its images are of no use here.
        command.env_remove("MIDGE_DATA");
        let status = command.stdout(Stdio::null()).status().context("cargo does not start")?;
        ensure!(status.success(), "{}: the firmware cannot be built for this model", folder.display());
        Ok(if self.machine == Machine::Node { uf2 } else { built })
    }

    /// Starts a program on the board and waits for its line.
    ///
    /// # Errors
    /// If the emulator does not start.
    pub fn start(self, program: &Path) -> Result<Emulator> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for the emulator's line")?;
        let address = listener.local_addr()?.to_string();
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut command = match self.machine {
            Machine::Qemu(cpu) => {
                let mut command = watched(QEMU);
                command.args(["-machine", self.name, "-cpu", cpu, "-nographic", "-monitor", "none"]);
                // One nanosecond for each instruction: timers count them.
                command.args(["-icount", "shift=0", "-semihosting-config", "enable=on,target=native"]);
                command.args(["-serial", &format!("tcp:{address}"), "-kernel"]).arg(program);
                command
            }
            Machine::Node => {
                let mut command = watched(NODE);
                command.arg(firmware()?.join(PICO_FOLDER).join("board.mjs")).arg(program).arg(&address);
                command
            }
        };
        command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().context("the shell that watches the emulator does not start")?;
        let mut process = Process { child, _folder: folder };
        let stream = process.accept(&listener)?;
        let line = Tcp::connected(format!("emulator {}", self.name), stream)?;
        Ok(Emulator { line, _process: process })
    }
}

impl Machine {
    /// Whether the emulator is there.
    fn check(self, firmware: &Path) -> Result<()> {
        let starts = |program| {
            Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status().map(drop)
        };
        match self {
            Self::Qemu(_) => {
                starts(QEMU).with_context(|| format!("{QEMU} does not start; is the package {QEMU} installed?"))
            }
            Self::Node => {
                starts(NODE)
                    .context("node does not start, which emulates this board; is the package nodejs installed?")?;
                let folder = firmware.join(PICO_FOLDER);
                let is_there = folder.join("node_modules/rp2040js").is_dir();
                ensure!(is_there, "{}: expected the package rp2040js; npm ci installs it there", folder.display());
                Ok(())
            }
        }
    }
}

/// The folder of the firmware: where the user is, or where this program was built.
fn firmware() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let found = [PathBuf::from("firmware"), built].into_iter().find(|folder| folder.join("src/serve.rs").is_file());
    let Some(folder) = found else {
        bail!("no folder firmware is here, nor where midge was built: the emulator needs midge's sources")
    };
    Ok(std::path::absolute(folder)?)
}

/// A command that ends when this process does, however that happens: its shell waits for the end of standard input, which the
/// system closes.
#[cfg(unix)]
fn watched(program: &str) -> Command {
    const WATCH: &str = r#""$0" "$@" < /dev/null & child=$!; exec 2> /dev/null; cat; kill -9 $child; wait"#;
    let mut command = Command::new("sh");
    command.args(["-c", WATCH, program]);
    // Ctrl-C is for this process, which then has something to finish.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

#[cfg(not(unix))]
fn watched(program: &str) -> Command {
    Command::new(program)
}

/// An emulator, which ends with this value.
struct Process {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Waits for the emulator to open the line.
    fn accept(&mut self, listener: &TcpListener) -> Result<TcpStream> {
        listener.set_nonblocking(true)?;
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the emulator's line"),
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the emulator ended ({status})");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("the emulator did not open the board's line within {} seconds", START.as_secs())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its standard input ends the shell, and with it the emulator.
        drop(self.child.stdin.take());
        if cfg!(not(unix)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A board in an emulator.
pub struct Emulator {
    line: Tcp,
    _process: Process,
}

impl Line for Emulator {
    fn name(&self) -> &str {
        self.line.name()
    }

    fn read(&mut self, bytes: &mut [u8], wait: Duration) -> io::Result<usize> {
        self.line.read(bytes, wait)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        // What has ended stays so.
        Err(ErrorKind::Unsupported.into())
    }
}
