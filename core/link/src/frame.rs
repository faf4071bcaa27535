//! Frames: where a message begins and ends on a line that may lose, repeat and invent bytes.
//!
//! ```text
//! byte   0         1  2               3 ..               n-4 ..
//!        version   sequence number    message            CRC-32/ISO-HDLC of all before, little endian
//! ```
//! These bytes, at most 254, are written with consistent overhead byte stuffing, which leaves no zero in them: each zero
//! becomes the distance to the next. A zero ends the frame. After any noise the next zero is the end of something damaged, and what
//! follows is read as if nothing had happened. (Cheshire, Baker: Consistent Overhead Byte Stuffing, IEEE/ACM Transactions on
//! Networking 7, 1999.)

/// The version of frames and messages.
pub const VERSION: u8 = 1;
/// Bytes in front of a message: the version and the sequence number.
pub const HEADER: usize = 3;
/// Most bytes of a message.
pub const MESSAGE: usize = PLAIN - HEADER - CRC;
/// Most bytes of a frame on the line, with the zeros at its ends.
pub const FRAME: usize = PLAIN + 3;

/// Bytes of the checksum.
const CRC: usize = 4;
/// Most bytes of a frame before stuffing, which then adds one byte and not two.
const PLAIN: usize = 254;

/// Without a table: 254 bytes of a frame take less than a table of 1 kB in flash is worth.
const CHECK: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);

/// A frame that arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The sender's [`VERSION`].
    pub version: u8,
    /// Number of the request, which its answer repeats.
    pub sequence: u16,
    /// The message, for [`crate::read`].
    pub message: &'a [u8],
    /// The frame's checksum: the same number with another checksum is another request.
    pub checksum: u32,
}

/// Why bytes up to a zero are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Bytes are missing, or differ from what was sent.
    Checksum,
    /// More bytes than a frame has.
    TooLong,
}

/// Writes the frame of a message to `frame` and returns the part in use, a zero in front and at the end: the first ends
/// whatever noise there was.
///
/// ```
/// use midge_link::{Decoder, FRAME, encode};
///
/// let mut line = [0; FRAME];
/// let sent = encode(7, b"message", &mut line).unwrap();
/// let mut decoder = Decoder::new();
/// let arrived = sent.iter().find_map(|byte| decoder.push(*byte).map(|frame| frame.map(|f| f.sequence)));
/// assert_eq!(arrived, Some(Ok(7)));
/// ```
///
/// `None` for a message longer than [`MESSAGE`], and if `frame` is not ten bytes longer than the message.
pub fn encode<'a>(sequence: u16, message: &[u8], frame: &'a mut [u8]) -> Option<&'a [u8]> {
    if message.len() > MESSAGE || frame.len() < message.len() + (FRAME - MESSAGE) {
        return None;
    }
    let [low, high] = sequence.to_le_bytes();
    let header = [VERSION, low, high];
    let mut digest = CHECK.digest();
    digest.update(&header);
    digest.update(message);
    let checksum = digest.finalize().to_le_bytes();
    let mut stuffing = Stuffing::new(frame);
    header.iter().chain(message).chain(&checksum).for_each(|byte| stuffing.push(*byte));
    let len = stuffing.finish();
    frame.get(..len)
}

/// Byte stuffing in progress.
struct Stuffing<'a> {
    frame: &'a mut [u8],
    /// Place of the last distance, which is not known yet.
    distance_at: usize,
    /// Place of the next byte.
    next: usize,
}

impl<'a> Stuffing<'a> {
    fn new(frame: &'a mut [u8]) -> Self {
        let mut stuffing = Self { frame, distance_at: 1, next: 2 };
        stuffing.put(0, 0);
        stuffing
    }

    fn put(&mut self, place: usize, byte: u8) {
        if let Some(to) = self.frame.get_mut(place) {
            *to = byte;
        }
    }

    /// Of at most 254 bytes: no distance exceeds 255.
    fn push(&mut self, byte: u8) {
        if byte == 0 {
            self.close();
        } else {
            self.put(self.next, byte);
            self.next += 1;
        }
    }

    /// Writes the distance to here and keeps a place for the next.
    fn close(&mut self) {
        self.put(self.distance_at, (self.next - self.distance_at) as u8);
        self.distance_at = self.next;
        self.next += 1;
    }

    fn finish(mut self) -> usize {
        self.close();
        self.put(self.distance_at, 0);
        self.next
    }
}

/// Finds frames in a stream of bytes.
#[derive(Debug, Clone)]
pub struct Decoder {
    plain: [u8; PLAIN],
    len: usize,
    /// Bytes until the next distance.
    left: u8,
    /// Whether that distance stands for a zero: not in front of the first, nor behind a run of 254 bytes.
    zero: bool,
    /// Whether bytes have arrived since the last zero.
    started: bool,
    too_long: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// One that has seen nothing.
    pub const fn new() -> Self {
        Self { plain: [0; PLAIN], len: 0, left: 0, zero: false, started: false, too_long: false }
    }

