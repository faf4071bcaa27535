//! defmt's binary log as text.

use anyhow::{Context, Result};
use defmt_decoder::{DecodeError, StreamDecoder, Table};

/// Decodes a program's log and prints it.
pub(crate) struct Log {
    decoder: Box<dyn StreamDecoder + Send + Sync>,
    /// Everything printed so far.
    pub lines: Vec<String>,
}

impl Log {
    /// For the program `elf`.
    pub(crate) fn new(elf: &[u8]) -> Result<Self> {
        let table = Table::parse(elf)?.context("the program has no defmt table")?;
        // The decoder borrows the table, and both live as long as the process.
        let decoder = Box::leak(Box::new(table)).new_stream_decoder();
        Ok(Self { decoder, lines: Vec::new() })
    }

    /// Prints what `bytes` complete.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.decoder.received(bytes);
        loop {
            match self.decoder.decode() {
                Ok(frame) => {
                    let level = frame.level().map(|level| format!("{:<5} ", level.as_str().to_uppercase()));
                    let line = format!("{}{}", level.unwrap_or_default(), frame.display_message());
                    println!("{line}");
                    self.lines.push(line);
                }
                Err(DecodeError::UnexpectedEof) => return,
                Err(DecodeError::Malformed) => println!("(a damaged log entry)"),
            }
        }
    }
}
