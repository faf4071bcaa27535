//! Files that may be plain or gzip, whatever their name says.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

/// The first two bytes of every gzip stream.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Zeros accepted after a gzip stream, in bytes. Tapes and copies in blocks leave them; gzip ignores them too.
const MAX_PADDING: usize = 1 << 20;

/// Looks at the first two bytes and unpacks gzip on the fly; other streams pass unchanged. The flag is true for gzip.
///
/// # Errors
/// Whatever reading those two bytes gives.
pub fn unpack<'a>(mut reader: impl Read + 'a) -> io::Result<(Box<dyn Read + 'a>, bool)> {
    let mut head = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut head)?;
    let gzip = head == MAGIC;
    let whole = BufReader::new(Cursor::new(head).chain(reader));
    Ok(match gzip {
        true => (Box::new(Members { decoder: Some(GzDecoder::new(whole)) }), true),
        false => (Box::new(whole), false),
    })
}

/// The members of a gzip file one after another, and then zeros, if there are any.
struct Members<R> {
    /// The current member; none after the last.
    decoder: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let n = decoder.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let more = is_followed(decoder.get_mut())?;
            self.decoder = self.decoder.take().filter(|_| more).map(|decoder| GzDecoder::new(decoder.into_inner()));
        }
        Ok(0)
    }
}

/// Whether another member follows; zeros before the end of the file are skipped.
fn is_followed(rest: &mut impl BufRead) -> io::Result<bool> {
    let mut padding = 0;
    loop {
        let bytes = rest.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros < bytes.len() {
            return if padding + zeros == 0 {
                Ok(true)
            } else {
                Err(damaged("other bytes follow the zeros at its end"))
            };
        }
        if bytes.is_empty() {
            return Ok(false);
        }
        padding += zeros;
        if padding > MAX_PADDING {
            return Err(damaged("too many zeros follow its end"));
        }
        rest.consume(zeros);
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        unpack(bytes)?.0.read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn members_follow_each_other() {
        assert_eq!(read(&[pack(b"one "), pack(b""), pack(b"two")].concat()).unwrap(), b"one two");
        assert_eq!(read(b"plain\0\0").unwrap(), b"plain\0\0");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn zeros_at_the_end_are_ignored_and_nothing_else() {
        let packed = pack(b"content");
        for zeros in [1, 511, 20_000, MAX_PADDING] {
            assert_eq!(read(&[&packed[..], &vec![0; zeros]].concat()).unwrap(), b"content", "{zeros}");
        }
        for rest in [&b"x"[..], b"\0x", &vec![0; MAX_PADDING + 1], &[&[0][..], &pack(b"more")].concat()] {
            assert!(read(&[&packed[..], rest].concat()).is_err(), "{} bytes", rest.len());
        }
        let endless = io::Cursor::new(packed).chain(io::repeat(0));
        assert!(unpack(endless).unwrap().0.read_to_end(&mut Vec::new()).is_err());
    }
}
