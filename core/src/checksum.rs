//! CRC-32/ISO-HDLC, of a model file's content and of a network's text.

/// A table of 1 kB makes it fast on a host; on a device it would be 4 % of the flash for one reading of the file.
#[cfg(feature = "std")]
pub(crate) type Table = crc::Table<1>;
#[cfg(not(feature = "std"))]
pub(crate) type Table = crc::NoTable;

pub(crate) const CRC: crc::Crc<u32, Table> = crc::Crc::<u32, Table>::new(&crc::CRC_32_ISO_HDLC);

/// The checksum of some parts, one behind the other.
pub(crate) fn checksum_of(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}
