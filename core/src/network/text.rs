//! A network as one line of text, as it stands in a model file and on a command line.
//!
//! ```text
//! input(28,28,1) conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false) relu maxpool2d(pool=2,padding=same)
//! flatten dense(units=10,bias=true)
//! ```
//! One word per layer, separated by single spaces. On a command line `stride=1`, `padding=same` and `bias=true` may be
//! left out; in a model file nothing is. A ReLU with a threshold of 0.1 is `shifted_relu(hundredths=10)`.
//!
//! ```text
//! network  = input { " " layer }
//! input    = "input(" height "," width "," channels ")"
//! layer    = "conv2d(filters=" n ",kernel=" n [ ",stride=" n ] [ ",padding=" padding ] [ ",bias=" bias ] ")"
//!          | "maxpool2d(pool=" n [ ",padding=" padding ] ")" | "dense(units=" n [ ",bias=" bias ] ")"
//!          | "relu" | "shifted_relu(hundredths=" n ")" | "flatten"
//! padding  = "same" | "valid"          bias = "true" | "false"
//! ```
//! The arguments of a layer may come in any order.

use core::fmt::{self, Display, Formatter};
use core::str::FromStr;

use super::Network;
use super::layer::{Layer, MAX_LAYERS, NetworkError};
use super::shape::{Padding, Shape};

/// Why a text is not a network.
///
/// ```
/// use midge_core::{Network, ParseError};
///
/// let network: Network = "input(28,28,1) conv2d(filters=8,kernel=3) relu flatten dense(units=10)".parse()?;
/// // What was left out is written out.
/// let text = "input(28,28,1) conv2d(filters=8,kernel=3,stride=1,padding=same,bias=true) relu flatten dense(units=10,bias=true)";
/// assert_eq!(network.to_string(), text);
///
/// assert_eq!("input(28,28,1) tanh".parse::<Network>(), Err(ParseError::Layer { layer: 0 }));
/// assert_eq!("conv2d(filters=8,kernel=3)".parse::<Network>(), Err(ParseError::Input));
/// # Ok::<(), ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// The text does not start with `input(height,width,channels)`.
    Input,
    /// Not a layer, or a wrong, missing or repeated argument.
    Layer {
        /// Index of the layer.
        layer: usize,
    },
    /// The layers do not fit together.
    Network(NetworkError),
}

impl Display for ParseError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("expected the text to start with input(height,width,channels)"),
            Self::Layer { layer } => write!(
                f,
                "layer {layer}: expected conv2d(filters=..,kernel=..,stride=..,padding=same|valid,bias=true|false), \
                 relu, shifted_relu(hundredths=..), maxpool2d(pool=..,padding=..), flatten or dense(units=..,bias=..)"
            ),
            Self::Network(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ParseError {}

/// What a network's text is written to, or compared with: one definition of the text serves both.
trait Writer {
    fn text(&mut self, text: &str) -> fmt::Result;
    fn number(&mut self, number: usize) -> fmt::Result;

    /// Pairs of a text and the number behind it.
    fn numbers(&mut self, pairs: &[(&str, usize)]) -> fmt::Result {
        for (text, number) in pairs {
            self.text(text)?;
            self.number(*number)?;
        }
        Ok(())
    }
}

impl Writer for Formatter<'_> {
    fn text(&mut self, text: &str) -> fmt::Result {
        self.write_str(text)
    }

    fn number(&mut self, number: usize) -> fmt::Result {
        number.fmt(self)
    }
}

/// What is left of a text after all that was "written" stood at its front. Needs no formatting code on a device.
struct Front<'a>(&'a [u8]);

