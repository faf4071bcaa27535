//! What a model needs of a device's flash and RAM.

use anyhow::Result;
use serde::Serialize;

use crate::weights::{DType, Weights};

/// Bytes on a device. RAM is images and all buffers, without the stack; weights stay in flash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The model file with f32 weights.
    pub flash_bytes_f32: usize,
    /// The model file with f16 weights.
    pub flash_bytes_f16: usize,
    /// Classification, with the image. RAM is the same for both types of weights: arithmetic is f32.
    pub ram_bytes_inference: usize,
    /// FGSM, with the clean and the adversarial image.
    pub ram_bytes_fgsm: usize,
    /// OTCM.
    pub ram_bytes_otcm: usize,
    /// MI-FGSM.
    pub ram_bytes_mi_fgsm: usize,
}

impl Memory {
    /// What `weights` need.
    ///
    /// # Errors
    /// If a weight does not fit f16.
    pub fn of(weights: &Weights) -> Result<Self> {
        let network = &weights.network;
        // An attack holds the clean and the adversarial image beside its buffer, classification one image.
        let image = network.input().len();
        let attack = |buffer: usize| 4 * (2 * image + buffer);
        Ok(Self {
            flash_bytes_f32: weights.to_bytes(DType::F32)?.len(),
            flash_bytes_f16: weights.to_bytes(DType::F16)?.len(),
            ram_bytes_inference: 4 * (image + network.inference_len()),
            ram_bytes_fgsm: attack(network.gradient_len()),
            ram_bytes_otcm: attack(network.gradient_len()),
            ram_bytes_mi_fgsm: attack(network.attack_len()),
        })
    }
}

/// `824362` as `824,362`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<String> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            ["7", "28", "288", "2,570", "824,362"].map(String::from),
            [7, 28, 288, 2570, 824_362].map(super::thousands)
        );
    }
}
