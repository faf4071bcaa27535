use std::path::PathBuf;

use midge_core::Grid;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use super::*;
use crate::data::damage::{damaged, numbers};
use crate::data::fit::Reading;
use crate::data::input::Input;

/// Two classes, 2x3 pixels.
const INPUT: Input = Input::pixels([2, 3, 1], 2);

/// A folder and a file in it.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

type Tensor<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

fn bytes(tensors: &[Tensor<'_>]) -> Vec<u8> {
    let view = |(name, dtype, shape, data)| (name, TensorView::new(dtype, shape, data).unwrap());
    let views = tensors.iter().map(|(name, dtype, shape, data)| view((*name, *dtype, shape.to_vec(), data)));
    safetensors::serialize(views, None).unwrap()
}

/// A header in front of as many bytes of zeros.
fn raw(header: &str, zeros: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; zeros]].concat()
}

fn load(path: &Path, input: &Input, part: Part) -> Result<Loaded, DataError> {
    let (place, reading) = (Place::of(path, Split::Test), Reading::default());
    let found = open_numpy(&place)?.map_or_else(|| open(&place), |found| Ok(Some(found)))?;
    found.expect("no file").load(part, &Fit::new(input, &reading))
}

fn load_bytes(bytes: &[u8], input: &Input, part: Part) -> Result<Loaded, DataError> {
    let (_folder, path) = file(bytes);
    load(&path, input, part)
}

