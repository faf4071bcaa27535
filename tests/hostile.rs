//! Model files that are damaged, truncated, or made to hurt: each is an error that says what is wrong, never a panic.

use midge_core::{Header, Model, ModelError, Network, f16};
use midge_trainer::training::initialise;
use midge_trainer::weights::{DType, Weights};
use proptest::prelude::*;

const TEXT: &str = "input(6,6,1) conv2d(filters=4,kernel=3,stride=1,padding=same,bias=true) relu \
                    maxpool2d(pool=2,padding=same) flatten dense(units=3,bias=true)";

/// The architecture as it stands in a file.
fn text() -> String {
    TEXT.parse::<Network>().unwrap().to_string()
}

fn weights() -> Weights {
    initialise(TEXT.parse().unwrap(), 1)
}

/// Reads bytes as a device would, from an aligned address.
fn read<T: midge_core::Element>(bytes: &[u8]) -> Result<(), ModelError> {
    let mut words = vec![0u64; bytes.len() / 8 + 1];
    let aligned = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()];
    aligned.copy_from_slice(bytes);
    let network: Network = TEXT.parse().unwrap();
    Model::<T>::from_safetensors(&network, aligned).map(drop)
}

/// The file with its header's text replaced and its length mended.
fn with_header(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = change(String::from_utf8(bytes[8..8 + length].to_vec()).unwrap());
    let padded = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    [&(padded.len() as u64).to_le_bytes(), padded.as_bytes(), &bytes[8 + length..]].concat()
}

#[test]
fn whole_files_are_read() {
    assert_eq!(read::<f32>(&weights().to_bytes(DType::F32).unwrap()), Ok(()));
    assert_eq!(read::<f16>(&weights().to_bytes(DType::F16).unwrap()), Ok(()));
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for dtype in [DType::F32, DType::F16] {
        let bytes = weights().to_bytes(dtype).unwrap();
        for length in 0..bytes.len() {
            let result =
                if dtype == DType::F32 { read::<f32>(&bytes[..length]) } else { read::<f16>(&bytes[..length]) };
            assert!(result.is_err(), "{length} of {}", bytes.len());
            assert!(Weights::from_bytes(&bytes[..length]).is_err());
        }
    }
}

#[test]
fn every_flipped_bit_of_the_tensors_is_an_error() {
    let bytes = weights().to_bytes(DType::F32).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for byte in start..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 1 << (byte % 8);
        assert!(matches!(read::<f32>(&damaged), Err(ModelError::Checksum { .. })), "{byte}");
    }
}

/// A flipped bit in the header must never give other weights than those written.
#[test]
fn a_flipped_bit_of_the_header_never_changes_the_model() {
    let original = weights();
    let bytes = original.to_bytes(DType::F32).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut harmless = 0;
    for bit in 0..8 * start {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if read::<f32>(&damaged).is_ok() {
            harmless += 1;
            let read = Weights::from_bytes(&damaged).unwrap();
            assert_eq!((&read.network, &read.tensors), (&original.network, &original.tensors), "bit {bit}");
        }
    }
    assert!(harmless < start, "{harmless} of {} flips went unnoticed", 8 * start);
}

