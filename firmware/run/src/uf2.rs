//! A program as a file that is copied onto a board's USB drive.
//!
//! ```text
//! blocks of 512 bytes, all little endian:
//!     u32 0x0a324655   u32 0x9e5d5157   u32 0x2000 (the family is known)   u32 address   u32 256
//!     u32 number   u32 number of all   u32 family   256 bytes, 220 zeros   u32 0x0ab16f30
//! ```
//! (Microsoft: USB Flashing Format, <https://github.com/microsoft/uf2>.)

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::LittleEndian as Le;
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// Bytes of a block that go to the flash.
const PAGE: usize = 256;

/// Writes a program for the chips of a family.
pub(crate) fn save(path: &Path, program: &[u8], family: u32) -> Result<()> {
    let file = blocks(&pages(program)?, family);
    let written =
        tempfile::NamedTempFile::new_in(path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new(".")));
    let written = written.and_then(|mut temporary| {
        std::io::Write::write_all(&mut temporary, &file)?;
        Ok(temporary.persist(path)?)
    });
    written.with_context(|| format!("{}: cannot be written", path.display()))?;
    println!("{}: {} blocks; copy it onto the drive that the board shows", path.display(), file.len() / 512);
    Ok(())
}

/// The pages of the flash that a program fills, by their addresses; what lies between its parts is zero.
fn pages(program: &[u8]) -> Result<BTreeMap<u32, [u8; PAGE]>> {
    let header = FileHeader32::<Le>::parse(program)?;
    let mut pages = BTreeMap::new();
    for segment in header.program_headers(Le, program)?.iter().filter(|segment| segment.p_type(Le) == PT_LOAD) {
        let bytes = segment.data(Le, program).ok().context("a part of the program lies outside its file")?;
        for (address, byte) in (u64::from(segment.p_paddr(Le))..).zip(bytes) {
            let address = u32::try_from(address).context("a part of the program lies outside the memory")?;
            let page = pages.entry(address & !(PAGE as u32 - 1)).or_insert([0; PAGE]);
            page[address as usize % PAGE] = *byte;
        }
    }
    ensure!(!pages.is_empty(), "the program is empty");
    Ok(pages)
}

fn blocks(pages: &BTreeMap<u32, [u8; PAGE]>, family: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for (number, (address, page)) in (0_u32..).zip(pages) {
        let head = [0x0a32_4655, 0x9e5d_5157, 0x2000, *address, PAGE as u32, number, pages.len() as u32, family];
        file.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        file.extend(page);
        file.extend([0; 512 - 32 - PAGE - 4]);
        file.extend(0x0ab1_6f30_u32.to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of two parts, at these addresses of the flash.
    fn program(parts: &[(u32, &[u8])]) -> Vec<u8> {
        let word = |x: u32| x.to_le_bytes();
        let half = |x: u16| x.to_le_bytes();
        let mut file =
            [&b"\x7fELF\x01\x01\x01"[..], &[0; 9], &half(2), &half(40), &word(1), &word(0), &word(52)].concat();
        file.extend([word(0), word(0)].concat());
        file.extend([52, 32, parts.len() as u16, 40, 0, 0].map(half).concat());
        let mut place = 52 + 32 * parts.len() as u32;
        for (address, bytes) in parts {
            let len = bytes.len() as u32;
            file.extend([1, place, 0x2000_0000, *address, len, len, 4, 4].map(word).concat());
            place += len;
        }
        parts.iter().for_each(|(_, bytes)| file.extend(*bytes));
        file
    }

    #[test]
    fn parts_become_pages_of_flash() {
        let elf = program(&[(0x1000_0000, &[7; 256]), (0x1000_0100, &[1; 3]), (0x1000_0106, &[2; 252])]);
        let file = blocks(&pages(&elf).unwrap(), 0xe48b_ff56);
        assert_eq!(file.len(), 3 * 512);
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        for (number, address) in [0x1000_0000, 0x1000_0100, 0x1000_0200].into_iter().enumerate() {
            let at = 512 * number;
            assert_eq!([word(at), word(at + 4), word(at + 8)], [0x0a32_4655, 0x9e5d_5157, 0x2000]);
            assert_eq!([12, 16, 20, 24, 28].map(|i| word(at + i)), [address, 256, number as u32, 3, 0xe48b_ff56]);
            assert_eq!(word(at + 508), 0x0ab1_6f30);
        }
        assert_eq!(file[512 + 32..][..8], [1, 1, 1, 0, 0, 0, 2, 2]);
        assert_eq!(file[1024 + 32..][..4], [2, 2, 0, 0]);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let elf = program(&[(0x1000_0000, &[7; 256])]);
        for end in 0..elf.len() {
            assert!(pages(&elf[..end]).is_err(), "{end}");
        }
        assert!(pages(&program(&[(u32::MAX, &[1, 2])])).unwrap_err().to_string().contains("outside the memory"));
    }
}
