//! The words of a network's text: of its input, of each layer, of what a layer consists of. `text.rs` draws their grammar.
//!
//! All is `const fn`, so that the compiler can write the text of a constant network.

use core::fmt::{self, Display, Formatter};

use super::layer::Layer;
use super::shape::{Padding, Shape, Size};
use crate::checksum::{CRC, checksum_of};

/// Longest text of a layer.
const MAX_TEXT: usize = 192;

/// The text of a layer, or of a network's input.
pub(super) struct Text {
    bytes: [u8; MAX_TEXT],
    len: usize,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; MAX_TEXT], len: 0 };

    /// With `text` behind it.
    const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() && self.len < MAX_TEXT {
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    /// With `text` and `number` behind it.
    const fn number(self, text: &str, number: usize) -> Self {
        let mut end = self.text(text);
        let mut unit = 1;
        while number / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 && end.len < MAX_TEXT {
            end.bytes[end.len] = b'0' + (number / unit % 10) as u8;
            end.len += 1;
            unit /= 10;
        }
        end
    }

    /// With `text` and `size` behind it.
    const fn size(self, text: &str, size: Size) -> Self {
        let end = self.number(text, size.rows());
        if size.height == size.width { end } else { end.number("x", size.columns()) }
    }

    const fn padding(self, padding: Padding) -> Self {
        self.text(",padding=").padding_word(padding)
    }

    const fn padding_word(self, padding: Padding) -> Self {
        match padding {
            Padding::Same => self.text("same"),
            Padding::Valid => self.text("valid"),
            Padding::Zeros(zeros) => self.size("", zeros.size()),
        }
    }

    const fn bias(self, bias: bool) -> Self {
        self.text(if bias { ",bias=true" } else { ",bias=false" })
    }

    pub(super) fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Only whole texts and digits were written.
        f.write_str(self.bytes.get(..self.len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default())
    }
}

/// Stands for a network's text on a device, which then needs neither the words of the layers nor code that writes them: the
/// text's checksum. (A text that was made to have the same is no danger: the tensors behind it still have to be those of the
/// network.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u32);

impl Fingerprint {
    /// Of the text of a network.
    pub(super) const fn of(input: Shape, layers: &[Layer]) -> Self {
        let mut digest = CRC.digest();
        let mut text = input_text(input);
        digest.update(text.bytes.split_at(text.len).0);
        let mut i = 0;
        while i < layers.len() {
            text = layers[i].text();
            digest.update(b" ");
            digest.update(text.bytes.split_at(text.len).0);
            i += 1;
        }
        Self(digest.finalize())
    }

    /// Whether it is that of `text`.
    pub(super) fn is_of(&self, text: &[u8]) -> bool {
        checksum_of(&[text]) == self.0
    }
}

pub(super) const fn input_text(Shape { height, width, channels }: Shape) -> Text {
    Text::EMPTY.number("input(", height).number(",", width).number(",", channels).text(")")
}

impl Layer {
    const fn text(&self) -> Text {
        let text = Text::EMPTY;
        let text = match *self {
            Self::Conv2d { filters, kernel, stride, padding, bias } => text
                .number("conv2d(filters=", filters)
                .size(",kernel=", kernel)
                .size(",stride=", stride)
                .padding(padding)
                .bias(bias),
            Self::DepthwiseConv2d { multiplier, kernel, stride, padding, bias } => text
                .number("depthwise_conv2d(multiplier=", multiplier)
                .size(",kernel=", kernel)
                .size(",stride=", stride)
                .padding(padding)
                .bias(bias),
            Self::MaxPool2d { pool, padding } => text.number("maxpool2d(pool=", pool).padding(padding),
            Self::AvgPool2d { pool, padding } => text.size("avgpool2d(pool=", pool).padding(padding),
            Self::Dense { units, bias } => text.number("dense(units=", units).bias(bias),
            Self::ShiftedRelu { hundredths } => text.number("shifted_relu(hundredths=", hundredths as usize),
            Self::From { layer } => text.number("from(layer=", layer),
            Self::Add { layer } => text.number("add(layer=", layer),
            Self::Relu => return text.text("relu"),
            Self::Relu6 => return text.text("relu6"),
            Self::Flatten => return text.text("flatten"),
        };
        text.text(")")
    }
}

impl Display for Padding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Text::EMPTY.padding_word(*self).show(f)
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Text::EMPTY.size("", *self).show(f)
    }
}

impl Display for Layer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.text().show(f)
    }
}