#[test]
fn each_defect_has_its_error() {
    let good = weights().to_bytes(DType::F32).unwrap();
    let changed = |from: &str, to: &str| {
        let damaged = with_header(&good, |header| {
            assert!(header.contains(from), "{header}");
            header.replace(from, to)
        });
        read::<f32>(&damaged).unwrap_err()
    };
    assert!(matches!(changed("midge-1", "midge-9"), ModelError::Metadata { key: "format" }));
    assert!(matches!(changed("\"crc32\"", "\"crc31\""), ModelError::Metadata { key: "crc32" }));
    assert!(matches!(changed("\"network\"", "\"networ\""), ModelError::Metadata { key: "network" }));
    assert!(matches!(changed(" flatten", " flotten"), ModelError::OtherNetwork));
    assert!(matches!(changed("filters=4", "filters=5"), ModelError::OtherNetwork));
    assert!(matches!(changed("0.weight", "1.weight"), ModelError::Missing { layer: 0, tensor: "weight" }));
    assert!(matches!(changed("4.bias", "4.bios"), ModelError::Missing { layer: 4, tensor: "bias" }));
    assert!(matches!(changed("[36,3]", "[3,36]"), ModelError::TensorShape { layer: 4, expected: 108, found: 108 }));
    assert!(matches!(changed("[36,3]", "[36,4]"), ModelError::TensorShape { layer: 4, expected: 108, found: 144 }));
    assert!(matches!(changed("\"F32\"", "\"F64\""), ModelError::DType { .. }));
    assert!(matches!(changed("\"shape\"", "\"shope\""), ModelError::Header));
    assert!(matches!(read::<f16>(&good), Err(ModelError::DType { expected: "F16", .. })));
    let longer = [good.as_slice(), &[0; 4]].concat();
    assert!(matches!(read::<f32>(&longer), Err(ModelError::Oversized { .. })));
    let short = &good[..good.len() - 4];
    assert!(matches!(read::<f32>(short), Err(ModelError::Truncated { expected, found }) if expected == found + 4));
    let huge = [&u64::MAX.to_le_bytes(), b"{}".as_slice()].concat();
    assert!(matches!(read::<f32>(&huge), Err(ModelError::HeaderLength { found: u64::MAX, .. })));
    assert!(matches!(Header::read(&[8, 0, 0, 0, 0, 0, 0, 0, 1]), Err(ModelError::Truncated { .. })));
}

