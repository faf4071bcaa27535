//! How much flash a program takes.

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, elf};

/// Prints what a program takes of flash, its model included, and of RAM, without the stack.
pub(crate) fn print(program: &[u8]) -> Result<()> {
    let file = object::File::parse(program)?;
    let (mut flash, mut ram) = (0, 0);
    for section in file.sections().filter(|section| is_stored(section.flags())) {
        let is_in_flash = section.file_range().is_some();
        let is_written = is_written(section.flags());
        flash += if is_in_flash { section.size() } else { 0 };
        ram += if is_written { section.size() } else { 0 };
    }
    println!("{flash} bytes of flash, {ram} bytes of RAM");
    Ok(())
}

fn flags(flags: SectionFlags) -> u64 {
    match flags {
        SectionFlags::Elf { sh_flags } => sh_flags,
        _ => 0,
    }
}

/// Whether a section is in the board's memory at all.
fn is_stored(section: SectionFlags) -> bool {
    flags(section) & u64::from(elf::SHF_ALLOC) != 0
}

/// Whether a section is in RAM.
fn is_written(section: SectionFlags) -> bool {
    flags(section) & u64::from(elf::SHF_WRITE) != 0
}

/// The symbol of the embedded model in the minimal program.
const MODEL: &str = "MODEL";

/// Prints the flash that a program takes besides its model; fails if it is more than `most` bytes.
pub(crate) fn check(program: &[u8], most: u64) -> Result<()> {
    let file = object::File::parse(program)?;
    let mut all = 0;
    for section in file.sections().filter(|section| is_stored(section.flags()) && section.size() > 0) {
        if section.file_range().is_some() {
            println!("{:<16} {:>9} bytes", section.name()?, section.size());
            all += section.size();
        }
    }
    let model = file.symbols().filter(|symbol| symbol.name().is_ok_and(|name| name.contains(MODEL)));
    let model = model.map(|symbol| symbol.size()).max().context("no symbol MODEL")?;
    println!("flash without the model: {} bytes of at most {most}", all - model);
    ensure!(all - model <= most, "the code takes {} bytes of flash, more than {most}", all - model);
    Ok(())
}
