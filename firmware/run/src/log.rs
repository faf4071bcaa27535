//! defmt's binary log as text.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use defmt_decoder::{DecodeError, StreamDecoder, Table};

/// Decodes a program's log and prints it.
pub(crate) struct Log {
    decoder: Box<dyn StreamDecoder + Send + Sync>,
    copy: Option<File>,
}

impl Log {
    /// For the program `elf`; plain lines also go to the file `copy`.
    pub(crate) fn new(elf: &[u8], copy: Option<&Path>) -> Result<Self> {
        let table = Table::parse(elf)?.context("the program has no defmt table")?;
        // The decoder borrows the table, and both live as long as the process.
        let decoder = Box::leak(Box::new(table)).new_stream_decoder();
        let create = |path: &Path| File::create(path).with_context(|| format!("{}: cannot be written", path.display()));
        Ok(Self { decoder, copy: copy.map(create).transpose()? })
    }

    /// Prints what `bytes` complete.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<()> {
        self.decoder.received(bytes);
        loop {
            match self.decoder.decode() {
                Ok(frame) => {
                    let level = frame.level().map(|level| format!("{:<5} ", level.as_str().to_uppercase()));
                    let line = format!("{}{}", level.unwrap_or_default(), frame.display_message());
                    println!("{line}");
                    if let Some(copy) = &mut self.copy {
                        writeln!(copy, "{line}")?;
                    }
                }
                Err(DecodeError::UnexpectedEof) => return Ok(()),
                Err(DecodeError::Malformed) => println!("(a damaged log entry)"),
            }
        }
    }
}
