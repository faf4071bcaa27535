//! The one entry of Exif that changes a picture: how the camera was held.

/// The tag of the orientation in TIFF 6.0, and the type of a 16-bit integer.
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;
/// Bytes of an entry: tag, type, count, value.
const ENTRY: usize = 12;

/// The orientation in a block of Exif, from 1 to 8; 1, upright, if it says none that can be read.
pub(super) fn orientation(exif: &[u8]) -> u16 {
    find(exif).filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1)
}

fn find(exif: &[u8]) -> Option<u16> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let is_little = match exif.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *exif.get(at..)?.first_chunk()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = *exif.get(4..)?.first_chunk()?;
    let directory = if is_little { u32::from_le_bytes(long) } else { u32::from_be_bytes(long) } as usize;
    let entries = usize::from(short(directory)?);
    let mut places = (0..entries).map(|i| directory.checked_add(2 + i * ENTRY));
    let entry = places.find_map(|place| place.filter(|place| short(*place) == Some(ORIENTATION)))?;
    if short(entry + 2)? == SHORT { short(entry + 8) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: &[u8] = b"II*\0\x08\0\0\0\x02\0\x00\x01\x03\0\x01\0\0\0\x05\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
    const BIG: &[u8] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";

    #[test]
    fn the_orientation_is_found_in_both_orders_of_bytes() {
        assert_eq!((orientation(LITTLE), orientation(BIG)), (6, 8));
    }

    #[test]
    fn what_cannot_be_read_is_upright() {
        for n in 0..30 {
            assert_eq!(orientation(&LITTLE[..n]), 1);
        }
        let far = b"II*\0\xff\xff\xff\xff".as_slice();
        let wrong = [&LITTLE[..LITTLE.len() - 4], &[9, 0, 0, 0]].concat();
        let text = [&LITTLE[..24], &[2], &LITTLE[25..]].concat();
        for exif in [far, &wrong, &text, b"", b"Exif\0\0", b"II*\0\x08\0\0\0\xff\xff"] {
            assert_eq!(orientation(exif), 1, "{exif:?}");
        }
    }
}
