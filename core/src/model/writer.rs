//! Model files are written here, and only here: by the trainer, and by the firmware's build. The bytes go to a sink, so
//! that no allocator is needed.

use core::fmt::{self, Write};

use super::header::{FORMAT, METADATA_CHECKSUM, METADATA_FORMAT, METADATA_NETWORK};
use super::weights::View;
use super::{Model, Weights};
use crate::checksum::{CRC, Table};
use crate::number::Stored as _;

impl<T: Weights> Model<'_, T> {
    /// Writes the model file that [`Model::from_safetensors`] reads: its bytes go to `sink`, in order, in pieces.
    /// `metadata` are more entries for the header; the format's own are left out of them.
    ///
    /// ```
    /// # use midge_core::{Layer, Model, Network, Shape};
    /// # const NETWORK: Network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
    /// # let model = Model::<f32>::from_tensors(&NETWORK, &[&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]])?;
    /// let mut file = Vec::new();
    /// model.write_safetensors(&[("author", "me")], &mut |bytes| file.extend_from_slice(bytes));
    /// assert_eq!(midge_core::Header::read(&file).unwrap().network(), Ok(NETWORK));
    /// # Ok::<(), midge_core::Error>(())
    /// ```
    pub fn write_safetensors(&self, metadata: &[(&str, &str)], sink: &mut dyn FnMut(&[u8])) {
        let checksum = self.checksum();
        let mut length = 0;
        self.write_header(metadata, checksum, &mut |bytes| length += bytes.len());
        // The tensors start at a multiple of 8.
        let padding = length.next_multiple_of(8) - length;
        sink(&((length + padding) as u64).to_le_bytes());
        self.write_header(metadata, checksum, sink);
        sink(b"       ".get(..padding).unwrap_or(&[]));
        self.each_view(&mut |_, view| {
            sink(view.bytes);
            Ok(())
        });
    }

    /// Passes each tensor, with the layer it belongs to, on to `visit`, in the file's order: bytes come last, so that wider elements
    /// are aligned.
    fn each_view(&self, visit: &mut dyn FnMut(usize, &View<'_>) -> fmt::Result) {
        let plan = self.network.plan();
        for are_bytes in [false, true] {
            for (index, (stage, tensors)) in plan.all().iter().zip(self.tensors.iter()).enumerate() {
                if T::IS_INT8 && plan.passes_on(index) {
                    continue;
                }
                for view in T::views(tensors, stage).iter().filter(|view| (view.dtype == i8::DTYPE) == are_bytes) {
                    // A sink takes everything.
                    let _ = visit(stage.layer(), view);
                }
            }
        }
    }

    fn checksum(&self) -> u32 {
        let mut digest = CRC.digest();
        // A digest takes everything.
        let _ = write!(Digest(&mut digest), "{}", self.network);
        self.each_view(&mut |_, view| {
            digest.update(view.bytes);
            Ok(())
        });
        digest.finalize()
    }

    fn write_header(&self, metadata: &[(&str, &str)], checksum: u32, sink: &mut dyn FnMut(&[u8])) {
        // A sink takes everything.
        let _ = self.try_write_header(metadata, checksum, &mut Sink(sink));
    }

    fn try_write_header(&self, metadata: &[(&str, &str)], checksum: u32, to: &mut Sink<'_>) -> fmt::Result {
        write!(
            to,
            "{{\"__metadata__\":{{\"{METADATA_FORMAT}\":\"{FORMAT}\",\"{METADATA_NETWORK}\":\"{}\"",
            self.network
        )?;
        write!(to, ",\"{METADATA_CHECKSUM}\":\"{checksum:08x}\"")?;
        let own = [METADATA_FORMAT, METADATA_NETWORK, METADATA_CHECKSUM];
        for (key, value) in metadata.iter().filter(|(key, _)| !own.contains(key)) {
            write!(to, ",\"{}\":\"{}\"", Escaped(key), Escaped(value))?;
        }
        to.write_str("}")?;
        let mut offset = 0;
        self.each_view(&mut |layer, view| {
            let end = offset + view.bytes.len();
            write!(to, ",\"{layer}.{}\":{{\"dtype\":\"{}\",\"shape\":[", view.name, view.dtype)?;
            for (i, n) in view.shape.iter().enumerate() {
                write!(to, "{}{n}", if i > 0 { "," } else { "" })?;
            }
            write!(to, "],\"data_offsets\":[{offset},{end}]}}")?;
            offset = end;
            Ok(())
        });
        to.write_str("}")
    }
}

struct Digest<'a, 'c>(&'a mut crc::Digest<'c, u32, Table>);

impl Write for Digest<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

struct Sink<'a>(&'a mut dyn FnMut(&[u8]));

impl Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        (self.0)(text.as_bytes());
        Ok(())
    }
}

/// A text between the quotes of JSON.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\\' => write!(f, "\\{c}"),
            '\0'..='\x1f' => write!(f, "\\u{:04x}", u32::from(c)),
            _ => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Model;
    use crate::network::{Layer, Network, Shape};

    #[test]
    fn the_drawing_of_the_format_is_true() {
        let network = Network::new(Shape::hwc(1, 2, 1), &[Layer::Flatten, Layer::Dense { units: 2, bias: true }]);
        let model = Model::<f32>::from_tensors(&network, &[&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0]]).unwrap();
        let mut file = std::vec::Vec::new();
        model.write_safetensors(&[], &mut |bytes| file.extend_from_slice(bytes));
        let places: [(usize, &[u8]); 8] = [
            (0, &240u64.to_le_bytes()),
            (8, b"{\"__metadata__\":{\"format\":\"midge-1\""),
            (44, b"\"network\":\"input(1,2,1) flatten dense(units=2,bias=true)\",\"crc32\":\""),
            (122, b"\"1.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}"),
            (185, b"\"1.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}"),
            (245, b"   "),
            (248, &1f32.to_le_bytes()),
            (264, &5f32.to_le_bytes()),
        ];
        for (at, bytes) in places {
            assert!(file[at..].starts_with(bytes), "at {at}: {}", file[at..].escape_ascii());
        }
        assert_eq!(file.len(), 272);
    }
}
