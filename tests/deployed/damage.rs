//! Real files that are cut or damaged: an error or a graph, and nothing else.

use midge_trainer::tflite::{check, read};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::model;

/// Reads a file and whatever its graph offers; whether it is sound.
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
#[ignore = "needs MIDGE_DEPLOYED"]
fn a_file_cut_anywhere_is_no_sound_model() {
    let file = model("micro_speech");
    assert!(use_all(&file));
    let taken: Vec<_> = (0..file.len()).filter(|length| use_all(&file[..*length])).collect();
    println!("taken: {taken:?}");
    assert!(taken.iter().all(|length| file.len() - length < 16), "{taken:?}");
}

#[test]
#[ignore = "needs MIDGE_DEPLOYED"]
fn random_damage_gives_an_error_or_a_graph() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for name in ["micro_speech", "kws_dscnn_int8", "ic_resnet8_int8"] {
        let file = model(name);
        let mut damaged = file.clone();
        let mut sound = 0;
        for _ in 0..33_400 {
            let places: Vec<_> = (0..=random.next_u32() % 8).map(|_| place(&mut random, file.len())).collect();
            for at in &places {
                // Bytes of 0 and 255 make lengths and distances that are small and large.
                damaged[*at] = [0, 255, 127, random.next_u32() as u8][random.next_u32() as usize % 4];
            }
            sound += usize::from(use_all(&damaged));
            places.iter().for_each(|at| damaged[*at] = file[*at]);
        }
        println!("{name}: {sound} of 33400 sound");
        assert!(sound > 100 && sound < 33_300, "{name}: {sound}");
    }
}

/// Half of the places are in the first and last kilobytes, where tables are; weights fill the rest.
fn place(random: &mut Xoshiro256PlusPlus, len: usize) -> usize {
    let within = |range: usize, random: &mut Xoshiro256PlusPlus| random.next_u32() as usize % range;
    match random.next_u32() % 4 {
        0 => within(2048, random),
        1 => len - 1 - within(8192, random),
        _ => within(len, random),
    }
}
