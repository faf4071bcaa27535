//! A network as one line of text, as it stands in a model file and on a command line.
//!
//! ```text
//! input(28,28,1) conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false) relu maxpool2d(pool=2,padding=same)
//! flatten dense(units=10,bias=true)
//! ```
//! One word per layer, separated by single spaces. On a command line `stride=1`, `padding=same`, `bias=true` and
//! `multiplier=1` may be left out; in a model file nothing is. A ReLU with a threshold of 0.1 is `shifted_relu(hundredths=10)`;
//! a kernel of ten rows and four columns is `10x4`.
//!
//! ```text
//! network  = input { " " layer }
//! input    = "input(" height "," width "," channels ")"
//! layer    = "conv2d(filters=" n "," window ")" | "depthwise_conv2d(" [ "multiplier=" n "," ] window ")"
//!          | "maxpool2d(pool=" size [ ",padding=" padding ] ")" | "avgpool2d(pool=" size [ ",padding=" padding ] ")"
//!          | "dense(units=" n [ ",bias=" bias ] ")" | "from(layer=" index ")" | "add(layer=" index ")"
//!          | "relu" | "relu6" | "shifted_relu(hundredths=" n ")" | "flatten"
//! window   = "kernel=" size [ ",stride=" size ] [ ",padding=" padding ] [ ",bias=" bias ]
//! size     = n | height "x" width
//! padding  = "same" | "valid" | size         bias = "true" | "false"
//! ```
//! A padding that is a size is PyTorch's, of a convolution: so many rows of zeros above and as many below, and columns beside.
//! The arguments of a layer may come in any order. A layer's index counts from 0 behind the input.

use core::fmt::{self, Display, Formatter};
use core::str::FromStr;

use super::Network;
use super::layer::{Layer, MAX_LAYERS, NetworkError};
use super::shape::{Padding, Shape, Size};
use super::words::input_text;

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
                "layer {layer}: expected conv2d(filters=..,kernel=..,stride=..,padding=same|valid|n,bias=true|false), \
                 depthwise_conv2d(multiplier=.., and as before), relu, relu6, shifted_relu(hundredths=..), \
                 maxpool2d(pool=..,padding=..), avgpool2d(pool=..,padding=..), from(layer=..), add(layer=..), flatten or \
                 dense(units=..,bias=..)"
            ),
            Self::Network(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ParseError {}

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
    let mut rest = text;
    read_number(&mut rest) == Some(layer) && rest.strip_prefix(b".") == Some(name.as_bytes())
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        input_text(self.input()).show(f)?;
        self.layers().iter().try_for_each(|layer| write!(f, " {layer}"))
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
    /// `filters`, `multiplier`, `units`, `hundredths` or `layer`.
    count: Option<usize>,
    /// `kernel` or `pool`.
    window: Option<Size>,
    stride: Option<Size>,
    padding: Option<Padding>,
    bias: Option<bool>,
}

fn parse_layer(word: &str) -> Option<Layer> {
    let (name, arguments) = match word.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (word, ""),
    };
    let Arguments { count, window, stride, padding, bias } = parse_arguments(name, arguments)?;
    let (stride, padding) = (stride.unwrap_or(Size::ONE), padding.unwrap_or(Padding::Same));
    let bias = bias.unwrap_or(true);
    Some(match name {
        "relu" => Layer::Relu,
        "relu6" => Layer::Relu6,
        "shifted_relu" => Layer::ShiftedRelu { hundredths: count?.try_into().ok()? },
        "flatten" => Layer::Flatten,
        "maxpool2d" => {
            let pool = window.filter(|pool| pool.height == pool.width)?;
            Layer::MaxPool2d { pool: pool.rows(), padding }
        }
        "avgpool2d" => Layer::AvgPool2d { pool: window?, padding },
        "dense" => Layer::Dense { units: count?, bias },
        "conv2d" => Layer::Conv2d { filters: count?, kernel: window?, stride, padding, bias },
        "depthwise_conv2d" => {
            Layer::DepthwiseConv2d { multiplier: count.unwrap_or(1), kernel: window?, stride, padding, bias }
        }
        "from" => Layer::From { layer: count? },
        "add" => Layer::Add { layer: count? },
        _ => return None,
    })
}

