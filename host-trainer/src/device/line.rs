//! Lines: bytes to a board and back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A line to a board. Bytes may get lost on it.
pub trait Line: Send {
    /// Its name, as a user wrote it.
    fn name(&self) -> &str;

    /// Reads what has arrived; waits for it, but not much longer than `wait`. Nothing arrived if there are 0 bytes.
    ///
    /// # Errors
    /// If the line is down.
    fn read(&mut self, bytes: &mut [u8], wait: Duration) -> io::Result<usize>;

    /// Sends all bytes.
    ///
    /// # Errors
    /// If the line is down.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Opens the line again after it was down.
    ///
    /// # Errors
    /// If it is still down; [`ErrorKind::Unsupported`] if it will never be there again.
    fn reopen(&mut self) -> io::Result<()>;
}

/// A line over TCP: a bridge to a serial line, an emulator, a board with a network.
#[derive(Debug)]
pub struct Tcp {
    name: String,
    address: String,
    stream: TcpStream,
}

impl Tcp {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(address: &str) -> io::Result<Self> {
        Ok(Self { name: format!("tcp:{address}"), address: address.into(), stream: connect(address)? })
    }

    /// A connection that is there already; it cannot be opened again.
    pub(super) fn connected(name: String, stream: TcpStream) -> io::Result<Self> {
        Ok(Self { name, address: String::new(), stream: prepared(stream)? })
    }
}

/// An end that neither answers nor takes bytes for so long is not there.
const MOST_WAIT: Duration = Duration::from_secs(10);

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, MOST_WAIT) {
            Ok(stream) => return prepared(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    // Small frames go back and forth; none should wait for more.
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(MOST_WAIT))?;
    Ok(stream)
}

/// The smallest wait that a socket takes.
const SHORTEST: Duration = Duration::from_millis(1);

impl Line for Tcp {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self, bytes: &mut [u8], wait: Duration) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(wait.max(SHORTEST)))?;
        match self.stream.read(bytes) {
            Ok(0) if !bytes.is_empty() => Err(closed()),
            Err(error) if is_patience(&error) => Ok(0),
            read => read,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if self.address.is_empty() {
            return Err(closed());
        }
        self.stream = connect(&self.address)?;
        Ok(())
    }
}

/// Whether nothing has happened but time.
pub(super) fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

pub(super) fn closed() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the other end has closed it")
}