    /// Takes a byte from the line; a zero may complete a frame, or show that what came before it is none.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame<'_>, Damage>> {
        if byte == 0 {
            return self.end();
        }
        self.started = true;
        if self.left == 0 {
            if self.zero {
                self.keep(0);
            }
            self.left = byte - 1;
            self.zero = byte != u8::MAX;
        } else {
            self.left -= 1;
            self.keep(byte);
        }
        None
    }

    fn keep(&mut self, byte: u8) {
        match self.plain.get_mut(self.len) {
            Some(to) => {
                *to = byte;
                self.len += 1;
            }
            None => self.too_long = true,
        }
    }

    fn end(&mut self) -> Option<Result<Frame<'_>, Damage>> {
        let (started, too_long, len, left) = (self.started, self.too_long, self.len, self.left);
        (self.started, self.too_long, self.len, self.left, self.zero) = (false, false, 0, 0, false);
        if !started {
            return None;
        }
        if too_long {
            return Some(Err(Damage::TooLong));
        }
        let whole = self.plain.get(..len).filter(|_| left == 0);
        Some(whole.and_then(parse).ok_or(Damage::Checksum))
    }
}

fn parse(plain: &[u8]) -> Option<Frame<'_>> {
    let (content, written) = plain.split_last_chunk::<CRC>()?;
    let ([version, low, high], message) = content.split_first_chunk::<HEADER>()?;
    let checksum = CHECK.checksum(content);
    let frame = Frame { version: *version, sequence: u16::from_le_bytes([*low, *high]), message, checksum };
    (checksum == u32::from_le_bytes(*written)).then_some(frame)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// What a decoder finds: sequence number and message of each frame, or the damage.
    fn decode(bytes: &[u8]) -> Vec<Result<(u16, Vec<u8>), Damage>> {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for byte in bytes {
            if let Some(frame) = decoder.push(*byte) {
                found.push(frame.map(|frame| (frame.sequence, frame.message.to_vec())));
            }
        }
        found
    }

    fn sent(sequence: u16, message: &[u8]) -> Vec<u8> {
        encode(sequence, message, &mut [0; FRAME]).unwrap().to_vec()
    }

    /// Byte for byte, as another implementation must write it; the checksum is that of Python's zlib.crc32.
    #[test]
    fn a_frame_is_these_bytes() {
        assert_eq!(CHECK.checksum(&[1, 7, 0, 0]), 0x9cb7_aefc);
        assert_eq!(sent(7, &[0]), [0, 3, 1, 7, 1, 5, 0xfc, 0xae, 0xb7, 0x9c, 0]);
        assert_eq!((MESSAGE, FRAME), (247, 257));
    }

    #[test]
    fn the_longest_message_fits_and_a_longer_one_does_not() {
        for fill in [0, 1, 255] {
            let frame = sent(u16::MAX, &[fill; MESSAGE]);
            assert_eq!((frame.len(), decode(&frame)), (FRAME, std::vec![Ok((u16::MAX, [fill; MESSAGE].to_vec()))]));
            assert_eq!(encode(0, &[fill; MESSAGE + 1], &mut [0; FRAME]), None);
        }
    }

    #[test]
    fn too_many_bytes_are_told_from_damaged_ones() {
        let mut noise = Vec::new();
        (0..300).for_each(|i| noise.push(if i % 200 == 0 { 255 } else { 7 }));
        noise.push(0);
        assert_eq!(decode(&noise), [Err(Damage::TooLong)]);
        assert_eq!(decode(&[5, 1, 1, 0, 0, 0]), [Err(Damage::Checksum)]);
        assert_eq!(decode(&[0, 0, 0]), []);
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(sequence: u16, message in prop::collection::vec(any::<u8>(), 0..=MESSAGE)) {
            let frame = sent(sequence, &message);
            prop_assert!(frame[1..frame.len() - 1].iter().all(|byte| *byte != 0) && frame.len() <= FRAME);
            prop_assert_eq!(decode(&frame), [Ok((sequence, message))]);
        }

        #[test]
        fn the_frame_behind_any_noise_arrives(noise in prop::collection::vec(any::<u8>(), 0..600), message: [u8; 9]) {
            let line = [noise, sent(3, &message)].concat();
            let found = decode(&line);
            prop_assert_eq!(found.last(), Some(&Ok((3, message.to_vec()))));
        }

        /// A CRC-32 sees every burst of up to 32 bits; a flip of one stuffed byte may move zeros, and has to be seen too.
        #[test]
        fn a_changed_byte_is_noticed(
            message in prop::collection::vec(any::<u8>(), 0..=MESSAGE), at: prop::sample::Index, flip in 1..=255u8,
        ) {
            let mut frame = sent(9, &message);
            // Not the zeros at the ends, which change nothing about what is between them.
            let at = 1 + at.index(frame.len() - 2);
            frame[at] ^= flip;
            prop_assert!(decode(&frame).iter().all(Result::is_err));
        }
    }
}