impl Writer for Front<'_> {
    #[inline(never)]
    fn text(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text.as_bytes()).ok_or(fmt::Error)?;
        Ok(())
    }

    fn number(&mut self, number: usize) -> fmt::Result {
        if read_number(&mut self.0) == Some(number) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Reads a number without leading zeros off the front of `text`.
#[inline(never)]
pub(crate) fn read_number(text: &mut &[u8]) -> Option<usize> {
    let mut number = 0usize;
    let mut rest = *text;
    while let [digit @ b'0'..=b'9', after @ ..] = rest {
        if number == 0 && rest.len() < text.len() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
        rest = after;
    }
    let some = rest.len() < text.len();
    *text = rest;
    some.then_some(number)
}

/// Whether `text` is the name of a layer's tensor, `<layer>.<name>`.
pub(crate) fn is_tensor_name(text: &[u8], layer: usize, name: &str) -> bool {
    let mut front = Front(text);
    front.number(layer).and_then(|()| front.text(".")).and_then(|()| front.text(name)).is_ok() && front.0.is_empty()
}

impl Layer {
    #[inline(always)]
    fn write(&self, to: &mut impl Writer) -> fmt::Result {
        let (padding, bias) = match *self {
            Self::Conv2d { filters, kernel, stride, padding, bias } => {
                to.numbers(&[("conv2d(filters=", filters), (",kernel=", kernel), (",stride=", stride)])?;
                (Some(padding), Some(bias))
            }
            Self::MaxPool2d { pool, padding } => {
                to.numbers(&[("maxpool2d(pool=", pool)])?;
                (Some(padding), None)
            }
            Self::Dense { units, bias } => {
                to.numbers(&[("dense(units=", units)])?;
                (None, Some(bias))
            }
            Self::ShiftedRelu { hundredths } => {
                to.numbers(&[("shifted_relu(hundredths=", usize::from(hundredths))])?;
                (None, None)
            }
            Self::Relu => return to.text("relu"),
            Self::Flatten => return to.text("flatten"),
        };
        if let Some(padding) = padding {
            to.text(",padding=")?;
            to.text(padding.name())?;
        }
        if let Some(bias) = bias {
            to.text(if bias { ",bias=true" } else { ",bias=false" })?;
        }
        to.text(")")
    }
}

impl Network {
    #[inline(always)]
    fn write(&self, to: &mut impl Writer) -> fmt::Result {
        let Shape { height, width, channels } = self.input();
        to.numbers(&[("input(", height), (",", width), (",", channels)])?;
        to.text(")")?;
        self.layers().iter().try_for_each(|layer| to.text(" ").and_then(|()| layer.write(to)))
    }

    /// Whether `text` is this network as [`Display`] writes it, with nothing left out.
    pub(crate) fn is_written_as(&self, text: &[u8]) -> bool {
        let mut front = Front(text);
        self.write(&mut front).is_ok() && front.0.is_empty()
    }
}

impl Padding {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Valid => "valid",
        }
    }
}

impl Display for Padding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for Layer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl FromStr for Network {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = split(text, b' ');
        let input = words.next().and_then(parse_input).ok_or(ParseError::Input)?;
        let mut layers: heapless::Vec<Layer, MAX_LAYERS> = heapless::Vec::new();
        for (layer, word) in words.enumerate() {
            let parsed = parse_layer(word).ok_or(ParseError::Layer { layer })?;
            layers.push(parsed).map_err(|_| ParseError::Network(NetworkError::TooManyLayers))?;
        }
        Network::try_new(input, &layers).map_err(ParseError::Network)
    }
}

/// The parts of a text between separators. (The standard library's has checks that can panic in theory.)
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(|byte| byte == separator);
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}

fn parse_input(word: &str) -> Option<Shape> {
    let sizes = word.strip_prefix("input(")?.strip_suffix(')')?;
    let mut sizes = split(sizes, b',').map(str::parse);
    let shape = Shape::hwc(sizes.next()?.ok()?, sizes.next()?.ok()?, sizes.next()?.ok()?);
    sizes.next().is_none().then_some(shape)
}

/// The arguments that a layer can have.
#[derive(Default)]
struct Arguments {
    /// `filters`, `units` or `hundredths`.
    count: Option<usize>,
    /// `kernel` or `pool`.
    window: Option<usize>,
    stride: Option<usize>,
    padding: Option<Padding>,
    bias: Option<bool>,
}