/// A file with a sound checksum of tensors `0.weight` (36 numbers), `0.bias` (4), `4.weight` (108) and `4.bias` (3), in
/// the order, at the places and with the names that `change` makes of the header's entries. They fill 604 bytes.
fn laid_out(bytes: usize, change: impl Fn(&mut Vec<String>)) -> Vec<u8> {
    let tensors = vec![0u8; bytes];
    let crc = midge_core::checksum(&text(), &tensors);
    let mut entries =
        vec![format!(r#""__metadata__":{{"format":"midge-1","network":"{}","crc32":"{crc:08x}"}}"#, text())];
    for (name, shape, from, to) in [
        ("0.weight", "3,3,1,4", 0, 144),
        ("0.bias", "4", 144, 160),
        ("4.weight", "36,3", 160, 592),
        ("4.bias", "3", 592, 604),
    ] {
        entries.push(entry(name, shape, from, to));
    }
    change(&mut entries);
    let header = format!("{{{}}}", entries.join(","));
    let header = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &tensors].concat()
}

fn entry(name: &str, shape: &str, from: usize, to: usize) -> String {
    format!(r#""{name}":{{"dtype":"F32","shape":[{shape}],"data_offsets":[{from},{to}]}}"#)
}

/// The device's reader, the host's and the format's own library agree about what is no safetensors file.
#[test]
fn tensors_must_fill_the_file_once() {
    let library = |file: &[u8]| safetensors::SafeTensors::deserialize(file).is_ok();
    let sound = laid_out(604, |_| {});
    assert!(read::<f32>(&sound).is_ok() && Weights::from_bytes(&sound).is_ok() && library(&sound));
    let error = |bytes: usize, change: &dyn Fn(&mut Vec<String>)| {
        let file = laid_out(bytes, change);
        assert!(Weights::from_bytes(&file).is_err());
        (read::<f32>(&file).unwrap_err(), library(&file))
    };
    // Overlap: the second tensor lies in the first.
    let overlap = error(604, &|entries| entries[2] = entry("0.bias", "4", 0, 16));
    assert_eq!(overlap, (ModelError::Offsets { expected: 16, found: 160 }, false));
    let overlap = error(588, &|entries| {
        entries[2] = entry("0.bias", "4", 128, 144);
        entries[3] = entry("4.weight", "36,3", 144, 576);
        entries[4] = entry("4.bias", "3", 576, 588);
    });
    assert_eq!(overlap, (ModelError::Offsets { expected: 144, found: 128 }, false));
    // A gap, in the middle and at the start.
    let gap = error(608, &|entries| entries[4] = entry("4.bias", "3", 596, 608));
    assert_eq!(gap, (ModelError::Offsets { expected: 592, found: 596 }, false));
    let gap = error(604, &|entries| entries[1] = entry("0.weight", "3,3,1,4", 4, 144));
    assert_eq!(gap, (ModelError::Offsets { expected: 0, found: 4 }, false));
    // One more, with bytes and without.
    let extra = error(608, &|entries| entries.push(entry("x", "1", 604, 608)));
    assert_eq!(extra, (ModelError::Extra { expected: 604, found: 608 }, true));
    assert_eq!(error(604, &|entries| entries.push(entry("x", "0", 604, 604))).0, ModelError::Header);
    // One twice: with bytes of its own, and with the same ones.
    let twice = error(616, &|entries| entries.push(entry("4.bias", "3", 604, 616)));
    assert_eq!(twice, (ModelError::Extra { expected: 604, found: 616 }, false));
    assert!(matches!(
        error(604, &|entries| entries.push(entry("4.bias", "3", 592, 604))).0,
        ModelError::Offsets { .. }
    ));
    // The header in another order than the bytes: the format allows it, midge and every known writer do not.
    assert!(matches!(error(604, &|entries| entries.swap(1, 2)).0, ModelError::Offsets { .. }));
    // Ends before it starts; more bytes than the shape needs.
    assert_eq!(error(604, &|entries| entries[1] = entry("0.weight", "3,3,1,4", 144, 0)), (ModelError::Header, false));
    let long = error(604, &|entries| {
        entries[3] = entry("4.weight", "36,3", 160, 588);
        entries[4] = entry("4.bias", "3", 588, 604);
    });
    assert_eq!(long, (ModelError::TensorBytes { layer: 4 }, false));
}

#[test]
fn a_key_that_stands_twice_is_an_error() {
    let twice = |from: &str, to: &str| {
        let file = laid_out(604, |entries| {
            entries.iter_mut().for_each(|entry| *entry = entry.replace(from, to));
        });
        assert!(Weights::from_bytes(&file).is_err(), "{to}");
        read::<f32>(&file).unwrap_err()
    };
    assert_eq!(twice(r#""format":"#, r#""format":"midge-1","format":"#), ModelError::Header);
    assert_eq!(twice(r#""network":"#, r#""network":"x","network":"#), ModelError::Header);
    assert_eq!(twice(r#""crc32":"#, r#""crc32":"0","crc32":"#), ModelError::Header);
    assert_eq!(twice(r#""dtype":"#, r#""dtype":"F16","dtype":"#), ModelError::Header);
    assert_eq!(twice(r#""shape":"#, r#""shape":[1],"shape":"#), ModelError::Header);
    assert_eq!(twice(r#""data_offsets":"#, r#""data_offsets":[0,1],"data_offsets":"#), ModelError::Header);
    // Four fields with one missing.
    assert!(matches!(twice(r#""dtype":"F32","#, r#""shape":[1],"#), ModelError::DType { .. }));
    // The metadata, whether an entry stands in both or not.
    for entries in [r#""format":"midge-1""#, r#""x":"y""#, ""] {
        let metadata = format!(r#""__metadata__":{{{entries}}},"__metadata__":"#);
        assert_eq!(twice(r#""__metadata__":"#, &metadata), ModelError::Header, "{entries}");
    }
}

/// Free text is not the core's concern: what it takes the host takes.
#[test]
fn damaged_free_text_does_not_make_a_model_unreadable() {
    let file = laid_out(604, |entries| {
        entries[0] = entries[0].replace(r#""format""#, r#""a\q":"\ud800 \x","format""#);
    });
    assert!(read::<f32>(&file).is_ok());
    assert_eq!(Weights::from_bytes(&file).unwrap().metadata.len(), 1);
}

#[test]
fn weights_that_could_overflow_are_named() {
    let mut weights = weights();
    weights.tensors[0].fill(1e20);
    weights.tensors[2].fill(1e14);
    let message = format!("{:#}", weights.to_bytes(DType::F32).unwrap_err());
    assert!(message.contains("layer 4") && message.contains("overflow"), "{message}");
    // Another program's file, with a checksum that is right.
    let tensors: Vec<u8> = std::iter::repeat_n(1e37f32.to_le_bytes(), 151).flatten().collect();
    let sound = laid_out(604, |_| {});
    let start = sound.len() - 604;
    let (old, new) = (midge_core::checksum(&text(), &sound[start..]), midge_core::checksum(&text(), &tensors));
    let file = [&sound[..start], &tensors].concat();
    let file = with_header(&file, |header| header.replace(&format!("{old:08x}"), &format!("{new:08x}")));
    assert_eq!(read::<f32>(&file), Err(ModelError::TooLarge { layer: 0 }));
}

#[test]
fn nan_and_infinite_weights_are_named() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut weights = weights();
        weights.tensors[2][5] = bad;
        assert!(weights.to_bytes(DType::F32).unwrap_err().to_string().contains("4.weight"));
        // A file that another program wrote, with a checksum that is right.
        let good = self::weights().to_bytes(DType::F32).unwrap();
        let length = good.len() - 4 * weights.tensors.iter().map(|tensor| tensor.len()).sum::<usize>();
        let mut tensors = good[length..].to_vec();
        let last = tensors.len() - 4;
        tensors[last..].copy_from_slice(&bad.to_le_bytes());
        let (old, new) = (midge_core::checksum(&text(), &good[length..]), midge_core::checksum(&text(), &tensors));
        let file = [&good[..length], &tensors].concat();
        let file = with_header(&file, |header| header.replace(&format!("{old:08x}"), &format!("{new:08x}")));
        assert!(matches!(read::<f32>(&file), Err(ModelError::NotFinite { layer: 4, .. })));
        assert!(Weights::from_bytes(&file).is_err());
    }
    let mut weights = weights();
    weights.tensors[2][5] = 1e5;
    assert!(format!("{:#}", weights.to_bytes(DType::F16).unwrap_err()).contains("65504"));
}

#[test]
fn misaligned_bytes_are_an_error() {
    let bytes = weights().to_bytes(DType::F32).unwrap();
    let mut words = vec![0u64; bytes.len() / 8 + 2];
    let shifted = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[1..=bytes.len()];
    shifted.copy_from_slice(&bytes);
    let network: Network = TEXT.parse().unwrap();
    let error = Model::<f32>::from_safetensors(&network, shifted).unwrap_err();
    assert_eq!(error, ModelError::Misaligned { alignment: 4 });
}

#[test]
fn a_network_without_weights_is_a_model_too() {
    let weights = initialise("input(4,4,1) maxpool2d(pool=2) flatten".parse().unwrap(), 1);
    for dtype in [DType::F32, DType::F16] {
        let read = Weights::from_bytes(&weights.to_bytes(dtype).unwrap()).unwrap();
        assert_eq!((read.network, read.tensors.len()), (weights.network, 0));
    }
}

#[test]
fn a_deeply_nested_header_does_not_overflow_the_stack() {
    for nested in
        ["[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{{\"__metadata__\":{{\"a\":{}", "[".repeat(50_000))]
    {
        let bytes = [&(nested.len() as u64).to_le_bytes(), nested.as_bytes()].concat();
        assert_eq!(read::<f32>(&bytes), Err(ModelError::Header));
    }
}

proptest! {
    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read::<f32>(&bytes).is_err());
    }

    #[test]
    fn random_headers_are_an_error(header in "[\\[\\]{}:,\"a-z0-9_. ]{0,200}") {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        prop_assert!(read::<f32>(&bytes).is_err());
        prop_assert!(Weights::from_bytes(&bytes).is_err());
    }
}
