//! Ports as users write them.

use std::fs;
use std::io;
use std::path::Path;

use super::line::{Line, Tcp};

/// Where boards are found: the folder and how their names begin, on Linux and on macOS.
const PLACES: [(&str, &str); 4] =
    [("/dev", "ttyACM"), ("/dev", "ttyUSB"), ("/dev", "cu.usbmodem"), ("/dev", "cu.usbserial")];

/// Opens a port: `tcp:HOST:PORT`, or the path of a serial line.
///
/// # Errors
/// What the system says.
pub fn open(port: &str) -> io::Result<Box<dyn Line>> {
    match port.strip_prefix("tcp:") {
        Some(address) => Ok(Box::new(Tcp::connect(address)?)),
        None => open_serial(port),
    }
}

#[cfg(unix)]
fn open_serial(port: &str) -> io::Result<Box<dyn Line>> {
    Ok(Box::new(super::serial::Serial::open(Path::new(port))?))
}

#[cfg(not(unix))]
fn open_serial(_port: &str) -> io::Result<Box<dyn Line>> {
    let message =
        "midge opens serial lines on Unix only: expected tcp:HOST:PORT, where a bridge such as com2tcp listens";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// The serial lines that a board may be at, in order.
pub fn candidates() -> Vec<String> {
    let mut found = Vec::new();
    for (folder, beginning) in PLACES {
        let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        found.extend(names.filter(|name| name.starts_with(beginning)).map(|name| format!("{folder}/{name}")));
    }
    found.sort();
    found
}
