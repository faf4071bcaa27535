//! Which images a run is trained on, so that it does not go on with others.

use sha2::{Digest, Sha256};

use crate::data::Dataset;

/// Bytes of the hash that are noted: against mistakes, not against attacks.
const NOTED: usize = 8;

/// `sha256=` and the first 16 hexadecimal digits of the SHA-256 of `sets`, one behind the other: of each its shape and
/// number of images (u64), its pixels (f32) and its labels (a byte each, or two where one is above 255), little endian.
pub fn of<'a>(sets: impl IntoIterator<Item = &'a Dataset>) -> String {
    let mut hash = Sha256::new();
    for Dataset { images, labels, shape, .. } in sets {
        shape.iter().chain([&labels.len()]).for_each(|length| hash.update((*length as u64).to_le_bytes()));
        for pixels in images.chunks(1024) {
            let bytes: Vec<u8> = pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
            hash.update(bytes);
        }
        match labels.iter().map(|label| u8::try_from(*label)).collect::<Result<Vec<u8>, _>>() {
            Ok(bytes) => hash.update(bytes),
            Err(_) => hash.update(labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>()),
        }
    }
    let digits: String = hash.finalize().iter().take(NOTED).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_that_of_images_and_labels() {
        let set = |images: &[f32], labels: &[u16], shape| {
            Dataset::new(images.to_vec(), labels.to_vec(), shape, "a set".into())
        };
        let one = set(&[0.0, 1.0], &[3], [1, 2, 1]);
        // sha256sum of 01 00.. 02 00.. 01 00.. 01 00.. (8 bytes each), 00000000 0000803f, 03.
        assert_eq!(of([&one]), "sha256=1ffdd4cf8dd2b5cd");
        assert_eq!(of([&one]), of([&Dataset { name: "another name".into(), ..one.clone() }]));
        let others = [
            set(&[0.0, 0.5], &[3], [1, 2, 1]),
            set(&[0.0, 1.0], &[4], [1, 2, 1]),
            set(&[0.0, 1.0], &[259], [1, 2, 1]),
            set(&[0.0, 1.0], &[3], [2, 1, 1]),
            set(&[0.0, 1.0], &[3, 3], [1, 1, 1]),
        ];
        assert!(others.iter().all(|other| of([other]) != of([&one])));
        assert_ne!(of([&one, &others[0]]), of([&others[0], &one]));
    }
}
