//! How much flash a program takes.

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, elf};

/// The symbol of the embedded model in the minimal program.
const MODEL: &str = "MODEL";

/// Prints the flash that a program takes besides its model; fails if it is more than `most` bytes.
pub(crate) fn check(program: &[u8], most: u64) -> Result<()> {
    let file = object::File::parse(program)?;
    let stored = |flags: SectionFlags| match flags {
        SectionFlags::Elf { sh_flags } => sh_flags & u64::from(elf::SHF_ALLOC) != 0,
        _ => false,
    };
    let mut all = 0;
    for section in file.sections().filter(|section| stored(section.flags()) && section.size() > 0) {
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
