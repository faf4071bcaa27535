//! Operators that midge folds into others, against TensorFlow Lite for Microcontrollers: the same bytes, or a refusal by name.

use midge_trainer::export::int8_tflite;
use midge_trainer::import::tflite::{Imported, from_bytes};
use safetensors::{Dtype, SafeTensors};

use super::{f32s, files, folder};

/// What each file that is refused is refused for.
const REFUSED: [(&str, &str); 2] = [
    ("refused_pad", "(CONV_2D): a PAD of [2, 0] rows and [2, 0] columns"),
    ("refused_pad_pool", "(MAX_POOL_2D): it reads what a PAD puts out"),
];

/// The real numbers that the model gets for the images of a file.
fn images(file: &SafeTensors<'_>, value: impl Fn(i8) -> f32) -> Vec<f32> {
    let images = file.tensor("images").unwrap();
    match images.dtype() {
        Dtype::F32 => f32s(file, "images"),
        _ => images.data().iter().map(|byte| value(*byte as i8)).collect(),
    }
}

#[test]
fn folded_operators_are_those_of_tflite_micro() {
    let (mut same, mut refused) = (0, 0);
    for path in files(&folder().join("quantise/tflm")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let imported = from_bytes(file.tensor("model").unwrap().data());
        if let Some((_, expected)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            let message = format!("{:#}", imported.unwrap_err());
            assert!(message.contains(expected), "{name}: {message}");
            refused += 1;
            continue;
        }
        let Ok(Imported::Int8(weights)) = imported else { panic!("{name}: {imported:?}") };
        let model = weights.model().unwrap();
        let (grid, logit) = (model.grid().unwrap(), model.logit_grid());
        let images = images(&file, |byte| grid.value(byte));
        let mut buffer = vec![0.0; weights.network.inference_len()];
        let logits = images.chunks(weights.network.input().len()).flat_map(|image| {
            let seen: Vec<f32> = image.iter().map(|x| grid.value(grid.round(*x))).collect();
            model.logits(&seen, &mut buffer).unwrap().to_vec()
        });
        let logits: Vec<f32> = logits.collect();
        let expected = file.tensor("logits").unwrap();
        match expected.dtype() {
            Dtype::F32 => assert_eq!(logits, f32s(&file, "logits"), "{name}"),
            _ => {
                let found: Vec<u8> = logits.iter().map(|x| logit.round(*x) as u8).collect();
                assert_eq!(found, expected.data(), "{name}");
            }
        }
        let written = int8_tflite(&weights).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(matches!(from_bytes(&written), Ok(Imported::Int8(back)) if back == weights), "{name}");
        same += 1;
    }
    assert_eq!((same, refused), (11, REFUSED.len()));
}
