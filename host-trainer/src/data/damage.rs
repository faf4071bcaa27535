//! Damaged files, for tests.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::random::below;

/// Damaged files of a test: those of the variable `MIDGE_MUTATIONS`, or `usual`.
pub(super) fn numbers(usual: u64) -> std::ops::Range<u64> {
    0..std::env::var("MIDGE_MUTATIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// The bytes of a sound file with up to four changes: a byte that is another, one too many, some missing, the rest missing.
pub(super) fn damaged(sound: &[u8], number: u64) -> Vec<u8> {
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(number);
    let mut bytes = sound.to_vec();
    for _ in 0..=below(&mut generator, 4) {
        let at = below(&mut generator, bytes.len().max(1));
        let byte = below(&mut generator, 256) as u8;
        match below(&mut generator, 6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..(at + usize::from(byte % 9)).min(bytes.len()))),
            2 => bytes.insert(at, byte),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        }
    }
    bytes
}
