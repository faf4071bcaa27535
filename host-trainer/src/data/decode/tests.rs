use super::*;
use crate::data::damage::{damaged, numbers};

/// A file of `bits` per pixel, of BMP.
pub(super) fn bmp_file((width, height): (i32, i32), bits: u32, palette: &[[u8; 4]], rows: &[u8]) -> Vec<u8> {
    let pixels = (54 + 4 * palette.len()) as u32;
    let head = [0, 0, pixels, 40, width.cast_unsigned(), height.cast_unsigned(), 1 | bits << 16, 0, 0, 0, 0];
    let head = head.into_iter().chain([palette.len() as u32, 0]).flat_map(u32::to_le_bytes);
    b"BM".iter().copied().chain(head).chain(palette.iter().flatten().copied()).chain(rows.iter().copied()).collect()
}

/// A PNG file.
fn png_file(size: (u32, u32), colour: ::png::ColorType, depth: ::png::BitDepth, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, size.0, size.1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    file
}

fn grey() -> Vec<u8> {
    png_file((7, 5), ::png::ColorType::Grayscale, ::png::BitDepth::Eight, &[9; 35])
}

fn message(bytes: &[u8]) -> String {
    decode(bytes).unwrap_err().to_string()
}

/// 16 x 8 pixels: red above green on the left, blue above white on the right, and an Exif that turns it.
#[cfg(feature = "jpeg")]
const JPEG: &[u8] = include_bytes!("../../../../tests/pictures/turned.jpg");
#[cfg(feature = "jpeg")]
const PROGRESSIVE: &[u8] = include_bytes!("../../../../tests/pictures/progressive.jpg");
#[cfg(feature = "jpeg")]
const GREY_JPEG: &[u8] = include_bytes!("../../../../tests/pictures/grey.jpg");

#[test]
fn formats_are_known_by_their_first_bytes() {
    let bitmap = decode(&grey()).unwrap();
    assert_eq!((bitmap.height, bitmap.width, bitmap.channels, bitmap.samples.at(3)), (5, 7, 1, 9));
    let bmp = bmp_file((1, 1), 24, &[], &[1, 2, 3, 0]);
    assert_eq!(decode(&bmp).unwrap().samples, Samples::Bytes(vec![3, 2, 1]));
    assert!(message(b"GIF89a").starts_with("expected a picture (PNG, JPEG, BMP), found"));
    assert!(message(b"").contains("found an empty file") && message(b"PK\x03\x04").contains("zip archive"));
}

#[cfg(feature = "jpeg")]
#[test]
fn jpeg_is_read_upright() {
    for file in [JPEG, PROGRESSIVE] {
        let bitmap = decode(file).unwrap();
        // Turned by a quarter to the right: what was at the left is above.
        assert_eq!((bitmap.height, bitmap.width, bitmap.channels, bitmap.was_turned), (16, 8, 3, true));
        let at = |y: usize, x: usize| [0, 1, 2].map(|c: usize| bitmap.samples.at((y * 8 + x) * 3 + c) > 128);
        let corners = [at(1, 1), at(1, 6), at(14, 1), at(14, 6)];
        assert_eq!(corners, [[false, true, false], [true, false, false], [true; 3], [false, false, true]]);
    }
    let bitmap = decode(GREY_JPEG).unwrap();
    assert_eq!((bitmap.height, bitmap.width, bitmap.channels, bitmap.was_turned), (8, 16, 1, false));
    assert!(bitmap.samples.at(0) < 20 && bitmap.samples.at(15) > 235);
}

#[cfg(not(feature = "jpeg"))]
#[test]
fn without_the_feature_the_message_names_it() {
    assert!(message(b"\xff\xd8\xff\xe0").contains("feature jpeg"));
}

#[test]
fn a_png_may_be_turned_too() {
    let mut info = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut info, 2, 1);
    encoder.set_color(::png::ColorType::Grayscale);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0";
    let mut writer = encoder.write_header().unwrap();
    writer.write_chunk(::png::chunk::ChunkType(*b"eXIf"), exif).unwrap();
    writer.write_image_data(&[1, 2]).unwrap();
    writer.finish().unwrap();
    assert_eq!(decode(&info).unwrap().samples, Samples::Bytes(vec![2, 1]));
}

/// A picture of 60,000 x 60,000 pixels in a kilobyte, and headers that say more than that.
#[test]
fn bombs_are_refused_before_they_are_unpacked() {
    let mut bomb = grey();
    let header = [60_000u32, 60_000].map(u32::to_be_bytes).concat();
    bomb[16..24].copy_from_slice(&header);
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    assert_eq!(message(&bomb), format!("expected at most {MAX_PIXELS} pixels, found 60000 x 60000 (height x width)"));
    let bmp = bmp_file((60_000, 60_000), 1, &[[0; 4]; 2], &[0; 100]);
    assert!(message(&bmp).contains("60000 x 60000"));
    // Fewer pixels, of which none are there.
    let bmp = bmp_file((8_000, 8_000), 1, &[[0; 4]; 2], &[0; 100]);
    assert_eq!(message(&bmp), "expected a sound BMP file, found: it ends before its pixels do");
}

#[test]
fn a_wrong_checksum_is_damage() {
    let sound = grey();
    let data = sound.windows(4).position(|bytes| bytes == b"IDAT").unwrap();
    let mut bad = sound.clone();
    *bad.last_mut().unwrap() ^= 1;
    for (place, byte) in [(data + 6, 1), (30, 1)] {
        bad[place] ^= byte;
        assert!(message(&bad).starts_with("expected a sound PNG file, found: "), "{place}: {}", message(&bad));
    }
}

/// Files of every format, large enough to have something in them.
fn seeds() -> Vec<Vec<u8>> {
    use ::png::{BitDepth, ColorType};
    let noise: Vec<u8> = (0..4 * 12 * 11).map(|i: u32| (i * i * 37 + i * 11) as u8).collect();
    let mut seeds = vec![
        png_file((12, 11), ColorType::Rgba, BitDepth::Eight, &noise),
        png_file((6, 11), ColorType::Rgba, BitDepth::Sixteen, &noise),
        png_file((12, 11), ColorType::Grayscale, BitDepth::Two, &noise[..33]),
        bmp_file((12, 11), 24, &[], &noise[..396]),
        bmp_file((12, -11), 8, &[[1, 2, 3, 0]; 256], &noise[..132]),
        bmp_file((12, 11), 4, &[[7; 4]; 16], &noise[..88]),
    ];
    #[cfg(feature = "jpeg")]
    seeds.extend([JPEG, PROGRESSIVE, GREY_JPEG].map(<[u8]>::to_vec));
    seeds
}

/// Whatever a file holds, it is a picture or has a message.
#[test]
fn no_damage_ends_in_a_panic() {
    for seed in seeds() {
        assert!(decode(&seed).is_ok());
        let refused = numbers(400).filter(|number| match decode(&damaged(&seed, *number)) {
            Ok(bitmap) => bitmap.height * bitmap.width > MAX_PIXELS,
            Err(problem) => !problem.to_string().is_empty(),
        });
        assert!(refused.count() > 0, "nothing was damaged");
    }
}
