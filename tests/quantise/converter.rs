//! What TensorFlow's converter makes of the same weights, calibrated with the same images.

use midge_trainer::quantise::Ends;
use midge_trainer::quantised::Int8Stage;
use safetensors::SafeTensors;

use super::{case, f32s, files, folder};

/// Ranges are those of sums in another order, so scales differ in their last bits.
fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-6 * b.abs()
}

fn compare(name: &str, layer: usize, stage: &Int8Stage, file: &SafeTensors<'_>) {
    let at = |what: &str| format!("{layer}.int8.{what}");
    if file.tensor(&at("output")).is_ok() {
        let output = f32s(file, &at("output"));
        assert!(is_near(stage.scales[1].into(), output[0].into()), "{name} {layer}: {} {}", stage.scales[1], output[0]);
        assert_eq!(stage.range[1], output[1] as i32, "{name} {layer}: zero point");
    }
    let Ok(weights) = file.tensor(&at("weight")) else { return };
    assert_eq!(bytemuck::cast_slice::<_, u8>(&stage.weights), weights.data(), "{name} {layer}: weights");
    let bias: Vec<i32> = bytemuck::pod_collect_to_vec(file.tensor(&at("bias")).unwrap().data());
    for (found, expected) in stage.bias.iter().zip(&bias) {
        assert!((found - expected).abs() <= 1 + expected.abs() / 500_000, "{name} {layer}: bias {found} {expected}");
    }
    for ([multiplier, shift], scale) in stage.multipliers.iter().zip(f32s(file, &at("scale"))) {
        let found = f64::from(*multiplier) * 2f64.powi(shift - 31) * f64::from(stage.scales[1]);
        let expected = f64::from(stage.scales[0]) * f64::from(scale);
        assert!(is_near(found, expected), "{name} {layer}: {found} {expected}");
    }
}

#[test]
fn integers_are_those_of_tensorflows_converter() {
    let files = files(&folder().join("quantise"));
    assert_eq!(files.len(), 3);
    for path in files {
        let case = case(&path);
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let quantised = case.quantised(Ends::All).unwrap();
        assert_eq!((quantised.stages[0].scales[0], quantised.stages[0].range[0]), (1.0 / 255.0, -128));
        let mut compared = 0;
        for (layer, stage) in quantised.network.int8_stages().zip(&quantised.stages) {
            compare(&case.name, layer, stage, &file);
            compared += usize::from(file.tensor(&format!("{layer}.int8.weight")).is_ok());
        }
        assert_eq!(compared, file.names().iter().filter(|name| name.ends_with("int8.weight")).count(), "{}", case.name);
    }
}
