//! `midge export` to integers and to `.tflite` files, as a user runs it.

use midge_trainer::any_weights::AnyWeights;
use midge_trainer::import::tflite::{Imported, from_bytes};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::{error, json, midge, ok};

const INT8: [&str; 4] = ["export", "--dtype", "i8", "--calibrate"];

#[test]
fn integers_read_what_the_floats_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let export = [&INT8[..], &["synthetic", "--limit", "40"]].concat();
    let text = ok(path, &[&export[..], &["--out", "m"]].concat());
    assert!(text.contains("calibrated with 40 of synthetic train") && text.ends_with("i8\n"), "{text}");
    let AnyWeights::Int8(weights) = AnyWeights::load(&path.join("m")).unwrap() else { panic!("expected integers") };
    assert_eq!(weights.metadata["calibration.images"], "40");
    // Pixels of 0 to 1.
    assert_eq!((weights.stages[0].scales[0], weights.stages[0].range[0]), (1.0 / 255.0, -128));
    let accuracy = |model: &str| {
        let report = json(path, &["evaluate", "--json", "--model", model, "--data", "synthetic", "--limit", "60"]);
        report["correct"].as_u64().unwrap()
    };
    assert!(accuracy("m").abs_diff(accuracy("plain")) <= 1);
    assert!(accuracy("plain-int8").abs_diff(accuracy("plain")) <= 1);
    // The same images give the same file; a percentile gives another.
    ok(path, &[&export[..], &["--out", "again", "--threads", "1"]].concat());
    let read = |file: &str| std::fs::read(path.join(file)).unwrap();
    assert_eq!(read("m"), read("again"));
    ok(path, &[&export[..], &["--percentile", "99", "--out", "again"]].concat());
    assert_ne!(read("m"), read("again"));
}

#[test]
fn a_tflite_file_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let logits = |model: &str, out: &str| {
        ok(path, &["classify", "--model", model, "--data", "synthetic", "--limit", "20", "--out", out]);
        let bytes = std::fs::read(path.join(out)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let name = if file.tensor("logits_int8").is_ok() { "logits_int8" } else { "logits" };
        file.tensor(name).unwrap().data().to_vec()
    };
    for model in ["plain", "plain-int8"] {
        ok(path, &["export", "--model", model, "--to", "tflite", "--out", "m.tflite"]);
        ok(path, &["import", "m.tflite", "--out", "m"]);
        ok(path, &["export", "--model", "m", "--to", "tflite", "--out", "again.tflite"]);
        let read = |file: &str| std::fs::read(path.join(file)).unwrap();
        assert!(read("m.tflite") == read("again.tflite"), "{model}");
        let expected = logits(model, "a");
        assert!(logits("m.tflite", "b") == expected && logits("m", "c") == expected, "{model}");
    }
    // A threshold goes into the bias, and floats that integers stand for are written as floats.
    ok(path, &["export", "--model", "robust", "--to", "tflite", "--out", "m.tflite"]);
    let Imported::Float(weights) = from_bytes(&std::fs::read(path.join("m.tflite")).unwrap()).unwrap() else {
        panic!()
    };
    assert!(weights.tensors[1].iter().all(|b| *b == -0.1));
    ok(path, &["export", "--model", "robust-int8", "--dtype", "f32", "--to", "tflite", "--out", "m.tflite"]);
    assert!(matches!(from_bytes(&std::fs::read(path.join("m.tflite")).unwrap()), Ok(Imported::Float(_))));
}

#[test]
fn what_has_no_meaning_is_refused_and_nothing_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("m"), "old").unwrap();
    let pixels = [0u8; 4 * 2 * 9];
    let view = TensorView::new(Dtype::F32, vec![2, 3, 3, 1], &pixels).unwrap();
    std::fs::write(path.join("small"), safetensors::serialize([("images", view)], None).unwrap()).unwrap();
    for (arguments, expected) in [
        (&["--dtype", "i8"][..], "expected --calibrate"),
        (&["--dtype", "i8", "--calibrate", "small"], "28x28x1"),
        (&["--dtype", "i8", "--calibrate", "nowhere"], "nowhere: no such file or folder"),
        (&["--dtype", "f16", "--calibrate", "synthetic"], "--calibrate is for --dtype i8"),
        (&["--dtype", "i8", "--model", "plain-int8", "--calibrate", "synthetic"], "a model of integers already"),
        (&["--dtype", "f16", "--to", "tflite"], "expected no --dtype f16"),
        (&["--dtype", "i4"], "i4"),
        (&[], "--dtype"),
    ] {
        let message = error(path, &[&["export", "--out", "m"][..], arguments].concat());
        assert!(message.contains(expected), "{expected}: {message}");
        assert_eq!(std::fs::read(path.join("m")).unwrap(), b"old", "{arguments:?}");
    }
    for percentile in ["50", "100.5", "-1", "NaN", "much"] {
        let arguments = [&INT8[..], &["synthetic", "--percentile", percentile, "--out", "m"]].concat();
        let output = midge(path, &arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{percentile}: {message}");
        assert!(message.contains("above 50 and at most 100"), "{message}");
    }
    let missing = [&INT8[..], &["synthetic", "--limit", "2", "--out", "no/m"]].concat();
    assert!(error(path, &missing).contains("no/m"));
    assert!(error(path, &["export", "--dtype", "f16", "--limit", "3", "--out", "m"]).contains("--calibrate"));
    assert_eq!(std::fs::read(path.join("m")).unwrap(), b"old");
}