fn load_tensors(tensors: &[Tensor<'_>], input: &Input) -> Result<Loaded, DataError> {
    load_bytes(&bytes(tensors), input, Part::ALL)
}

fn message(found: Result<Loaded, DataError>) -> String {
    let message = found.unwrap_err().to_string();
    assert!(message.contains("some.safetensors"), "the file is not named: {message}");
    message
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const PIXELS: [u8; 12] = [0, 51, 102, 153, 204, 255, 255, 0, 0, 0, 0, 51];

#[test]
fn images_have_every_shape_that_is_the_models() {
    let shapes: [&[usize]; 3] = [&[2, 2, 3, 1], &[2, 2, 3], &[2, 6]];
    for shape in shapes {
        let loaded = load_tensors(&[("images", Dtype::U8, shape, PIXELS.to_vec())], &INPUT).unwrap();
        assert_eq!((loaded.shape, loaded.len(), loaded.labels.as_ref()), ([2, 3, 1], 2, None));
        assert_eq!(loaded.image(0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(loaded.places, [0, 1]);
        assert!(loaded.name.starts_with("some ("), "{}", loaded.name);
    }
    let shapes: [&[usize]; 7] = [&[2, 3, 2, 1], &[2, 1, 2, 3], &[2, 6, 1], &[12], &[1, 2, 2, 3, 1], &[4, 3], &[]];
    for shape in shapes {
        let bytes = vec![0; 4 * shape.iter().product::<usize>()];
        let message = message(load_tensors(&[("images", Dtype::F32, shape, bytes)], &INPUT));
        let expected = "expected [N, 2, 3, 1], [N, 2, 3] or [N, 6] for the model's 2x3x1, found [";
        assert!(message.contains(expected) && message.contains(&format!("{shape:?}")), "{message}");
        assert_eq!(message.contains("the channels come last"), shape == [2, 1, 2, 3], "{message}");
    }
    // Without the last dimension there is one channel.
    let colour = Input::pixels([1, 2, 3], 2);
    let message = message(load_tensors(&[("images", Dtype::F32, &[2, 1, 2], vec![0; 16])], &colour));
    assert!(message.contains("expected [N, 1, 2, 3] or [N, 6] for"), "{message}");
}

#[test]
fn floats_are_values_and_integers_lie_on_the_grid() {
    let one = Input::pixels([1, 2, 1], 2);
    let values = [0.25, 1.0, -0.0, 0.0];
    let loaded = load_tensors(&[("images", Dtype::F32, &[2, 2], floats(&values))], &one).unwrap();
    assert_eq!(loaded.images, values);
    let int8 = Input::int8([1, 2, 1], 2, Grid { scale: 0.5, zero_point: -1 });
    let integers = vec![0x80, 0xff, 0, 0x7f];
    for name in [IMAGES[0], INT8] {
        let loaded = load_tensors(&[(name, Dtype::I8, &[2, 2], integers.clone())], &int8).unwrap();
        assert_eq!(loaded.images, [-63.5, 0.0, 0.5, 64.0]);
        let message = message(load_tensors(&[(name, Dtype::I8, &[2, 2], integers.clone())], &one));
        assert!(message.contains(&format!("tensor {name}: I8")) && message.contains("F32 or U8"), "{message}");
    }
    let loaded = load_tensors(&[("images", Dtype::F32, &[1, 2], floats(&[-63.5, 64.0]))], &int8).unwrap();
    assert_eq!(loaded.images, [-63.5, 64.0]);
    // What the model sees of other numbers is the nearest integer.
    let loaded = load_tensors(&[("images", Dtype::F32, &[1, 2], floats(&[0.3, 64.2]))], &int8).unwrap();
    assert_eq!(loaded.images, [0.5, 64.0]);
    let message = message(load_tensors(&[("images", Dtype::U8, &[1, 2], vec![0; 2])], &int8));
    assert!(message.contains("the model takes -63.5 to 64, which is no range of pixels"), "{message}");
    assert!(message.ends_with("expected F32 or I8"), "{message}");
    let bytes = Input::int8([1, 2, 1], 2, Grid { scale: 1.0, zero_point: -128 });
    let loaded = load_tensors(&[("images", Dtype::U8, &[1, 2], vec![0, 200])], &bytes).unwrap();
    assert_eq!(loaded.images, [0.0, 200.0]);
}

/// A model takes what is nearest to it.
#[test]
fn of_two_tensors_of_images_one_is_the_models() {
    let tensors: [Tensor<'_>; 2] =
        [("images", Dtype::F32, &[1, 2], floats(&[0.5, 0.25])), ("input_int8", Dtype::I8, &[1, 2], vec![1, 2])];
    let float = load_tensors(&tensors, &Input::pixels([1, 2, 1], 2)).unwrap();
    assert_eq!(float.images, [0.5, 0.25]);
    let int8 = load_tensors(&tensors, &Input::int8([1, 2, 1], 2, Grid { scale: 1.0, zero_point: 0 })).unwrap();
    assert_eq!(int8.images, [1.0, 2.0]);
}

#[test]
fn labels_are_integers_of_any_type() {
    let images: Tensor<'_> = ("images", Dtype::U8, &[2, 6], PIXELS.to_vec());
    let types = [(Dtype::I8, 1), (Dtype::U8, 1), (Dtype::I16, 2), (Dtype::U16, 2), (Dtype::I32, 4), (Dtype::U32, 4)];
    for (dtype, size) in types.into_iter().chain([(Dtype::I64, 8), (Dtype::U64, 8)]) {
        let mut labels = vec![0; 2 * size];
        labels[size] = 1;
        for (name, shape) in [("labels", &[2][..]), ("label", &[2, 1])] {
            let loaded = load_tensors(&[images.clone(), (name, dtype, shape, labels.clone())], &INPUT).unwrap();
            assert_eq!(loaded.labels, Some(vec![0, 1]), "{dtype}");
        }
    }
    let refused = |dtype, shape: &[usize], bytes: Vec<u8>, expected: &str| {
        let message = message(load_tensors(&[images.clone(), ("labels", dtype, shape, bytes)], &INPUT));
        assert!(message.contains(expected), "{message}");
    };
    refused(Dtype::F32, &[2], floats(&[0.0, 1.0]), "tensor labels: expected elements of type integers, found F32");
    refused(Dtype::U8, &[3], vec![0; 3], "expected [2], one label for each image, found [3]");
    refused(Dtype::U8, &[2, 2], vec![0; 4], "found [2, 2]");
    refused(Dtype::U8, &[2], vec![0, 2], "image 1 has label 2, but the model has 2 classes");
    refused(Dtype::I8, &[2], vec![0xff, 0], "image 0 has label -1");
    refused(Dtype::U64, &[2], vec![0xff; 16], "image 0 has label 18446744073709551615");
    refused(Dtype::I64, &[2], [[0; 8], (1i64 << 16).to_le_bytes()].concat(), "image 1 has label 65536");
    let both = [images.clone(), ("labels", Dtype::U8, &[2][..], vec![0; 2]), ("label", Dtype::U8, &[2], vec![0; 2])];
    assert!(message(load_tensors(&both, &INPUT)).contains("found labels and label"));
    let message = load_tensors(&[images], &INPUT).unwrap().labelled().unwrap_err().to_string();
    assert!(message.contains("some.safetensors") && message.contains("labels"), "{message}");
}

#[test]
fn bad_pixels_are_named_wherever_they_are() {
    let input = Input::pixels([100, 100, 2], 2);
    for (bad, image, at) in [(f32::NAN, 0, [0, 0, 0]), (1.5, 1, [99, 99, 1]), (-1e-6, 1, [3, 7, 1])] {
        let mut values = vec![0.5; 2 * input.len()];
        values[image * input.len() + (at[0] * 100 + at[1]) * 2 + at[2]] = bad;
        let tensors = [("images", Dtype::F32, &[2, 100, 100, 2][..], floats(&values))];
        let [row, column, channel] = at;
        let expected = format!(
            "image {image}, row {row}, column {column}, channel {channel} is {bad}: expected a number from 0 to 1"
        );
        let message = message(load_tensors(&tensors, &input));
        assert!(message.contains(&expected), "{message}");
        // Of a part, the image keeps its place; those that are not asked for are not looked at.
        let part = |offset| load_bytes(&bytes(&tensors), &input, Part { offset, limit: Some(1) });
        assert!(part(image).unwrap_err().to_string().contains(&expected));
        assert!(part(1 - image).is_ok());
    }
}

#[test]
fn a_part_is_what_it_is_in_the_whole() {
    let input = Input::pixels([1, 1000, 1], 100);
    let pixels: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
    let labels = (0..100).collect();
    let file = bytes(&[("images", Dtype::U8, &[100, 1000], pixels), ("labels", Dtype::U8, &[100], labels)]);
    let whole = load_bytes(&file, &input, Part::ALL).unwrap().labelled().unwrap();
    for (offset, limit) in [(0, None), (7, Some(60)), (99, Some(5)), (30, Some(usize::MAX))] {
        let part = load_bytes(&file, &input, Part { offset, limit }).unwrap().labelled().unwrap();
        let expected = whole.slice(offset, limit).unwrap();
        assert_eq!((part.images, part.labels, part.places), (expected.images, expected.labels, expected.places));
    }
    let message = message(load_bytes(&file, &input, Part { offset: 100, limit: None }));
    assert!(message.contains("has 100 images") && message.contains("it is 100"), "{message}");
}

#[test]
fn a_file_cut_anywhere_or_with_more_behind_it_is_an_error() {
    let file = bytes(&[("images", Dtype::U8, &[2, 6], PIXELS.to_vec()), ("labels", Dtype::U8, &[2], vec![0, 1])]);
    assert!(load_bytes(&file, &INPUT, Part::ALL).is_ok());
    for length in 0..file.len() {
        message(load_bytes(&file[..length], &INPUT, Part::ALL));
    }
    let message = message(load_bytes(&[&file[..], b"x"].concat(), &INPUT, Part::ALL));
    assert!(message.contains(&format!("expected {} bytes by its header, found {}", file.len(), file.len() + 1)));
}

#[test]
fn what_a_header_promises_is_not_believed() {
    let entry =
        |shape: &str, from: u64, to: u64| format!(r#"{{"dtype":"U8","shape":[{shape}],"data_offsets":[{from},{to}]}}"#);
    let refused = |bytes: &[u8], expected: &str| {
        let message = message(load_bytes(bytes, &INPUT, Part::ALL));
        assert!(message.contains(expected), "{message}");
    };
    refused(&[&u64::MAX.to_le_bytes(), &b"{}"[..]].concat(), "nor one of a kind");
    refused(
        &[&90_000_000u64.to_le_bytes(), &b"{}"[..]].concat(),
        "a header of at most 2 bytes, found a length of 90000000",
    );
    let many = 6 << 40;
    let huge = format!(r#"{{"images":{}}}"#, entry(&format!("{},6", many / 6), 0, many));
    refused(&raw(&huge, 12), "bytes by its header");
    // Sizes whose sum has more than 64 bits.
    let step = 1u64 << 60;
    let sum: Vec<String> =
        (0..15).map(|i| format!(r#""{i}":{}"#, entry(&step.to_string(), i * step, (i + 1) * step))).collect();
    let last = format!(r#""images":{}"#, entry(&(step - 1).to_string(), 15 * step, u64::MAX));
    refused(&raw(&format!("{{{},{last}}}", sum.join(",")), 12), "bytes by its header");
    for (shape, from, to) in [("2,6", 0, 11), ("2,6", 1, 13), ("2,6", 12, 0), ("4294967296,4294967296,16", 0, 0)] {
        refused(&raw(&format!(r#"{{"images":{}}}"#, entry(shape, from, to)), 12), "the header of a safetensors file");
    }
    for header in ["{", "[]", "{}x", r#"{"images":1}"#, &"{\"a\":".repeat(1000), &"[".repeat(9000)] {
        message(load_bytes(&raw(header, 0), &INPUT, Part::ALL));
    }
    refused(&raw("{}", 0), "expected a tensor images or input_int8, found no tensor");
    refused(&raw(&format!(r#"{{"images":{}}}"#, entry("0,6", 0, 0)), 0), "no images");
    let names: Vec<String> =
        (0..20).map(|i| format!(r#""\u001b{i}{}":{}"#, "x".repeat(99), entry("0", 0, 0))).collect();
    let message = message(load_bytes(&raw(&format!("{{{}}}", names.join(",")), 0), &INPUT, Part::ALL));
    assert!(message.contains("12 more") && message.contains("\\u{1b}") && message.len() < 700, "{message}");
}

#[test]
fn other_types_and_other_files_are_named() {
    for (dtype, size) in [(Dtype::F16, 2), (Dtype::I32, 4), (Dtype::BOOL, 1)] {
        let message = message(load_tensors(&[("images", dtype, &[2, 6], vec![0; 12 * size])], &INPUT));
        assert!(message.contains(&format!("expected elements of type F32, F64, U8 or I8, found {dtype}")), "{message}");
    }
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"\x89PNG\r\n\x1a\n", "it looks like a PNG image; --data takes pictures"),
        (b"\x93NUMPY\x01", "cannot be read"),
        (b"\x93NUMPY\x01\0\x01\0\n", "expected a header with fortran_order"),
        (b"PK\x03\x04....data.pkl", "a zip archive with an index at its end"),
        (b"\0\0\x08\x03", "an IDX file of images; --data takes its folder"),
        (b"\x1f\x8b\x08", "gunzip"),
    ] {
        let message = message(load_bytes(bytes, &INPUT, Part::ALL));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_flipped_bit_gives_sound_images_or_an_error() {
    let labels: Tensor<'_> = ("label", Dtype::I32, &[2], vec![0; 8]);
    let file = bytes(&[("images", Dtype::F32, &[2, 6], floats(&[0.5; 12])), labels]);
    let (_folder, path) = self::file(&file);
    let mut sound = 0;
    for bit in (0..8 * file.len()).step_by(5) {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &damaged).unwrap();
        // A bit of a pixel or of the other label may give one that is as good.
        if let Ok(loaded) = load(&path, &INPUT, Part::ALL) {
            assert!(loaded.len() == 2 && loaded.images.iter().all(|pixel| (0.0..=1.0).contains(pixel)), "{bit}");
            assert!(loaded.labels.is_none_or(|labels| labels.iter().all(|label| *label < 2)), "{bit}");
            sound += 1;
        }
    }
    assert!(sound < file.len(), "{sound} of {} flips went unnoticed", 8 * file.len() / 5);
}

/// Bytes of a `.npy` file.
fn npy(descr: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), elements].concat()
}

#[test]
fn pictures_of_bytes_are_averaged_to_the_models_size() {
    let large: Vec<u8> = (0..48).map(|i| PIXELS[i / 24 * 6 + i / 12 % 2 * 3 + i % 6 / 2]).collect();
    for file in [bytes(&[("images", Dtype::U8, &[2, 4, 6], large.clone())]), npy("|u1", "2, 4, 6", &large)] {
        let loaded = load_bytes(&file, &INPUT, Part::ALL).unwrap();
        assert_eq!((loaded.image(0), loaded.notices.len()), (&[0.0, 0.2, 0.4, 0.6, 0.8, 1.0][..], 1));
    }
    let first = load_tensors(&[("images", Dtype::U8, &[2, 1, 2, 3], PIXELS.to_vec())], &INPUT);
    assert!(message(first).contains("the channels come last"));
}

#[test]
fn arrays_have_their_labels_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x_test.npy");
    std::fs::write(&path, npy("<f8", "2, 2, 3", &[0.25f64; 12].map(f64::to_le_bytes).concat())).unwrap();
    let loaded = load(&path, &INPUT, Part::ALL).unwrap();
    assert_eq!((loaded.images, loaded.labels), (vec![0.25; 12], None));
    std::fs::write(folder.path().join("y_test.npy"), npy("<i8", "2,", &[1i64, 0].map(i64::to_le_bytes).concat()))
        .unwrap();
    assert_eq!(load(&path, &INPUT, Part { offset: 1, limit: None }).unwrap().labels, Some(vec![0]));
    let facts = open_numpy(&Place::of(&path, Split::Test)).unwrap().unwrap().facts(&Classes::default()).unwrap();
    assert_eq!((facts.shape, facts.classes, facts.has_splits), (Some([2, 3, 1]), Some(2), false));
    std::fs::write(folder.path().join("y_test.npy"), npy(">i8", "2,", &[0; 16])).unwrap();
    let message = load(&path, &INPUT, Part::ALL).unwrap_err().to_string();
    assert!(message.contains("x_test.npy: its labels in ") && message.contains("such as <f4, found >i8"), "{message}");
}

#[test]
fn archives_have_both_halves() {
    let array = |labels: [u8; 2]| npy("|u1", "2,", &labels);
    let images = npy("|u1", "2, 2, 3", &PIXELS);
    let files = [
        ("x_train.npy", &images[..]),
        ("y_train.npy", &array([0, 0])),
        ("x_test.npy", &images),
        ("y_test.npy", &array([1, 0])),
    ];
    for deflate in [false, true] {
        let (_folder, path) = file(&zip::tests::archive(&files, deflate));
        let loaded = load(&path, &INPUT, Part { offset: 1, limit: Some(1) }).unwrap();
        assert_eq!((loaded.image(0)[0], loaded.labels), (1.0, Some(vec![0])));
        assert_eq!(load(&path, &INPUT, Part::ALL).unwrap().labels, Some(vec![1, 0]));
        let facts = open_numpy(&Place::of(&path, Split::Train)).unwrap().unwrap().facts(&Classes::default()).unwrap();
        assert_eq!((facts.classes, facts.has_splits), (Some(1), true));
    }
    let (_folder, path) = file(&zip::tests::archive(&files[1..2], false));
    let message = load(&path, &INPUT, Part::ALL).unwrap_err().to_string();
    assert!(message.contains("expected a tensor x_test or test_images or X_test, found y_train"), "{message}");
}

#[test]
fn arrays_that_are_not_read_are_named() {
    for (file, expected) in [
        (npy("|O", "2,", &[]), "such as <f4, found |O"),
        (npy("|u1", "2, 2, 3", &PIXELS[1..]), "expected as many bytes as the shape [2, 2, 3] takes, found 11"),
        (npy("|u1", "9999999999, 9999999999, 9999999999", &[]), "expected as many bytes"),
        (npy("|u1", "2, -1", &[]), "expected a shape"),
        (npy("|u1", "0, 2, 3", &[]), "no images"),
        (npy("|u1", "1, 1, 1, 1, 1, 1, 1, 1, 1", &[0]), "expected a shape"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff".to_vec(), "a header of at most 65536 bytes, found 4294967295"),
        (String::from_utf8_lossy(&npy("|u1", "2,", &[])).replace("False", "True").into_bytes(), "not text"),
    ] {
        let message = message(load_bytes(&file, &INPUT, Part::ALL));
        assert!(message.contains(expected) || expected == "not text", "{expected}: {message}");
    }
}

/// Whatever a file holds, it is a data set or has a message.
#[test]
fn no_damage_ends_in_a_panic() {
    let array = npy("|u1", "2, 2, 3", &PIXELS);
    let files = [("x.npy", &array[..]), ("y.npy", &npy("|u1", "2,", &[1, 0]))];
    let seeds = [array.clone(), zip::tests::archive(&files, false), zip::tests::archive(&files, true)];
    for seed in seeds {
        let (_folder, path) = file(&seed);
        assert!(load(&path, &INPUT, Part::ALL).is_ok());
        let refused = numbers(300).filter(|number| {
            std::fs::write(&path, damaged(&seed, *number)).unwrap();
            load(&path, &INPUT, Part::ALL).is_err_and(|error| !error.to_string().is_empty())
        });
        assert!(refused.count() > 0, "nothing was damaged");
    }
}
