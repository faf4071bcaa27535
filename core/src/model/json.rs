//! The little of JSON that a model file's header is written in, read in place. A device carries this code, so it is
//! small and cannot panic; that is why it is not a crate.

/// What has not been read yet. Every method reads one thing and the white space before it; `None` if it is not there.
pub(super) struct Json<'a> {
    rest: &'a [u8],
}

impl<'a> Json<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    /// Reads `byte` if it is next.
    fn take(&mut self, byte: u8) -> Option<()> {
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

    /// A text as it stands between its quotes: escapes are left as they are, and are in nothing that midge looks at.
    pub(super) fn text(&mut self) -> Option<&'a str> {
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
        core::str::from_utf8(start.get(..length)?).ok()
    }

    /// A whole number that is not negative.
    pub(super) fn number(&mut self) -> Option<usize> {
        self.peek()?;
        let mut number = 0usize;
        let mut digits = 0;
        while let Some(digit @ b'0'..=b'9') = self.rest.first() {
            // No leading zero.
            if digits > 0 && number == 0 {
                return None;
            }
            number = number.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
            digits += 1;
            self.rest = self.rest.get(1..)?;
        }
        if digits > 0 { Some(number) } else { None }
    }

    /// The items between `open` and `close`; `item` reads each.
    fn items(&mut self, [open, close]: [u8; 2], mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    /// An object; `entry` gets each key and reads its value.
    pub(super) fn object(&mut self, mut entry: impl FnMut(&'a str, &mut Self) -> Option<()>) -> Option<()> {
        self.items(*b"{}", |json| {
            let key = json.text()?;
            json.take(b':')?;
            entry(key, json)
        })
    }

    /// An array of numbers, at most `N`.
    pub(super) fn numbers<const N: usize>(&mut self) -> Option<heapless::Vec<usize, N>> {
        let mut numbers = heapless::Vec::new();
        self.items(*b"[]", |json| numbers.push(json.number()?).ok())?;
        Some(numbers)
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
                "a" => assert_eq!(json.numbers::<3>()?, [1, 20, 300]),
                _ => assert_eq!(json.text()?, "x"),
            }
            Some(())
        });
        assert_eq!((read, json.end()), (Some(()), Some(())));
        assert_eq!(keys, ["a", r#"b\\\"c"#]);
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
        assert_eq!(Json::new(b"[1,2,3]").numbers::<2>(), None);
        assert_eq!(Json::new(&[b'"', 0xff, b'"']).text(), None);
    }
}