fn parse_layer(word: &str) -> Option<Layer> {
    let (name, arguments) = match word.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (word, ""),
    };
    let arguments = parse_arguments(name, arguments)?;
    let padding = arguments.padding.unwrap_or(Padding::Same);
    let bias = arguments.bias.unwrap_or(true);
    match name {
        "relu" => Some(Layer::Relu),
        "shifted_relu" => Some(Layer::ShiftedRelu { hundredths: arguments.count?.try_into().ok()? }),
        "flatten" => Some(Layer::Flatten),
        "maxpool2d" => Some(Layer::MaxPool2d { pool: arguments.window?, padding }),
        "dense" => Some(Layer::Dense { units: arguments.count?, bias }),
        "conv2d" => Some(Layer::Conv2d {
            filters: arguments.count?,
            kernel: arguments.window?,
            stride: arguments.stride.unwrap_or(1),
            padding,
            bias,
        }),
        _ => None,
    }
}

fn parse_arguments(layer: &str, text: &str) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    for argument in split(text, b',').filter(|argument| !argument.is_empty()) {
        let (key, value) = argument.split_once('=')?;
        match (layer, key) {
            ("conv2d", "filters") | ("dense", "units") | ("shifted_relu", "hundredths") => {
                set(&mut arguments.count, value.parse().ok())?
            }
            ("conv2d", "kernel") | ("maxpool2d", "pool") => set(&mut arguments.window, value.parse().ok())?,
            ("conv2d", "stride") => set(&mut arguments.stride, value.parse().ok())?,
            ("conv2d" | "maxpool2d", "padding") => set(&mut arguments.padding, parse_padding(value))?,
            ("conv2d" | "dense", "bias") => set(&mut arguments.bias, value.parse().ok())?,
            _ => return None,
        }
    }
    Some(arguments)
}

fn parse_padding(value: &str) -> Option<Padding> {
    match value {
        "same" => Some(Padding::Same),
        "valid" => Some(Padding::Valid),
        _ => None,
    }
}

/// Sets an argument that was not set before.
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::mnist_cnn::{MNIST_CNN, MNIST_CNN_SHIFTED};
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_network_survives_its_text() {
        let text = MNIST_CNN.to_string();
        let first = "input(28,28,1) conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false)";
        assert!(text.starts_with(&[first, " relu maxpool2d"].concat()), "{text}");
        let shifted = MNIST_CNN_SHIFTED.to_string();
        assert!(shifted.starts_with(&[first, " shifted_relu(hundredths=10) maxpool2d"].concat()), "{shifted}");
        for (network, text) in [(MNIST_CNN, &text), (MNIST_CNN_SHIFTED, &shifted)] {
            assert_eq!(text.parse::<Network>().unwrap(), network);
            assert!(network.is_written_as(text.as_bytes()));
        }
        assert!(!MNIST_CNN.is_written_as(shifted.as_bytes()));
        for changed in [text.clone() + " ", text.replace("32", "33"), text.replace("256", "0256"), text[..90].into()] {
            assert!(!MNIST_CNN.is_written_as(changed.as_bytes()), "{changed}");
        }
    }

    #[test]
    fn tensors_have_names() {
        assert!(is_tensor_name(b"12.weight", 12, "weight"));
        for other in ["12.weights", "12.weigh", "12.bias", "2.weight", "012.weight", "+12.weight", "12weight", "", "."]
        {
            assert!(!is_tensor_name(other.as_bytes(), 12, "weight"), "{other}");
        }
    }

    #[test]
    fn mistakes_are_placed() {
        for (text, error) in [
            ("", ParseError::Input),
            ("input(28,28) flatten", ParseError::Input),
            ("input(28,28,1,1) flatten", ParseError::Input),
            ("input(28,28,1)  flatten", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) flatten dense", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(units=2,units=3)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(units=-2)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(kernel=2)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) shifted_relu", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) shifted_relu(hundredths=256)", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) shifted_relu(units=1)", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) flatten dense(units=2", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) dense(units=2)", ParseError::Network(NetworkError::Order { layer: 0 })),
        ] {
            assert_eq!(text.parse::<Network>().err(), Some(error), "{text}");
        }
    }
}