fn parse_arguments(layer: &str, text: &str) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    for argument in split(text, b',').filter(|argument| !argument.is_empty()) {
        let (key, value) = argument.split_once('=')?;
        match (layer, key) {
            ("conv2d", "filters")
            | ("depthwise_conv2d", "multiplier")
            | ("dense", "units")
            | ("shifted_relu", "hundredths")
            | ("from" | "add", "layer") => set(&mut arguments.count, value.parse().ok())?,
            ("conv2d" | "depthwise_conv2d", "kernel") | ("maxpool2d" | "avgpool2d", "pool") => {
                set(&mut arguments.window, parse_size(value))?
            }
            ("conv2d" | "depthwise_conv2d", "stride") => set(&mut arguments.stride, parse_size(value))?,
            ("conv2d" | "depthwise_conv2d" | "maxpool2d" | "avgpool2d", "padding") => {
                set(&mut arguments.padding, parse_padding(value))?
            }
            ("conv2d" | "depthwise_conv2d" | "dense", "bias") => set(&mut arguments.bias, value.parse().ok())?,
            _ => return None,
        }
    }
    Some(arguments)
}

fn parse_size(value: &str) -> Option<Size> {
    match value.split_once('x') {
        Some((height, width)) => Some(Size::hw(height.parse().ok()?, width.parse().ok()?)),
        None => value.parse().ok().map(Size::square),
    }
}

fn parse_padding(value: &str) -> Option<Padding> {
    match value {
        "same" => Some(Padding::Same),
        "valid" => Some(Padding::Valid),
        // As many on each side; none is what `valid` says.
        zeros => parse_size(zeros).map(Padding::zeros),
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
            assert_eq!(text.split(' ').count(), network.layers().len() + 1);
        }
        assert!(!MNIST_CNN.is_written_as(shifted.as_bytes()));
        for changed in [text.clone() + " ", text.replace("32", "33"), text.replace("256", "0256"), text[..90].into()] {
            assert!(!MNIST_CNN.is_written_as(changed.as_bytes()), "{changed}");
        }
    }

    #[test]
    fn every_layer_has_a_word() {
        let text = "input(12,9,1) depthwise_conv2d(multiplier=4,kernel=10x4,stride=2x1,padding=valid,bias=false) relu6 \
            conv2d(filters=4,kernel=1x3,stride=1,padding=0x1,bias=true) from(layer=1) add(layer=2) \
            avgpool2d(pool=2x3,padding=valid) flatten dense(units=10,bias=true)";
        let network: Network = text.parse().unwrap();
        assert_eq!(network.to_string(), text);
        assert!(network.is_written_as(text.as_bytes()));
        assert!("input(4,4,1) depthwise_conv2d(kernel=3) flatten dense(units=2)".parse::<Network>().is_ok());
        let padded: Network = "input(4,4,1) conv2d(filters=1,kernel=3,stride=2,padding=1) flatten".parse().unwrap();
        assert_eq!(padded.layers()[0].to_string(), "conv2d(filters=1,kernel=3,stride=2,padding=1,bias=true)");
        let valid: Network = "input(4,4,1) conv2d(filters=1,kernel=3,padding=0) flatten".parse().unwrap();
        assert!(valid.to_string().contains("padding=valid"));
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
            ("input(28,28,1) conv2d(filters=1,kernel=3x)", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) conv2d(filters=1,kernel=256)", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) maxpool2d(pool=2x3)", ParseError::Layer { layer: 0 }),
            (
                "input(28,28,1) conv2d(filters=1,kernel=3,padding=3)",
                ParseError::Network(NetworkError::Window { layer: 0 }),
            ),
            (
                "input(28,28,1) conv2d(filters=1,kernel=16,padding=15)",
                ParseError::Network(NetworkError::Window { layer: 0 }),
            ),
            ("input(28,28,1) maxpool2d(pool=2,padding=1)", ParseError::Network(NetworkError::Window { layer: 0 })),
            ("input(28,28,1) avgpool2d(pool=2,padding=1)", ParseError::Network(NetworkError::Window { layer: 0 })),
            ("input(28,28,1) relu add(pool=0)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(units=2", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) dense(units=2)", ParseError::Network(NetworkError::Order { layer: 0 })),
        ] {
            assert_eq!(text.parse::<Network>().err(), Some(error), "{text}");
        }
    }
}
