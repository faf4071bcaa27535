//! Files that are cut or damaged: an error or a graph, and nothing else.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::sample::Sample;
use crate::tflite::{check, read};

/// Reads a file and whatever its graph offers.
fn use_all(file: &[u8]) -> bool {
    let graph = match read(file) {
        Ok(graph) => graph,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    for tensor in &graph.tensors {
        let _ = (tensor.i8s(), tensor.i32s(), tensor.f32s());
    }
    check(&graph).is_ok()
}

#[test]
fn a_file_cut_anywhere_is_no_sound_model() {
    let file = Sample::new().file();
    assert!(use_all(&file));
    // The last bytes belong to the last buffer.
    for length in 0..file.len() {
        assert!(read(&file[..length]).is_err(), "{length} of {}", file.len());
    }
}

#[test]
fn every_flipped_bit_gives_an_error_or_a_graph() {
    let mut file = Sample::new().file();
    let mut sound = 0;
    for bit in 0..8 * file.len() {
        file[bit / 8] ^= 1 << (bit % 8);
        sound += usize::from(use_all(&file));
        file[bit / 8] ^= 1 << (bit % 8);
    }
    // Weights, names, scales and padding may be anything; the structure may not.
    assert!(sound > 1000 && sound < 6 * file.len(), "{sound} of {}", 8 * file.len());
}

#[test]
fn random_damage_gives_an_error_or_a_graph() {
    let file = Sample::new().file();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut sound = 0;
    for _ in 0..20_000 {
        let mut damaged = file.clone();
        for _ in 0..=random.next_u32() % 8 {
            let at = random.next_u32() as usize % damaged.len();
            // Bytes of 0 and 255 make lengths and distances that are small and large.
            damaged[at] = [0, 255, 127, random.next_u32() as u8][random.next_u32() as usize % 4];
        }
        sound += usize::from(use_all(&damaged));
    }
    assert!(sound > 100 && sound < 19_900, "{sound}");
}
