//! The little of JSON that a model file's header is written in, read in place. A device carries this code, so it is
//! small and cannot panic; that is why it is not a crate.

use crate::network::read_number;

/// What has not been read yet. Every method reads one thing and the white space before it; `None` if it is not there.
pub(super) struct Json<'a> {
    rest: &'a [u8],
}

impl<'a> Json<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Reads `byte` if it is next.
    #[inline(never)]
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.rest = self.rest.get(1..)?;
        Some(())
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Option<()> {
        if self.peek().is_none() { Some(()) } else { None }
    }

    /// The bytes of a text as they stand between its quotes: escapes are left as they are, and are in nothing that midge
    /// looks at.
    #[inline(never)]
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let start = self.rest;
        let mut length = 0;
        loop {
            match *start.get(length)? {
                b'"' => break,
                b'\\' => length += 2,
                // Control characters have to be escaped.
                0..=0x1f => return None,
                _ => length += 1,
            }
        }
        self.rest = start.get(length + 1..)?;
        start.get(..length)
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self) -> Option<usize> {
        self.peek()?;
        read_number(&mut self.rest)
    }

    /// Whether an item follows in the array or object that ends with `close`; reads the comma before all but the first.
    #[inline(never)]
    fn another(&mut self, first: &mut bool, close: u8) -> Option<bool> {
        if self.take(close).is_some() {
            return Some(false);
        }
        if !core::mem::replace(first, false) {
            self.take(b',')?;
        }
        Some(true)
    }

    /// An object; `entry` gets each key and reads its value.
    #[inline(always)]
    pub(super) fn object(&mut self, mut entry: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        let mut first = true;
        while self.another(&mut first, b'}')? {
            let key = self.text()?;
            self.take(b':')?;
            entry(key, self)?;
        }
        Some(())
    }

    /// An array of numbers: how many, at most as many as fit `numbers`.
    pub(super) fn numbers(&mut self, numbers: &mut [usize]) -> Option<usize> {
        self.take(b'[')?;
        let (mut count, mut first) = (0, true);
        while self.another(&mut first, b']')? {
            *numbers.get_mut(count)? = self.number()?;
            count += 1;
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn objects_texts_and_numbers_are_read() {
        let mut json = Json::new(br#" { "a" : [ 1,20 ,300 ] , "b\\\"c":"x" } "#);
        let mut keys = Vec::new();
        let read = json.object(|key, json| {
            keys.push(key);
            match key {
                b"a" => {
                    let mut numbers = [0; 3];
                    assert_eq!((json.numbers(&mut numbers)?, numbers), (3, [1, 20, 300]));
                }
                _ => assert_eq!(json.text()?, b"x"),
            }
            Some(())
        });
        assert_eq!((read, json.end()), (Some(()), Some(())));
        assert_eq!(keys, [&b"a"[..], br#"b\\\"c"#]);
        assert_eq!(Json::new(b"{}").object(|_, _| None), Some(()));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in ["", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{\"a\":\"\n\"}", "{\"a\":\"\\"] {
            assert_eq!(Json::new(bad.as_bytes()).object(|_, json| json.text().map(drop)), None, "{bad}");
        }
        for bad in ["", "-1", "01", "x", "99999999999999999999999999"] {
            assert_eq!(Json::new(bad.as_bytes()).number(), None, "{bad}");
        }
        assert_eq!(Json::new(b"[1,2,3]").numbers(&mut [0; 2]), None);
        assert_eq!(Json::new(b"[1,]").numbers(&mut [0; 2]), None);
    }

    #[test]
    fn a_text_ends_at_its_own_quote() {
        let mut json = Json::new(br#" "a\\" "\"\\\"b" "" 7 8"#);
        assert_eq!(json.text(), Some(&br"a\\"[..]));
        assert_eq!(json.text(), Some(&br#"\"\\\"b"#[..]));
        assert_eq!(json.text(), Some(&b""[..]));
        assert_eq!((json.text(), json.end()), (None, None));
        assert_eq!((json.number(), json.number(), json.number()), (Some(7), Some(8), None));
        assert_eq!((json.end(), Json::new(b" \t\n\r ").end()), (Some(()), Some(())));
        assert_eq!((Json::new(b"\"\x1f\"").text(), Json::new(b"\" \"").text()), (None, Some(&b" "[..])));
    }

    #[test]
    fn entries_are_counted_and_separated() {
        let mut numbers = [9; 3];
        assert_eq!((Json::new(b"[ ]").numbers(&mut numbers), numbers), (Some(0), [9; 3]));
        assert_eq!((Json::new(b"[4,5]").numbers(&mut numbers), numbers), (Some(2), [4, 5, 9]));
        assert_eq!(Json::new(b"[4 5]").numbers(&mut numbers), None);
        assert_eq!(Json::new(b"[,4]").numbers(&mut numbers), None);
        assert_eq!(Json::new(b"[4]").numbers(&mut []), None);
        let mut count = 0;
        let read = Json::new(br#"{"a":1,"b":2,"c":3}"#).object(|_, json| {
            count += json.number()?;
            Some(())
        });
        assert_eq!((read, count), (Some(()), 6));
    }
}
