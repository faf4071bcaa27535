//! Serial lines of Unix: 115,200 baud, 8 bits, no parity, as they come.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{ControlModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};

use super::line::{Line, closed, is_patience};

/// The speed of every board's line.
const BAUD: u32 = 115_200;
/// A board that takes no bytes for so long is not there.
const MOST_WAIT: Duration = Duration::from_secs(10);

/// A serial line.
#[derive(Debug)]
pub(super) struct Serial {
    name: String,
    path: PathBuf,
    file: File,
}

impl Serial {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { name: path.display().to_string(), path: path.into(), file: open(path)? })
    }

    /// Waits until the line can be read or written.
    fn wait_for(&self, what: PollFlags, wait: Duration) -> io::Result<bool> {
        let time = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut lines = [PollFd::new(&self.file, what)];
        match poll(&mut lines, Some(&time)) {
            Ok(0) | Err(Errno::INTR) => Ok(false),
            Ok(_) if lines[0].revents().intersects(what) => Ok(true),
            // The cable was pulled.
            Ok(_) => Err(closed()),
            Err(error) => Err(error.into()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Without the flag, opening a modem's line would wait for a carrier.
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    // Two programs would each read a part of what arrives. (Other programs for serial lines ask for this lock, too.)
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(ErrorKind::ResourceBusy, "another program has it open"),
        TryLockError::Error(error) => error,
    })?;
    let mut termios = tcgetattr(&file)?;
    termios.make_raw();
    termios.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    termios.control_modes &= !(ControlModes::CSTOPB | ControlModes::CRTSCTS);
    termios.set_speed(BAUD)?;
    tcsetattr(&file, OptionalActions::Now, &termios)?;
    tcflush(&file, QueueSelector::IOFlush)?;
    Ok(file)
}

impl Line for Serial {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, bytes: &mut [u8], wait: Duration) -> io::Result<usize> {
        if !self.wait_for(PollFlags::IN, wait)? {
            return Ok(0);
        }
        match self.file.read(bytes) {
            Ok(0) => Err(closed()),
            Err(error) if is_patience(&error) => Ok(0),
            read => read,
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + MOST_WAIT;
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_patience(&error) && Instant::now() < deadline => {
                    self.wait_for(PollFlags::OUT, Duration::from_millis(100))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Its own lock would be in the way.
        let _ = self.file.unlock();
        self.file = open(&self.path)?;
        Ok(())
    }
}
